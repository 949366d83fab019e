"""Reminders that are moved by their matter, cancelled together, and named apart; and what a calendar answers."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from kith.dialogue.initiative.almanac import about_day
from kith.dialogue.initiative.moves import meant, read_shift
from kith.dialogue.initiative.schedule import Rule
from kith.dialogue.initiative.wishes import Wish, all_cancelled, apart, read_wish
from tests.dialogue.house import House, heard, play

HERE = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 11, 21, 10, 0, tzinfo=HERE).timestamp()  # a Saturday
AT = datetime(2026, 11, 22, 15, 0, tzinfo=HERE).timestamp()
ONCE = Rule("once", ("15:00",), start="2026-11-22")


@pytest.mark.parametrize(
    ("said", "what", "at", "day"),
    [
        ("move the dentist to 4pm", "dentist", "16:00", "2026-11-22"),
        ("could you reschedule my dentist appointment to tuesday", "dentist", "15:00", "2026-11-24"),
        ("push the dentist back by an hour", "dentist", "16:00", "2026-11-22"),
        ("把开会改到下午四点", "开会", "16:00", "2026-11-22"),
        ("把开会的提醒推迟半个小时", "开会", "15:30", "2026-11-22"),
        ("开会那个提前一小时", "开会", "14:00", "2026-11-22"),
    ],
)
def test_a_reminder_is_moved_by_its_name(said: str, what: str, at: str, day: str) -> None:
    shift = read_shift(said, NOW, HERE)
    assert shift is not None
    assert shift.what == what
    rule = shift.rule(ONCE, AT, NOW, HERE)
    assert rule is not None
    assert (rule.at, rule.start) == ((at,), day)


def test_recurring_ones_change_their_time_or_day_and_what_is_unclear_is_not_done() -> None:
    weekly = Rule("week", ("09:00",), days=(0,), start="2026-11-21")
    shift = read_shift("make the trash one tuesday", NOW, HERE)
    assert shift is not None and shift.what == "trash"
    moved = shift.rule(weekly, AT, NOW, HERE)
    assert moved is not None and moved.days == (1,)
    later = read_shift("postpone the trash by two hours", NOW, HERE)
    assert later is not None
    rule = later.rule(weekly, datetime(2026, 11, 23, 9, 0, tzinfo=HERE).timestamp(), NOW, HERE)
    assert rule is not None and (rule.at, rule.days) == (("11:00",), (0,))
    unclear = read_shift("move the trash to whenever you like", NOW, HERE)
    assert unclear is not None and unclear.rule(weekly, AT, NOW, HERE) is None


@pytest.mark.parametrize("said", ["move on", "change the subject", "", "把门关上", "x" * 500, "推迟", "make it so"])
def test_other_messages_move_nothing(said: str) -> None:
    shift = read_shift(said, NOW, HERE)
    assert shift is None or not meant(shift.what, [Wish("add", "call the dentist"), Wish("add", "")])


def test_a_reminder_without_a_matter_is_not_what_somebody_names() -> None:
    kept = [Wish("add", ""), Wish("add", "take out the trash"), Wish("add", "给妈妈打电话")]
    assert [one.what for one in meant("the trash", kept)] == ["take out the trash"]
    assert [one.what for one in meant("打电话那个", kept)] == ["给妈妈打电话"]
    assert meant("the", kept) == []


@pytest.mark.parametrize(
    ("named", "wanted"),
    [
        ("call the bank", []),
        ("take my pills", []),
        ("heat", []),
        ("dentist appointment", ["call the dentist"]),
        ("call", ["call the dentist", "call mum"]),
    ],
)
def test_a_verb_that_reminders_share_names_none_of_them(named: str, wanted: list[str]) -> None:
    kept = [Wish("add", what) for what in ("call the dentist", "call mum", "take out the trash", "eat")]
    assert [one.what for one in meant(named, kept)] == wanted


@pytest.mark.parametrize(
    "said",
    [
        "Timer stopped working on my oven",
        "how do i start a timer on my phone?",
        "I set a timer for the eggs but it never rang",
        "倒计时结束了",
        "计时器坏了",
        "来不及计时了",
    ],
)
def test_who_tells_of_a_timer_wishes_for_none(said: str) -> None:
    assert read_wish(said, NOW, HERE) is None


@pytest.mark.parametrize("said", ["set a timer", "please start an egg timer", "设个倒计时", "can you set a timer?"])
def test_a_timer_without_a_time_is_asked_about(said: str) -> None:
    wish = read_wish(said, NOW, HERE)
    assert wish is not None and wish.kind == "when"


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("what's the date tomorrow", "That is Sunday, 22 November 2026."),
        ("what day is december 25", "That is Friday, 25 December 2026."),
        ("how many days until christmas?", "34 days until Friday, 25 December 2026."),
        ("how many days are left in this month", "9 days are left after today."),
        ("明天是几号", "那是2026年11月22日，星期日。"),
        ("大后天星期几", "那是2026年11月24日，星期二。"),
        ("离春节还有几天", "还有77天：2027年2月6日，星期六。"),
        ("what day is it today", None),
        ("今天几号", None),
        ("how long until you answer", None),
        ("what is the date of the battle of hastings", None),
        ("到北京要多久", None),
        ("他是哪天来的", None),
    ],
)
def test_a_calendar_answers(said: str, answer: str | None) -> None:
    assert about_day(said, NOW, HERE, "zh" if answer and answer[0] in "那还" else "en") == answer


def test_everything_is_cancelled_by_few_words_only_after_reminders_were_spoken_of() -> None:
    assert all_cancelled("都取消吧") and all_cancelled("cancel them all") and not all_cancelled("都取消喝水")

    async def scene(house: House) -> None:
        async def say(number: int, text: str) -> str:
            return "".join([d.text async for d in house.engine.reply(heard(number, text, deliver=False))])

        assert "Cancelled" not in await say(1, "cancel everything")
        await say(2, "remind me tomorrow at 9 to call Bob")
        await say(3, "wake me up at 6:30 tomorrow")
        assert await say(4, "delete the bob reminder") == "Cancelled: call Bob"
        assert "06:30" in await say(5, "list my reminders")
        assert (await say(6, "cancel them all")).startswith("Cancelled")
        assert await say(7, "any reminders?") == "You have no reminders."
        assert "no language model" in await say(8, "move the dentist to 4pm")

    play(scene)


@pytest.mark.parametrize(
    ("said", "parts"),
    [
        ("提醒我下周二交房租 还有周四看牙医", ["提醒我下周二交房租", "提醒我周四看牙医"]),
        ("明早七点叫我起床 再告诉我今天几号", ["明早七点叫我起床", "告诉我今天几号"]),
        ("提醒我明天买牛奶和面包", []),
    ],
)
def test_wishes_of_one_chinese_message_are_told_apart(said: str, parts: list[str]) -> None:
    assert apart(said, NOW, HERE) == parts


def test_a_day_of_this_month_that_is_over_is_said_to_be_over() -> None:
    wish = read_wish("这个月15号提醒我还信用卡", NOW, HERE)
    assert wish is not None and wish.kind == "when" and wish.rule is not None
    assert read_wish("昨天你提醒我开会了", NOW, HERE) is None
