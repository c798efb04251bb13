"""Coverage of marginal models' intervals with few clusters; writes gee_coverage.md beside itself.

python scripts/gee_coverage.py          500 studies a row, a few minutes

Half of the clusters are treated; they have 5 to 25 people, and a chance (or mean) of their own.
The true coefficient is the population's, found by integrating over the clusters.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.special import expit
from scipy.stats import t as student

from recovery_stats.engines.gee import GeeFit, fit
from recovery_stats.engines.mean_law import LAWS, LINKS
from recovery_stats.errors import NotEstimable

STUDIES, LEVEL = 500, 0.95
HERE = Path(__file__).resolve().parent
KINDS = {"none": "CR0", "kauermann-carroll": "CR2", "mancl-derouen": "CR3"}
REFERENCES = ("normal", "clusters", "satterthwaite")
C = np.array([0.0, 1.0])


def study(clusters: int, family: str, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Outcome, columns (intercept, arm) and clusters of one study; the arms are alike."""
    size = rng.integers(5, 26, clusters)
    code = np.repeat(np.arange(clusters), size)
    arm = (code % 2).astype(float)
    if family == "binomial":
        y = (rng.random(code.size) < expit(-0.4 + rng.normal(0, 0.5, clusters)[code])).astype(float)
    else:
        y = rng.normal(0, 0.3, clusters)[code] + rng.normal(size=code.size)
    return y, np.column_stack([np.ones(code.size), arm]), code


def covered(found: GeeFit, reference: str, clusters: int) -> bool:
    """Whether the interval of the arm holds zero, the truth."""
    df = {"normal": np.inf, "clusters": clusters - 2.0}.get(reference) or found.df(C)
    half = student.isf((1 - LEVEL) / 2, df) * np.sqrt(found.covariance[1, 1])
    return bool(abs(found.beta[1]) <= half)


def coverage(clusters: int, family: str) -> dict[tuple[str, str], float]:
    rng = np.random.default_rng(clusters)
    law = LAWS[family]
    hits = {(k, r): 0 for k in KINDS for r in REFERENCES}
    done = 0
    while done < STUDIES:
        y, X, code = study(clusters, family, rng)
        try:
            fits = {k: fit(X, y, law, LINKS[law.link], code, kind=KINDS[k]) for k in KINDS}
        except NotEstimable:
            continue
        done += 1
        for kind, reference in hits:
            hits[kind, reference] += covered(fits[kind], reference, clusters)
    return {key: count / STUDIES for key, count in hits.items()}


def main() -> None:
    error = 100 * np.sqrt(LEVEL * (1 - LEVEL) / STUDIES)
    lines = [
        "# Coverage of marginal models with few clusters",
        "",
        f"{STUDIES:,} simulated studies a row, clusters of 5 to 25 people, exchangeable working "
        f"correlation; per cent of 95 % intervals of the arm's coefficient that hold the truth "
        f"(Monte Carlo error {error:.1f}). Made by scripts/gee_coverage.py.",
        "",
        "| family | clusters | errors | normal | t, clusters − 2 | t, Satterthwaite |",
        "|---|---|---|---|---|---|",
    ]
    for family in ("binomial", "gaussian"):
        for clusters in (6, 10, 20):
            found = coverage(clusters, family)
            for kind in KINDS:
                shares = " | ".join(f"{100 * found[kind, r]:.1f}" for r in REFERENCES)
                lines.append(f"| {family} | {clusters} | {kind} | {shares} |")
    (HERE / "gee_coverage.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
