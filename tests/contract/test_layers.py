"""The law of imports: four rooms, one way down, and no circles."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAW: dict[str, set[str]] = {
    "settings": set(),
    "db": set(),
    "graph": {"db", "settings"},
    "runners": {"db", "settings"},
    "rest_compat": {"graph"},
    "app": {"settings", "db", "graph", "runners", "rest_compat"},
    "cli": {"settings", "db", "graph", "runners", "rest_compat", "app"},
}


@pytest.mark.parametrize("room", LAW)
def test_a_room_imports_only_what_the_law_allows(room: str) -> None:
    strays = [
        f"{module} imports {name}"
        for module, names in _imports_of(room).items()
        for name in sorted(names)
        if _room_of(name) in LAW.keys() - LAW[room] - {room}
    ]

    assert [] == strays


@pytest.mark.parametrize("room", LAW)
def test_a_room_has_no_circles(room: str) -> None:
    modules = _imports_of(room)

    TopologicalSorter({name: modules.keys() & names for name, names in modules.items()}).prepare()


def _imports_of(room: str) -> dict[str, set[str]]:
    files = [*ROOT.glob(f"{room}.py"), *ROOT.glob(f"{room}/**/*.py")]
    return {_name_of(file): set(_imported_by(file)) for file in files}


def _imported_by(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if _is_module(inner) else node.module


def _is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def _name_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def _room_of(name: str) -> str:
    return name.partition(".")[0]
