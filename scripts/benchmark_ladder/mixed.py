"""The mixed ladder: from 180 rows to 800,000, nested and crossed, against R and PyPI."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from benchmark_ladder import mixed_data
from benchmark_ladder.mixed_model import FORMULAS
from benchmark_ladder.rung import Ladder, Places, Rung, Seconds, Target, ratio

HERE = Path(__file__).resolve().parent
WORDS = {
    "a": "sleepstudy, 180 rows",
    "b": "300 people × 6 waves, random slope",
    "c": "5,000 × 8 in 20 sites, slopes at both",
    "d": "100,000 × 8, random slope",
    "d2": "the same at scheduled waves with dropout, 651,000 rows",
    "e": "InstEval, three crossed factors, 73,421 rows",
    "logit": "yes or no, 5,000 × 8, random intercept, Laplace",
}
PEERS: Mapping[str, tuple[str, ...]] = {
    "a": ("mixedlm", "mixedlm_rs", "lme_python", "gpboost", "statsmodels"),
    "b": ("mixedlm", "mixedlm_rs", "lme_python", "gpboost", "statsmodels"),
    "c": ("mixedlm", "gpboost"),
    "d": ("mixedlm", "mixedlm_rs", "lme_python", "gpboost"),
    "d2": ("mixedlm", "gpboost"),
    "e": ("mixedlm", "gpboost"),
    "logit": ("mixedlm", "gpboost"),
}
IN_R: Mapping[str, tuple[str, ...]] = {
    "a": ("lme4", "lmerTest", "lmerTest+pbkrtest", "glmmTMB"),
    "b": ("lme4", "lmerTest", "lmerTest+pbkrtest", "glmmTMB"),
    "c": ("lme4", "glmmTMB"),
    "d": ("lme4", "lmerTest"),
    "d2": ("lme4",),
    "e": ("lme4", "glmmTMB"),
    "logit": ("lme4", "glmmTMB"),
}
FIT = {"b": 12.0, "c": 120.0, "d": 90.0, "d2": 150.0, "e": 18.0, "logit": 400.0}
PEER = {"a": 1.0, "b": 3.0, "c": 12.0, "d": 3.5, "d2": 3.5, "e": 4.5, "logit": 2.0}
NOTES = (
    "CPU seconds on one thread, the best of interleaved turns. lme4 is R's whole call; `ours fit` "
    "the engine from arrays, `ours object` formula and frame to the result object, `ours call` "
    "that and the table with Satterthwaite's df. "
    "gpboost fits independent slopes by ML, without standard errors.",
)


def best_peer(name: str, seconds: Seconds) -> float:
    """How many times faster than the fastest Python peer that gave a time."""
    times = [seconds[p] for p in PEERS[name] if p in seconds]
    ours = "ours object" if name == "a" else "ours fit"
    return min(times) / seconds[ours] if times and ours in seconds else float("nan")


def targets(name: str) -> list[Target]:
    found = []
    if name == "a":
        found.append(
            Target("whole call, times faster than lme4", ratio("lme4", "ours object"), 4.0)
        )
    else:
        words = "fit, times faster than " + ("glmer" if name == "logit" else "lme4")
        found.append(Target(words, ratio("lme4", "ours fit"), FIT[name]))
    found.append(Target("against the best Python peer", partial(best_peer, name), PEER[name]))
    if name == "d":
        found.append(Target("whole call, against lmerTest", ratio("lmerTest", "ours call"), 40.0))
        found.append(Target("MB above the data", lambda s: s.get("ours MB", float("nan")), 200.0,
                            at_least=False))  # fmt: skip
    if name in ("b", "c", "d", "d2"):
        bound = 3.0 if name == "c" else 1.5
        found.append(Target("Satterthwaite and Kenward–Roger, in fit times",
                            ratio("ours df", "ours fit"), bound, at_least=False))  # fmt: skip
    return found


def commands(name: str, places: Places) -> dict[str, list[str]]:
    path = str(places.folder / f"{name}.csv")
    found = {"ours": [places.python, "-m", "benchmark_ladder.mixed_ours", name, path]}
    if places.rscript:
        script = str(HERE / "mixed.R")
        for contender in IN_R[name]:
            found[contender] = [places.rscript, script, name, path, contender, FORMULAS[name]]
    if places.peers:
        for peer in PEERS[name]:
            found[peer] = [places.peers, str(HERE / "mixed_peers.py"), name, path, peer]
    return found


def ladder(places: Places) -> Ladder:
    rungs = [
        Rung(
            name,
            words,
            partial(mixed_data.write, name),
            commands(name, places),
            targets(name),
            rounds=2 if name in ("a", "b") else 1,
        )
        for name, words in WORDS.items()
    ]
    return Ladder("mixed", "Mixed models", NOTES, rungs)
