"""How often are kinds of houses called different when they are not? Writes house_kinds.md.

python scripts/house_kinds.py [DRAWS]                200 cohorts a row by default

Six residents a house, houses alike by an intraclass correlation of .10, a characteristic that
does nothing, and a covariate whose slope differs between houses (SD 0.5) but not by kind. Naive:
least squares that counts residents.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

for threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(threads, "1")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402

HERE = Path(__file__).resolve().parent
DRAWS, RESIDENTS, ICC, SD_SLOPE = 200, 6, 0.10, 0.5
ROWS = ((8, True), (20, True), (12, False))  # houses, and whether in one arm alone


def cohort(houses: int, one_arm: bool, rng: np.random.Generator) -> tuple[pd.DataFrame, ...]:
    """People and houses."""
    house = np.repeat(np.arange(houses), RESIDENTS)
    w, u, v = rng.normal(size=(3, houses))
    x = rng.normal(size=len(house))
    y = u[house] * np.sqrt(ICC / (1 - ICC)) + SD_SLOPE * v[house] * x + rng.normal(size=len(house))
    people = pd.DataFrame({"house": house * 1.0, "arm": 1 if one_arm else house % 2, "x": x,
                           "y": y})  # fmt: skip
    if one_arm:
        alone = people.assign(house=np.nan, arm=0, x=rng.normal(size=len(x)),
                              y=rng.normal(size=len(x)))  # fmt: skip
        people = pd.concat([people, alone], ignore_index=True)
    return people, pd.DataFrame({"house": np.arange(houses) * 1.0, "w": w})


def rejected(houses: int, one_arm: bool, seed: int) -> tuple[bool, ...]:
    """Effect: ours, CR2, naive; slope: ours, CR2, naive."""
    import recovery_stats as rs
    from recovery_stats.models.linear import ols

    people, homes = cohort(houses, one_arm, np.random.default_rng([houses, one_arm, seed]))
    found = rs.house_moderators(
        people, homes, outcome="y", arm="arm", house="house", by=["w"], cross_level=["x"]
    ).tests()
    joined = people.merge(homes, on="house", how="left").assign(w=lambda d: d["w"].fillna(0.0))
    effect = ols("y ~ arm + arm:w" if one_arm else "y ~ arm * w", joined).tidy().iloc[-1]
    slope = ols("y ~ x * w", joined[joined["house"].notna()]).tidy().iloc[-1]
    p = (*found.loc[0, ["p_value", "p_cr2"]], effect["p_value"],
         *found.loc[1, ["p_value", "p_cr2"]], slope["p_value"])  # fmt: skip
    return tuple(bool(value < 0.05) for value in p)


def main(draws: int) -> None:
    """One row a setting."""
    lines = [
        "# Kinds of houses that do not differ",
        "",
        f"Per cent of {draws} cohorts a row in which a characteristic of houses that does nothing "
        f"was called significant at 5 %, ± Monte Carlo standard error. {RESIDENTS} residents a "
        f"house, intraclass correlation {ICC:g}; the slope of the covariate differs between houses "
        f"(SD {SD_SLOPE:g}), not by kind. Made by scripts/house_kinds.py.",
        "",
        "| Houses | Effect by kind | CR2 | naive | Slope by kind | CR2 | naive |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for houses, one_arm in ROWS:
        found = np.array([rejected(houses, one_arm, seed) for seed in range(draws)])
        share = found.mean(axis=0)
        error = np.sqrt(share * (1 - share) / draws)
        cells = [f"{100 * s:.1f} ± {100 * e:.1f}" for s, e in zip(share, error, strict=True)]
        where = "in one arm" if one_arm else "in both arms"
        lines.append(f"| {houses}, {where} | " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
    (HERE / "house_kinds.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else DRAWS)
