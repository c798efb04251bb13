"""More questions of clusters: profiles, bootstraps, robust errors, deletions, agreement."""

from __future__ import annotations

import math
from typing import Any

from recovery_stats.cli.selftest.mixed import autoregressive, glmm_visits, lmm_visits, three_houses
from recovery_stats.cli.selftest.question import Question, paper, stored, table

WAVE = "used ~ wave + x + (1 | id)"


def _limit(fit: Any, term: str) -> float:
    found = fit.confint(method="profile").set_index("term")
    return float(found.loc[term, "conf_low"])


def _sigma_on_paper() -> float:
    """The root below 2 of 3 log v + 6/v - 3 log 2 - 3 = 3.841, by bisection."""
    low, high = 0.1, 2.0
    for _ in range(100):
        v = (low + high) / 2
        above = 3 * math.log(v / 2) + 6 / v - 3 > 3.841458820694124
        low, high = (v, high) if above else (low, v)
    return math.sqrt(low)


def _population() -> float:
    import numpy as np

    from recovery_stats.engines.glmm_population import mean_over

    return float(mean_over("logit", np.array([1.0]), np.array([2.0]))[0][0])


def _drawn_mean() -> float:
    """The spread of the mean over simulated outcomes: √(MSB / 6)."""
    return float(three_houses().bootstrap(400, seed=1).draws[:, 0].std())


def _without_person() -> float:
    return float(autoregressive().influence("id")["dfbetas(x)"].iloc[0])


def _new_house() -> float:
    """Degrees of freedom of one answer in a new house: its variance is MSW/2 + 2 MSB/3."""
    import pandas as pd

    found = three_houses().predict(pd.DataFrame({"house": ["d"]}), interval="prediction")
    return float(found["df"].iloc[0])


def _upper_half() -> float:
    import numpy as np

    from recovery_stats.engines.normal_score import expected

    return float(expected(np.array([40, 40]))[0][1])


def _robust(column: str) -> float:
    return float(three_houses(cluster="house").tidy()[column].iloc[0])


def _hotelling() -> float:
    import numpy as np

    return float(three_houses(cluster="house").test(np.array([[1.0]])).statistic)


def _without_one() -> float:
    """Without the first house the mean rises by 5/3; its variance is then MSB/4."""
    return float(three_houses().influence("house")["dfbetas(Intercept)"].iloc[0])


def _ratio() -> float:
    return float(three_houses().icc_interval()["conf_high"].iloc[0])


def _ratio_on_paper() -> float:
    """The F quantile with 2 and 3 df is 3/2 ((1 - p)^(-2/3) - 1), here at p = 0.025."""
    quantile = 1.5 * (0.975 ** (-2 / 3) - 1)
    ratio = (37 / 3 / quantile - 1) / 2
    return float(ratio / (1 + ratio))


def _crossed() -> float:
    """Rows and columns of 3 by 3, the rest (1, -2, 1) by (1, -2, 1) thousandths: MSE 36/4."""
    import numpy as np
    import pandas as pd

    from recovery_stats.models.mixed import lmm

    rest = np.outer([1.0, -2, 1], [1.0, -2, 1]) / 1e3
    y = 1e5 * (np.array([[0.0], [4], [10]]) + np.array([0.0, 7, 3])) + rest
    data = pd.DataFrame({"y": y.ravel(), "a": np.repeat(list("abc"), 3), "b": list("xyz") * 3})
    fit = lmm("y ~ 1 + (1 | a) + (1 | b)", data)
    return 1e6 * float(fit.variance_components()["covariance"].iloc[-1])


def _latent() -> float:
    import numpy as np

    from recovery_stats.engines.latent_icc import alike

    visits = table("visits")
    ids = np.unique(visits["house"], return_inverse=True)[1]
    found = alike(np.ones((len(ids), 1)), visits["used"].to_numpy(float), ids, level=0.95)
    return float(found.latent[0])


def _raters() -> float:
    import numpy as np

    from recovery_stats.engines.rater_icc import random, squares

    y = np.array(
        [[9.0, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    )
    return random(squares(y), 0.95).icc


def _members() -> float:
    """Every row belongs to one of the three houses."""
    import pandas as pd

    from recovery_stats.models.membership import WEIGHT, multiple_membership

    people = pd.DataFrame({"id": range(6), "y": [1.0, 3, 4, 6, 8, 10]})
    houses = pd.DataFrame({"id": range(6), "house": list("aabbcc"), WEIGHT: 1.0})
    fit = multiple_membership("y ~ 1", people, houses, person="id", group="house")
    return float(fit.variance_components()["variance"].iloc[0])


HOUSES = "cluster means 2, 5, 9: "
V = 1 + 2 * 74 / 9
QUESTIONS: tuple[Question, ...] = (
    Question("lmm_profile", "Mixed model: profile limit of a coefficient", stored("lmm.limit"),
             lambda: _limit(lmm_visits("y ~ wave + x + (1 | house)", reml=False), "x")),
    Question("lmm_coordinate", "Mixed model, three houses: profile limit of the residual sd",
             paper(_sigma_on_paper(), "3 log v + 6/v rises by 3.841", 1e-6),
             lambda: _limit(three_houses(reml=False), "sigma")),
    Question("lmm_delta", "Mixed model, three houses: df in a new house",
             paper(V**2 / ((4 / 9) * (74 / 3) ** 2 / 2 + (1 / 4) * 4 / 3),
                   "Satterthwaite of MSW/2 + 2 MSB/3", 1e-6), _new_house),
    Question("lmm_conditional", "Mixed model, three houses: effective df", paper(4.0,
             "1 + 2c + 2(1 - c) + 1, c = 68/74", 1e-6),
             lambda: float(three_houses().caic()["effective_df"].iloc[0])),
    Question("lmm_robust", "Mixed model, three houses: robust standard error",
             paper(math.sqrt(37 / 9), HOUSES + "variance 37/3, over 3"),
             lambda: _robust("std_error")),
    Question("lmm_robust", "Mixed model, three houses: robust df", paper(2.0, "3 - 1"),
             lambda: _robust("df")),
    Question("lmm_hotelling", "Mixed model, three houses: robust F", paper(256 / 37,
             HOUSES + "(16/3)²/(37/9)"), _hotelling),
    Question("lmm_influence", "Mixed model, three houses: without the first",
             paper(-(5 / 3) / math.sqrt(74 / 12), HOUSES + "(16/3 - 7)/√(MSB/4)"), _without_one),
    Question("lmm_bootstrap", "Mixed model, three houses drawn again: standard error",
             paper(math.sqrt(74 / 18), "√(MSB/6), within 4 Monte Carlo errors of 0.072", 0.142),
             _drawn_mean),
    Question("variance_ratio", "Exact limit of an intraclass correlation",
             paper(_ratio_on_paper(), "F with 2 and 3 df in closed form"), _ratio),
    Question("membership", "Multiple membership, one house a row: variance of houses",
             paper(34 / 3, "balanced: analysis of variance, MSB 74/3, MSW 2"), _members),
    Question("lmm_root", "Crossed effects 1e8 times the residual: its variance", paper(9.0,
             "analysis of variance: 36/4", 1e-4), _crossed),
    Question("lmm_residual_rows", "Repeated measures, AR(1): without the first person",
             stored("ar1.without"), _without_person),
    Question("glmm_population", "Mean of a mixed logistic model", stored("glmm.population"),
             _population),
    Question("glmm_profile", "Mixed logistic model: profile limit", stored("glmm.limit"),
             lambda: _limit(glmm_visits(WAVE, "binomial"), "x")),
    Question("latent_icc", "Likeness of a yes or no, latent scale", stored("icc.latent"),
             _latent),
    Question("rater_icc", "Agreement of four judges", stored("rater.icc21"), _raters),
    Question("normal_score", "Mean of the upper half of a normal sample",
             paper(math.sqrt(2 / math.pi), "√(2/π), the mean of a half-normal variable"),
             _upper_half),
)  # fmt: skip
