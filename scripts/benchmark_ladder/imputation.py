"""The imputation ladder: tables completed 20 times, against R's mice."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from benchmark_ladder import imputation_data
from benchmark_ladder.rung import Ladder, Places, Rung, Target, ratio

HERE = Path(__file__).resolve().parent
WORDS = {
    "mixed": "5,000 × 10, matching and logistic, 20 tables, 5 sweeps",
    "numbers": "5,000 × 10, matching alone, 20 tables, 5 sweeps",
    "small": "100 × 5, matching and logistic, 20 tables, 5 sweeps",
    "levels": "2,000 × 7, matching, proportional odds, multinomial, 5 tables, 5 sweeps",
    "clusters": "2,000 × 3 in 200 clusters, variances of their own, 5 tables, 5 sweeps",
}
TABLES = {"levels": 5, "clusters": 5}
BOUND = {"mixed": 10.0, "numbers": 10.0, "small": 10.0, "levels": 10.0, "clusters": 10.0}
NOTES = (
    "CPU seconds on one thread, from the table with holes to the completed tables, the best of "
    "interleaved turns; ratios are mice ÷ ours, so more is better. A fifth of the cells of every "
    "column is missing. Coefficients of proportional odds and multinomial models are drawn here "
    "and held at their estimates in mice, which is less work there; its `2l.norm` starts its "
    "sampler anew at every visit, ours goes on.",
)


def commands(name: str, places: Places) -> dict[str, list[str]]:
    given = [name, str(places.folder / f"{name}.csv"), str(TABLES.get(name, 20)), "5"]
    found = {"ours": [places.python, "-m", "benchmark_ladder.imputation_ours", *given]}
    if places.rscript:
        found["mice"] = [places.rscript, str(HERE / "imputation.R"), *given]
    return found


def ladder(places: Places) -> Ladder:
    rungs = [rung(name, words, places) for name, words in WORDS.items()]
    return Ladder("impute", "Imputation", NOTES, rungs)


def rung(name: str, words: str, places: Places) -> Rung:
    target = Target("mice ÷ ours", ratio("mice", "ours"), BOUND[name])
    make = partial(imputation_data.write, name)
    return Rung(name, words, make, commands(name, places), [target])
