"""The rows of the missing-data panel where the truth is known.

    python scripts/missing_panel_recovery.py  --write FILE.md
    python scripts/missing_panel_recovery.py --replicates 20     a quick look

Trials of 300 people in two arms with a covariate and three visits are drawn from a known truth,
people leave after the first or the second visit for good, and `rs.missing_panel` is asked for the
difference at the last visit: of means, and of risks of relapse (a yes or no at each visit).

MCAR: people leave by chance alone, three in ten. MAR: by the value of the visit before, those who
do badly in one arm and those who do well in the other. MNAR: more leave in the compared arm, and
the outcome of those who left is worse by a known amount, half a standard deviation or twice the
odds, than that of people alike; the truth then is the difference among everybody with it.

Bias is also in units of the empirical standard error of the full data; coverage is of 95 %
intervals, errors in brackets are those of the simulation. A cell is marked where its bias exceeds
a tenth of that unit, or its coverage leaves 92 to 98 %, by more than two of these errors. Bounds:
from the lower limit of the lowest to the upper limit of the highest; their bias is that of the
middle. A row is right only where its assumption holds: the tables show what the others cost.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from missing_recovery import HEAD, MILLION, Found, logistic, lost, rows_of, rs

M = 10
MECHANISMS = ("MCAR", "MAR", "MNAR")
WORSE, IMOR = 0.67, np.log(2.0)  # half a standard deviation, and twice the odds: rows of the grid
CHANCE = 0.163  # of leaving before each of two visits: three in ten before the last


# --- trials whose outcome is missing for some ---------------------------------------------------


def number(rng: np.random.Generator, mechanism: str, n: int = 300) -> Any:
    """A number at three visits; both arms fall with time, the difference grows."""
    arm, z = np.repeat([0.0, 1.0], n // 2), rng.normal(size=n)
    first = 0.6 * z + 0.3 * arm + rng.normal(size=n)
    second = -0.3 + 0.3 * z + 0.3 * arm + 0.5 * first + rng.normal(size=n)
    kept, gone = leave(rng, mechanism, arm, first, second)
    shift = WORSE * gone if mechanism == "MNAR" else 0.0
    last = -0.3 + 0.3 * z + 0.5 * arm + 0.5 * second + rng.normal(size=n) + shift
    return tables(arm, z, (first, second, last), kept, gone)


def relapse(rng: np.random.Generator, mechanism: str, n: int = 300) -> Any:
    """Relapse, yes or no, at three visits; rarer in the compared arm."""
    arm, z = np.repeat([0.0, 1.0], n // 2), rng.normal(size=n)
    first = drawn(rng, 0.4 + 0.5 * z - 0.4 * arm)
    second = drawn(rng, -0.7 + 0.5 * z - 0.3 * arm + 1.5 * first)
    kept, gone = leave(rng, mechanism, arm, 2 * first - 1, 2 * second - 1)
    shift = IMOR * gone if mechanism == "MNAR" else 0.0
    last = drawn(rng, -0.7 + 0.5 * z - 0.5 * arm + 1.5 * second + shift)
    return tables(arm, z, (first, second, last), kept, gone)


def drawn(rng: np.random.Generator, eta: np.ndarray) -> np.ndarray:
    return lost(rng, logistic(eta)).astype(float)


def leave(rng: np.random.Generator, mechanism: str, arm: Any, first: Any, second: Any) -> Any:
    """Who holds the second visit, and who is gone at the last."""

    def left(before: np.ndarray) -> np.ndarray:
        if mechanism == "MCAR":
            return lost(rng, np.full(arm.size, CHANCE))
        if mechanism == "MAR":
            return lost(rng, logistic(-1.6 + 1.2 * before * (1 - 2 * arm)))
        return lost(rng, np.where(arm == 1, 0.25, 0.1))

    kept = ~left(first)
    return kept, ~kept | left(second)


def tables(arm: Any, z: Any, visits: Sequence[Any], kept: Any, gone: Any) -> Any:
    first, second, last = visits
    whole = pd.DataFrame({"arm": arm, "z": z, "first": first, "second": second, "last": last})
    holes = whole.assign(second=whole["second"].where(kept), last=whole["last"].mask(gone))
    return whole, holes


@dataclass(frozen=True)
class Scene:
    words: str
    make: Callable[..., Any]


SCENES: Mapping[str, Scene] = {
    "number": Scene("difference of means of a number at the last of three visits", number),
    "relapse": Scene("difference of the risks of relapse at the last of three visits", relapse),
}


# --- running ------------------------------------------------------------------------------------


def once(name: str, mechanism: str, seed: int) -> Found:
    """Estimate, standard error and limits by row of the panel, and with nothing missing."""
    rng = np.random.default_rng([seed, *name.encode(), *mechanism.encode()])
    whole, holes = SCENES[name].make(rng, mechanism)
    asked: dict[str, Any] = {"adjust": ["z"], "reference": "0", "seed": seed, "m": M}
    asked |= {"counted": "1"} if name == "relapse" else {}
    panel = rs.missing_panel(holes, "last", "arm", earlier=["first", "second"], **asked)
    held = panel.contrast.data.frame.index
    full = panel.contrast.with_outcome(whole["last"].to_numpy()[held]).difference("", "full", "")
    found = {"full data": (full.value, full.se, full.low, full.high)}
    for row in panel.rows:
        e = row.estimate
        found[e.label] = (e.value, e.se, e.low, e.high)
    low, high = (panel[k].estimate for k in ("lowest", "highest"))
    middle, error = (low.value + high.value) / 2, float("nan")
    return {k: v for k, v in found.items() if not k.startswith("Bound")} | {
        "Bounds": (middle, error, low.low, high.high)
    }


def truth_of(name: str, mechanism: str) -> float:
    """The difference standardised over the covariate, among a million people without holes."""
    whole, _ = SCENES[name].make(np.random.default_rng(1), mechanism, 4 * MILLION)
    means = whole.groupby("arm")["last"].mean()
    return float(means[1.0] - means[0.0])


def report(replicates: int, jobs: int) -> str:
    begun = time.perf_counter()
    lines = ["# The missing-data panel: bias and coverage", "", *(__doc__ or "").split("\n\n")[2:]]
    with ProcessPoolExecutor(jobs) as pool:
        for name, scene in SCENES.items():
            lines += [f"## {name}", "", f"{scene.words.capitalize()}.", ""]
            lines += [HEAD, "|---" * HEAD.count(" | ") + "|---|"]
            for mechanism in MECHANISMS:
                found = list(
                    pool.map(partial(once, name, mechanism), range(replicates), chunksize=5)
                )
                truth = truth_of(name, mechanism)
                print(f"{name} {mechanism}: truth {truth:.4f}", file=sys.stderr)
                lines += rows_of(mechanism, found, truth)
            lines.append("")
            print(f"{name}: {time.perf_counter() - begun:.0f} s", file=sys.stderr)
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--write", type=Path)
    asked = parser.parse_args()
    text = report(asked.replicates, asked.jobs)
    print(text)
    if asked.write:
        asked.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
