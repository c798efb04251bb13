"""The data of the survival ladder: invented people followed to relapse, by fixed seeds."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark_ladder.rung import Places

Array = NDArray[np.float64]


def ended(time: Array, censored: Array) -> dict[str, Array]:
    """Whole days of the event or of the end of observation, whichever comes first."""
    event, last = np.ceil(time), np.ceil(censored)
    return {"time": np.minimum(event, last), "event": (event <= last).astype(float)}


def weekly(people: int = 5_000, weeks: int = 52, *, again: bool = False) -> pd.DataFrame:
    """(start, stop] rows of a week: meetings change, in days until relapse or the last visit.

    again: relapse ends the row only, and the person goes on in the next week.
    """
    r = np.random.default_rng(1)
    age = r.normal(38, 11, people).round(0)
    female, housing = (r.random(people) < 0.4) * 1.0, (r.random(people) < 0.35) * 1.0
    severity, prior = r.normal(0, 1, people).round(2), r.poisson(1.2, people) * 1.0
    liking = r.normal(0, 1, people)
    here, meetings = np.ones(people, dtype=bool), np.zeros(people)
    censored = r.integers(220, weeks * 7 + 1, people)
    fixed = 0.3 * severity - 0.35 * housing + 0.1 * prior + 0.1 * female - 0.01 * (age - 38)
    rows = []
    for week in range(weeks):
        rate = np.exp(0.4 + 0.35 * liking - 0.25 * severity + 0.03 * (meetings - 1.5))
        meetings = np.minimum(r.poisson(rate), 7)
        hazard = 0.0010 * np.exp(fixed - 0.15 * meetings) * (1 - 0.004 * week)
        who = np.flatnonzero(here)
        day = np.ceil(r.exponential(1 / hazard)[who]).astype(int)
        begin = 7 * week
        event = (day <= 7) & (begin + day <= censored[who])
        stop = np.where(event, begin + day, np.minimum(begin + 7, censored[who]))
        rows.append(np.column_stack([who, np.full(len(who), begin), stop, event, meetings[who]])
                    [stop > begin])  # fmt: skip
        here[who] = (again | ~event) & (censored[who] > begin + 7)
    table = np.vstack(rows)
    table = table[np.lexsort((table[:, 1], table[:, 0]))]
    who = table[:, 0].astype(int)
    data = pd.DataFrame(table, columns=["id", "start", "stop", "event", "meetings"])
    return data.assign(age=age[who], female=female[who], housing=housing[who],
                       severity=severity[who], prior=prior[who])  # fmt: skip


def moves(people: int = 20_000, states: int = 4) -> pd.DataFrame:
    """Stays of people in states, with moves among them and a last state that nobody leaves."""
    r = np.random.default_rng(6)
    rows = []
    here, clock = np.zeros(people), np.zeros(people)
    last, live = r.integers(300, 731, people), np.arange(people)
    while len(live):
        stay = np.ceil(r.exponential(120, len(live)))
        stop = np.minimum(clock[live] + stay, last[live])
        to = (here[live] + r.integers(1, states, len(live))) % states
        state = np.where(clock[live] + stay < last[live], to + 1, 0)
        rows.append(np.column_stack([live, clock[live], stop, state, here[live] + 1]))
        clock[live] = stop
        here[live] = np.where(state > 0, to, here[live])
        live = live[(state > 0) & (to < states - 1)]
    table = np.vstack(rows)
    table = table[np.lexsort((table[:, 1], table[:, 0]))]
    return pd.DataFrame(table, columns=["id", "start", "stop", "state", "from"])


def million(n: int = 1_000_000) -> pd.DataFrame:
    """Ten covariates, four groups, whole days up to two years: heavy ties."""
    r = np.random.default_rng(2)
    X = r.normal(0, 1, (n, 10))
    X[:, 5:] = X[:, 5:] > 0.3
    X = np.round(X, 3)
    beta = np.array([0.3, -0.2, 0.1, 0.05, 0, 0.4, -0.3, 0.2, -0.1, 0])
    time = r.weibull(1.1, n) * 400 / np.exp(X @ beta / 1.1)
    censored = np.minimum(r.uniform(60, 730, n), 730)
    found = ended(time, censored) | {"group": r.integers(0, 4, n) * 1.0}
    return pd.DataFrame(found | {f"x{j}": X[:, j] for j in range(10)})


def sites(n: int = 20_000, groups: int = 200, variance: float = 0.3) -> pd.DataFrame:
    """People in sites whose hazards differ by a gamma factor."""
    r = np.random.default_rng(3)
    X = r.normal(0, 1, (n, 5))
    X[:, 3:] = X[:, 3:] > 0
    X = np.round(X, 3)
    site = r.integers(0, groups, n)
    frailty = r.gamma(1 / variance, variance, groups)
    hazard = np.exp(X @ np.array([0.3, -0.2, 0.1, 0.25, -0.4])) * frailty[site] / 400
    found = ended(r.exponential(1 / hazard), r.uniform(60, 730, n)) | {"site": site * 1.0}
    return pd.DataFrame(found | {f"x{j}": X[:, j] for j in range(5)})


def marker(n: int = 100_000) -> pd.DataFrame:
    """One marker with four decimals."""
    r = np.random.default_rng(4)
    lp = np.round(r.normal(0, 1, n), 4)
    found = ended(r.exponential(400 / np.exp(0.6 * lp)), r.uniform(60, 730, n))
    return pd.DataFrame(found | {"lp": lp})


def diary(people: int, days: int, seed: int = 5) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One row a person (id, day, relapse, housing) and one row a meeting (id, day)."""
    r = np.random.default_rng(seed)
    last = np.ceil(np.minimum(r.exponential(3 * days, people), r.uniform(days / 2, days, people)))
    rate = np.clip(r.normal(0.35, 0.15, people), 0.02, 0.9)
    went = np.argwhere(r.random((people, days)) < rate[:, None])
    persons = pd.DataFrame({"id": np.arange(people), "day": last,
                            "relapse": (r.random(people) < 0.4) * 1.0,
                            "housing": (r.random(people) < 0.35) * 1.0})  # fmt: skip
    return persons, pd.DataFrame(went[went[:, 1] < last[went[:, 0]]], columns=["id", "day"])


MADE: dict[str, Callable[[], pd.DataFrame]] = {
    "stops": weekly,
    "recurrent": partial(weekly, again=True),
    "multistate": moves,
    "million": million,
    "km": million,
    "logrank": million,
    "aft": million,
    "frailty": sites,
    "pairs": marker,
}
DIARY = {"lags": (300, 365), "days": (4_000, 365)}


def write(name: str, places: Places) -> bool:
    """Write the data of a rung; False where they come from R and R is not here."""
    if name == "lung":
        return _lung(places)
    if name in MADE:
        _keep(MADE[name](), name, places)
    else:
        for table, part in zip(diary(*DIARY[name]), ("", "_meetings"), strict=True):
            _keep(table, name + part, places)
    return True


def _keep(frame: pd.DataFrame, name: str, places: Places) -> None:
    path = places.folder / f"{name}.bin"
    path.with_suffix(".names").write_text(" ".join(frame.columns) + "\n", encoding="utf-8")
    np.ascontiguousarray(frame.to_numpy(dtype=float).T).tofile(path)


def _lung(places: Places) -> bool:
    if places.rscript is None:
        return False
    path = places.folder / "lung.csv"
    code = f'write.csv(survival::lung, "{path}", row.names = FALSE)'
    if subprocess.run([places.rscript, "-e", code], capture_output=True).returncode:
        return False
    _keep(pd.read_csv(path), "lung", places)
    return True
