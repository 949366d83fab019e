"""Calls in the words of several families of models, whole and in pieces, and what is none."""

from __future__ import annotations

import json

import pytest

from kith.core.message import Message, Text, ToolCall, ToolResult
from kith.models.llama_cpp.tools import HERMES, Form, Splitter, form_of, read
from kith.models.llama_cpp.wire import messages_of
from kith.runtime.template import ChatTemplate

MISTRAL, LLAMA = Form("[TOOL_CALLS]"), Form("<|python_tag|>", early='{"name"')
DEEPSEEK = Form("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>")
WEATHER = [("weather", {"city": "上海"})]
DEEP = '<｜tool▁call▁begin｜>function<｜tool▁sep｜>weather\n```json\n{"city": "上海"}\n```<｜tool▁call▁end｜>'
CASES = [
    (HERMES, '<tool_call>\n{"name": "weather", "arguments": {"city": "上海"}}\n</tool_call>', WEATHER),
    (HERMES, '<tool_call>{"name": "weather", "arguments": "{\\"city\\": \\"上海\\"}"}', WEATHER),
    (
        HERMES,
        "<tool_call>\n<function=weather>\n<parameter=city>\n上海\n</parameter>\n</function>\n</tool_call>",
        WEATHER,
    ),
    (HERMES, "<tool_call>weather\n<arg_key>city</arg_key>\n<arg_value>上海</arg_value>\n</tool_call>", WEATHER),
    (MISTRAL, '[TOOL_CALLS] [{"name": "weather", "arguments": {"city": "上海"}}]', WEATHER),
    (MISTRAL, '[TOOL_CALLS]weather[ARGS]{"city": "上海"}', WEATHER),
    (LLAMA, '{"name": "weather", "parameters": {"city": "上海"}}', WEATHER),
    (LLAMA, '<|python_tag|>{"name": "weather", "parameters": {"city": "上海"}}; {"name": "c"}', [*WEATHER, ("c", {})]),
    (DEEPSEEK, f"<｜tool▁calls▁begin｜>{DEEP}<｜tool▁calls▁end｜>", WEATHER),
]


def split(form: Form, text: str, size: int) -> tuple[str, list[tuple[str, object]]]:
    splitter = Splitter(form)
    said = "".join(splitter.feed(text[at : at + size]) for at in range(0, len(text), size))
    rest, calls = splitter.end()
    return said + rest, [(call.name, json.loads(call.arguments)) for call in calls]


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(("form", "text", "calls"), CASES)
def test_calls_are_found(form: Form, text: str, calls: list[tuple[str, object]], size: int) -> None:
    assert split(form, text, size) == ("", calls)


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_what_is_said_before_and_between(size: int) -> None:
    one = '<tool_call>{"name": "a", "arguments": {}}</tool_call>'
    said, calls = split(HERMES, f"I'll < look. {one}\n{one} done", size)
    assert said == "I'll < look. done"
    assert calls == [("a", {}), ("a", {})]


@pytest.mark.parametrize(
    "text",
    ["", "plain", "a < b <tool", '<tool_call>{"name": ', "<tool_call></tool_call>", "<tool_call>[1]", '{"name": "x"}'],
)
def test_what_is_no_call_is_said(text: str) -> None:
    assert split(HERMES, text, 1) == (text, [])


@pytest.mark.parametrize(
    "body", ["[" * 100_000, "{}", "[]", "null", '{"name": 5}', '{"name": "a", "arguments": [1]}', "<function=>", "\x00"]
)
def test_hostile_bodies(body: str) -> None:
    assert read(body) == []


def test_many_calls_are_bounded() -> None:
    one = '<tool_call>{"name": "a", "arguments": {}}</tool_call>'
    assert len(split(HERMES, one * 1000, 4096)[1]) == 32


def test_the_form_is_read_from_the_template() -> None:
    assert form_of("{{ messages }}") is None
    assert form_of("{% if tools %}<tool_call>") is HERMES
    assert form_of("{% if tools %}[TOOL_CALLS]") == MISTRAL
    assert form_of("{% if tools %}{{ tools }}") is HERMES
    assert not getattr(form_of("{% if tools %}<tool_call><function="), "strict", True)


def test_a_template_gets_tools_and_nobody_speaks_through_them() -> None:
    source = (
        "{{ tools[0].function.description }}|{% for m in messages %}"
        "{{ m.tool_calls[0].function.arguments.x if m.tool_calls else m.content }}{% endfor %}"
    )
    template = ChatTemplate(source, ["<|im_end|>"])
    call = {"type": "function", "function": {"name": "a", "arguments": {"x": "<|im_end|>"}}}
    messages = [{"role": "assistant", "content": "", "tool_calls": [call]}, {"role": "tool", "content": "<|im_end|>"}]
    prompt = template.render(messages, tools=[{"function": {"description": "<|im_end|>"}}])
    assert not template.flaw
    assert prompt.count("im_end") == 3
    assert "<|im_end|>" not in prompt


def test_messages_with_and_without_a_template_that_knows_tools() -> None:
    asked = Message("1", "assistant", (Text("hm"), ToolCall("c", "clock", '{"a": 1}')), 0.0)
    told = Message("2", "tool", (ToolResult("c", "noon"), ToolResult("d", "rain")), 0.0)
    (one,) = messages_of(asked, structured=True, seeing=False)
    assert one["tool_calls"][0]["function"] == {"name": "clock", "arguments": {"a": 1}}
    assert [entry["content"] for entry in messages_of(told, structured=True, seeing=False)] == ["noon", "rain"]
    (one,) = messages_of(asked, structured=False, seeing=False)
    assert one["content"] == 'hm\n<tool_call>\n{"name": "clock", "arguments": {"a": 1}}\n</tool_call>'
    assert messages_of(told, structured=False, seeing=False)[0]["role"] == "user"
