"""What all conversations show: outcomes, ratings, paths, and what the flow learns from them."""

from __future__ import annotations

import asyncio
import json
import xml.etree.ElementTree as ET
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from kith.core.audit import By
from kith.core.clock import FrozenClock
from kith.core.errors import Invalid, KithError, NotFound, Refused
from kith.core.events import Reacted
from kith.core.ids import Ids
from kith.core.message import Envelope, Message, Text
from kith.core.turn import Done, Step, Turn, Understanding
from kith.dialogue.flows.flow import DEFAULT, FlowBook, load_flow
from kith.dialogue.workshop.insight import Insight, Own
from kith.dialogue.workshop.learning import mark, proposal, questions
from kith.dialogue.workshop.outcomes import feedback, ratings, summary, talks, unanswered
from kith.dialogue.workshop.patching import with_intent, with_patterns
from kith.dialogue.workshop.paths import circles, graph
from kith.dialogue.workshop.sankey import page, sankey
from kith.storage import Storage, StorageSettings, open_storage

from .house import Key

NOW = 1_763_712_000.0
FLOW = """# our shop
name: shop
intents:
  - name: hours
    patterns: [when are you open, opening hours,   # the usual ones
      几点开门]   # and Chinese
    response: From 9 to 18.
  - name: returns          # money back
    patterns:
      - can i return this   # often
      - 我要退货
      # more to come
    response: Within 30 days.
# the end
"""


def turn(number: int, text: str, *steps: Step, at: float = NOW, conversation: str = "c", **fields: object) -> Turn:
    heard = Message(f"m{number}", "user", (Text(text),), at)
    intent = steps[-1].intent if steps else ""
    values = {"understanding": Understanding(intent), "path": steps, **fields}
    return Turn(f"t{number}", conversation, "p", at, heard, **values)


ASKED = Step("start", "book", "book: date", "asked")
DONE = Step("book: date", "book", "start", "done")
LOST = Step("start", "", "start", "unknown")


@pytest.mark.parametrize(
    ("steps", "fields", "wanted"),
    [
        ((ASKED, DONE), {}, "done"),
        ((ASKED,), {}, "abandoned"),
        ((ASKED, Step("book: date", "book", "start", "cancelled")), {}, "abandoned"),
        ((LOST,), {}, "abandoned"),
        ((LOST,), {"model": "m"}, "done"),
        ((DONE,), {"outcome": "failed"}, "abandoned"),
        ((ASKED,), {"outcome": "handed_over"}, "handed_over"),
        ((), {}, "abandoned"),
    ],
)
def test_how_a_talk_ended(steps: tuple[Step, ...], fields: dict[str, object], wanted: str) -> None:
    (talk,) = talks([turn(1, "x", *steps, **fields)], NOW + 3600, 1800)
    assert talk.outcome == wanted
    (talk,) = talks([turn(1, "x", *steps, **fields)], NOW + 60, 1800)
    assert talk.outcome == (wanted if wanted == "handed_over" else "open")


def test_a_long_silence_ends_a_talk() -> None:
    told = [turn(1, "a", ASKED), turn(2, "b", DONE, at=NOW + 1700), turn(3, "c", ASKED, at=NOW + 9000)]
    found = talks(reversed(told), NOW + 20_000, 1800)
    assert [(len(talk.turns), talk.outcome) for talk in found] == [(2, "done"), (1, "abandoned")]
    counts = summary(found, {"t1": 1, "t3": -1})
    assert (counts["conversations"], counts["done"], counts["automation"]) == (2, 1, 0.5)
    assert counts["ratings"] == {"up": 1, "down": 1}
    assert counts["weeks"][0]["from"] == "2025-11-17"
    assert summary([], {})["automation"] is None
    (thanked,) = talks([turn(1, "a", DONE), turn(2, "👍", LOST, at=NOW + 1)], NOW + 9000, 1800)
    assert thanked.outcome == "done"  # what is said of a reply is no question


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("👍", 1),
        ("谢谢，有用！", 1),
        ("That helped.", 1),
        ("答非所问", -1),
        ("👎", -1),
        ("not helpful!", -1),
        ("hello", 0),
        ("x" * 99, 0),
    ],
)
def test_words_of_feedback(text: str, wanted: int) -> None:
    assert feedback(text) == wanted


def test_a_rating_is_of_the_reply_before_and_one_by_hand_counts_more() -> None:
    told = [turn(1, "q", DONE), turn(2, "👍", at=NOW + 1), turn(3, "没用", at=NOW + 2), turn(4, "👎", conversation="d")]
    assert ratings(told, {}) == {"t1": -1}
    assert ratings(told, {"t1": {"rating": 1}, "t3": {"rating": -1}, "gone": {"rating": 1}}) == {"t1": 1, "t3": -1}
    assert unanswered(turn(1, "x", LOST))
    assert not unanswered(turn(1, "x", LOST, model="m"))


def test_paths_show_ways_drops_and_loops() -> None:
    again = Step("book: date", "book", "book: date", "again")
    told = [
        *(turn(n, "x", ASKED, DONE, conversation=f"a{n}") for n in range(3)),
        *(turn(10 + n, "x", ASKED, again, again, conversation=f"b{n}") for n in range(2)),
    ]
    found = graph(talks(told, NOW + 9999, 1800))
    assert found["top"] == [{"path": ["book: date", "book: done"], "count": 3}]
    assert found["drops"] == [{"node": "book: date", "count": 2, "share": 0.4}]
    assert found["loops"][0] == {"path": ["book: date", "book: date"], "count": 2}
    assert {"source": "0|book: date", "target": "1|book: done", "value": 3} in found["links"]
    assert sum(link["value"] for link in found["links"] if link["target"] == "end|done") == 3
    ids = {node["id"] for node in found["nodes"]}
    assert {link[side] for link in found["links"] for side in ("source", "target")} == ids
    assert circles(["a", "b", "a", "c"]) == [("a", "b", "a")]


def test_the_picture_is_well_formed_whatever_things_are_called() -> None:
    wild = [turn(n, "x", Step("start", f'<i> & "{n}"', "start"), conversation=f"w{n}") for n in range(40)]
    found = graph(talks(wild, NOW + 9999, 1800))
    root = ET.fromstring(sankey(found))
    assert len(root.findall("{*}rect")) == len(found["nodes"]) <= 20
    assert "<i>" not in page(found, "Paths <1>")
    empty = graph([])
    assert ET.fromstring(sankey(empty)) is not None
    assert empty["links"] == []


def test_patterns_are_added_and_nothing_else_is_touched() -> None:
    new = with_patterns(FLOW, "yaml", "hours", ['do you open "late"?', "营业到几点"])
    assert '几点开门, "do you open \\"late\\"?", "营业到几点"]   # and Chinese' in new
    newer = with_patterns(new, "yaml", "returns", ["refund please"])
    assert all(line in newer for line in ("# our shop", "      - can i return this   # often", "# the end"))
    assert '      - "refund please"\n' in newer
    newest = with_intent(newer, "yaml", "parking", ["where to park"], "Behind: the house")
    assert newest.count("#") == FLOW.count("#")
    assert '  - {name: "parking", patterns: ["where to park"], response: "Behind: the house"}' in newest
    plain = json.dumps({"intents": [{"name": "a", "patterns": ["x"], "response": "y"}]})
    assert json.loads(with_patterns(plain, "json", "a", ["z"]))["intents"][0]["patterns"] == ["x", "z"]
    assert json.loads(with_intent(plain, "json", "b", ["z"], "r"))["intents"][1]["name"] == "b"
    with pytest.raises(NotFound):
        with_patterns(FLOW, "yaml", "none", ["x"])


@pytest.mark.parametrize(
    "text",
    [
        "intents:\n- name: a\n  response: r\n  patterns:\n  - x",
        "intents:\n- {name: a, patterns: [x,], response: r}\n",
        "intents: [{name: a, patterns: [x, 'y'], response: r}]\n",
        "intents:\n  - name: a\n    patterns:\n      - >-\n        folded\n        words\n    response: r\n",
        "intents:\r\n  - name: a\r\n    patterns: [x]\r\n    response: r\r\n",
        'intents:\n  - name: a\n    patterns:\n      - "x"   # c\n\n\n    response: r\n',
        '{"intents": [{"name": "a", "patterns": ["x"], "response": "y"}]}',
    ],
)
def test_every_layout_can_be_added_to(text: str) -> None:
    patched = with_intent(with_patterns(text, "yaml", "a", ["p: q", "中文"]), "yaml", "b", ["z #"], "- r")
    assert patched != text


def test_questions_are_put_together_and_proposals_made(tmp_path: Path) -> None:
    path = tmp_path / "flow.yaml"
    path.write_text(FLOW, "utf-8")
    flow = load_flow(path)
    said = [
        "do you ship to france",
        "do you ship to spain?",
        "Do you ship to France",
        "when do you open today",
        "{x} *",
        "👍",
    ]
    told = [turn(n, text, LOST, at=NOW + n) for n, text in enumerate(said)]
    found = questions(told, {}, {}, flow)
    assert [(q.texts[0], q.count) for q in found] == [("do you ship to france", 3), ("when do you open today", 1)]
    assert proposal(found[1], flow)["intent"] == "hours"
    assert questions(told, {}, {mark("do you ship to france"): {}}, flow)[0].texts == ["do you ship to spain?"]
    bad = questions([turn(1, "opening hours", Step("start", "hours", "start"))], {"t1": -1}, {}, flow)
    assert (bad[0].bad, bad[0].intents["hours"], proposal(bad[0], flow)["intent"] != "hours") == (1, 1, True)


def test_hostile_questions_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "flow.yaml"
    path.write_text(FLOW, "utf-8")
    flow = load_flow(path)
    wild = [
        "",
        " ",
        "?" * 500,
        "\ud800 x",
        "a\nb",
        "x" * 10_000,
        "\x00",
        '"]}',
        "- : #",
        *(f"word{n} again" for n in range(300)),
    ]
    found = questions([turn(n, text, LOST, at=NOW + n) for n, text in enumerate(wild)], {}, {}, flow)
    for question in found[:5]:
        assert with_patterns(FLOW, "yaml", "returns", [t.encode("utf-8", "replace").decode() for t in question.texts])


Scene = Callable[[Storage, Insight, FlowBook], Awaitable[None]]


def run(path: Path | None, scene: Scene) -> None:
    async def play() -> None:
        clock = FrozenClock(NOW + 100_000)
        storage = await open_storage(StorageSettings(backend="memory"), clock, Ids(clock), Key())
        flows = FlowBook(path)
        insight = Insight(storage, flows, clock, 1800)
        try:
            await scene(storage, insight, flows)
        finally:
            await storage.close()

    asyncio.run(play())


async def keep(storage: Storage, told: Turn) -> Turn:
    envelope = Envelope("test", "a", told.id, "ann", told.conversation, told.heard)
    await storage.inbox.accept(envelope)
    (claim,) = await storage.inbox.claim("w", 1)
    await storage.inbox.settle(claim, Done(told, {}, ()))
    return told


def test_of_more_than_can_be_looked_at_the_last_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kith.dialogue.workshop.insight._MOST", 3)

    async def scene(storage: Storage, insight: Insight, flows: FlowBook) -> None:
        for number in range(3):
            await keep(storage, turn(number, f"zweiräder kaufen {number}", LOST, at=NOW + number * 5000))
        assert (await insight.outcomes())["whole"]
        await keep(storage, turn(3, "when do you open tomorrow", LOST, at=NOW + 20_000))
        found = await insight.outcomes()
        assert (found["conversations"], found["whole"]) == (3, False)
        (asked,) = [row for row in (await insight.unanswered())["questions"] if "open" in row["text"]]
        await insight.decide(asked["id"], "dismiss", By("owner", "test"))

    run(None, scene)


def test_a_question_is_learnt_with_one_word(tmp_path: Path) -> None:
    path = tmp_path / "flow.yaml"
    path.write_text(FLOW, "utf-8")
    path.chmod(0o640)

    async def scene(storage: Storage, insight: Insight, flows: FlowBook) -> None:
        for number, text in enumerate(["when do you open today", "when do you open tomorrow", "zweiräder kaufen"]):
            await keep(storage, turn(number, text, LOST, at=NOW + number * 5000))
        found = (await insight.unanswered())["questions"]
        assert [row["proposal"]["kind"] for row in found] == ["pattern", "intent"]
        done = await insight.decide(found[0]["id"], "approve", By("owner", "test"))
        assert done["intent"] == "hours"
        assert "# and Chinese" in path.read_text("utf-8")
        assert path.stat().st_mode & 0o777 == 0o640
        match = flows.current.rules.matcher.recognise("when do you open today", ())
        assert (match.intent, match.by) == ("hours", "rule")
        with pytest.raises(Invalid):
            await insight.decide(found[1]["id"], "approve", By())
        with pytest.raises(Invalid):
            await insight.decide(found[1]["id"], "approve", By(), "bikes")
        await insight.decide(found[1]["id"], "approve", By(), "bikes", "No, sorry.")
        assert "bikes" in flows.current.intents
        assert (await insight.unanswered())["questions"] == []
        with pytest.raises(NotFound):
            await insight.decide(found[0]["id"], "dismiss", By())
        acts = [entry.act for entry in await storage.journal.entries()]
        assert [act.name for act in acts] == ["flow.learn", "flow.learn"]
        assert not any("open" in value for act in acts for value in act.detail.values())  # nothing of what was said
        assert (await insight.outcomes())["abandoned"] == 3
        assert (await insight.paths())["conversations"] == 3

    run(path, scene)


def test_a_phrase_that_another_intent_has_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "flow.yaml"
    path.write_text(FLOW, "utf-8")

    async def scene(storage: Storage, insight: Insight, flows: FlowBook) -> None:
        await keep(storage, turn(1, "Opening hours?", Step("start", "hours", "start")))
        await insight.rate("t1", -1, "wrong", "p")
        assert await insight.rated(["t1", "t2"]) == {"t1": -1}
        (row,) = (await insight.unanswered())["questions"]
        with pytest.raises(Invalid):
            await insight.decide(row["id"], "approve", By(), "returns")
        assert path.read_text("utf-8") == FLOW
        await insight.decide(row["id"], "dismiss", By())
        assert (await insight.unanswered())["questions"] == []
        await insight.rate("t1", 0, "", "p")
        assert await insight.rated(["t1"]) == {}
        assert (await insight.outcomes())["ratings"] == {"up": 0, "down": 0}
        with pytest.raises(Invalid):
            await insight.rate("t1", 5, "", "p")

    run(path, scene)


def test_two_approvals_at_once_and_one_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "flow.yaml"
    path.write_text(FLOW, "utf-8")

    async def scene(storage: Storage, insight: Insight, flows: FlowBook) -> None:
        for number, text in enumerate(["zweiräder kaufen", "wo parken", "bla fasel"]):
            await keep(storage, turn(number, text, LOST, at=NOW + number * 5000))
        rows = (await insight.unanswered())["questions"]
        await asyncio.gather(*(insight.decide(row["id"], "approve", By(), "hours") for row in rows[:2]))
        assert {"zweiräder kaufen", "wo parken"} <= set(flows.current.part.intents[0].patterns)

        def full(descriptor: int) -> None:
            raise OSError(28, "no space")

        monkeypatch.setattr("os.fsync", full)
        before = path.read_text("utf-8")
        with pytest.raises(KithError) as failure:
            await insight.decide(rows[2]["id"], "approve", By(), "hours")
        assert failure.value.code == "flow_not_written"
        monkeypatch.undo()
        assert path.read_text("utf-8") == before
        assert [file.name for file in tmp_path.iterdir()] == ["flow.yaml"]
        assert len((await insight.unanswered())["questions"]) == 1  # still to be decided about

    run(path, scene)


def test_the_shipped_flow_is_not_changed() -> None:
    async def scene(storage: Storage, insight: Insight, flows: FlowBook) -> None:
        await keep(storage, turn(1, "zxcv qwer uiop", LOST))
        (row,) = (await insight.unanswered())["questions"]
        with pytest.raises(Refused) as refusal:
            await insight.decide(row["id"], "approve", By(), "greeting")
        assert refusal.value.code == "flow_shipped"

    run(None, scene)


def test_a_copy_of_the_shipped_flow_takes_the_phrases_and_is_put_in_force(tmp_path: Path) -> None:
    told: list[Mapping[str, Any]] = []
    place = tmp_path / "house" / "flow.yaml"

    async def adopt(changes: Mapping[str, Any], by: By) -> None:
        told.append(changes)

    async def scene(storage: Storage, _: Insight, flows: FlowBook) -> None:
        insight = Insight(storage, flows, FrozenClock(NOW), 1800.0, own=Own(place, adopt))
        await keep(storage, turn(1, "zxcv qwer uiop", LOST))
        (row,) = (await insight.unanswered())["questions"]
        with pytest.raises(Invalid):  # a new intent needs a response: nothing is left behind
            await insight.decide(row["id"], "approve", By(), "opening")
        assert not place.exists() and not told
        await insight.decide(row["id"], "approve", By(), "opening", "From 9 to 17.")
        assert told == [{"dialogue.flow": str(place)}]
        assert flows.path == place
        assert "opening" in flows.current.intents and "greeting" in flows.current.intents
        assert (await insight.unanswered())["questions"] == []
        flows.path = DEFAULT  # as after a start with other settings: the file is somebody's, and stays
        flows.reload()
        await keep(storage, turn(2, "asdf hjkl vbnm", LOST))
        (row,) = (await insight.unanswered())["questions"]
        with pytest.raises(Refused):
            await insight.decide(row["id"], "approve", By(), "opening", "x")

    run(None, scene)


def test_a_sign_on_a_chat_platform_is_a_rating() -> None:
    async def scene(storage: Storage, insight: Insight, flows: FlowBook) -> None:
        spoke = (Message("r1", "assistant", (Text("hi"),), NOW),)
        await keep(storage, turn(1, "hello", ASKED, spoke=spoke))
        (told,) = await storage.history.walk()

        async def react(message: str, sign: str) -> dict[str, int]:
            await insight.reacted(Reacted(told.conversation, message, "ann", "test", sign))
            return (await insight.outcomes())["ratings"]

        assert await react("r1", "👍") == {"up": 1, "down": 0}
        assert await react("r1", "🦆") == {"up": 1, "down": 0}
        assert await react("r9", "👎") == {"up": 1, "down": 0}
        assert await react("r1", "👎") == {"up": 0, "down": 1}
        assert await react("r1", "-👎") == {"up": 0, "down": 0}

    run(None, scene)


def test_a_walk_over_every_turn(tmp_path: Path) -> None:
    async def scene(storage: Storage, insight: Insight, flows: FlowBook) -> None:
        for number in range(7):
            await keep(storage, turn(number, str(number), ASKED, at=NOW + number, conversation=f"c{number % 2}"))
        first = await storage.history.walk(NOW + 2, limit=3)
        rest = await storage.history.walk(NOW + 2, after=first[-1].id, limit=3)
        assert [t.id for t in (*first, *rest)] == ["t2", "t3", "t4", "t5", "t6"]
        assert (await insight.turn("t3")).path == (ASKED,)
        with pytest.raises(KithError):
            await insight.turn("t99")

    run(None, scene)
