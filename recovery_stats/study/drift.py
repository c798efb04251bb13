"""What moved between two runs: statistics by name and amount, layout apart from them."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from recovery_stats.core.study import AnalysisSpec, Study
from recovery_stats.errors import RecoveryError
from recovery_stats.report.index import NAME, Card
from recovery_stats.study import batch, workflow
from recovery_stats.study.folder import read_manifest

RELATIVE = 1e-9  # other processors move converged results by 3e-13 at most
ABSOLUTE = 1e-12  # below this a number is nought
DIGITS = re.compile(rb"(?<=\"value\": )-?\d+(?:\.\d+(?:e[-+]?\d+)?|e[-+]?\d+)")

Key = tuple[str, str, str, str, int]
Value = float | int | str | None


@dataclass(frozen=True, slots=True)
class Move:
    """One statistic that is not what it was; `old` or `new` is None where it is not there."""

    place: str
    old: Value
    new: Value
    note: str = ""

    @property
    def change(self) -> float | None:
        """By how much a number moved."""
        if _is_number(self.old) and _is_number(self.new):
            return float(self.new) - float(self.old)  # type: ignore[arg-type]
        return None


@dataclass(frozen=True, slots=True)
class Finding:
    """How one analysis compares with what stands in the folder.

    same: every byte, but for the last digits of full precision, which are another processor's;
    `files` names the results.json that has others. layout: the numbers agree, `files` do not.
    moved: numbers differ. absent: nothing stands there. failed: it could not be run again.
    """

    name: str
    state: Literal["same", "layout", "moved", "absent", "failed"]
    moves: tuple[Move, ...] = ()
    files: tuple[str, ...] = ()
    message: str = ""
    exit_code: int = 0


def compare(
    study: Study,
    specs: Sequence[AnalysisSpec],
    folder: Path,
    formats: Sequence[str],
    jobs: int = 1,
    faults: Mapping[str, RecoveryError] = batch.NONE,
) -> tuple[Finding, ...]:
    """Run `specs` again, in memory, and compare with the files of `folder`."""
    made = batch.plan(study, specs, formats, None, faults=faults)
    tasks = [task for task, _ in made.due]
    found = [Finding(o.name, "failed", (), (), o.message, o.exit_code) for o in made.settled]
    cards: dict[str, Card] = {}
    for task, work in batch.worked(study, tasks, formats, jobs):
        found.append(_finding(task.spec.name, work, folder))
        if not work.exit_code:
            cards[task.spec.name] = work.card
    order = [spec.name for spec in specs]
    ordered = sorted(found, key=lambda f: order.index(f.name))
    return (*ordered, *_index(study.protocol.title, cards, folder))


def _index(title: str, cards: Mapping[str, Card], folder: Path) -> tuple[Finding, ...]:
    """The page over all reports, where it is not what the manifest and this run would make."""
    manifest = read_manifest(folder)
    if manifest is None or not (cards.keys() & manifest.entries.keys()):
        return ()
    entries = {
        name: replace(entry, card=cards.get(name, entry.card))
        for name, entry in manifest.entries.items()
    }
    page = replace(manifest, entries=entries, title=title).index()
    return (Finding("index", "layout", (), (NAME,)),) if _differs(folder / NAME, page) else ()


def _finding(name: str, work: batch.Work, folder: Path) -> Finding:
    if work.exit_code:
        return Finding(name, "failed", (), (), work.message, work.exit_code)
    results = workflow.file_name(name, "json")
    if not (folder / results).is_file():
        return Finding(name, "absent", (), (results,))
    before = (folder / results).read_bytes()
    moves = moved(before, work.files[results])
    files = tuple(f for f, content in work.files.items() if _differs(folder / f, content))
    if moves:
        return Finding(name, "moved", moves, files)
    last_digits = files == (results,) and _but_digits(before) == _but_digits(work.files[results])
    return Finding(name, "same" if last_digits or not files else "layout", (), files)


def _but_digits(results: bytes) -> bytes:
    """results.json with every number that is not whole as one sign: its form."""
    return DIGITS.sub(b"#", results)


def _differs(path: Path, content: bytes) -> bool:
    return not path.is_file() or path.read_bytes() != content


def moved(old: bytes, new: bytes) -> tuple[Move, ...]:
    """The statistics of two results.json that differ: counts at all, other numbers by 1e-9."""
    before, after = _rows(old), _rows(new)
    moves = []
    for key in sorted({*before, *after}):
        if key not in after:
            moves.append(Move(_place(key), before[key].get("value"), None, "gone"))
        elif key not in before:
            moves.append(Move(_place(key), None, after[key].get("value"), "new"))
        else:
            moves += _changes(_place(key), before[key], after[key])
    return tuple(moves)


def _rows(content: bytes) -> dict[Key, Mapping[str, Any]]:
    """The rows by place; a place that occurs again is numbered."""
    seen: Counter[tuple[str, ...]] = Counter()
    rows: dict[Key, Mapping[str, Any]] = {}
    for row in json.loads(content):
        group, variable, level, statistic = (
            str(row.get(part, "")) for part in ("group", "variable", "level", "statistic")
        )
        seen[group, variable, level, statistic] += 1
        rows[group, variable, level, statistic, seen[group, variable, level, statistic]] = row
    return rows


def _place(key: Key) -> str:
    return " / ".join(part for part in key[:4] if part)


def _changes(place: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Move]:
    found = []
    for part, note in (("value", ""), ("n", "n"), ("method", "method")):
        if not agrees(old.get(part), new.get(part)):
            found.append(Move(place, old.get(part), new.get(part), note))
    return found


def agrees(old: Value, new: Value) -> bool:
    """Whether two values are the same statistic: whole numbers exactly, others by 1e-9."""
    if (isinstance(old, float) and _is_number(new)) or (isinstance(new, float) and _is_number(old)):
        return math.isclose(old, new, rel_tol=RELATIVE, abs_tol=ABSOLUTE)  # type: ignore[arg-type]
    return type(old) is type(new) and old == new


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
