"""Questions of times: Cox, curves, competing risks, frailty, laws, intervals, states, events."""

from __future__ import annotations

import math
from typing import Any

from recovery_stats.cli.selftest.question import Question, paper, stored, table

EVENT = "Surv(days, cause == 1)"


def _first(frame: Any, column: str = "estimate", term: str | None = None) -> float:
    rows = frame if term is None else frame.set_index("term").loc[[term]]
    return float(rows[column].iloc[0])


def _three() -> float:
    """Three people, no ties: the likelihood is u / (2u + 1) / (1 + u), greatest at u² = ½."""
    import pandas as pd

    from recovery_stats.models.survival import cox

    data = pd.DataFrame({"days": [1.0, 2.0, 3.0], "event": [1, 1, 1], "x": [1.0, 0.0, 1.0]})
    return _first(cox("Surv(days, event) ~ x", data).tidy())


def _cox(column: str, **options: Any) -> float:
    from recovery_stats.models.survival import cox

    return _first(cox(f"{EVENT} ~ x + arm", table("people"), **options).tidy(), column, "x")


def _curve(day: float) -> float:
    """Four people, one censored on day 2: survival ¾ after day 1, ⅜ after day 3."""
    import pandas as pd

    from recovery_stats.models.survival import kaplan_meier

    data = pd.DataFrame({"days": [1.0, 2.0, 3.0, 4.0], "event": [1, 0, 1, 1]})
    return _first(kaplan_meier("Surv(days, event) ~ 1", data).at(day))


def _people_curve() -> float:
    from recovery_stats.models.survival import kaplan_meier

    return _first(kaplan_meier(f"{EVENT} ~ 1", table("people")).at(30))


def _logrank(weigh: Any = "logrank") -> float:
    from recovery_stats.models.survival import logrank

    return _first(logrank(f"{EVENT} ~ arm", table("people"), weigh=weigh).tidy(), "statistic")


def _logrank_of_four() -> float:
    """Groups {1, 3}, {2, 4}, all events: O - E = 2 - 4/3, V = 1/4 + 2/9 + 1/4."""
    import pandas as pd

    from recovery_stats.models.survival import logrank

    data = pd.DataFrame({"days": [1.0, 3.0, 2.0, 4.0], "event": 1, "g": ["a", "a", "b", "b"]})
    return _first(logrank("Surv(days, event) ~ g", data).tidy(), "statistic")


def _incidence() -> float:
    from recovery_stats.models.survival import cumulative_incidence

    found = cumulative_incidence("Surv(days, cause) ~ 1", table("people")).at(30)
    return _first(found[found["cause"].astype(str) == "1"])


def _gray() -> float:
    from recovery_stats.models.survival import gray_test

    found = gray_test("Surv(days, cause) ~ arm", table("people")).tidy()
    return _first(found[found["cause"].astype(str) == "1"], "statistic")


def _fine_gray(column: str) -> float:
    from recovery_stats.models.survival import fine_gray

    found = fine_gray("Surv(days, cause) ~ x + arm", table("people"), cause=1)
    return _first(found.tidy(), column, "x")


def _frailty() -> float:
    from recovery_stats.models.survival import cox

    fit: Any = cox(f"{EVENT} ~ x + frailty(house)", table("people"))
    return float(fit.theta)


def _aft(what: str) -> float:
    from recovery_stats.models.aft import aft

    fit = aft(f"{EVENT} ~ x + arm", table("people"))
    return float(fit.scale[0]) if what == "scale" else _first(fit.tidy(), "estimate", "x")


def _flexible() -> float:
    from recovery_stats.models.flexible import flexible_survival

    fit = flexible_survival(f"{EVENT} ~ x + arm", table("people"), df=1)
    return _first(fit.glance(), "log_likelihood")


def _turnbull() -> float:
    from recovery_stats.models.turnbull import turnbull

    found = turnbull("Surv(low, high, type='interval2') ~ 1", table("people"), errors="none")
    return _first(found.at([42]))


def _concordance() -> float:
    from recovery_stats.models.survival import concordance

    return _first(concordance(f"{EVENT} ~ x", table("people"), reverse=True).tidy())


def _discrete() -> float:
    from recovery_stats.models.discrete import discrete_time

    visits = [14.0 * k for k in range(1, 6)]
    fit = discrete_time("Surv(low, high, type='interval2') ~ x", table("people"), visits=visits)
    return _first(fit.tidy(), "estimate", "x")


def _recurrent(column: str) -> float:
    from recovery_stats.models.survival import recurrent

    fit = recurrent("Surv(start, stop, event) ~ x", table("events"), person="id")
    return _first(fit.tidy(), column, "x")


def _mean_cumulative() -> float:
    from recovery_stats.models.survival import mean_cumulative

    found = mean_cumulative("Surv(start, stop, event) ~ 1", table("events"), person="id")
    return _first(found.at(30))


def _multistate() -> float:
    """From one state with two ends it is the Aalen-Johansen estimate of the first."""
    from recovery_stats.models.survival import multistate

    fit = multistate("Surv(zero, days, cause) ~ 1", table("people").assign(zero=0.0), person="id")
    found = fit.at(30)
    return _first(found[found["state"].astype(str) == "1"])


def _transition() -> float:
    """A chain of one possible event is the Cox model of that event."""
    from recovery_stats.models.survival import transition_models

    data = table("people").assign(zero=0.0, relapse=lambda d: (d["cause"] == 1).astype(int))
    fit = transition_models("Surv(zero, days, relapse) ~ x + arm", data, person="id")
    return float(fit.beta[[t.startswith("x:") for t in fit.terms].index(True)])


def _censoring() -> float:
    """One of four is lost on day 1: whoever stays has weight e to the hazard of loss."""
    import pandas as pd

    from recovery_stats.models.survival import censoring_weights

    days = {"id": [1, 2, 3, 4], "days": [1.0, 2.0, 2.0, 2.0], "lost": [1, 0, 0, 0]}
    data = pd.DataFrame({**days, "event": [0, 1, 1, 1]})
    found = censoring_weights(
        "Surv(days, lost) ~ 1", data, person="id", event="event", stabilise=None
    )
    return float(found.tidy()["max"].iloc[0])


AALEN = "two ends from one state: " + stored("cif.day30").source
QUESTIONS: tuple[Question, ...] = (
    Question("cox", "Cox model, three people: log hazard ratio", paper(-math.log(2) / 2,
             "likelihood u/((2u + 1)(1 + u)), greatest at u² = 1/2"), _three),
    Question("cox", "Cox model: log hazard ratio", stored("cox.estimate"),
             lambda: _cox("estimate")),
    Question("cox", "Cox model: standard error", stored("cox.std_error"),
             lambda: _cox("std_error")),
    Question("cox", "Cox model: standard error, clusters", stored("cox.cluster"),
             lambda: _cox("std_error", cluster="house")),
    Question("curves", "Kaplan-Meier, four people: day 1", paper(3 / 4, "1 - 1/4"),
             lambda: _curve(1)),
    Question("curves", "Kaplan-Meier, four people: day 3", paper(3 / 8, "3/4 · 1/2"),
             lambda: _curve(3)),
    Question("curves", "Kaplan-Meier: day 30", stored("km.day30"), _people_curve),
    Question("curves", "Log-rank test, two groups of two", paper((2 - 4 / 3) ** 2 / (13 / 18),
             "(O - E)²/V, V = 1/4 + 2/9 + 1/4"), _logrank_of_four),
    Question("curves", "Log-rank test", stored("logrank"), _logrank),
    Question("curves", "Cumulative incidence: day 30", stored("cif.day30"), _incidence),
    Question("gray", "Gray's test", stored("gray"), _gray),
    Question("finegray", "Fine-Gray model: log ratio", stored("finegray.estimate"),
             lambda: _fine_gray("estimate")),
    Question("finegray", "Fine-Gray model: standard error", stored("finegray.std_error"),
             lambda: _fine_gray("std_error")),
    Question("frailty", "Gamma frailty: variance", stored("frailty.variance"), _frailty),
    Question("aft", "Accelerated failure time: coefficient", stored("aft.estimate"),
             lambda: _aft("estimate")),
    Question("aft", "Accelerated failure time: scale", stored("aft.scale"),
             lambda: _aft("scale")),
    Question("royston_parmar", "Royston-Parmar, one df: log likelihood",
             stored("weibull.loglik"), _flexible),
    Question("turnbull", "Turnbull curve: day 42", stored("turnbull.day42"), _turnbull),
    Question("discrete_hazard", "Discrete-time model: log hazard ratio",
             stored("discrete.estimate"), _discrete),
    Question("concordance", "Concordance", stored("concordance"), _concordance),
    Question("recurrent", "Recurrent events: log rate ratio", stored("recurrent.estimate"),
             lambda: _recurrent("estimate")),
    Question("recurrent", "Recurrent events: robust standard error",
             stored("recurrent.std_error"), lambda: _recurrent("std_error")),
    Question("mean_cumulative", "Mean cumulative count: day 30",
             stored("mean_cumulative.day30"), _mean_cumulative),
    Question("multistate", "State occupation: day 30", paper(stored("cif.day30").value, AALEN),
             _multistate),
    Question("multistate", "Models of transitions: log hazard ratio",
             stored("cox.estimate"), _transition),
    Question("censoring", "Weights for loss, one of four lost", paper(math.exp(1 / 4),
             "hazard of loss 1/4"), _censoring),
)  # fmt: skip
