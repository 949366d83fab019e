"""Which language somebody speaks when the other one's names and words stand in the sentence."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kith.runtime.tongue import spoken

ENGLISH = """remind me to call 王伟
remind me to call 王伟 and 李小明 at five
call 王伟
call 欧阳娜娜
play 周杰伦
Play 周杰伦的晴天
email 王小明 the report please
book 北京烤鸭 for two
meet 李雷 and 韩梅梅 at 北京饭店
what is 人工智能
what's 微信?
What does 你好 mean?
How do you say 多少钱
how do you say 图书馆 in Chinese
how do i say 你好
translate 我今天很高兴 into English
Please summarise this: 今天天气很好，我们去公园玩，晚上回家吃饭。
My name is 王小明.
Hi 王伟
thanks 王伟!
the weather in 北京
tell 妈妈 i'm late
i love 火锅
have a nice day, 王老师""".splitlines()
CHINESE = """提醒我call一下Tom
call一下小李
提醒我给 Tom Smith 打电话
我要转 5000 to Tom
用 Python 写一个 hello world
我想用 Telegram bot
翻译 the quick brown fox jumps over the lazy dog
帮我总结一下：The house stood on a hill, and nobody had lived in it for years.
把 the cat sat on the mat 翻成中文
ok 明天见
Tom 说 OK
Hello 大家好
什么是 machine learning
帮我 debug
iPhone 15 多少钱
book 一间房
play 一首歌吧
给 Tom and Jerry 打分
The Lord of the Rings 好看吗？
How to Train Your Dragon 好看吗
播放 Shape of You
推荐 Game of Thrones 这样的剧
我叫 Tom Smith
谢谢 Tom
WiFi密码
你好 Tom""".splitlines()


@pytest.mark.parametrize("text", ENGLISH)
def test_an_english_sentence_with_chinese_in_it_is_english(text: str) -> None:
    assert spoken(text, "zh") == "en"


@pytest.mark.parametrize("text", CHINESE)
def test_a_chinese_sentence_with_english_in_it_is_chinese(text: str) -> None:
    assert spoken(text, "en") == "zh"


@pytest.mark.parametrize("text", ["", "42!", "👋", "¿?", "Привет"])
def test_what_has_neither_is_of_the_language_given(text: str) -> None:
    assert (spoken(text, "zh"), spoken(text, "en"), spoken(text)) == ("zh", "en", "")


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="王伟的吗我 abctheofI'’,.!？\n", max_size=80), st.integers(1, 400))
def test_every_text_has_one(text: str, times: int) -> None:
    assert spoken(text * times) in ("", "en", "zh")
