"""The data of the imputation ladder: invented people with holes, by fixed seeds."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmark_ladder.rung import Places

HOLES = 0.2


def trait(people: int, numbers: int, yes_or_no: int) -> pd.DataFrame:
    """Numbers and yes/no answers that share three traits."""
    r = np.random.default_rng(1)
    width = numbers + yes_or_no
    y = r.normal(size=(people, 3)) @ r.normal(size=(3, width)) + r.normal(size=(people, width))
    y[:, numbers:] = y[:, numbers:] > 0
    return pd.DataFrame(y, columns=[f"x{j}" for j in range(width)])


def levels(people: int = 2_000) -> pd.DataFrame:
    """Three numbers, two ordered answers and two nominal ones."""
    r = np.random.default_rng(2)
    x = r.normal(size=(people, 3)) + r.normal(size=(people, 1))
    ordered = [np.digitize(x[:, j] + r.logistic(size=people), [-1.5, 0, 1.5]) for j in (0, 1)]
    utility = [x[:, [j]] * [0.0, 0.6, -0.6] + r.gumbel(size=(people, 3)) for j in (1, 2)]
    columns = [*x.T, *ordered, *(u.argmax(axis=1) for u in utility)]
    names = ["x0", "x1", "x2", "o0", "o1", "g0", "g1"]
    return pd.DataFrame(dict(zip(names, columns, strict=True)), dtype=float)


def waves(clusters: int = 200, each: int = 10) -> pd.DataFrame:
    """Rows in clusters with levels and residual variances of their own."""
    r = np.random.default_rng(3)
    cluster = np.repeat(np.arange(clusters), each)
    u = r.normal(size=clusters)[cluster]
    x = r.normal(size=cluster.size) + 0.5 * u
    spread = np.exp(0.3 * r.normal(size=clusters))[cluster]
    y = 0.5 * x + u + spread * r.normal(size=cluster.size)
    return pd.DataFrame({"cluster": cluster.astype(float), "x": x, "y": y})


MAKERS = {
    "mixed": lambda: trait(5_000, 5, 5),
    "numbers": lambda: trait(5_000, 10, 0),
    "small": lambda: trait(100, 3, 2),
    "levels": levels,
    "clusters": waves,
}


def write(name: str, places: Places) -> bool:
    """A CSV with holes in every column but `cluster`."""
    data, r = MAKERS[name](), np.random.default_rng(4)
    for column in data.columns.drop("cluster", errors="ignore"):
        data.loc[r.random(len(data)) < HOLES, column] = np.nan
    data.to_csv(places.folder / f"{name}.csv", index=False, na_rep="NA")
    return True
