"""Type I error of every offered method with few houses; writes cluster_error.md beside itself.

python scripts/cluster_error.py [STUDIES]          2,000 studies a row by default

No arm does anything. Houses (or sites) have 4 to 14 people and a level of their own: a chance of
the outcome with an intraclass correlation of about 0.1, or a mean with one of 0.1. Arms are drawn
by house (half of the houses each), or person by person within site. A method rejects where its
95 % interval leaves out zero. The rows of the methods come from the functions that
`collaborative_housing` calls; the z test and CR0 with the normal quantile stand for usual practice.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit
from scipy.stats import norm

from recovery_stats.core.dataset import Dataset
from recovery_stats.engines.glm import least_squares
from recovery_stats.engines.robust import sandwich
from recovery_stats.errors import NotEstimable
from recovery_stats.models.comparison import Clusters, Rivals, clusters_of, primary
from recovery_stats.models.mixed import lmm
from recovery_stats.models.sample import Sample, read_sample

STUDIES, LEVEL = 2_000, 0.95
HERE = Path(__file__).resolve().parent
SPREAD = {"binomial": 0.65, "gaussian": 1 / 3}  # SD between clusters: log odds, units of the error
DESIGNS = {"house": "houses randomised", "site": "people randomised within sites"}
NAMES = {
    "z": "z test, ignoring clusters",
    "cr0": "cluster-robust CR0, normal quantile",
    "default": "**the default** (`primary`)",
    "naive": "HC2, ignoring clusters",
    "by_cluster": "CR2, Satterthwaite df",
    "within": "strata, HC2, Satterthwaite df",
    "gee": "GEE, Mancl and DeRouen",
    "summary": "t test on cluster summaries",
    "mixed": "mixed model, Kenward and Roger",
}


@dataclass(frozen=True, slots=True)
class Row:
    """How often each method rejected (`hits`) of the studies in which it had an answer."""

    design: str
    family: str
    clusters: int
    hits: Counter[str]
    answers: Counter[str]


def study(design: str, family: str, clusters: int, rng: np.random.Generator) -> Dataset:
    """One study without any effect."""
    house = np.repeat(np.arange(clusters), rng.integers(4, 15, clusters))
    level = SPREAD[family] * rng.normal(size=clusters)[house]
    if design == "house":
        arm = (rng.permutation(clusters) < clusters // 2)[house]
    else:
        arm = rng.random(house.size) < 0.5
    if family == "binomial":
        y = rng.random(house.size) < expit(-0.4 + level)
    else:
        y = level + rng.normal(size=house.size)
    frame = pd.DataFrame({"y": y.astype(float), "arm": arm.astype(float), "house": house})
    return Dataset(frame)


def rejections(data: Dataset, design: str, family: str) -> Iterator[tuple[str, bool]]:
    """Every method that answers, and whether it rejects."""
    arm = data.frame["arm"].to_numpy()
    clusters = clusters_of(data, "house", arm)
    sample = read_sample(data, "y", "arm", cluster=clusters.codes)
    yield from usual(sample)
    strata = clusters.codes if design == "site" else None
    fit = primary(sample, family, strata=strata, level=LEVEL).fit  # type: ignore[arg-type]
    found = fit.effect("difference", "default", "", level=LEVEL, rank="primary", method="")
    yield "default", found.low > 0 or found.high < 0
    rivals = Rivals(sample, clusters, family, LEVEL, "house")  # type: ignore[arg-type]
    for estimate in rivals.all():
        if estimate.name in NAMES:
            yield estimate.name, estimate.low > 0 or estimate.high < 0
    yield from mixed(data, clusters)


def usual(sample: Sample) -> Iterator[tuple[str, bool]]:
    """Differences of means against the normal: independent people, and CR0."""
    fit = least_squares(sample.X, sample.y)
    robust = sandwich(sample.X, sample.y - fit.mu, sample.cluster, kind="CR0").covariance
    for name, V in (("z", fit.covariance), ("cr0", robust)):
        yield name, bool(abs(fit.beta[1]) > norm.isf((1 - LEVEL) / 2) * np.sqrt(V[1, 1]))


def mixed(data: Dataset, clusters: Clusters) -> Iterator[tuple[str, bool]]:
    try:
        row = lmm("y ~ arm + (1 | house)", data, df="kenward-roger").tidy().set_index("term")
    except NotEstimable:
        return
    yield "mixed", bool(row.loc["arm", "p_value"] < 1 - LEVEL)


def count(design: str, family: str, clusters: int, studies: int) -> Row:
    rng = np.random.default_rng([clusters, len(design), len(family)])
    hits: Counter[str] = Counter()
    answers: Counter[str] = Counter()
    for _ in range(studies):
        data = study(design, family, clusters, rng)
        try:
            for name, rejects in rejections(data, design, family):
                answers[name] += 1
                hits[name] += rejects
        except NotEstimable:
            continue
    return Row(design, family, clusters, hits, answers)


def table(rows: list[Row], design: str) -> Iterator[str]:
    own = [r for r in rows if r.design == design]
    yield f"## {DESIGNS[design].capitalize()}"
    yield ""
    heads = [f"{'yes or no' if r.family == 'binomial' else 'number'}, {r.clusters}" for r in own]
    yield f"| method | {' | '.join(heads)} |"
    yield "|---" * (len(heads) + 1) + "|"
    for name, label in NAMES.items():
        if any(r.answers[name] for r in own):
            yield f"| {label} | {' | '.join(cell(r, name) for r in own)} |"
    yield ""


def cell(row: Row, name: str) -> str:
    n = row.answers[name]
    if not n:
        return "–"
    share = row.hits[name] / n
    return f"{100 * share:.1f} ± {100 * np.sqrt(share * (1 - share) / n):.1f}"


def main() -> None:
    studies = int(sys.argv[1]) if len(sys.argv) > 1 else STUDIES
    rows = [
        count(design, family, clusters, studies)
        for design in DESIGNS
        for family in SPREAD
        for clusters in (8, 20)
    ]
    lines = [
        "# Type I error with few houses",
        "",
        f"{studies:,} simulated studies a column in which no arm does anything; houses or sites of "
        "4 to 14 people with an intraclass correlation of about 0.1. Per cent of studies whose "
        "95 % interval leaves out zero, ± its Monte Carlo standard error; columns: outcome, number "
        "of houses or sites. Made by scripts/cluster_error.py.",
        "",
        *table(rows, "house"),
        *table(rows, "site"),
    ]
    (HERE / "cluster_error.md").write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
