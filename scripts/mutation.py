"""Change the program in one place at a time and see whether a test notices.

    python scripts/mutation.py                     the sample that scripts/mutation.md reports
    python scripts/mutation.py --each 5 MODULE TEST...   5 changes of one module, by these tests
    python scripts/mutation.py --each 2 --engines        2 changes of every engine

A change is one of: a comparison turned (< to <=, == to !=), an operator turned (+ to -, * to /),
a number moved by one, a condition denied, `and` for `or`, min for max. Changes are drawn with a
seed; each is made in a copy of the project and tested in a process of its own (Unix only, by
fork, so that the libraries load once). Prints what survived.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "recovery_stats"
SECONDS = 60  # of the processor that the tests of one change may take: an endless loop takes more
WAITED = 15 * SECONDS  # of the clock, for a change that waits for ever and uses no processor
PRIVACY = ("tests/report/test_compose.py", "tests/report/test_attack.py")
SAMPLE: dict[str, tuple[str, ...]] = {
    "report/disclose.py": PRIVACY,
    **{
        f"report/privacy/{name}.py": PRIVACY
        for name in ("count", "curve", "estimate", "flow", "mean", "sums", "suppress", "value")
    },
    "engines/rubin.py": ("tests/engines/test_rubin.py", "tests/models/test_pool.py"),
    "engines/lost.py": ("tests/engines/test_lost.py",),
    "engines/normal_missing.py": ("tests/engines/test_normal_missing.py",),
    "engines/simultaneous.py": ("tests/engines/test_simultaneous.py",),
    "engines/turnbull.py": ("tests/engines/test_turnbull.py",),
    "engines/finegray.py": ("tests/engines/test_finegray.py",),
    "engines/gray.py": ("tests/models/test_gray.py",),
    "engines/gee.py": ("tests/engines/test_gee.py",),
    "engines/cox_likelihood.py": ("tests/engines/test_cox.py",),
    "engines/staggered.py": ("tests/engines/test_staggered.py", "tests/models/test_staggered.py"),
}
TURNED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.And: ast.Or, ast.Or: ast.And, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn,
    ast.NotIn: ast.In, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
ENDS = {0: "survived", -signal.SIGXCPU: "slow", -signal.SIGKILL: "slow"}  # else a test failed
NAMED = {"min": "max", "max": "min", "any": "all", "all": "any", "minimum": "maximum"}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of a module: its line, what it says now, the source."""

    module: str
    line: int
    says: str
    source: str


def every_engine() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each engine with the tests that judge it.

    Its own file of tests, else those that import it, else those of the engine it is a part of
    (lmm_sums: lmm) or of the models and engines that import it.
    """
    tests = {p: _imported(p) for p in sorted((ROOT / "tests").rglob("test_*.py"))}
    sources = [p for layer in ("engines", "models") for p in (PACKAGE / layer).glob("*.py")]
    users = [
        (f"test_{p.stem}", _imported(p)) for p in sources
    ]  # a model may be called as an engine
    for path in sorted((PACKAGE / "engines").glob("[a-z]*.py")):
        engine = path.stem
        using = {name for name, engines in users if engine in engines}
        judges = (
            [p for p in tests if p.parent.name == "engines" and p.stem == f"test_{engine}"]
            or [p for p, engines in tests.items() if engine in engines]
            or [p for p in tests if p.stem == f"test_{engine.partition('_')[0]}"]
            or [p for p in tests if p.stem in using]
        )
        yield f"engines/{path.name}", tuple(str(p.relative_to(ROOT)) for p in judges[:3])


def _imported(path: Path) -> frozenset[str]:
    """The engines that a file imports, by name or from them."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    froms = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module]
    named = {m for n in froms for m in (n.module, *(f"{n.module}.{a.name}" for a in n.names))}
    layer = "recovery_stats.engines."
    return frozenset(m.removeprefix(layer) for m in named if m and m.startswith(layer))


def places(source: str) -> list[int]:
    """Where the module can be changed, outside annotations: positions in the walk of its tree."""
    tree = ast.parse(source)
    annotated = {id(part) for root in _annotations(tree) for part in ast.walk(root)}
    nodes = list(ast.walk(tree))
    return [k for k, n in enumerate(nodes) if id(n) not in annotated and _change(n)]


def mutant(module: str, source: str, place: int) -> Mutant:
    """The module with one change."""
    tree = ast.parse(source)
    node = next(n for k, n in enumerate(ast.walk(tree)) if k == place)
    _change(node)
    return Mutant(module, getattr(node, "lineno", 0), ast.unparse(node)[:90], ast.unparse(tree))


def _annotations(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        for name in ("annotation", "returns", "type_params"):
            part = getattr(node, name, None)
            if isinstance(part, ast.AST):
                yield part
        if isinstance(node, ast.Assign) and _is_type(node.value):
            yield node.value


def _is_type(value: ast.expr) -> bool:
    return (
        isinstance(value, ast.BinOp)
        and isinstance(value.op, ast.BitOr)
        and "|" in ast.unparse(value)
        and ast.unparse(value)[0].isupper()
    )


def _change(node: ast.AST) -> bool:  # noqa: PLR0911
    """Change the node in place, where there is a change of its kind."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in TURNED:
        node.ops[0] = TURNED[type(node.ops[0])]()  # type: ignore[call-overload]
        return True
    if isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign) and type(node.op) in TURNED:
        node.op = TURNED[type(node.op)]()  # type: ignore[assignment]
        return True
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        node.value = node.value + 1  # type: ignore[operator]
        return True
    if isinstance(node, ast.If | ast.IfExp | ast.While):
        node.test = ast.UnaryOp(ast.Not(), node.test, lineno=node.lineno, col_offset=0)
        return True
    if isinstance(node, ast.Name) and node.id in NAMED:
        node.id = NAMED[node.id]
        return True
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        node.op = ast.UAdd()
        return True
    return False


def killed(mutant: Mutant, tests: tuple[str, ...], folder: Path) -> str:
    """Test the change in a child: "killed", "survived" or "slow" (stopped: counts as killed)."""
    path = folder / "recovery_stats" / mutant.module
    before = path.read_text(encoding="utf-8")
    path.write_text(mutant.source, encoding="utf-8")
    try:
        child = os.fork()
        if child == 0:
            _test(tests, folder)
        return _waited(child)
    finally:
        path.write_text(before, encoding="utf-8")


def _test(tests: tuple[str, ...], folder: Path) -> None:
    import pytest

    os.setsid()
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    os.chdir(folder)
    sys.path[:] = [str(folder), *(p for p in sys.path if Path(p).resolve() != ROOT)]
    sys.dont_write_bytecode = True
    code = 3
    with contextlib.suppress(BaseException):
        code = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests]))
    os._exit(code)


def _waited(child: int) -> str:
    began = time.monotonic()
    while time.monotonic() - began < WAITED:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return ENDS.get(os.waitstatus_to_exitcode(status), "killed")
        time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "slow"


def main() -> int:
    """Draw, change, test; print the score and every survivor."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--each", type=int, default=6, help="changes of a module")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engines", action="store_true", help="every engine")
    parser.add_argument("module", nargs="?")
    parser.add_argument("tests", nargs="*")
    asked = parser.parse_args()
    sample = {asked.module: tuple(asked.tests)} if asked.module else SAMPLE
    if asked.engines:
        sample = dict(every_engine())
    for name in ("numpy", "pandas", "scipy.stats", "scipy.optimize", "pytest"):
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name in ("recovery_stats", "tests", "scripts", "synthetic_data"):
            shutil.copytree(
                ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        shutil.copy(ROOT / "pyproject.toml", folder)
        for module, tests in sample.items():
            judge(module, tests, folder, asked.each, asked.seed)
    return 0


def judge(module: str, tests: tuple[str, ...], folder: Path, each: int, seed: int) -> None:
    """Print one module's score and its survivors."""
    source = (folder / "recovery_stats" / module).read_text(encoding="utf-8")
    if not tests:
        print(f"{module}: no tests of its own", flush=True)
        return
    plain = Mutant(module, 0, "", ast.unparse(ast.parse(source)))
    end = killed(plain, tests, folder)
    if end != "survived":
        why = f"take more than {SECONDS} s" if end == "slow" else "fail"
        print(f"{module}: the tests {why} without any change", flush=True)
        return
    every = places(source)
    chosen = random.Random(seed).sample(every, min(each, len(every)))  # noqa: S311
    drawn = [mutant(module, source, place) for place in chosen]
    ends = [(m, killed(m, tests, folder)) for m in drawn]
    dead = sum(end != "survived" for _, end in ends)
    print(f"{module}: {dead} of {len(drawn)} killed ({len(every)} possible)", flush=True)
    for m, end in ends:
        if end == "survived":
            print(f"    line {m.line}: {m.says}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
