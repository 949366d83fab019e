"""The beauty budget, measured on every commit.

An exception is a line in `EXCEPTIONS` with its reason: the list is meant to be read and shortened.
"""

from __future__ import annotations

import ast
import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "kith"

# "file:name": "reason"
EXCEPTIONS: dict[str, str] = {}

FILE_LINES = 600
TEST_LINES = 800
APP_LINES = 200
FUNCTION_LINES = 40
FUNCTION_P90 = 25
PARAMETERS = 8
PORT_METHODS = 4

# Where an error of any kind is translated: at the two doors, around background work, and in the processes of models.
BROAD_EXCEPT = ("gateway/", "channels/", "runtime/tasks.py", "plugins/host.py")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources() -> list[Path]:
    return sorted(path for path in SOURCE.rglob("*.py") if "tests" not in path.relative_to(SOURCE).parts)


def name(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


@cache
def parsed(path: Path) -> ast.Module:
    """The tree of a file, read once for all who look."""
    return ast.parse(path.read_text("utf-8"))


def trees() -> Iterator[tuple[str, ast.Module]]:
    for path in sources():
        yield name(path), parsed(path)


def functions() -> Iterator[tuple[str, Function]]:
    for place, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, Function):
                yield f"{place}:{node.name}", node


def report(found: list[str]) -> None:
    unexpected = [line for line in found if line.split(" ")[0] not in EXCEPTIONS]
    assert not unexpected, "\n".join(unexpected)


def test_files_are_short() -> None:
    report([f"{name(p)} {n} lines" for p in sources() if (n := len(p.read_text("utf-8").splitlines())) > FILE_LINES])
    tests = [*(ROOT / "tests").rglob("*.py"), *SOURCE.rglob("tests/*.py")]
    report([f"{p.name} {n} lines" for p in tests if (n := len(p.read_text("utf-8").splitlines())) > TEST_LINES])
    assert len((SOURCE / "app.py").read_text("utf-8").splitlines()) <= APP_LINES


def test_functions_are_short() -> None:
    sizes = {place: (node.end_lineno or 0) - node.lineno + 1 for place, node in functions()}
    report([f"{place} {size} lines" for place, size in sizes.items() if size > FUNCTION_LINES])
    ordered = sorted(sizes.values())
    assert ordered[len(ordered) * 9 // 10] <= FUNCTION_P90


def test_functions_take_few_parameters() -> None:
    def count(node: Function) -> int:
        arguments = node.args
        return len([a for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs) if a.arg != "self"])

    report([f"{place} {n} parameters" for place, node in functions() if (n := count(node)) > PARAMETERS])


def test_ports_are_small() -> None:
    tree = ast.parse((SOURCE / "core" / "ports.py").read_text("utf-8"))
    ports = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    sizes = {port.name: sum(isinstance(item, Function) for item in port.body) for port in ports}
    report([f"ports.py:{port} {size} methods" for port, size in sizes.items() if not 1 <= size <= PORT_METHODS])
    undocumented = [port.name for port in ports if ast.get_docstring(port) is None and len(port.body) > 1]
    assert not undocumented


def test_broad_excepts_stand_only_at_the_edges() -> None:
    found: list[str] = []
    for place, tree in trees():
        for node in ast.walk(tree):
            if not isinstance(node, ast.ExceptHandler) or place.startswith(BROAD_EXCEPT):
                continue
            caught = [node.type] if not isinstance(node.type, ast.Tuple) else node.type.elts
            if any(
                item is None or (isinstance(item, ast.Name) and item.id in {"Exception", "BaseException"})
                for item in caught
            ):
                found.append(f"{place}:{node.lineno} broad except")
    report(found)


def test_project_imports_stand_at_the_top() -> None:
    found: list[str] = []
    for place, node in functions():
        for inner in ast.walk(node):
            modules = [inner.module or ""] if isinstance(inner, ast.ImportFrom) else []
            modules += [alias.name for alias in inner.names] if isinstance(inner, ast.Import) else []
            if any(module.split(".")[0] == "kith" for module in modules):
                found.append(f"{place} imports inside a function")
    report(found)


def folders() -> list[Path]:
    """Every folder with a manifest."""
    return sorted(path.parent for path in SOURCE.glob("*/*/manifest.toml"))


def test_a_folder_knows_only_itself_and_its_rooms_helper() -> None:
    found: list[str] = []
    for folder in folders():
        room = folder.parent.name
        helpers: set[str] = set()
        for path in folder.rglob("*.py"):
            for node in ast.walk(parsed(path)):
                modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                for module in modules:
                    parts = module.split(".")
                    if parts[0] != "kith" or parts[1:2] in (["core"], ["runtime"]) or parts[1:3] == [room, folder.name]:
                        continue
                    if parts[1:2] == [room]:
                        helpers.add(module)
                    else:
                        found.append(f"{name(path)}:{module} is another room")
        if len(helpers) > 1:
            found.append(f"{name(folder)} uses {len(helpers)} helper modules: {', '.join(sorted(helpers))}")
    report(found)


def choices(tree: ast.Module) -> Iterator[ast.Constant]:
    """Strings by which code chooses: compared with, matched, looked up or loaded."""
    for node in ast.walk(tree):
        parts: list[ast.expr] = []
        match node:
            case ast.Compare():
                parts = [node.left, *node.comparators]
            case ast.MatchValue():
                parts = [node.value]
            case ast.Subscript():
                parts = [node.slice]
            case ast.Call(func=ast.Attribute(attr="load" | "manifest" | "settings")):
                parts = node.args
            case _:
                pass
        for part in parts:
            yield from (found for found in ast.walk(part) if isinstance(found, ast.Constant))


def test_a_folders_name_is_unknown_outside_it() -> None:
    """No `match` over adapters: code outside a folder chooses nothing by its name."""
    found: list[str] = []
    names = {folder.name: folder for folder in folders()}
    for path in sources():
        for node in choices(parsed(path)):
            folder = names.get(node.value) if isinstance(node.value, str) else None
            if folder is not None and folder not in path.parents:
                found.append(f"{name(path)}:{node.lineno} chooses by the name {node.value}")
    report(found)


def test_patterns_of_settings_count_no_letters_of_all_scripts() -> None:
    """pydantic's ``\\w{0,99}`` is a machine of 6 MB, kept with the settings; `max_length` costs nothing."""
    counted = re.compile(r"(\\[wds]|\[[^\]^]*\\[wds][^\]]*\])\{\d*,?(\d+)\}")
    found = [
        f"{name(path)}:{number} {line.strip()}"
        for path in sources()
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if "pattern=" in line and "msgspec" not in line
        for many in counted.findall(line)
        if int(many[1]) > 9
    ]
    report(found)


def test_exported_names_are_few() -> None:
    found: list[str] = []
    for path in SOURCE.glob("*/__init__.py"):
        tree = parsed(path)
        for node in tree.body:
            if isinstance(node, ast.Assign) and any(
                isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets
            ):
                size = len(node.value.elts) if isinstance(node.value, ast.List | ast.Tuple) else 0
                if not 1 <= size <= 5:
                    found.append(f"{name(path)} exports {size} names")
    report(found)


def test_no_bare_type_ignores() -> None:
    lines = [(p, i, line) for p in sources() for i, line in enumerate(p.read_text("utf-8").splitlines(), 1)]
    report([f"{name(p)}:{i} bare type: ignore" for p, i, line in lines if "type: ignore" in line])


def test_exceptions_give_reasons() -> None:
    assert all(len(reason) > 20 for reason in EXCEPTIONS.values())


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check", "src", "tests", "scripts", "benchmarks"),
        ("ruff", "format", "--check", "src", "tests", "scripts", "benchmarks"),
        ("lint-imports",),
    ],
    ids=["ruff", "format", "imports"],
)
@pytest.mark.timeout(600)
def test_tools_are_content(command: tuple[str, ...]) -> None:
    tool = Path(sys.executable).parent / command[0]
    done = subprocess.run([tool, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


@pytest.fixture(scope="module", autouse=True)
def checker() -> Iterator[subprocess.Popen[str]]:
    """The checker of types, from the beginning on: it takes longer than everything else here."""
    tool = Path(sys.executable).parent / "basedpyright"
    process = subprocess.Popen(
        [tool], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    with process:
        yield process
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.timeout(600)
def test_types_fit(checker: subprocess.Popen[str]) -> None:
    said, _ = checker.communicate()
    assert checker.returncode == 0, said[-6000:]
