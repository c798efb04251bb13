"""The survival ladder: 228 rows to a million, curves, tests, diaries, against R and PyPI."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from benchmark_ladder import survival_data
from benchmark_ladder.rung import Ladder, Places, Rung, Seconds, Target, ratio
from benchmark_ladder.survival_model import FORMULAS, IN_A_ROW, REPEATS

HERE = Path(__file__).resolve().parent
WORDS = {
    "lung": "Cox, lung, 228 rows",
    "stops": "Cox, 187,000 (start, stop] rows of 5,000 people, 6 covariates",
    "million": "Cox, 1,000,000 rows, 10 covariates, 727 distinct times",
    "recurrent": "repeated events, (start, stop] rows of 5,000 people, errors robust by person",
    "multistate": "Aalen-Johansen of 4 states with its errors, 20,000 people",
    "km": "Kaplan-Meier, 1,000,000 rows, 4 groups",
    "logrank": "log-rank, 1,000,000 rows, 4 groups",
    "frailty": "Cox with gamma frailty, 200 sites × 100",
    "pairs": "concordance with its error, 100,000 rows",
    "lags": "weighted cumulative exposure, a spline over 28 days",
    "days": "person-days of a diary with three windows",
    "aft": "Weibull regression, 1,000,000 rows, 10 covariates",
}
PEERS: Mapping[str, tuple[str, ...]] = {
    "lung": ("lifelines", "sksurv", "statsmodels"),
    "stops": ("lifelines", "statsmodels"),
    "million": ("lifelines",),
    "km": ("lifelines", "sksurv", "statsmodels"),
    "logrank": ("lifelines", "sksurv", "statsmodels"),
    "pairs": ("lifelines", "sksurv"),
    "aft": ("lifelines",),
}
COX = ("lung", "stops", "million")
BOUND = {"lung": 0.5, "stops": 0.08, "million": 0.08, "km": 0.03, "logrank": 0.02,
         "frailty": 0.06, "pairs": 0.6, "aft": 1.0, "recurrent": 1.0,
         "multistate": 1.0}  # fmt: skip
NOTES = (
    "CPU seconds on one thread, the best of interleaved turns; ratios are ours ÷ R survival's "
    "top-level call, so less is better. R's coxph holds the concordance; ours finds it when it is "
    "asked for, and both are given. R's frailty is run until it converges (eps = 1e-9, up to 100 "
    "outer steps). `lags` and `days` have no peer in R: seconds for the rows named.",
)


def per_million(seconds: Seconds) -> float:
    """Seconds for a million rows."""
    if "ours" not in seconds:
        return float("nan")
    return seconds["ours"] / seconds["rows"] * 1e6


def targets(name: str) -> list[Target]:
    if name == "lags":
        return [Target("seconds for 77,038 rows", lambda s: per_million(s) * 0.077038, 0.05, False)]
    if name == "days":
        return [Target("seconds for a million person-days", per_million, 1.0, False)]
    found = [Target("ours ÷ R", ratio("ours", "R"), BOUND[name], False)]
    if name in COX:
        words = "ours with concordance ÷ R"
        found.append(Target(words, ratio("ours with concordance", "R"), BOUND[name], False))
    if name in PEERS:
        found.append(
            Target("ours ÷ the best Python peer", partial(against_peers, name), 1.0, False)
        )
    return found


def against_peers(name: str, seconds: Seconds) -> float:
    """Ours over the fastest Python peer that gave a time."""
    times = [seconds[p] for p in PEERS[name] if p in seconds]
    return seconds["ours"] / min(times) if times and "ours" in seconds else float("nan")


def commands(name: str, places: Places) -> dict[str, list[str]]:
    path = str(places.folder / f"{name}.bin")
    found = {"ours": [places.python, "-m", "benchmark_ladder.survival_ours", name, path]}
    if places.rscript and name in BOUND:
        found["R"] = [places.rscript, str(HERE / "survival.R"), name, path, FORMULAS[name],
                      str(REPEATS.get(name, 3)), str(IN_A_ROW.get(name, 1))]  # fmt: skip
    if places.peers:
        for peer in PEERS.get(name, ()):
            found[peer] = [places.peers, str(HERE / "survival_peers.py"), name, path, peer]
    return found


def ladder(places: Places) -> Ladder:
    rungs = [
        Rung(
            name,
            words,
            partial(survival_data.write, name),
            commands(name, places),
            targets(name),
            rounds=1 if name in ("million", "aft", "km", "logrank") else 2,
        )
        for name, words in WORDS.items()
    ]
    return Ladder("survival", "Survival", NOTES, rungs)
