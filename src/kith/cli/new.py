"""``kith new``: the beginnings of something of one's own."""

from __future__ import annotations

import json
import re
import shlex
from importlib.resources import files
from pathlib import Path
from string import Template

import click

import kith
from kith.cli.group import Group
from kith.core.errors import Invalid, Refused
from kith.runtime.locale import tr

_NAME = re.compile(r"[a-z][a-z0-9_]{1,30}")
_FILES = {
    "manifest.txt": "manifest.toml",
    "__init__.txt": "__init__.py",
    "settings.txt": "settings.py",
    "parse.txt": "parse.py",
    "render.txt": "render.py",
    "channel.txt": "channel.py",
    "test.txt": "tests/test_{name}.py",
    "message.txt": "tests/fixtures/message.json",
    "page.txt": "README.md",
}


@click.group(cls=Group)
def new() -> None:
    """The group."""


@new.command()
@click.argument("name")
@click.option("--into", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER")
def channel(name: str, into: Path | None) -> None:
    """A folder that passes the contract suite: in Kith's own tree, or a package of one's own with its entry point."""
    if not _NAME.fullmatch(name):
        raise Invalid(tr("cli.channel.bad_name"))
    own = Path(kith.__path__[0]) / "channels"
    folder, package = (into / name, name) if into is not None else (own / name, f"kith.channels.{name}")
    if folder.exists():
        raise Refused(tr("cli.channel.there", path=folder))
    title = name.replace("_", " ").title()
    values = {"name": name, "Name": title.replace(" ", ""), "Title": title}
    for source, target in _FILES.items():
        text = files("kith.cli").joinpath("mould", source).read_text("utf-8")
        path = folder / target.format(name=name)
        path.parent.mkdir(parents=True, exist_ok=True)
        filled = Template(text).substitute(values).replace(f"kith.channels.{name}", package)
        path.write_text(_sorted(filled), "utf-8")
    click.echo(str(folder))
    hint = f'[project.entry-points."kith.channels"]\n{name} = "{name}"' if into is not None else ""
    click.secho(tr("cli.channel.next", path=folder) + (f"\n{hint}" if hint else ""), err=True, dim=True)


@new.command(cls=click.Command, help=tr("cli.new_flow.help"))  # not the words of `kith flow`
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def flow(file: Path) -> None:
    """A small flow in both languages, with a form and phrases of no intent, and a story beside it that passes."""
    if file.suffix not in (".yaml", ".yml"):
        raise Invalid(tr("cli.new_flow.bad_name"))
    story = file.with_name(f"{file.stem}.story.yaml")
    for path in (file, story):
        if path.exists():
            raise Refused(tr("cli.channel.there", path=path))
    name = re.sub(r"[^a-z0-9_-]+", "-", file.stem.lower()).strip("-") or "flow"
    values = {"name": name, "file": json.dumps(file.name, ensure_ascii=False), "story": shlex.quote(story.name)}
    file.parent.mkdir(parents=True, exist_ok=True)
    for path, source in ((file, "flow.txt"), (story, "story.txt")):
        text = files("kith.cli").joinpath("mould", source).read_text("utf-8")
        path.write_text(Template(text).substitute(values), "utf-8")
        click.echo(str(path))
    click.secho(tr("cli.new_flow.next", file=shlex.quote(str(file)), story=shlex.quote(str(story))), err=True, dim=True)


def _sorted(text: str) -> str:
    """`text` with neighbouring imports in alphabetical order, which depends on the new name."""
    lines, done = text.split("\n"), list[str]()
    while lines:
        count = next((n for n, line in enumerate(lines) if not line.startswith("from ")), len(lines))
        done += sorted(lines[:count], key=lambda line: line.split()[1]) if count else [lines.pop(0)]
        del lines[:count]
    return "\n".join(done)
