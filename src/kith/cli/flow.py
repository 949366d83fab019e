"""`kith flow`: check, test and draw a dialogue flow before it is put in force."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click
import yaml

from kith.cli.talks import COMMANDS
from kith.core.errors import Fault, Invalid
from kith.dialogue.flows.flow import DEFAULT, Flow, load_flow
from kith.dialogue.understanding.normal import normal
from kith.dialogue.workshop.advice import Advice, advice
from kith.dialogue.workshop.graph import draw, mermaid
from kith.dialogue.workshop.graph import svg as picture
from kith.dialogue.workshop.labelled import OUTSIDE, load_labelled, merged
from kith.dialogue.workshop.trial import Trial, Verdict, judge_labelled, run_trial
from kith.dialogue.workshop.validation import Validation, cross_validate
from kith.runtime.documents import read_document
from kith.runtime.faults import told
from kith.runtime.locale import tr

_SHOWN = 20

file_argument = click.argument("file", required=False, type=click.Path(path_type=Path))
json_option = click.option("--json", "as_json", is_flag=True, help=tr("flow.help_json"))


@click.group(help=tr("flow.help"))
def flow() -> None:
    """The group."""


for command in COMMANDS:
    flow.add_command(command)


@flow.command(help=tr("flow.help_check"))
@file_argument
@json_option
@click.pass_context
def check(ctx: click.Context, file: Path | None, as_json: bool) -> None:
    """Load the file; print every mistake with file, line, path and reason."""
    path = file or DEFAULT
    found: Flow | None = None
    faults: tuple[Fault, ...] = ()
    try:
        found = load_flow(path)
    except Invalid as error:
        faults = error.faults or (Fault("", error.message),)
    warnings = found.warnings if found else ()
    if as_json:
        rows = {"faults": [_row(fault) for fault in faults], "warnings": [_row(fault) for fault in warnings]}
        click.echo(json.dumps({"file": str(path), "ok": found is not None, **rows}, ensure_ascii=False))
    else:
        for fault in faults:
            click.echo(_place(path, fault))
        for fault in warnings:
            click.echo(f"{_place(path, fault)} ({tr('flow.warning')})")
        if found:
            phrases = sum(len(intent.patterns) for intent in found.part.intents)
            click.echo(tr("flow.good", name=found.name, intents=len(found.intents), phrases=phrases))
    ctx.exit(0 if found else 1)


@flow.command(help=tr("flow.help_test"))
@file_argument
@json_option
@click.pass_context
def test(ctx: click.Context, file: Path | None, as_json: bool) -> None:
    """Judge every phrase as if it were unseen, and run the file's own tests."""
    trial = run_trial(load_flow(file or DEFAULT))
    if as_json:
        click.echo(json.dumps(asdict(trial), ensure_ascii=False))
    else:
        _report(trial)
    ctx.exit(1 if trial.failures else 0)


@flow.command(help=tr("flow.help_show"))
@file_argument
@json_option
@click.option("--mermaid", "as_mermaid", is_flag=True, help=tr("flow.help_mermaid"))
@click.option("--svg", "as_svg", is_flag=True, help=tr("flow.help_svg"))
def show(file: Path | None, as_json: bool, as_mermaid: bool, as_svg: bool) -> None:
    """Draw the states."""
    found = load_flow(file or DEFAULT)
    if as_json:
        click.echo(json.dumps(found.describe(), ensure_ascii=False))
    elif as_mermaid:
        click.echo(mermaid(found))
    elif as_svg:
        click.echo(picture(found))
    else:
        click.secho(f"{found.name} ({found.version})", bold=True)
        click.echo(draw(found))


@flow.command(help=tr("flow.help_report"))
@file_argument
@json_option
@click.option("--folds", type=click.IntRange(2, 20), default=5, help=tr("flow.help_folds"))
@click.option("--data", type=click.Path(path_type=Path), help=tr("flow.help_judged"))
@click.option("--matrix", "as_matrix", is_flag=True, help=tr("flow.help_matrix"))
def report(file: Path | None, as_json: bool, folds: int, data: Path | None, as_matrix: bool) -> None:
    """Cross-validate the phrases, or judge the whole flow by labelled messages."""
    found = load_flow(file or DEFAULT)
    if data is not None:
        _judged_by(judge_labelled(found, load_labelled(data)), as_json)
        return
    pairs = [pair for pair in found.rules.matcher.examples if pair[0]]
    validation = cross_validate(pairs, found.part.threshold, folds)
    advised = advice(validation, pairs)
    if as_json:
        rows = asdict(validation) | {"advice": [asdict(one) for one in advised]}
        click.echo(json.dumps(rows, ensure_ascii=False))
        return
    _validated(validation)
    if as_matrix:
        _matrix(validation)
    for one in advised[:_SHOWN]:
        click.echo(_advised(one))


@flow.command(help=tr("flow.help_train"))
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--data", type=click.Path(path_type=Path), required=True, help=tr("flow.help_data"))
@click.option("--out", type=click.Path(path_type=Path), help=tr("flow.help_out"))
@json_option
def train(file: Path, data: Path, out: Path | None, as_json: bool) -> None:
    """Add labelled texts to a flow's phrases, measure before and after, and write it elsewhere."""
    before, labelled = load_flow(file), load_labelled(data)
    document, added, left = merged(read_document(file).data, labelled)
    target = out or file.with_name(f"{file.stem}.trained{file.suffix}")
    if target.resolve() == file.resolve():
        raise Invalid(tr("flow.same_file"))
    text = (
        json.dumps(document, ensure_ascii=False, indent=2)
        if target.suffix == ".json"
        else yaml.safe_dump(document, allow_unicode=True, sort_keys=False, width=120)
    )
    target.write_text(text, "utf-8")
    after = load_flow(target)
    was, now = (_judged(part, labelled) for part in (before, after))
    rows = {"file": str(target), "added": added, "left_out": left, "before": was, "after": now}
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False))
        return
    for line in left[:_SHOWN]:
        click.echo(f"  {line}")
    click.echo(tr("flow.trained", added=added, left=len(left), before=f"{was:.1%}", after=f"{now:.1%}", file=target))


def _judged_by(found: Verdict, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(asdict(found), ensure_ascii=False))
        return
    figures = {name: f"{getattr(found, name):.1%}" for name in ("right", "recall", "precision", "f1", "error")}
    click.echo(tr("flow.judged", messages=found.messages, strangers=found.strangers, **figures))
    for text, wanted, got in found.wrong[:_SHOWN]:
        nothing = tr("flow.nothing")
        click.echo(f"  {text!r}: {wanted or nothing} → {got or nothing}")


def _judged(found: Flow, labelled: list[tuple[str, str]]) -> float:
    """How many of the labelled texts are right, each judged as if it had not been seen."""
    known = {intent.name for intent in found.part.intents}
    wanted = {(normal(text), "" if label in OUTSIDE and label not in known else label) for text, label in labelled}
    examples = [pair for pair in found.rules.matcher.examples if pair[0]]
    classifier = found.rules.matcher.classifier
    if classifier is None or not wanted:
        return 0.0
    unseen = {pair: guess.label for pair, guess in zip(examples, classifier.held_out(), strict=True)}
    right = sum(
        unseen.get(pair) == pair[1] if pair in unseen else classifier.guess(pair[0]).label == pair[1] for pair in wanted
    )
    return right / len(wanted)


def _validated(found: Validation) -> None:
    figures = {name: f"{getattr(found, name):.1%}" for name in ("accuracy", "accepted", "wrong", "error", "strangers")}
    click.echo(tr("flow.validated", folds=found.folds, phrases=found.phrases, f1=f"{found.macro_f1:.2f}", **figures))
    for score in sorted(found.scores, key=lambda score: score.f1)[:_SHOWN]:
        click.echo(f"  {score.intent or tr('flow.outside'):<24}  F1 {score.f1:.2f}  ({score.phrases})")
    click.echo(tr("flow.calibration"))
    for part in found.bins:
        click.echo(f"  {part.low:.1f}–{part.high:.1f}  {part.count:>5}  {part.sure:.2f} → {part.right:.2f}")
    if found.doubts:
        click.echo(tr("flow.doubts"))
    for doubt in found.doubts[:_SHOWN]:
        meant, got = doubt.intent or tr("flow.outside"), doubt.guess or tr("flow.outside")
        click.echo(f"  {doubt.text!r}: {meant} → {got}  {doubt.confidence:.2f}")


def _matrix(found: Validation) -> None:
    """Rows are what was meant, columns what was understood; intents by the numbers before the rows."""
    names = sorted({*found.matrix, *(got for row in found.matrix.values() for got in row)})
    click.echo(tr("flow.matrix"))
    click.echo("     " + "".join(f"{place:>4}" for place in range(1, len(names) + 1)))
    for place, name in enumerate(names, 1):
        row = found.matrix.get(name, {})
        cells = "".join(f"{row.get(got, 0) or '·':>4}" for got in names)
        click.echo(f"{place:>4} {cells}  {name or tr('flow.outside')}")


def _advised(one: Advice) -> str:
    values = {"intents": ", ".join(one.intents[:_SHOWN]), "count": str(len(one.intents)), "share": f"{one.share:.0%}"}
    common = tr("flow.advice_common", words=", ".join(map(repr, one.common))) if one.common else ""
    return "→ " + tr(f"flow.advice_{one.kind}", **values) + common


def _row(fault: Fault) -> dict[str, str | int]:
    return {"path": fault.path, "reason": told(fault), "line": fault.line}


def _place(path: Path, fault: Fault) -> str:
    place = f"{path}:{fault.line}" if fault.line else str(path)
    return " ".join(part for part in (place, fault.path, told(fault)) if part)


def _report(trial: Trial) -> None:
    click.echo(
        tr(
            "flow.summary",
            phrases=trial.phrases,
            accuracy=f"{trial.accuracy:.1%}",
            accepted=f"{trial.accepted:.1%}",
            wrong=f"{trial.wrong:.1%}",
        )
    )
    width = max((len(score.intent) for score in trial.scores), default=0)
    for score in sorted(trial.scores, key=lambda score: score.f1):
        click.echo(
            f"  {score.intent:<{width}}  {score.phrases:>4}  "
            + tr("flow.score", recall=f"{score.recall:.2f}", precision=f"{score.precision:.2f}", f1=f"{score.f1:.2f}")
        )
    if trial.confusions:
        click.echo(tr("flow.confusions"))
    for found in trial.confusions[:_SHOWN]:
        click.echo(f"  {found.intent} → {found.guess}  {found.count} ×  {found.example!r}")
    if len(trial.confusions) > _SHOWN:
        click.echo(f"  … {len(trial.confusions) - _SHOWN}")
    for failure in trial.failures:
        nothing = tr("flow.nothing")
        values = {"wanted": failure.wanted or nothing, "got": failure.got or nothing}
        click.secho(tr("flow.failure", say=failure.say, **values), fg="red")
    if trial.tests:
        click.echo(tr("flow.tests", passed=trial.tests - len(trial.failures), tests=trial.tests))
