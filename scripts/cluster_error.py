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
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit
from scipy.stats import norm

from recovery_stats.core.dataset import Dataset
from recovery_stats.core.estimate import Estimate
from recovery_stats.engines.glm import least_squares
from recovery_stats.engines.permutation import permute
from recovery_stats.engines.robust import sandwich
from recovery_stats.engines.wild_bootstrap import wild_bootstrap
from recovery_stats.errors import NotEstimable
from recovery_stats.models.comparison import Rivals, clusters_of, primary
from recovery_stats.models.few_clusters import CORRECTIONS, FewClusters
from recovery_stats.models.mixed import lmm
from recovery_stats.models.risk import Family
from recovery_stats.models.sample import Sample, read_sample

STUDIES, LEVEL = 2_000, 0.95
DRAWS = 499  # of a permutation: a p-value of 0.05 is one of its steps
HERE = Path(__file__).resolve().parent
SPREAD: dict[Family, float] = {"binomial": 0.65, "gaussian": 1 / 3}  # SD of log odds, of means
DESIGNS = {"house": "houses randomised", "site": "people randomised within sites"}
NAMES = {
    "z": "z test, ignoring clusters",
    "cr0": "cluster-robust CR0, normal quantile",
    "default": "**the default** (`primary`)",
    "naive": "HC2, ignoring clusters",
    "by_cluster": "CR2, Satterthwaite df",
    "within": "strata, HC2, Satterthwaite df",
    "gee": "GEE, Mancl–DeRouen, t on clusters less coefficients",
    "gee_kauermann_carroll": "GEE, Kauermann–Carroll, Satterthwaite df",
    "gee_mancl_derouen": "GEE, Mancl–DeRouen, Satterthwaite df",
    "gee_fay_graubard": "GEE, Fay–Graubard, Satterthwaite df",
    "summary": "t test on cluster summaries",
    "mixed": "mixed model, Kenward–Roger df",
    "wild": "wild cluster bootstrap, null imposed",
    "permutation": "permutation of what was randomised",
}


@dataclass(frozen=True, slots=True)
class Row:
    """How often each method rejected (`hits`) of the studies in which it had an answer."""

    design: str
    family: str
    clusters: int
    hits: Counter[str]
    answers: Counter[str]


def study(design: str, family: Family, clusters: int, rng: np.random.Generator) -> Dataset:
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


def rejections(
    data: Dataset, design: str, family: Family, rng: np.random.Generator
) -> Iterator[tuple[str, bool]]:
    """Every method that answers, and whether it rejects."""
    arm = data.frame["arm"].to_numpy()
    clusters = clusters_of(data, "house", arm)
    sample = read_sample(data, "y", "arm", cluster=clusters.codes)
    yield from usual(sample)
    strata = clusters.codes if design == "site" else None
    fit = primary(sample, family, strata=strata, level=LEVEL).fit
    found = fit.effect("difference", "default", "", level=LEVEL, rank="primary", method="")
    yield from judged([found])
    yield from judged(rivals(Rivals(sample, clusters, family, LEVEL, "house")))
    yield from mixed(data)
    drawn = "clusters" if design == "house" else "people"
    few = FewClusters(sample, clusters, strata, drawn, LEVEL, "house")
    for kind, name, label in CORRECTIONS:
        yield from judged(few.corrected(kind, name, label))
    yield from resampled(few, rng)


def judged(found: Iterable[Estimate]) -> Iterator[tuple[str, bool]]:
    for estimate in found:
        if np.isfinite(estimate.se):
            yield estimate.name, bool(estimate.low > 0 or estimate.high < 0)


def rivals(of: Rivals) -> Iterator[Estimate]:
    """Rows of the sensitivity table, but for those with one cluster left out."""
    yield from of.of(of.sample.alone(), "naive", "")
    yield from of.of(of.sample, "by_cluster", "")
    if of.clusters.structure == "crossed":
        yield from of.of(of.sample.stratified(), "within", "")
    yield from of.marginal()
    yield from of.summaries()


def resampled(few: FewClusters, rng: np.random.Generator) -> Iterator[tuple[str, bool]]:
    """The wild bootstrap and the permutation, by their p-values."""
    s = few.sample
    p = wild_bootstrap(np.asarray(s.X), np.asarray(s.y), 1, few.clusters.codes, rng).p()
    yield "wild", p <= 1 - LEVEL
    means = s.y if few.drawn == "people" else by_house(s.y, few)
    arm = s.arm if few.drawn == "people" else by_house(s.arm, few)
    strata = few.strata if few.drawn == "people" else None
    yield "permutation", permute(means, arm, strata, rng, draws=DRAWS).p() <= 1 - LEVEL


def by_house(values: np.ndarray, few: FewClusters) -> np.ndarray:
    codes = few.clusters.codes
    return np.asarray(np.bincount(codes, values) / np.bincount(codes))


def usual(sample: Sample) -> Iterator[tuple[str, bool]]:
    """Differences of means against the normal: independent people, and CR0."""
    fit = least_squares(sample.X, sample.y)
    robust = sandwich(sample.X, sample.y - fit.mu, sample.cluster, kind="CR0").covariance
    for name, V in (("z", fit.covariance), ("cr0", robust)):
        yield name, bool(abs(fit.beta[1]) > norm.isf((1 - LEVEL) / 2) * np.sqrt(V[1, 1]))


def mixed(data: Dataset) -> Iterator[tuple[str, bool]]:
    try:
        row = lmm("y ~ arm + (1 | house)", data, df="kenward-roger").tidy().set_index("term")
    except NotEstimable:
        return
    yield "mixed", bool(row.loc["arm", "p_value"] < 1 - LEVEL)


def count(design: str, family: Family, clusters: int, studies: int) -> Row:
    """One column of a table."""
    rng = np.random.default_rng([clusters, len(design), len(family)])
    hits: Counter[str] = Counter()
    answers: Counter[str] = Counter()
    for _ in range(studies):
        data = study(design, family, clusters, rng)
        try:
            for name, rejects in rejections(data, design, family, rng):
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
    asked = [(d, f, c, studies) for d in DESIGNS for f in SPREAD for c in (8, 20)]
    with ProcessPoolExecutor(2) as pool:
        rows = list(pool.map(count, *zip(*asked, strict=True)))
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
