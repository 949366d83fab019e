"""The documentation says what the program has, in both languages, and its links lead somewhere."""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
import typing
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any

import click
import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

import kith
from kith.cli.group import COMMANDS, root
from kith.core import errors, manifest, ports
from kith.dialogue.personas.persona import Persona
from kith.knowledge.pages import anchor, headings
from kith.runtime import registry as registry_module
from kith.runtime.meanings import SHARE, explained
from kith.runtime.registry import Registry
from kith.settings import Settings

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "kith"
HANDBOOK = SOURCE / "knowledge" / "handbook"
LANGUAGES = ("en", "zh")
ROOMS = sorted({path.parent.parent.name for path in SOURCE.glob("*/*/manifest.toml")})
# Documents for readers, as opposed to notes inside the code.
READABLE = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *HANDBOOK.glob("*/*.md")])

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def handbook(lang: str) -> str:
    """What people read: the handbook, and the page of each channel."""
    pages = (*sorted((HANDBOOK / lang).glob("*.md")), *sorted((ROOT / "docs" / lang / "channels").glob("*.md")))
    return "\n".join(page.read_text("utf-8") for page in pages)


def models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The pydantic classes inside an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from models(argument)


def settings_classes() -> dict[str, type[BaseModel]]:
    """Every class that validates a part of `kith.yaml`, by its name."""
    found: dict[str, type[BaseModel]] = {}
    waiting: list[type[BaseModel]] = [Settings]
    for room in ROOMS:
        shelf = Registry(room)
        waiting += [cls for name in shelf.manifests() if (cls := shelf.settings(name)) is not None]
    while waiting:
        cls = waiting.pop()
        if cls.__qualname__ not in found:
            found[cls.__qualname__] = cls
            waiting += [inner for field in cls.model_fields.values() for inner in models(field.annotation)]
    return found


def rows(lang: str) -> dict[str, set[str]]:
    """Every key that a table of the handbook documents, with the defaults given for it."""
    found: dict[str, set[str]] = {}
    for key, default in re.findall(r"^\| `(\w+)` \| (.+?) \|", handbook(lang), re.MULTILINE):
        found.setdefault(key, set()).add(default.strip("`"))
    return found


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_setting_is_documented_with_its_default(lang: str) -> None:
    documented, text, missing = rows(lang), handbook(lang), []
    for owner, cls in settings_classes().items():
        for name, field in cls.model_fields.items():
            if list(models(field.annotation)):
                if f"`{name}`" not in text and f"`{name}:`" not in text:
                    missing.append(f"{owner}.{name} (a section)")
            elif name not in documented:
                missing.append(f"{owner}.{name}")
            elif isinstance(field.default, bool | int | float | str) and field.default not in ("", PydanticUndefined):
                shown = str(field.default).lower() if isinstance(field.default, bool) else f"{field.default}"
                if shown.removesuffix(".0") not in documented[name]:
                    missing.append(f"{owner}.{name}: the default is {shown}, not {documented[name]}")
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize("cls", settings_classes().values(), ids=lambda cls: cls.__name__)
def test_every_setting_says_what_it_is(cls: type[BaseModel]) -> None:
    assert cls.__doc__
    silent = [n for n, f in cls.model_fields.items() if not f.description and not list(models(f.annotation))]
    assert not silent


# A list of sections: what it holds is told key by key.
UNTOLD = {"PluginsSettings.mcp"}


def descriptions(schema: Mapping[str, Any]) -> dict[str, str]:
    """What a schema says of each key, by the class and the key."""
    parts = {str(schema["title"]): schema, **schema.get("$defs", {})}
    return {
        f"{owner}.{key}": field["description"]
        for owner, part in parts.items()
        for key, field in part.get("properties", {}).items()
        if "description" in field
    }


def test_every_setting_is_explained_in_chinese() -> None:
    shelf = Registry("channels")
    shown = {"": Settings.model_json_schema()}
    shown |= {name: cls.model_json_schema() for name in shelf.manifests() if (cls := shelf.settings(name))}
    english, untold = 0, set[str]()
    for channel, schema in shown.items():
        before, after = descriptions(schema), descriptions(explained(schema, "zh-CN", channel))
        assert before.keys() == after.keys()
        assert descriptions(explained(schema, "en-GB", channel)) == before
        untold |= {key for key, text in after.items() if not re.search("[\u4e00-\u9fff]", text) or text == before[key]}
        assert not [text for text in after.values() if "](" in text]
        english += len(before)
    assert untold == UNTOLD
    assert english > 400


def test_an_installation_carries_the_pages_that_explain_channels() -> None:
    carried = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert carried["shared-data"] == {"docs/zh/channels": SHARE.format(lang="zh")}


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_key_of_a_persona_is_documented(lang: str) -> None:
    assert not [name for name in Persona.model_fields if name not in rows(lang)]


def commands(command: click.Command, path: str = "kith") -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None, name
            yield from commands(inner, f"{path} {name}")


TREE = dict(commands(root))


def test_every_command_is_there() -> None:
    assert [f"kith {name}" for name in COMMANDS if f"kith {name}" not in TREE] == []


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_command_is_documented(lang: str) -> None:
    page = (HANDBOOK / lang / "commands.md").read_text("utf-8")
    sections = dict(re.findall(r"^## (kith [\w-]+)$(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    missing = [path for path in TREE if path.count(" ") == 1 and path not in sections]
    for path in (path for path in TREE if path.count(" ") == 2):
        group, _, name = path.rpartition(" ")
        if not re.search(rf"`{name}\b|{path}\b", sections.get(group, "")):
            missing.append(path)
    assert not missing


def documented_commands() -> Iterator[tuple[str, str]]:
    for page in READABLE:
        if page.name == "CHANGELOG.md" or "adr" in page.parts:
            continue
        text = page.read_text("utf-8")
        code = "\n".join([*re.findall(r"```sh\n(.*?)```", text, re.DOTALL), *re.findall(r"`(kith [^`]+)`", text)])
        for words in re.findall(r"^(?:\.venv/bin/)?kith((?: [a-z][a-z-]*)+)", code, re.MULTILINE):
            yield page.name, words


def test_no_command_is_documented_that_is_not_there() -> None:
    wrong: list[str] = []
    for page, words in documented_commands():
        command, path = TREE["kith"], "kith"
        for word in words.split():
            if not isinstance(command, click.Group):
                break
            path = f"{path} {word}"
            if path not in TREE:
                wrong.append(f"{page}: {path}")
                break
            command = TREE[path]
    assert not wrong


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md"])
def test_make_targets_that_are_documented_exist(page: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = set(re.findall(r"^make ([a-z]+)", (ROOT / page).read_text("utf-8"), re.MULTILINE))
    assert {"run", "test"} <= named <= targets
    assert {"run", "setup", "test", "check", "lock", "clean", "bench"} <= targets


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_error_code_of_the_tree_is_documented(lang: str) -> None:
    codes = {cls.code for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, errors.KithError)}
    page = (ROOT / "docs" / lang / "errors.md").read_text("utf-8")
    assert not [code for code in codes if f"`{code}`" not in page]


@cache
def codes_in_use() -> dict[str, str]:
    """Each code that an error is made with, and where."""
    codes: dict[str, str] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            name = getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""
            if isinstance(node, ast.Call) and isinstance(getattr(errors, name, None), type):
                for keyword in node.keywords:
                    if keyword.arg == "code" and isinstance(keyword.value, ast.Constant) and keyword.value.value:
                        codes[str(keyword.value.value)] = path.relative_to(SOURCE).as_posix()
    return codes


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_error_code_in_use_is_documented(lang: str) -> None:
    page = (ROOT / "docs" / lang / "errors.md").read_text("utf-8")
    assert not [f"{code} ({place})" for code, place in codes_in_use().items() if f"`{code}`" not in page]


def test_every_port_says_what_it_is() -> None:
    for name, port in vars(ports).items():
        if isinstance(port, type) and getattr(port, "_is_protocol", False) and port.__module__ == ports.__name__:
            assert port.__doc__, name


def test_every_key_of_a_manifest_is_documented() -> None:
    keys = set(registry_module._File.model_fields)
    doc = inspect.getdoc(registry_module) or ""
    assert not [key for key in keys if key not in doc + inspect.getsource(manifest)]


def test_every_folder_with_a_manifest_has_a_title_in_both_languages() -> None:
    for path in SOURCE.glob("*/*/manifest.toml"):
        title = tomllib.loads(path.read_text("utf-8"))["title"]
        assert set(LANGUAGES) <= set(title), path


@pytest.mark.parametrize("page", READABLE, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    wrong: list[str] = []
    for target in LINK.findall(FENCE.sub("", page.read_text("utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, fragment = target.partition("#")
        place = (page.parent / name).resolve() if name else page
        there = place.exists() and place.is_relative_to(ROOT)
        if there and fragment:
            there = fragment in {anchor(heading) for heading in headings(place.read_text("utf-8"))}
        if not there:
            wrong.append(target)
    assert not wrong


def test_pages_correspond_in_both_languages() -> None:
    for folder in (HANDBOOK, ROOT / "docs"):
        en, zh = ({page.name for page in (folder / lang).glob("*.md")} for lang in LANGUAGES)
        assert en == zh
        for name in en:
            shapes = [[len(mark) for mark in _marks(folder / lang / name)] for lang in LANGUAGES]
            assert shapes[0] == shapes[1], f"{name}: the headings differ"
    assert [len(m) for m in _marks(ROOT / "README.md")] == [len(m) for m in _marks(ROOT / "README.zh-CN.md")]


def _marks(page: Path) -> list[str]:
    return re.findall(r"^(#+) ", FENCE.sub("", page.read_text("utf-8")), re.MULTILINE)


def test_the_table_of_contents_is_complete() -> None:
    for lang in LANGUAGES:
        contents = (ROOT / "docs" / lang / "README.md").read_text("utf-8")
        assert not [p.name for p in (HANDBOOK / lang).glob("*.md") if f"handbook/{lang}/{p.name})" not in contents]
        assert not [
            p.name for p in (ROOT / "docs" / lang).glob("*.md") if p.name != "README.md" and p.name not in contents
        ]


def test_the_changelog_knows_this_version() -> None:
    assert f"\n## {kith.__version__}\n" in (ROOT / "CHANGELOG.md").read_text("utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["version"] == kith.__version__


def catalogue(path: Path) -> dict[str, set[str]]:
    """Every key of a catalogue with the placeholders of its text."""

    def flat(table: dict[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
        for name, value in table.items():
            if isinstance(value, dict):
                yield from flat(value, f"{prefix}{name}.")
            else:
                yield prefix + name, str(value)

    texts = flat(tomllib.loads(path.read_text("utf-8")), "")
    return {key: {field for _, field, _, _ in Formatter().parse(text) if field is not None} for key, text in texts}


def test_catalogues_have_the_same_texts_in_both_languages() -> None:
    en, zh = ({path.name for path in (SOURCE / "locale" / lang).glob("*.toml")} for lang in LANGUAGES)
    assert en == zh
    for name in en:
        assert catalogue(SOURCE / "locale" / "en" / name) == catalogue(SOURCE / "locale" / "zh" / name), name


def test_requirements_name_no_place() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        text = path.read_text("utf-8")
        assert not re.search(r"https?://|file:|^-i |^--|@ ", text, re.MULTILINE), path.name
        assert "--hash=sha256:" in text
