"""The floors of the house: who may import whom, and who may import what from outside. Read from the sources."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

FLOORS = (
    {"serve", "cli", "commands"},
    {"ocpp", "api", "web", "worker"},
    {"flows"},
    {"store", "psp", "hooks", "documents"},
    {"db", "bus"},
    {"domain"},
    {"base"},
)
"""From the top. A module imports its own package and the floors below: never up, never sideways."""

BESIDE = {name: {"serve", "cli", "commands"} for name in ("config", "embedded", "clocks")}
"""Modules that stand beside the floors, and who alone may import them; they import nothing of ours but base."""

FOR_ALL = {"observe"}
"""Imported by anybody above `domain`; imports nothing of ours."""

ONLY_IN = {
    "websockets": {"ocpp"},
    "msgspec": {"ocpp"},
    "ocpp": {"ocpp"},
    "jsonschema_rs": {"ocpp"},
    "pyocmf": {"ocpp"},
    "aiohttp": {"api", "web", "psp", "hooks"},
    "asyncpg": {"db", "store", "flows", "embedded", "serve"},
    "pydantic": {"api", "config"},
    "reportlab": {"documents"},
    "xlsxwriter": {"flows"},
    "pydantic_settings": {"config"},
    "stripe": {"psp"},
    "portone_server_sdk": {"psp"},
    "httpx": {"psp"},
    "authlib": {"api", "psp"},
    "joserfc": {"api", "psp"},
    "prometheus_client": {"observe"},
    "uvloop": {"serve", "cli"},
    "structlog": {
        "serve",
        "cli",
        "commands",
        "ocpp",
        "api",
        "web",
        "worker",
        "flows",
        "store",
        "psp",
        "bus",
        "observe",
    },
}
"""Where each library of others may be imported."""

LINES_MAX = 400

SOURCES = sorted((ROOT / "csms").rglob("*.py"))


def _part(path: Path) -> str:
    """The part of the house a file belongs to: `flows` for csms/flows/report.py, `db` for csms/db.py."""
    inside = path.relative_to(ROOT / "csms")
    return inside.parts[0].removesuffix(".py") if inside.name != "__init__.py" or len(inside.parts) > 1 else ""


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything a file imports, `from csms import db` as `csms.db`."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write the whole name of the module"
            module = node.module or ""
            if module == "csms":
                yield from ((node.lineno, f"csms.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, module


def _floor(part: str) -> int | None:
    return next((number for number, parts in enumerate(FLOORS) if part in parts), None)


def _may_import(part: str, other: str) -> bool:
    """Whether code of `part` may import `other`, both parts of csms."""
    if part == other or other == "":
        return True
    if other in BESIDE:
        return part in BESIDE[other]
    if part in BESIDE:
        return other == "base"
    if other in FOR_ALL:
        return part not in {"domain", "base"}
    if part in FOR_ALL:
        return False
    mine, theirs = _floor(part), _floor(other)
    assert mine is not None, f"csms/{part} has no floor"
    assert theirs is not None, f"csms/{other} has no floor"
    return mine < theirs or mine == theirs == 0


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_what_its_floor_may(path: Path) -> None:
    part = _part(path)
    wrong = []
    for line, name in _imports(path):
        top, _, rest = name.partition(".")
        if top == "csms":
            allowed = _may_import(part, rest.partition(".")[0])
        elif top in sys.stdlib_module_names:
            allowed = top != "asyncio" or part not in {"domain", "base"}
        elif part in {"domain", "base"}:
            allowed = False
        else:
            allowed = part in ONLY_IN.get(top, set())
        if not allowed:
            wrong.append(f"{path.relative_to(ROOT)}:{line} imports {name}")
    assert wrong == []


@pytest.mark.parametrize(
    "path", [p for p in SOURCES if _part(p) in {"domain", "base"}], ids=lambda path: str(path.relative_to(ROOT))
)
def test_the_rules_do_not_wait_read_a_clock_or_draw_a_number(path: Path) -> None:
    source = ast.parse(path.read_text("utf-8"))
    assert not [node.lineno for node in ast.walk(source) if isinstance(node, ast.AsyncFunctionDef | ast.Await)]
    calls = {ast.unparse(node.func) for node in ast.walk(source) if isinstance(node, ast.Call)}
    impure = {"now", "utcnow", "today", "time", "monotonic", "urandom", "uuid4", "uuid1", "open", "print"}
    assert not [call for call in calls if call.rpartition(".")[2] in impure]
    assert not {name for _, name in _imports(path)} & {"random", "secrets", "time", "socket", "subprocess", "threading"}


@pytest.mark.parametrize(
    "path", sorted((ROOT / "charge_points_sim").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_the_simulator_knows_the_system_by_its_protocols_only(path: Path) -> None:
    assert not [name for _, name in _imports(path) if name.partition(".")[0] in {"csms", "tests"}]


def test_the_system_starts_without_what_only_some_need() -> None:
    heavy = ["pyocmf", "reportlab", "xlsxwriter", "stripe", "portone_server_sdk"]
    code = f"import sys, csms.serve; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


@pytest.mark.parametrize("folder", ["csms", "charge_points_sim", "tests"])
def test_no_file_hides_a_second_subject(folder: str) -> None:
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in (ROOT / folder).rglob("*.py")}
    assert {str(path.relative_to(ROOT)): length for path, length in lengths.items() if length > LINES_MAX} == {}


def test_a_sideways_and_an_upward_import_would_be_seen() -> None:
    assert not _may_import("api", "ocpp") and not _may_import("store", "flows") and not _may_import("domain", "db")
    assert _may_import("flows", "store") and _may_import("serve", "ocpp") and _may_import("cli", "serve")
    assert not _may_import("flows", "config") and not _may_import("db", "bus")
