"""Does the housing report answer right on the presets of trials? Writes housing_presets.md.

python scripts/housing_presets.py [STUDIES]          400 studies of 400 people a preset by default

oxford2006: people drawn within sites, large effects that last. null: chosen, nothing works.
women2015: people drawn within sites, no effect on use, deaths halved (so that who is alive to be
asked differs between arms). The realistic mess is on: dropout, loss, refusals, moves.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

for threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(threads, "1")

STUDIES, PEOPLE = 400, 400
HERE = Path(__file__).resolve().parent
DESIGNS = {"oxford2006": "randomised", "null": "chosen", "women2015": "randomised"}
NAMES = {
    "risk_difference": "risk difference of use at 24 months (primary)",
    "stayed_six_months": "naive: stayed six months or more, log hazard ratio",
}


@dataclass(frozen=True, slots=True)
class Draw:
    """An estimate on the linear scale, whether it covers its truth, whether it leaves out 0."""

    name: str
    value: float
    covers: bool
    rejects: bool


def study_of(preset: str, seed: int) -> tuple[Draw, ...]:
    """One study, asked as its design says."""
    import recovery_stats as rs
    from recovery_stats.errors import NotEstimable

    study = rs.synthetic_study(preset, persons=PEOPLE, seed=seed)
    try:
        found = rs.answer("collaborative_housing", study, design=DESIGNS[preset], sensitivity=False)
    except NotEstimable:
        return ()
    return tuple(draws(found, study.truth["use90_24_difference"]))


def draws(found, truth: float) -> Iterator[Draw]:
    for e in found.estimates:
        if e.name in NAMES:
            turn = math.log if e.scale == "ratio" else float
            low, high = turn(e.low), turn(e.high)
            aim = truth if e.name == "risk_difference" else 0.0
            yield Draw(e.name, turn(e.value), low <= aim <= high, not low <= 0.0 <= high)


def rows(preset: str, studies: int, pool: ProcessPoolExecutor) -> Iterator[str]:
    """The lines of one preset."""
    import recovery_stats as rs

    truth = rs.synthetic_study(preset, persons=50, seed=1).truth["use90_24_difference"]
    found = [d for part in pool.map(partial(study_of, preset), range(1, studies + 1)) for d in part]
    for name, label in NAMES.items():
        own = [d for d in found if d.name == name]
        n = len(own)
        mean = sum(d.value for d in own) / n
        spread = math.sqrt(sum((d.value - mean) ** 2 for d in own) / (n - 1) / n)
        primary = name == "risk_difference"
        cells = (
            preset, label, f"{truth:+.4f}" if primary else "–", f"{mean:+.4f} ± {spread:.4f}",
            share([d.covers for d in own]) if primary else "–", share([d.rejects for d in own]),
            str(n),
        )  # fmt: skip
        yield f"| {' | '.join(cells)} |"


def share(hits: list[bool]) -> str:
    p = sum(hits) / len(hits)
    return f"{100 * p:.1f} ± {100 * math.sqrt(p * (1 - p) / len(hits)):.1f}"


def main() -> None:
    studies = int(sys.argv[1]) if len(sys.argv) > 1 else STUDIES
    lines = [
        "# The housing report on presets",
        "",
        f"{studies:,} synthetic studies of {PEOPLE} people a preset; mean, per cent of 95 % "
        "intervals that hold the truth, and that leave out zero, ± Monte Carlo standard errors. "
        "The naive row has no truth. Made by scripts/housing_presets.py.",
        "",
        "| preset | answer | truth | mean | coverage | leaves out zero | studies |",
        "|---|---|---|---|---|---|---|",
    ]
    with ProcessPoolExecutor(2) as pool:
        for preset in DESIGNS:
            lines += rows(preset, studies, pool)
    (HERE / "housing_presets.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
