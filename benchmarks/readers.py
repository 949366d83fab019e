"""What libraries of values find in texts: the other side of `benchmarks.values`, run by a Python that has them.

Reads a JSON list of [language, text] from standard input and prints one JSON object: for each library its languages,
the kinds it knows, what it found in each text as "kind=value", and milliseconds a text. Imports nothing of Kith.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import importlib
import io
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

NOW = dt.datetime(2025, 11, 21, 12)  # noqa: DTZ001 - the libraries want it bare
EPOCH = 1_763_726_400.0
UNITS = {
    "dollar": "USD",
    "euro": "EUR",
    "british pound": "GBP",
    "pound": "GBP",
    "japanese yen": "JPY",
    "chinese yuan": "CNY",
    "yuan": "CNY",
    "united states dollar": "USD",
    "美元": "USD",
    "人民币": "CNY",
    "日元": "JPY",
    "欧元": "EUR",
    "英镑": "GBP",
    "元": "CNY",
}


def plain(number: float | str) -> str:
    """3.50 as 3.5, 3.0 as 3."""
    value = float(number)
    return str(int(value)) if value == int(value) else str(value)


def money(value: float | str, unit: str) -> Iterator[str]:
    with contextlib.suppress(TypeError, ValueError):
        yield f"money={plain(value)} {UNITS.get(unit.lower(), unit)}"


def recognizers() -> tuple[str, str, Callable[[str, str], list[str]]]:
    """Recognizers-Text of Microsoft: dates in both languages, numbers, money, percentages, sequences."""
    suite = importlib.import_module("recognizers_suite")
    cultures = {"en": "en-us", "zh": "zh-cn"}

    def when(text: str, culture: str) -> Iterator[str]:
        for found in suite.recognize_datetime(text, culture, reference=NOW):
            for one in (found.resolution or {}).get("values", [])[-1:]:  # of two readings the later
                value, kind = str(one.get("value", "")), one.get("type", "")
                if kind == "datetime":
                    day, _, hour = value.partition(" ")
                    yield f"date={day}"
                    yield f"time={hour[:5]}"
                elif kind == "date":
                    yield f"date={value}"
                elif kind == "time":
                    yield f"time={value[:5]}"
                elif kind == "duration":
                    yield f"duration={plain(value)}"

    def read(language: str, text: str) -> list[str]:
        culture = cultures[language]
        found = list(when(text, culture))
        for one in suite.recognize_currency(text, culture):
            found += money(one.resolution.get("value"), str(one.resolution.get("unit", "")))
        taken = [
            (one.start, one.end)
            for way in (suite.recognize_currency, suite.recognize_percentage, suite.recognize_datetime)
            for one in way(text, culture)
        ]
        for one in suite.recognize_percentage(text, culture):
            found.append(f"percent={plain(str(one.resolution['value']).rstrip('%'))} %")
        for one in suite.recognize_number(text, culture):
            if not any(start <= one.start <= end for start, end in taken):
                found.append(f"number={plain(one.resolution['value'])}")
        return found

    return "en zh", "date time duration money percent number", read


def dates() -> tuple[str, str, Callable[[str, str], list[str]]]:
    """dateparser, which searches texts for dates in many languages."""
    search = importlib.import_module("dateparser.search").search_dates

    def read(language: str, text: str) -> list[str]:
        settings = {"RELATIVE_BASE": NOW, "PREFER_DATES_FROM": "future", "RETURN_TIME_AS_PERIOD": True}
        found = search(text, languages=[language], settings=settings) or []
        return [f"date={moment.date()}" for _, moment in found]

    return "en zh", "date", read


def jio() -> tuple[str, str, Callable[[str, str], list[str]]]:
    """JioNLP, for Chinese."""
    jio = importlib.import_module("jionlp")

    def read(_: str, text: str) -> list[str]:
        found = list[str]()
        for one in jio.ner.extract_time(text, time_base=EPOCH, with_parsing=True):
            detail: Any = one["detail"]
            if detail["type"] == "time_point":
                day, _, hour = detail["time"][0].partition(" ")
                found.append(f"date={day}")
                if not detail["time"][1].endswith("23:59:59") or hour != "00:00:00":
                    found.append(f"time={hour[:5]}")
            elif detail["type"] == "time_delta" and isinstance(detail["time"], dict):
                found.append(f"duration={plain(_seconds(detail['time']))}")
        for one in jio.ner.extract_money(text, with_parsing=True):
            detail = one["detail"]
            found += money(detail["num"], str(detail["case"]))
        found += [f"phone={number}" for number in jio.extract_phone_number(text)]
        return found

    return "zh", "date time duration money phone", read


def _seconds(parts: dict[str, float]) -> float:
    worth = {"year": 31_536_000, "month": 2_592_000, "day": 86_400, "hour": 3600, "minute": 60, "second": 1}
    return sum(float(count) * worth.get(unit, 0) for unit, count in parts.items())


def phones() -> tuple[str, str, Callable[[str, str], list[str]]]:
    """phonenumbers, the port of Google's library."""
    numbers = importlib.import_module("phonenumbers")

    def read(language: str, text: str) -> list[str]:
        region = {"en": "US", "zh": "CN"}[language]
        found = list[str]()
        for one in numbers.PhoneNumberMatcher(text, region, leniency=numbers.Leniency.POSSIBLE):
            international = one.raw_string.strip().startswith(("+", "00"))
            code = f"+{one.number.country_code}" if international else ""
            found.append(f"phone={code}{numbers.national_significant_number(one.number)}")
        return found

    return "en zh", "phone", read


LIBRARIES = {"recognizers-text": recognizers, "dateparser": dates, "jionlp": jio, "phonenumbers": phones}


def main() -> None:
    """Every library that is there, over all texts that are in its languages."""
    texts: list[tuple[str, str]] = [(str(language), str(text)) for language, text in json.load(sys.stdin)]
    told: dict[str, Any] = {}
    warnings.simplefilter("ignore")
    for name, make in LIBRARIES.items():
        with contextlib.redirect_stdout(io.StringIO()):
            try:
                languages, kinds, read = make()
            except ImportError as error:
                told[name] = {"missing": str(error)}
                continue
            own = [(language, text) for language, text in texts if language in languages.split()]
            for language, text in own[:5]:
                read(language, text)
            found, failed, begun = dict[str, list[str]](), 0, time.perf_counter()
            for language, text in own:
                try:
                    found[text] = read(language, text)
                except Exception:  # a library that breaks at a text has found nothing in it, and is counted  # noqa: BLE001
                    found[text], failed = [], failed + 1
            spent = 1000 * (time.perf_counter() - begun) / max(len(own), 1)
        told[name] = {"languages": languages, "kinds": kinds, "found": found, "ms": spent, "failed": failed}
    json.dump(told, sys.stdout, ensure_ascii=False)


if __name__ == "__main__":
    main()
