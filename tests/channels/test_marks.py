"""Markdown in each platform's markup: what is meant is kept, and nothing that was said becomes markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kith.channels.marks import DIALECTS, Dialect, convert, pieces
from kith.channels.text import measure

WHOLE = """# Title **x**

Hello *you* and **me** ~~no~~ `a<b` [site](https://x.y/?a=1&b=2) [bad](javascript:alert(1)) <b>raw</b>

- one
- two
  1. sub

> quoted

```python
if a < b: pass
```

| a | b |
|---|---|
| 1 | **2** |
"""


@pytest.mark.parametrize(
    ("dialect", "wanted"),
    [
        ("plain", ["Title x\n", "me no a<b site (https://x.y/?a=1&b=2)", "• two\n  1. sub", "> quoted", "1 | 2"]),
        ("html", ["<b>Title x</b>", "<i>you</i>", "<s>no</s>", "<code>a&lt;b</code>", "<pre>if a &lt; b: pass</pre>"]),
        ("html", ['<a href="https://x.y/?a=1&amp;b=2">site</a>', "&lt;b&gt;raw&lt;/b&gt;", "<blockquote>quoted</bloc"]),
        (
            "mrkdwn",
            ["*Title x*", "_you_ and *me* ~no~ `a&lt;b`", "<https://x.y/?a=1&amp;b=2|site>", "```\nif a &lt;"],
        ),
        (
            "stars",
            ["*Title x*", "_you_ and *me* ~no~ `a<b`", "site (https://x.y/?a=1&b=2)", "```\nif a < b: pass"],
        ),
        ("document", ["<h1>Title <strong>x</strong></h1>", "<table>", "<li>sub</li>", "&lt;b&gt;raw"]),
        ("markdown", [WHOLE]),
    ],
)
def test_each_dialect(dialect: Dialect, wanted: list[str]) -> None:
    text = convert(WHOLE, dialect)
    for part in wanted:
        assert part in text, text
    assert 'href="javascript' not in text


class Tags(HTMLParser):
    """Checks that tags are among the allowed ones and nested."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.bad: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in {"b", "i", "s", "u", "code", "pre", "a", "blockquote"}:
            self.bad.append(tag)
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.bad.append(f"/{tag}")


MARKUP = st.lists(
    st.sampled_from(["*", "**", "_", "~~", "`", "```\n", "[a](http://b)", "<b>", "</a>", "&amp;", "> ", "- ", "1. ",
                     "\n", "\n\n", "# ", "| a | b |\n|---|---|\n", "word", "字", "![x](y)", "\\", "<!--", "😀"]),
    max_size=40,
).map("".join)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(text=MARKUP | st.text(max_size=200))
def test_html_is_well_formed_whatever_is_said(text: str) -> None:
    tags = Tags()
    tags.feed(convert(text, "html"))
    assert not tags.bad and not tags.open


@settings(max_examples=200, deadline=None)
@given(text=MARKUP | st.text(max_size=300), dialect=st.sampled_from(DIALECTS), limit=st.integers(40, 200))
def test_pieces_fit_also_when_converted(text: str, dialect: Dialect, limit: int) -> None:
    for unit in ("chars", "utf16", "bytes"):
        assert all(0 < measure(piece, unit) <= limit for piece in pieces(text, limit, unit, dialect))


def test_words_survive_every_dialect() -> None:
    words = re.findall(r"\w{3,}", "alpha beta gamma delta 你好世界")
    text = "## alpha\n\n- **beta** _gamma_\n\n> delta\n\n`你好世界`"
    for dialect in DIALECTS:
        assert all(word in convert(text, dialect) for word in words)


def test_hostile_texts_take_no_time() -> None:
    for text in ("[" * 20_000, "*" * 50_000, "> " * 5_000, "`" * 99_999, "<" * 300_000, "- " * 5_000 + "x"):
        assert convert(text, "html") is not None
