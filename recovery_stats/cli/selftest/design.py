"""Questions of designs: arms, weights, strategies, missing values, panels, evidence."""

from __future__ import annotations

import math
from typing import Any

from recovery_stats.cli.selftest.question import Question, paper, stored, table


def _arms() -> float:
    from recovery_stats.models.arms import compare_arms

    return float(
        compare_arms(table("people"), "y", "arm", reference="usual").tidy()["estimate"].iloc[0]
    )


def _weights() -> float:
    from recovery_stats.models.propensity import propensity_weights

    return float((propensity_weights("treated ~ x", table("people")).weights ** 2).sum())


def _matches() -> float:
    """Twins that differ in nothing but treatment: everyone finds a match."""
    import pandas as pd

    from recovery_stats.models.propensity_match import propensity_match

    x = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0] * 2
    data = pd.DataFrame({"arm": [0] * 6 + [1] * 6, "x": x})
    data["y"] = data["x"] + 3.0 * data["arm"]
    return propensity_match("arm ~ x", data).estimates("y")[0].value


def _wald() -> float:
    """Half of the assigned move in, nobody else; means 4 and 3."""
    import pandas as pd

    from recovery_stats.models.instrument import complier_effect

    data = pd.DataFrame(
        {"arm": [1] * 4 + [0] * 4, "moved": [1, 1, 0, 0] + [0] * 4,
         "y": [6.0, 4, 3, 3, 2, 4, 3, 3]}
    )  # fmt: skip
    return float(
        complier_effect(data, outcome="y", assigned="arm", treatment="moved").engine.effect
    )


def measured() -> Any:
    """Six people measured twice: the treated rise by 4, the others by 1."""
    import pandas as pd

    from recovery_stats.models.staggered import difference_in_differences

    y = [1.0, 5, 2, 6, 3, 7, 1, 2, 3, 4, 5, 6]
    unit = [u for u in range(6) for _ in range(2)]
    data = pd.DataFrame({"unit": unit, "time": [1, 2] * 6, "y": y})
    data["first"] = [2.0 if u < 3 else math.nan for u in unit]
    return difference_in_differences("y", data, unit="unit", time="time", first="first")


def emulated() -> tuple[Any, Any]:
    """Two people, one of whom relapses on day 2, before a block is over; and both strategies."""
    import numpy as np

    from recovery_stats.engines.strategy import emulate
    from recovery_stats.engines.strategy_course import Course, Strategy

    count = np.array([[np.nan] * 5, [3.0] * 5])
    people = Course(
        np.array([2.0, 20.0]), np.array([1, 0]), np.zeros(2, bool), count, np.zeros((2, 5, 0)),
        np.arange(2), 4, np.ones(2),
    )  # fmt: skip
    plans = (Strategy("many", 3, 4), Strategy("few", 0, 2))
    return people, emulate(people, plans, days=20, grace=0).weigh(np.ones(2))


def _kernel_shape() -> float:
    """Two meetings, one half-life ago each: 2 · 1/2."""
    import numpy as np

    from recovery_stats.engines.kernel import Exposed, Kernel

    who, day = np.array([0]), np.array([5])
    rows = Exposed.of(who, day, np.array([0]), np.array([3]), np.array([2.0]))
    return float(Kernel.of("sum", rows).at(2.0)[0])


def _kernel_likelihood() -> float:
    """With an exposure that does not change, the model by person-days is the Cox model."""
    import numpy as np

    from recovery_stats.engines.kernel_cox import Days, maximise

    people = table("people").sort_values("id")
    days = people["days"].to_numpy(int)
    row = np.repeat(np.arange(len(days)), days)
    day = np.arange(len(row)) - np.repeat(np.cumsum(days) - days, days) + 1
    event = (day == days[row]) & (people["cause"].to_numpy() == 1)[row]
    usual = (people["arm"] == "usual").to_numpy(float)[row][:, None]
    rows, kept = Days.of(usual, day, event.astype(float))
    at, _ = maximise(rows, people["x"].to_numpy()[row][kept][None])
    return float(at[1])


def _after_loss() -> float:
    """Where loss changes nothing it is the Kaplan-Meier estimate: 3/4 · 1/2."""
    import numpy as np

    from recovery_stats.engines.lost import free_after_loss

    time, event = np.array([1.0, 2.0, 3.0, 4.0]), np.array([True, False, True, False])
    lost = np.array([False, True, False, False])
    return float(free_after_loss(time, event, lost, np.ones(4), (1.0,), 3.0)[0])


def gaps() -> Any:
    import numpy as np
    import pandas as pd

    people = table("people")
    seen = np.arange(len(people)) % 3 > 0
    return pd.DataFrame({"x": people["x"], "y": people["y"].where(seen)})


def _anderson() -> float:
    """Mean of the incomplete column less Anderson's: ȳ + slope (x̄ of all - x̄ of the seen)."""
    from recovery_stats.engines.normal_missing import fit

    return float(fit(gaps().to_numpy()).mean[1]) - regressed()


def regressed() -> float:
    import numpy as np

    data = gaps()
    seen = data.dropna()
    slope = np.polyfit(seen["x"], seen["y"], 1)[0]
    return float(seen["y"].mean() + slope * (data["x"].mean() - seen["x"].mean()))


def _imputed() -> float:
    """Mean of the mean over 100 imputations, less Anderson's; Monte Carlo error 0.0114."""
    import numpy as np

    from recovery_stats.models.imputation import impute

    found = impute(gaps(), 100, seed=1, methods={"y": "normal"}, sweeps=1)
    return float(np.mean([found[i]["y"].mean() for i in range(100)])) - regressed()


def _pooled(column: str) -> float:
    import pandas as pd

    from recovery_stats.models.pool_table import pool_table

    rows = zip((1.0, 2.0, 4.0, 3.0), (1.0, 2.0, 1.0, 2.0), strict=True)
    tables = [
        pd.DataFrame({"term": ["a"], "estimate": [e], "std_error": [math.sqrt(v)]}) for e, v in rows
    ]
    return float(pool_table(tables, df_complete=48).tidy()[column].iloc[0])


def _adjusted() -> float:
    from recovery_stats.models.multiplicity import adjust_p

    return float(adjust_p([0.01, 0.02, 0.03, 0.05], "by")[0])


def _one_contrast() -> float:
    import numpy as np

    from recovery_stats.engines.simultaneous import largest_sf

    return float(largest_sf(1.959963984540054, np.eye(1), math.inf))


def _e_value() -> float:
    from recovery_stats.models.risk import e_value

    return e_value(2.0)


def _odds() -> float:
    from recovery_stats.models.published import two_by_two

    found = two_by_two(30, 100, 10, 100).tidy().set_index("term")
    return float(found.loc["odds_ratio", "estimate"])


def _change() -> float:
    """Jacobson and Truax: 15 / (7.5 √(2 · 0.2))."""
    import pandas as pd

    from recovery_stats.models.reliable_change import reliable_change

    data = pd.DataFrame({"before": [32.5], "after": [47.5]})
    found = reliable_change(data, "before", "after", reliability=0.8, better="higher", sd=7.5)
    return float(found.people["index"].iloc[0])


SQUARED = "Anderson 1957: ȳ + slope·(x̄ of all - x̄ of those seen)"
QUESTIONS: tuple[Question, ...] = (
    Question("robust", "Two arms: difference of means", stored("arms.welch"), _arms),
    Question("propensity", "Propensity weights: sum of squares", stored("weights.ate"),
             _weights),
    Question("matching", "Matched twins: effect", paper(3.0, "every pair differs by 3"),
             _matches),
    Question("instrument", "Effect in compliers", paper(2.0, "Wald's ratio: 1 / (1/2)"), _wald),
    Question("staggered", "Difference in differences", paper(3.0, "4 - 1"),
             lambda: float(measured().overall().value)),
    Question("strategy", "Clone, censor, weight: event in mid block", paper(0.5,
             "one of two people"), lambda: float(emulated()[1][0].incidence[0, 2])),
    Question("kernel", "Protection that fades: two meetings", paper(1.0, "2 · 2^(-1)"),
             _kernel_shape),
    Question("kernel_cox", "Hazard by person-days: log hazard ratio", stored("cox.estimate"),
             _kernel_likelihood),
    Question("lost", "Survival after loss", paper(3 / 8, "3/4 · 1/2"), _after_loss),
    Question("normal_missing", "Mean with gaps, less Anderson's", paper(0.0, SQUARED, 1e-6),
             _anderson),
    Question("impute", "Mean of 100 imputations, less Anderson's", paper(0.0,
             SQUARED + "; within 4 Monte Carlo errors of 0.0114", 0.046), _imputed),
    Question("rubin", "Rubin's rules: standard error", stored("pool.std_error"),
             lambda: _pooled("std_error")),
    Question("rubin", "Rubin's rules: Barnard-Rubin df", stored("pool.df"),
             lambda: _pooled("df")),
    Question("multiplicity", "Benjamini and Yekutieli's p", stored("adjust.by"), _adjusted),
    Question("simultaneous", "One contrast: two-sided p", paper(0.05, "2·(1 - Φ(1.96))"),
             _one_contrast),
    Question("risk", "E-value of a ratio of 2", paper(2 + math.sqrt(2), "RR + √(RR(RR - 1))"),
             _e_value),
    Question("published", "Odds ratio of a table", paper(27 / 7, "(30·90)/(10·70)"), _odds),
    Question("reliable_change", "Reliable-change index", paper(15 / (7.5 * math.sqrt(0.4)),
             "15/(7.5·√(2·0.2))"), _change),
)  # fmt: skip
