"""More questions of designs: drawing again, weights, kernels, strategies, gaps, trends."""

from __future__ import annotations

import math

from recovery_stats.cli.selftest.design import SQUARED, emulated, gaps, measured, regressed
from recovery_stats.cli.selftest.question import Question, paper, stored, table


def _permuted() -> float:
    """Four houses of 1 to 4 against four of 5 to 8: two of 70 allocations are as far apart."""
    import numpy as np

    from recovery_stats.engines.permutation import permute

    arm = np.repeat([0.0, 1.0], 4)
    return permute(np.arange(1.0, 9.0), arm, None, np.random.default_rng(1)).p()


def _wild() -> float:
    """Five clusters all above 0: two of 32 patterns of signs are as far out."""
    import numpy as np

    from recovery_stats.engines.wild_bootstrap import wild_bootstrap

    y = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    found = wild_bootstrap(np.ones((5, 1)), y, 0, np.arange(5), np.random.default_rng(1))
    return found.p()


def _augmented() -> float:
    """The outcome is exactly x + 3 arm, so that the outcome model is right, whatever the folds."""
    import numpy as np

    from recovery_stats.engines.doubly_robust import cross_fit

    x = np.tile([-1.0, -0.5, 0.5, 1.0], 8)
    arm = np.tile(np.repeat([0.0, 1.0], 4), 4)
    fold = np.repeat([0, 1], 16)
    found = cross_fit(x[:, None], arm, x + 3 * arm, fold, binary=False, bound=0.01)
    low, high = found.scores.mean(axis=0)
    return float(high - low)


def _logistic() -> float:
    import numpy as np

    from recovery_stats.engines.impute_category import fit_logistic

    people = table("people")
    X = np.stack([np.ones(len(people)), people["x"]])
    fitted, _ = fit_logistic(X, people["treated"].to_numpy(float), None)
    return float(fitted.theta[1])


def _ordered() -> float:
    import numpy as np

    from recovery_stats.engines.impute_category import impute_ordered

    visits = table("visits")
    X = np.stack([np.ones(len(visits)), visits["wave"], visits["x"]])
    y = visits["rating"].to_numpy(float) - 1
    return float(impute_ordered(X, y, X[:, :1], 3, np.random.default_rng(1)).estimate[-1])


def _rates() -> float:
    import numpy as np

    from recovery_stats.engines.impute_count import fit_rates

    visits = table("visits")
    X = np.stack([np.ones(len(visits)), visits["wave"], visits["x"]])
    return float(fit_rates(X, visits["drinks"].to_numpy(float), 0.0).beta[2])


def _log_linear() -> float:
    import numpy as np

    from recovery_stats.engines.log_linear import log_linear

    visits = table("visits")
    X = np.column_stack([np.ones(len(visits)), visits["wave"], visits["x"]])
    return float(log_linear(X, visits["drinks"].to_numpy(float), 1.0).beta[2])


def _shifted() -> float:
    """Means of the seen 2 and 5; of four a fourth is missing, taken 2 lower in the second arm."""
    import numpy as np

    from recovery_stats.engines.mean_score import mean_score

    arm = np.repeat([0.0, 1.0], 4)
    y = np.array([1.0, 2, 3, math.nan, 4, 5, 6, math.nan])
    X = np.column_stack([np.ones(8), arm])
    return mean_score(y, X, 1, -2.0 * arm, "gaussian").difference


def _band() -> float:
    """One estimate of many clusters: the normal quantile, within 4 Monte Carlo errors."""
    import numpy as np

    from recovery_stats.engines.multiplier import critical_value

    rng = np.random.default_rng(1)
    return critical_value(rng.standard_normal((400, 1)), 0.95, 4_000, rng)


def _trends() -> float:
    """Before: 0.5, then 0; after: 2. A deviation of up to 0.5 leaves 1.5."""
    import numpy as np

    from recovery_stats.engines.parallel_trends import EventStudy, relative_bound

    study = EventStudy(np.array([0.5]), np.array([2.0]), np.eye(2) * 0.01)
    return relative_bound(study, np.array([1.0]), 1.0, 0.95).set_low


def _two_way() -> float:
    """Treated rise by 4, the others by 1: with two periods it is the difference in differences."""
    return float(measured().two_way().value)


def _share() -> float:
    """Half of the protection is left for 2 days of 7 after the one meeting of the week."""
    import numpy as np

    from recovery_stats.engines.kernel_risk import share_below_half

    return float(share_below_half(2.0, np.array([1.0]))[0])


def _still_there() -> float:
    """Two people on day 2; the hazard of one was 1 lower on day 1: it weighs e, and has ratio 2."""
    import numpy as np

    from recovery_stats.engines.kernel_survivor import Courses, mean_effect

    person, day = np.array([0, 1, 0, 1]), np.array([1, 1, 2, 2])
    courses = Courses.of(person, day)
    extra, moving = np.array([-1.0, 0, 0, 0]), np.array([1.0, 1, 2, 1])
    return float(mean_effect(courses, np.array([0, 2]), np.ones(4), moving, extra)[1])


def _after_loss() -> float:
    """Nobody is lost, so that their hazard changes nothing."""
    from recovery_stats.engines.strategy_lost import risk_after_loss

    people, arms = emulated()
    return float(risk_after_loss(people, arms[0], (2.0,))[0])


def _days_lost() -> float:
    """Half of the people from day 2 to day 20, and a quarter on the day before."""
    from recovery_stats.engines.strategy_told import summarise

    return float(summarise(emulated()[1], 4)[0, -1])


def _stabilised() -> float:
    """With z half as many attend: at least 3 of 4, else 1 of 4; of all 1/2. The rarer weigh 2."""
    import numpy as np

    from recovery_stats.engines.marginal_weight import stabilised
    from recovery_stats.engines.strategy_course import Course

    n = 8_000
    z, met = np.arange(n) % 2, np.arange(n) % 8 // 2
    first = np.where(z == 1, met > 0, met > 2)
    count = np.column_stack([first, np.arange(n) % 3 == 0]).astype(float)
    history = np.stack([z, np.zeros(n)], axis=1)[:, :, None].astype(float)
    course = Course(
        np.full(n, 8.0), np.zeros(n, int), np.zeros(n, bool), count, history, np.arange(n), 4,
        np.ones(n),
    )  # fmt: skip
    return float(stabilised(course, (1.0,), np.array([False]))[:, 1].max())


def _more_meetings() -> float:
    """Of eight every other has an event on day 1, whatever x or exposure: no coefficient."""
    import numpy as np

    from recovery_stats.engines.kernel_cox import Days
    from recovery_stats.engines.policy import Followed, policy_risk

    x, exposure = np.repeat([0.0, 1.0], 4)[:, None], np.tile([0.0, 0, 1, 1], 2)
    day, person = np.ones(8, int), np.arange(8)
    days, kept = Days.of(x, day, np.tile([1.0, 0.0], 4))
    found = policy_risk(
        days, exposure[kept], Followed(person, day, kept, 7), more=1.0, horizon=1, replicates=0,
        seed=1,
    )  # fmt: skip
    return found.policy


def _compatible() -> float:
    """Mean of x with gaps where y predicts it, less Anderson's; x is drawn to agree with y ~ x."""
    import numpy as np

    from recovery_stats.models.imputation import impute

    data = gaps().rename(columns={"x": "y", "y": "x"})
    found = impute(data, 60, seed=1, methods={"x": "normal"}, substantive="y ~ x", sweeps=6)
    return float(np.mean([found[i]["x"].mean() for i in range(60)])) - regressed()


def _within_houses() -> float:
    """Ten houses far apart: who is missing is near the others of the house."""
    import numpy as np
    import pandas as pd

    from recovery_stats.models.imputation import impute

    house = np.repeat(np.arange(10), 6)
    y = 10.0 * (house * 7 % 10) + np.tile([0.2, -0.2, 0.1, -0.1, 0.0, np.nan], 10)
    data = pd.DataFrame({"house": [f"h{h}" for h in house], "y": y})
    found = impute(data, 20, seed=1, methods={"y": "normal"}, cluster="house", sweeps=20,
                   heterogeneous=False)  # fmt: skip
    missing = np.isnan(y)
    return float(np.mean([found[i]["y"][missing].mean() for i in range(20)]))


def _visits() -> float:
    """Two visits, the second with gaps: its mean less Anderson's."""
    import numpy as np

    from recovery_stats.engines.visit_normal import Visits, fit

    Y = gaps().to_numpy(float)
    return float(fit(Visits.of(np.ones((len(Y), 1)), Y)).slopes[0, 1]) - regressed()


def _jumped() -> float:
    """Seen 1, 2, 3 and 4, 5, 6; the one who left the second arm has the mean of the first."""
    import numpy as np

    from recovery_stats.engines.reference_based import Trial, conditional, estimate

    arm = np.repeat([0.0, 1.0], [3, 4])
    Y = np.array([1.0, 2, 3, 4, 5, 6, math.nan])[:, None]
    trial = Trial(np.column_stack([np.ones(7), arm]), Y, np.zeros(7, dtype=bool))
    return float(conditional(trial, estimate(trial), ("J2R",))[0])


QUESTIONS: tuple[Question, ...] = (
    Question("permutation", "Eight houses drawn again: p", paper(2 / 70, "2 of 70"), _permuted),
    Question("wild_bootstrap", "Five clusters, every sign: p", paper(2 / 32, "2 of 32"), _wild),
    Question("doubly_robust", "Augmented means, cross-fitted: difference", paper(3.0,
             "outcome without error: x + 3 arm", 1e-4), _augmented),
    Question("impute_category", "Logistic model of a missing yes or no: coefficient",
             stored("glm.estimate"), _logistic),
    Question("impute_category", "Ordered model of a missing category: coefficient",
             stored("polr.estimate"), _ordered),
    Question("impute_count", "Poisson model of a missing count: coefficient",
             stored("glm.poisson"), _rates),
    Question("impute_multilevel", "Imputed within houses far apart: mean", paper(45.0,
             "mean of the houses; within 4 Monte Carlo errors of 0.015", 1.4e-3),
             _within_houses),
    Question("impute_smc", "Mean of 60 compatible imputations, less Anderson's", paper(0.0,
             SQUARED + "; within 4 Monte Carlo errors of 0.015", 0.06), _compatible),
    Question("visit_normal", "Mean of a visit with gaps, less Anderson's", paper(0.0, SQUARED,
             1e-6), _visits),
    Question("reference_based", "Jump to reference: difference", paper(9 / 4,
             "(4 + 5 + 6 + 2)/4 - 2"), _jumped),
    Question("log_linear", "Means on the log scale: coefficient", stored("glm.poisson"),
             _log_linear),
    Question("mean_score", "Missing taken 2 lower: difference", paper(2.5, "3 - 2/4"), _shifted),
    Question("multiplier", "Band of one estimate: critical value", paper(1.959963984540054,
             "normal quantile; within 4 Monte Carlo errors of 0.03", 0.06), _band),
    Question("parallel_trends", "Trends off by what they were before: lower bound", paper(1.5,
             "2 - 0.5"), _trends),
    Question("two_way", "Two-way effects, two periods", paper(3.0, "4 - 1"), _two_way),
    Question("kernel_risk", "Share of the week with half of the protection gone", paper(5 / 7,
             "1 - 2/7"), _share),
    Question("kernel_survivor", "Mean effect on those who would be there",
             paper((2 * math.e + 1) / (math.e + 1), "weights e and 1, ratios 2 and 1"),
             _still_there),
    Question("strategy_lost", "Strategies: risk where nobody is lost", paper(0.5,
             "one of two people"), _after_loss),
    Question("strategy_told", "Strategies: days lost", paper(9.25, "1/4 + 18/2"), _days_lost),
    Question("marginal_weight", "Stabilised weight of the rarer history", paper(2.0,
             "(1/2)/(1/4)", 1e-4), _stabilised),
    Question("policy", "More meetings that change nothing: risk",
             paper(-math.expm1(-(1 / 8 + 1 / 7 + 1 / 6 + 1 / 5)),
                   "1 - exp(-(1/8 + 1/7 + 1/6 + 1/5)), Efron's hazard"), _more_meetings),
)  # fmt: skip
