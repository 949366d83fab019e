"""The root command: loads commands when they are called, and turns errors into sentences of the person's language."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import click

import kith
from kith.core.errors import Broken, Invalid, KithError
from kith.runtime.faults import translated
from kith.runtime.locale import LANGUAGES, tr

# Every command, in the order in which help lists them, and the module that has it under its own name.
COMMANDS: dict[str, str] = {
    "run": "kith.cli.serve",
    "serve": "kith.cli.serve",
    "chat": "kith.cli.chat",
    "ask": "kith.cli.ask",
    "doctor": "kith.cli.doctor",
    "models": "kith.cli.models",
    "channels": "kith.cli.channels",
    "pair": "kith.cli.pair",
    "new": "kith.cli.new",
    "flow": "kith.cli.flow",
    "outbox": "kith.cli.outbox",
    "keys": "kith.cli.keys",
    "token": "kith.cli.token",
    "users": "kith.cli.users",
    "people": "kith.cli.people",
    "memory": "kith.cli.memory",
    "personas": "kith.cli.personas",
    "reminders": "kith.cli.reminders",
    "use": "kith.cli.use",
    "audit": "kith.cli.audit",
    "config": "kith.cli.config",
    "mcp": "kith.cli.mcp",
    "version": "kith.cli.version",
}


class Command(click.Command):
    """A command whose help stands in the catalogues under ``cli.<name>``."""

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        localise(self, self.name or "")
        super().format_help(ctx, formatter)

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        option = super().get_help_option(ctx)
        if option is not None:
            option.help = tr("cli.kith.help_option")
        return option

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(ctx.command_path, " ".join(self.collect_usage_pieces(ctx)), tr("cli.kith.usage"))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [row for parameter in self.get_params(ctx) if (row := parameter.get_help_record(ctx))]
        with formatter.section(tr("cli.kith.options")):
            formatter.write_dl(rows)


class Group(Command, click.Group):
    """A group whose help stands in the catalogues, its commands' under their own names."""

    command_class = Command

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_options(ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        for name, command in self.commands.items():
            if isinstance(command, Command):  # any other brings its own words
                localise(command, name)
        rows = [(name, command.get_short_help_str(200)) for name, command in self.commands.items()]
        with formatter.section(tr("cli.kith.commands")):
            formatter.write_dl(rows)


class Root(Group):
    """`kith` itself."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return [name for name, module in COMMANDS.items() if importlib.util.find_spec(module) is not None]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        found = later(f"{COMMANDS[cmd_name]}:{cmd_name}")
        if not isinstance(found, click.Command):
            raise Broken(f"{COMMANDS[cmd_name]} has no command {cmd_name!r}")
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """From the catalogue, so that listing the commands imports none of them."""
        rows = [(name, tr(f"cli.{name}.help").splitlines()[0]) for name in self.list_commands(ctx)]
        with formatter.section(tr("cli.kith.commands")):
            formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        """Errors end as one sentence and a hint, never as a traceback."""
        try:
            return super().invoke(ctx)
        except KithError as error:
            show_error(error)
            ctx.exit(2 if isinstance(error, Invalid) else 1)
        except KeyboardInterrupt:
            click.echo("", err=True)
            ctx.exit(130)


def later(target: str) -> Any:
    """What ``module:attribute`` names, imported now: what a command needs only sometimes should cost only then."""
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute, None)


def localise(command: click.Command, name: str) -> None:
    """Put the catalogue's words into a command's help: ``cli.<name>.help`` and ``cli.<name>.<parameter>``."""
    words: Callable[[str], str | None] = lambda key: _words(f"cli.{name}.{key}")  # noqa: E731
    command.help = words("help") or command.help
    command.options_metavar = tr("cli.kith.options_metavar")
    if isinstance(command, click.Group):
        command.subcommand_metavar = tr("cli.kith.subcommand_metavar")
    for parameter in command.params:
        if isinstance(parameter, click.Option) and (text := words(parameter.name or "")):
            parameter.help = text


def show_error(error: KithError) -> None:
    """On standard error: what is wrong, and what to do about it."""
    said = translated(error) if isinstance(error, Invalid) else error
    click.secho(tr("cli.error.line", message=str(said)), err=True, fg="red")
    if error.hint:
        click.echo(tr("cli.error.hint", hint=error.hint), err=True)


@click.group(cls=Root, name="kith", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--home", type=click.Path(file_okay=False, path_type=Path))
@click.option("--lang", type=click.Choice(LANGUAGES))
@click.version_option(kith.__version__, prog_name="kith")
def root(home: Path | None, lang: str | None) -> None:
    """Kith."""
    if home is not None:
        os.environ["KITH_HOME"] = str(home.expanduser().absolute())
    if lang is not None:
        os.environ["KITH_LANG"] = lang


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit: 0 done, 1 failed, 2 wrong input, 130 interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    for index, word in enumerate(given):  # before anything is read, because help is printed on the way
        if word.startswith("--lang="):
            os.environ["KITH_LANG"] = word.removeprefix("--lang=")
        elif word == "--lang" and index + 1 < len(given):
            os.environ["KITH_LANG"] = given[index + 1]
    sys.excepthook = _crash
    root(given, prog_name="kith")


def _crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A bug: say so, and keep where it happened. The error's own words stay out: they may quote what people said."""
    if issubclass(kind, KeyboardInterrupt):
        return
    folder = Path(os.environ.get("KITH_HOME") or "~/.kith").expanduser() / "logs"
    path = folder / time.strftime("crash-%Y%m%d-%H%M%S.log", time.gmtime())
    places = "".join(traceback.format_list(traceback.extract_tb(trace)))
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_text(f"kith {kith.__version__}, Python {sys.version}\n{places}{kind.__qualname__}\n", "utf-8")
        click.secho(tr("cli.error.bug", kind=kind.__name__, path=path), err=True, fg="red")
    except OSError:
        click.secho(tr("cli.error.bug", kind=kind.__name__, path=places), err=True, fg="red")
    del error


def _words(key: str) -> str | None:
    try:
        return tr(key)
    except KeyError:
        return None
