"""Do weights recover a risk difference confounded by motivation and severity? Writes
weighting_recovery.md beside itself.

python scripts/weighting_recovery.py [STUDIES]       500 studies, some minutes

The motivated move into a house more often and use less; the severe the other way round. Sites
(clusters) differ in how many move in, and in use. The truth of each estimand is the mean of both
potential risks over a million people, weighted as the estimand says.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

import recovery_stats as rs
from recovery_stats.core.estimate import Estimate
from recovery_stats.models.propensity_match import MatchedPairs

HERE = Path(__file__).resolve().parent
PEOPLE, SITES, TRUTH, EFFECT = 800, (40, 12), 1_000_000, -0.6
FORMULA = "house ~ motivation + severity"


def people(n: int, sites: int, rng: np.random.Generator) -> pd.DataFrame:
    """One study: covariates, site, house, use, and both chances of use."""
    d = pd.DataFrame({"motivation": rng.normal(size=n), "severity": rng.normal(size=n)})
    d["site"] = rng.integers(0, sites, n)
    moves, uses = rng.normal(0, 0.4, sites), rng.normal(0, 0.4, sites)
    d["chance"] = expit(-0.4 + 0.8 * d.motivation - 0.5 * d.severity + moves[d.site])
    d["house"] = (rng.random(n) < d.chance).astype(int)
    linear = -0.2 - 0.8 * d.motivation + 0.6 * d.severity + uses[d.site]
    d["usual"], d["compared"] = expit(linear), expit(linear + EFFECT)
    d["use"] = (rng.random(n) < np.where(d.house == 1, d.compared, d.usual)).astype(int)
    return d


def truths(rng: np.random.Generator) -> dict[str, float]:
    """Risk difference of each estimand, over people in as many sites as people in a study."""
    d = people(TRUTH, TRUTH // 20, rng)
    gap, e = d.compared - d.usual, d.chance
    targets = {"ate": np.ones(TRUTH), "att": e, "overlap": e * (1 - e)}
    return {name: float(np.average(gap, weights=w)) for name, w in targets.items()}


def weighted(estimand: str, method: str = "logistic") -> Callable[[pd.DataFrame], Estimate]:
    def fit(d: pd.DataFrame) -> Estimate:
        made = rs.propensity_weights(FORMULA, d, estimand, method=method, cluster="site")  # type: ignore[arg-type]
        return made.estimates("use")[0]

    return fit


def matched(d: pd.DataFrame) -> Estimate:
    return pairs_of(d).estimates("use")[0]


def pairs_of(d: pd.DataFrame) -> MatchedPairs:
    return rs.propensity_match(FORMULA, d, cluster="site")


def of_pairs(d: pd.DataFrame) -> float:
    """The true risk difference among the treated of this study who have a pair."""
    own = d.iloc[pairs_of(d).pairs[:, 0]]
    return float((own.compared - own.usual).mean())


METHODS: dict[str, tuple[str, Callable[[pd.DataFrame], Estimate]]] = {
    "crude": ("ate", lambda d: rs.propensity_weights(
        "house ~ 1", d, cluster="site").estimates("use")[0]),
    "weights, everybody": ("ate", weighted("ate")),
    "entropy, everybody": ("ate", weighted("ate", "entropy")),
    "doubly robust": ("ate", lambda d: rs.doubly_robust(
        "use", FORMULA, d, cluster="site", repeats=3).effects[0]),
    "weights, treated": ("att", weighted("att")),
    "entropy, treated": ("att", weighted("att", "entropy")),
    "matched pairs": ("matched", matched),
    "overlap weights": ("overlap", weighted("overlap")),
}  # fmt: skip


def run(sites: int, studies: int, truth: dict[str, float]) -> list[str]:
    """Rows of the table for one number of sites."""
    found: dict[str, list[Estimate]] = {name: [] for name in METHODS}
    own = []
    for seed in range(studies):
        d = people(PEOPLE, sites, np.random.default_rng([sites, seed]))
        own.append(of_pairs(d))
        for name, (_, fit) in METHODS.items():
            found[name].append(fit(d))
    truth = truth | {"matched": float(np.mean(own))}
    return [row(sites, name, found[name], truth[METHODS[name][0]]) for name in METHODS]


def row(sites: int, name: str, found: list[Estimate], truth: float) -> str:
    """Truth, bias and its Monte Carlo error, spread against mean error, coverage."""
    n, value = len(found), np.array([e.value for e in found])
    spread = value.std(ddof=1)
    covered = np.mean([e.low <= truth <= e.high for e in found])
    told = np.sqrt(np.mean([e.se**2 for e in found]))
    return (
        f"| {sites} | {name} | {truth:.4f} | {value.mean() - truth:+.4f} "
        f"({spread / np.sqrt(n):.4f}) | {spread:.4f} | {told:.4f} | "
        f"{100 * covered:.1f} ({100 * np.sqrt(covered * (1 - covered) / n):.1f}) |"
    )


def main() -> None:
    """Run every number of sites and write the page."""
    studies = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    truth = truths(np.random.default_rng(0))
    lines = [
        "# Weights under confounding by motivation and severity",
        "",
        f"{studies} studies of {PEOPLE} people a row (`python scripts/weighting_recovery.py`); "
        "Monte Carlo errors in brackets. Risk difference of use; errors by site.",
        "",
        "| Sites | Method | Truth | Bias | Spread of estimates | Error told | 95% covers, % |",
        "|---|---|---|---|---|---|---|",
        *(line for sites in SITES for line in run(sites, studies, truth)),
        "",
        "Sites differ both in how many move in and in use, independently of each other; the "
        "models do not know the sites. `crude` compares the groups as they are; the truth of "
        "matched pairs is that among the treated who have one.",
    ]
    (HERE / "weighting_recovery.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
