"""The layers of CONTRIBUTING.md, held by reading the imports of every file."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "recovery_stats"


@dataclass(frozen=True)
class Layer:
    """What a layer may import: our own layers, and third parties (`inside` functions only)."""

    ours: frozenset[str]
    doors: frozenset[str] = frozenset()
    typing_or_inside: frozenset[str] = frozenset()


def _layer(ours: str = "", doors: str = "", typing_or_inside: str = "") -> Layer:
    return Layer(*(frozenset(names.split()) for names in (ours, doors, typing_or_inside)))


LAYERS = {
    "errors": _layer(),
    "core": _layer("errors core", "", "numpy pandas"),
    "engines": _layer("errors engines", "numpy scipy statsmodels threadpoolctl"),
    "data": _layer("errors core data", "numpy scipy pandas pyreadstat pyarrow polars_readstat"),
    "models": _layer("errors core engines models", "numpy scipy pandas statsmodels pingouin"),
    "analyses": _layer("errors core models analyses", "numpy pandas"),
    "report": _layer("errors core report", "matplotlib PIL numpy docx", "weasyprint"),
    "study": _layer(
        "errors core data models analyses report study __init__", "numpy pandas threadpoolctl"
    ),
    "cli": _layer(
        "errors core engines data models analyses report study cli __init__",
        "click numpy pandas threadpoolctl",
    ),
    "words": _layer("errors core words"),
    "__init__": _layer("errors core engines data models analyses report study"),
    "__main__": _layer("cli"),
}
# A package with one door: the only files that may import it.
DOORS = {
    "pyreadstat": ("data/sav_crosscheck.py",),
    "polars_readstat": ("data/sav_fast.py",),
    "pingouin": ("models/effect_size.py", "models/reliability.py"),
    "matplotlib": ("report/figures.py", "report/figures/*.py"),
    "PIL": ("report/figures/bitmap.py",),
    "docx": ("report/docx.py", "report/docx_grid.py", "report/docx_xml.py"),
    "weasyprint": ("report/pdf.py",),
    "click": ("cli.py", "cli/*.py"),
    "threadpoolctl": ("cli/doctor.py", "study/workflow.py", "engines/linalg.py"),
}
FILES = sorted(PACKAGE.rglob("*.py"))


@dataclass(frozen=True)
class Import:
    """One import: its full dotted name, its line, and whether it runs when the file is loaded."""

    name: str
    line: int
    at_load: bool

    @property
    def package(self) -> str:
        return self.name.partition(".")[0]


def _imports(path: Path) -> Iterator[Import]:
    yield from _walk(ast.parse(path.read_text(encoding="utf-8")), path, at_load=True)


def _walk(node: ast.AST, path: Path, *, at_load: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(a.name, child.lineno, at_load) for a in child.names)
        elif isinstance(child, ast.ImportFrom):
            base = _absolute(child, path)
            ours = base.partition(".")[0] == "recovery_stats"
            names = [f"{base}.{a.name}" for a in child.names] if ours else [base]
            yield from (Import(name, child.lineno, at_load) for name in names)
        else:
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            guarded = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            yield from _walk(child, path, at_load=at_load and not inside and not guarded)


def _absolute(node: ast.ImportFrom, path: Path) -> str:
    if not node.level:
        return node.module or ""
    parts = path.relative_to(ROOT).with_suffix("").parts[: -node.level]
    return ".".join((*parts, *(node.module or "").split("."))).rstrip(".")


def _place(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def _layer_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def _ours(found: Import) -> str:
    """The layer an import reaches into; what is no module is a name of the package itself."""
    layer = found.name.partition(".")[2].partition(".")[0]
    return layer if layer in LAYERS else "__init__"


def _strangers(found: list[Import]) -> list[Import]:
    known = sys.stdlib_module_names | {"recovery_stats"}
    return [i for i in found if i.package not in known]


@pytest.mark.parametrize("path", FILES, ids=_place)
def test_imports_only_the_layers_below(path: Path) -> None:
    name = _layer_of(path)
    assert name in LAYERS, f"{name} is in no layer of CONTRIBUTING.md"
    ours = [i for i in _imports(path) if i.package == "recovery_stats"]
    wrong = [f"line {i.line}: {i.name}" for i in ours if _ours(i) not in LAYERS[name].ours]
    assert not wrong, f"{_place(path)} reaches out of its layer: {wrong}"


@pytest.mark.parametrize("path", FILES, ids=_place)
def test_third_parties_come_through_their_door(path: Path) -> None:
    layer = LAYERS[_layer_of(path)]
    wrong = []
    for found in _strangers(list(_imports(path))):
        allowed = found.package in layer.doors or (
            found.package in layer.typing_or_inside and not found.at_load
        )
        doors = DOORS.get(found.package)
        through = doors is None or any(fnmatch(_place(path), door) for door in doors)
        if not (allowed and through):
            wrong.append(f"line {found.line}: {found.name}")
    assert not wrong, f"{_place(path)} uses what its layer may not: {wrong}"


@pytest.mark.parametrize("path", FILES, ids=_place)
def test_analyses_do_not_know_each_other(path: Path) -> None:
    if _layer_of(path) != "analyses" or path.name == "__init__.py":
        return
    part = path.name.startswith("_")  # of one analysis: it may name that one's types
    others = [
        i
        for i in _imports(path)
        if i.name.startswith("recovery_stats.analyses.")
        and "._" not in i.name
        and (i.at_load or not part)
    ]
    assert not others, f"{_place(path)} imports another analysis: {others}"


@pytest.mark.parametrize("path", [f for f in FILES if _layer_of(f) == "engines"], ids=_place)
def test_engines_neither_print_nor_warn(path: Path) -> None:
    assert "warnings" not in {i.package for i in _imports(path)}
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call)]
    assert not [c.lineno for c in calls if isinstance(c.func, ast.Name) and c.func.id == "print"]


def test_no_module_imports_itself_in_a_circle() -> None:
    known = {_module(path) for path in FILES}
    graph = {_module(path): _loaded(path, known) - {_module(path)} for path in FILES}
    circle = _circle(graph)
    assert circle is None, f"import cycle: {circle}"


def _loaded(path: Path, known: set[str]) -> set[str]:
    """Our modules that load with the file: `from a.b import c` is a.b.c, or the c inside a.b."""
    names = [i.name for i in _imports(path) if i.at_load]
    return {n if n in known else n.rpartition(".")[0] for n in names} & known


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _circle(graph: dict[str, set[str]]) -> list[str] | None:
    done: set[str] = set()

    def visit(name: str, trail: list[str]) -> list[str] | None:
        if name in trail:
            return [*trail[trail.index(name) :], name]
        if name in done:
            return None
        for below in sorted(graph[name]):
            if circle := visit(below, [*trail, name]):
                return circle
        done.add(name)
        return None

    return next((c for name in sorted(graph) if (c := visit(name, []))), None)
