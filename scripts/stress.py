"""Answer the reference cases again in ways that must not change the numbers.

    python scripts/stress.py FOLDER        every case in FOLDER, a line for each that moved

The same case with its rows in another order, its groups under other names, its outcome or its
times in another unit, and two threads instead of one. Compared are our own answers, so a case
needs no reference value to count; a key that names a row, a group or a time in the changed unit
is left out.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).resolve().parent
sys.path[:0] = [str(SCRIPTS), str(SCRIPTS.parent)]

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from reference_case.agreement import scale_of  # noqa: E402
from reference_case.answer import answer  # noqa: E402
from threadpoolctl import threadpool_limits  # noqa: E402

UNIT = 7.0  # days for weeks
SAME = 1e-5  # a search that begins elsewhere ends at most this far off, in units of the scale
ROUNDING = 1e-12  # what is 0 but for rounding has no digits to keep
BY_ORDER = ("mmrm", "anova", "rm_anova", "tests", "icc", "effectsize", "mi")  # rows have places
EQUIVARIANT = re.compile(r"^(beta|se|sigma)(\[|$)")
UNITLESS = re.compile(r"^(z|t|p|p_satt|df|df_satt|chisq|concordance|icc)(\[|$)")
NAMES_A_GROUP = re.compile(r"(^|\.)(ranef|blup|frail|omega)\[")
NUMBERS_A_ROW = re.compile(
    r"^(deviance|dfbetas?|martingale|score|scaledsch|schoenfeld|evalue\w*)\["
)

Values = dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Moved:
    """A value that changed where it must not."""

    case: str
    how: str
    key: str
    before: float | None
    after: float | None


def moved(path: Path, how: str) -> list[Moved] | None:
    """What changed in a case; None where this way does not apply to it."""
    raw = json.loads(path.read_text(encoding="utf-8"))
    changed = WAYS[how](raw, path)
    if changed is None:
        return None
    before, after = answer(path).values, changed
    keys = [k for k in before if k in after] if how == "units" else list(before)
    if raw["topic"] == "numerics":  # fits without error: their errors are rounding
        keys = [k for k in keys if k.startswith(("beta", "var"))]
    if how == "rows":
        keys = [k for k in keys if not NUMBERS_A_ROW.match(k)]
    if how == "groups":
        keys = [k for k in keys if not NAMES_A_GROUP.search(k)]
    return [
        Moved(raw["name"], how, k, before[k], after.get(k))
        for k in keys
        if not _same(before[k], after.get(k), scale_of(k, before))
    ]


def _same(a: float | None, b: float | None, scale: float) -> bool:
    if a is None or b is None:
        return a is b
    return abs(a - b) <= max(SAME * scale, ROUNDING)


def _again(raw: dict[str, Any], frame: pd.DataFrame, **model: Any) -> Values:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case.json"
        changed = {**raw, "data": "case.csv", "model": {**raw["model"], **model}}
        path.write_text(json.dumps(changed), encoding="utf-8")
        frame.to_csv(path.with_suffix(".csv"), index=False)
        return answer(path).values


def _table(raw: dict[str, Any], path: Path) -> pd.DataFrame:
    """The cells as text, so that nothing but what is meant changes."""
    source = path.parent / raw.get("data", f"{path.stem}.csv")
    return pd.read_csv(source, dtype=str, keep_default_na=False)


def _model(raw: dict[str, Any]) -> dict[str, Any]:
    model = raw.get("model")
    return model if isinstance(model, dict) else {}


def rows(raw: dict[str, Any], path: Path) -> Values | None:
    """The rows in another order."""
    if raw["topic"] in BY_ORDER or not _model(raw):
        return None
    frame = _table(raw, path)
    order = np.random.default_rng(1).permutation(len(frame))
    return _again(raw, frame.iloc[order])


def groups(raw: dict[str, Any], path: Path) -> Values | None:
    """The groups of a mixed model or of GEE under names that sort the other way."""
    formula = str(_model(raw).get("formula", ""))
    bars = re.findall(r"\|+\s*([\w.]+)\s*\)", formula)
    named = [*bars, *([_model(raw)["id"]] if raw["topic"] == "gee" else [])]
    frame = _table(raw, path)
    named = [n for n in named if n in frame]
    if not named or re.search(r"\|[^)]*[/:]", formula):
        return None
    factors = dict(raw.get("factors") or {})
    for name in named:
        levels = sorted(frame[name].unique())
        new = {old: f"g{len(levels) - k:05d}" for k, old in enumerate(levels)}
        frame[name] = frame[name].map(new)
        if name in factors:
            factors[name] = sorted(new.values())
    order = frame.sort_values(named[0], kind="stable") if raw["topic"] == "gee" else frame
    return _again({**raw, "factors": factors}, order)


def units(raw: dict[str, Any], path: Path) -> Values | None:
    """Times in weeks instead of days; the outcome of a mixed model times seven."""
    frame, model = _table(raw, path), _model(raw)
    formula = str(model.get("formula", ""))
    if raw["topic"] == "lmm":
        outcome = formula.partition("~")[0].strip()
        _multiply(frame, outcome)
        found = _again(raw, frame)
        scaled = {
            k: v / UNIT if v is not None and EQUIVARIANT.match(k) else v for k, v in found.items()
        }
        return {k: v for k, v in scaled.items() if EQUIVARIANT.match(k) or UNITLESS.match(k)}
    inside = re.match(r"\s*Surv\(([^)]*)\)", formula)
    if raw["topic"] not in ("cox", "frailty") or inside is None or "tt(" in formula:
        return None
    for column in [c.strip() for c in inside[1].split(",")][:-1]:
        _multiply(frame, column)
    found = _again(raw, frame)
    return {k: v for k, v in found.items() if re.match(r"(beta|se|z|p)\[|loglik|theta", k)}


def _multiply(frame: pd.DataFrame, column: str) -> None:
    """Every number of a column in the other unit; an empty cell stays empty."""
    frame[column] = [repr(float(v) * UNIT) if v else v for v in frame[column]]


def threads(raw: dict[str, Any], path: Path) -> Values | None:
    """Two threads of linear algebra; the first answer had one or what the machine gives."""
    if not _model(raw):
        return None
    with threadpool_limits(2):
        return answer(path).values


WAYS: dict[str, Callable[[dict[str, Any], Path], Values | None]] = {
    "rows": rows,
    "groups": groups,
    "units": units,
    "threads": threads,
}


def every(paths: list[Path]) -> Iterator[tuple[Path, str, list[Moved] | None]]:
    """Every case in every way."""
    for path in paths:
        for how in WAYS:
            with threadpool_limits(1):
                yield path, how, moved(path, how)


def main() -> int:
    """Print what moved, then how often each way applied; 1 when something moved."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    asked = parser.parse_args()
    applied = dict.fromkeys(WAYS, 0)
    wrong: list[Moved] = []
    for _, how, found in every(sorted(asked.folder.glob("*.json"))):
        applied[how] += found is not None
        for m in found or []:
            print(f"{m.case} {m.how} {m.key}: {m.before} then {m.after}", flush=True)
        wrong += found or []
    print(", ".join(f"{how}: {n} cases" for how, n in applied.items()), f"moved: {len(wrong)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
