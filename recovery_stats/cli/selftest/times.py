"""More questions of times: what follows from a fit, ties, penalties, spreads, states."""

from __future__ import annotations

import math
from typing import Any

from recovery_stats.cli.selftest.question import Question, paper, stored, table

EVENT = "Surv(days, cause == 1)"


def _new() -> Any:
    import pandas as pd

    return pd.DataFrame({"x": [0.0], "arm": ["new"]})


def _aft(**options: Any) -> Any:
    from recovery_stats.models.aft import aft

    return aft(f"{EVENT} ~ x + arm", table("people"), **options)


def _cluster_error() -> float:
    found = _aft(cluster="house").tidy().set_index("term")
    return float(found.loc["x", "std_error"])


def _cox(formula: str = "x + arm", **options: Any) -> Any:
    from recovery_stats.models.survival import cox

    return cox(f"{EVENT} ~ {formula}", table("people"), **options)


def _tied() -> float:
    """Two strata of three, two events at once: u/(2u + 1) and 1/(2u + 1), greatest at u = ½."""
    import pandas as pd

    from recovery_stats.models.survival import cox

    data = pd.DataFrame(
        {"days": [1.0, 1, 2] * 2, "event": [1, 1, 0] * 2, "s": ["a"] * 3 + ["b"] * 3}
    )
    data["x"] = [1.0, 0, 0, 0, 0, 1]
    fit = cox("Surv(days, event) ~ x + strata(s)", data, ties="exact")
    return float(fit.tidy()["estimate"].iloc[0])


def _firth() -> float:
    """Two people, x 1 fails first: the penalised likelihood is p^(3/2) (1 - p)^(1/2)."""
    import numpy as np

    from recovery_stats.engines.cox_firth import fit

    found = fit(np.array([[1.0], [0.0]]), np.array([1.0, 2.0]), np.array([1, 1]))
    return float(found.beta[0])


def _standardised() -> float:
    found = _cox().standardise("arm").at(30).set_index("level")
    return float(found.loc["new", "estimate"])


def _growing() -> float:
    from recovery_stats.models.survival import fine_gray

    fit = fine_gray("Surv(days, cause) ~ x + arm", table("people"), cause=1, varying={"arm": "log"})
    return float(fit.tidy()["estimate"].iloc[-1])


def _sites() -> Any:
    import numpy as np

    from recovery_stats.engines.frailty_nested import fit

    people = table("people")
    X = np.column_stack([people["x"], people["arm"] == "usual"]).astype(float)
    house = np.unique(people["house"], return_inverse=True)[1]
    event = (people["cause"] == 1).to_numpy(int)
    return fit(X, people["days"].to_numpy(float), event, house, house // 2)


def _root() -> float:
    import numpy as np

    from recovery_stats.engines.frailty_nested import Nesting

    return float(Nesting.of(np.array([0, 1]), np.array([0, 0])).root(np.array([3.0, 1.0]))[0, 0])


def _scores_between_groups() -> float:
    """Scores 1, 2 | 3, 6: sums about the mean -3 and 3, spread 14/3."""
    import numpy as np

    from recovery_stats.engines.interval_test import compare

    score, group = np.array([1.0, 2.0, 3.0, 6.0]), np.array([0, 0, 1, 1])
    return compare(score, group, 2, 0, np.random.default_rng(1)).statistic


def _drawn_again() -> float:
    """Five of ten survive day 1: the spread of the draws is √(½ · ½ / 10)."""
    import numpy as np

    from recovery_stats.engines.censoring import Censored
    from recovery_stats.engines.turnbull import fit
    from recovery_stats.engines.turnbull_bootstrap import draw

    time = np.repeat([1.0, 2.0], 5)
    rows = Censored(time, time)
    drawn = draw(rows, fit(rows), 100, np.random.default_rng(1)).survival(np.array([1.5]))
    return float(drawn.std())


def _entries() -> float:
    """In the state since days 1, 2, 4, out on days 6, 5, 7: U = -1/3 - 3/2, I = 14/9 + 9/4.

    On day 5 the mean of 1, 2, 4 is 7/3 and who leaves came on day 2; on day 6 the mean of 1, 4 is
    5/2 and who leaves came on day 1.
    """
    import numpy as np

    from recovery_stats.engines.markov import entry_time_test
    from recovery_stats.engines.multistate import Paths

    came, left = np.array([1.0, 2.0, 4.0]), np.array([6.0, 5.0, 7.0])
    paths = Paths(
        np.concatenate([np.zeros(3), came]), np.concatenate([came, left]),
        np.repeat([0, 1], 3), np.repeat([1, 2], 3), np.tile(np.arange(3), 2), np.ones(6), 3,
    )  # fmt: skip
    return entry_time_test(paths, 1, 2)


def _occupied() -> float:
    from recovery_stats.models.survival import transition_models

    data = table("people").assign(zero=0.0, relapse=lambda d: (d["cause"] == 1).astype(int))
    fit = transition_models("Surv(zero, days, relapse) ~ x + arm", data, person="id")
    found = fit.occupation(_new(), times=[30.0])
    return float(found["estimate"].iloc[0])


def _lost_to_relapse() -> float:
    """Of four, one relapses on day 2, one dies on day 4, one relapses on day 6: by day 10."""
    import numpy as np

    from recovery_stats.engines.curves import tabulate
    from recovery_stats.engines.time_lost import time_lost

    table = tabulate(np.array([2.0, 4.0, 6.0, 12.0]), np.array([1, 2, 1, 0]), causes=2)
    return time_lost(table, 0, 10.0)[0]


def _sorted_by_digits() -> float:
    """What differs between numbers sorted by their digits and by comparing them."""
    import numpy as np

    from recovery_stats.engines.digits import MANY, sort_numbers

    x = np.sin(np.arange(float(MANY)))
    return float(np.abs(sort_numbers(x)[1] - np.sort(x)).max())


QUESTIONS: tuple[Question, ...] = (
    Question("aft_curve", "Accelerated failure time: median", stored("aft.median"),
             lambda: float(_aft().median(_new())["median"].iloc[0])),
    Question("aft_residual", "Accelerated failure time: deviance residual",
             stored("aft.deviance"), lambda: float(_aft().residuals("deviance").iloc[0])),
    Question("surface", "Accelerated failure time: restricted mean", stored("aft.rmst"),
             lambda: float(_aft().rmst(60.0)["estimate"].mean())),
    Question("score_sandwich", "Accelerated failure time: standard error, clusters",
             stored("aft.cluster"), _cluster_error),
    Question("cox_exact", "Cox model, exact ties: log hazard ratio", paper(-math.log(2),
             "likelihood u/(2u + 1)², greatest at u = 1/2"), _tied),
    Question("cox_firth", "Cox model, Firth, two people: log hazard ratio", paper(math.log(3),
             "p^(3/2) (1 - p)^(1/2), greatest at p = 3/4"), _firth),
    Question("cox_penalised", "Cox model, smooth term: log likelihood", stored("cox.pspline"),
             lambda: float(_cox("pspline(x, 3)").glance()["log_likelihood"].iloc[0])),
    Question("cox_standardised", "Standardised survival: day 30", stored("cox.standardised"),
             _standardised),
    Question("finegray_time", "Fine-Gray model, effect by log day: log ratio",
             stored("finegray.time"), _growing),
    Question("frailty_nested", "Houses within sites: log likelihood without either",
             stored("cox.loglik"), lambda: float(_sites().loglik_without)),
    Question("frailty_nested", "Houses within sites: root of the covariance",
             paper((math.sqrt(7) + 1) / 2, "eigenvalues 2·3 + 1 and 1"), _root),
    Question("interval_test", "Scores between two groups: chi-squared", paper(27 / 14,
             "(3²/2 + 3²/2)/(14/3)"), _scores_between_groups),
    Question("turnbull_bootstrap", "Turnbull curve, drawn again: standard error",
             paper(math.sqrt(1 / 40), "√(½·½/10), within 4 Monte Carlo errors", 0.045),
             _drawn_again),
    Question("time_lost", "Days lost to relapse, death competing", paper(3.0, "8/4 + 4/4"),
             _lost_to_relapse),
    Question("digits", "Many numbers sorted by their digits: largest error", paper(0.0,
             "the same numbers, compared"), _sorted_by_digits),
    Question("markov", "Time of entry to a state: chi-squared", paper(121 / 137,
             "(11/6)²/(137/36)"), _entries),
    Question("transition", "State occupation given covariates: day 30",
             stored("cox.predicted"), _occupied),
)  # fmt: skip
