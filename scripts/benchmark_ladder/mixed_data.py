"""The data of the mixed ladder: people over waves with random slopes, by fixed seeds."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pandas as pd

from benchmark_ladder.rung import Places


def panel(
    people: int, waves: int, seed: int, *, extra: bool, sites: int = 0, jitter: bool = True
) -> pd.DataFrame:
    """`waves` rows a person; intercept and slope vary by person, and by site where there are."""
    r = np.random.default_rng(seed)
    person = np.repeat(np.arange(people), waves)
    wave = np.tile(np.arange(waves), people).astype(float)
    time = wave + (r.uniform(-0.25, 0.25, people * waves) if jitter else 0)
    time[wave == 0] = 0
    n = people * waves
    meet = np.clip(np.repeat(r.normal(2.5, 1, people), waves) + r.normal(0, 0.7, n), 0, 7)
    satisf = np.repeat(r.normal(0, 1, people), waves) + r.normal(0, 0.6, n)
    housing = np.repeat((r.random(people) < 0.4).astype(float), waves)
    age = np.repeat(r.normal(0, 1, people), waves)
    sex = np.repeat((r.random(people) < 0.45).astype(float), waves)
    effect = r.normal(size=(people, 2)) @ np.linalg.cholesky([[1.2, -0.12], [-0.12, 0.09]]).T
    y = 10 - 0.35 * time - 0.4 * meet - 0.6 * satisf - 0.8 * housing
    if extra:
        y = y + 0.15 * age + 0.3 * sex
    y = y + effect[person, 0] + effect[person, 1] * time + r.normal(0, 1.5, n)
    columns = {
        "id": person, "time": time, "satisf": satisf, "meet": meet, "housing": housing,
        "age": age, "sex": sex,
    }  # fmt: skip
    if sites:
        of_person = r.integers(0, sites, people)
        shift = r.normal(size=(sites, 2)) * np.array([0.7, 0.12])
        site = np.repeat(of_person, waves)
        y = y + shift[site, 0] + shift[site, 1] * time
        columns["site"] = site
    columns["y"] = y
    return pd.DataFrame(columns)


def scheduled() -> pd.DataFrame:
    """The largest panel at scheduled waves, with dropout and missed waves."""
    data = panel(100_000, 8, 13, extra=True, jitter=False)
    r = np.random.default_rng(5)
    wave = np.asarray(data.index) % 8
    last = np.where(r.random(100_000) < 0.6, 8, r.integers(2, 9, 100_000))
    kept = wave < np.repeat(last, 8)
    missed = r.random(len(data)) < 0.05
    return data[kept & ~(missed & (wave > 0))].reset_index(drop=True)


def yes_no() -> pd.DataFrame:
    """A yes or no at every wave, with a random intercept on the logit scale."""
    data = panel(5_000, 8, 22, extra=True)
    r = np.random.default_rng(22)
    effect = r.normal(size=5_000) * 1.1
    eta = -0.6 - 0.15 * data.time + 0.35 * data.satisf + 0.2 * data.meet + 0.3 * data.housing
    eta = eta + effect[data.id]
    data["y"] = (r.random(len(data)) < 1 / (1 + np.exp(-eta))).astype(int)
    return data


MADE = {
    "b": lambda: panel(300, 6, 11, extra=False),
    "c": lambda: panel(5_000, 8, 12, extra=True, sites=20),
    "d": lambda: panel(100_000, 8, 13, extra=True),
    "d2": scheduled,
    "logit": yes_no,
}
FROM_R = {
    "a": "d <- lme4::sleepstudy",
    "e": "d <- lme4::InstEval; d$ds <- interaction(d$dept, d$service)",
}


def write(name: str, places: Places) -> bool:
    """Write the data of a rung as CSV; False where they come from R and R is not here."""
    path = places.folder / f"{name}.csv"
    if name in MADE:
        MADE[name]().to_csv(path, index=False)
        return True
    return _from_r(name, places.rscript, path)


def _from_r(name: str, rscript: str | None, path: Path) -> bool:
    if rscript is None:
        return False
    code = f'suppressMessages({{{FROM_R[name]}; write.csv(d, "{path}", row.names = FALSE)}})'
    done = subprocess.run([rscript, "-e", code], capture_output=True)
    return done.returncode == 0 and path.exists()
