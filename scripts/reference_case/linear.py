"""Least squares and mediation in the vocabulary of the reference cases."""

from __future__ import annotations

import re

import numpy as np

from recovery_stats.engines.robust import sandwich
from recovery_stats.models.design import Design, Outcome
from recovery_stats.models.effect_size import partial_eta_squared
from recovery_stats.models.linear import OlsFit, ols
from recovery_stats.models.token import quote

from .case import CannotAnswer, Case, Values
from .naming import Names

ROBUST = {"HC0": "CR0", "HC1": "CR1", "HC2": "CR2", "HC3": "CR3"}


def least_squares(case: Case) -> Values:
    """lm, and sandwich's errors: by row, and by cluster where the model names one."""
    fit = ols(case.formula, case.frame)
    names = [Names(case.formula, case.wrapped).term(t) for t in fit.terms]
    y = _outcome(fit.design)
    residual = fit.residuals.to_numpy()
    se = np.sqrt(np.diag(fit.covariance_matrix))
    found = {"beta": fit.beta, "se": se, "se_const": se}
    for theirs, kind in ROBUST.items():
        covariance = sandwich(fit.design.X, residual, kind=kind).covariance  # type: ignore[arg-type]
        # One cluster a row: CR1's factor G/(G-1) (n-1)/(n-p) is then HC1's n/(n-p).
        found[f"se_{theirs}"] = np.sqrt(np.diag(covariance))
    cluster = case.option("cluster", "id")
    if cluster:
        labels = case.frame[cluster].astype(str).to_numpy()[fit.design.kept]
        for kind in ROBUST.values():
            covariance = sandwich(fit.design.X, residual, labels, kind=kind).covariance  # type: ignore[arg-type]
            found[f"se_cl_{kind}"] = np.sqrt(np.diag(covariance))
    values: Values = {}
    for key, numbers in found.items():
        values |= {f"{key}[{n}]": v for n, v in zip(names, numbers.tolist(), strict=True)}
    return values | _whole(fit, y, residual)


def _whole(fit: OlsFit, y: np.ndarray, residual: np.ndarray) -> Values:
    left, total = float(residual @ residual), float(((y - y.mean()) ** 2).sum())
    return {
        "sigma": float(np.sqrt(fit.sigma2)),
        "sigma2": fit.sigma2,
        "r2": 1 - left / total,
        "nobs": len(y),
    }


def variance_table(case: Case) -> Values:
    """Sums of squares and F tests of types 1 to 3, and effect sizes from those of type 2."""
    fit, names = ols(case.formula, case.frame), Names(case.formula, case.wrapped)
    values: Values = {}
    for kind in (1, 2, 3):
        for row in fit.anova(type=kind).itertuples():
            term = names.term(str(row.term))
            values[f"ss{kind}[{term}]"] = row.sum_of_squares
            values |= {f"F{kind}[{term}]": row.statistic, f"p{kind}[{term}]": row.p_value}
    return values | _shares(fit, names)


def _shares(fit: OlsFit, names: Names) -> Values:
    """Eta, omega and epsilon squared (Olejnik & Algina 2003)."""
    table = fit.anova(type=2)
    total = float(table["sum_of_squares"].sum())
    error, n = float(table["sum_of_squares"].iloc[-1]), len(fit.design.X)
    values: Values = {}
    for row in table.iloc[:-1].itertuples():
        term = names.term(str(row.term))
        squares, gain = row.sum_of_squares, row.sum_of_squares - row.num_df * fit.sigma2
        values[f"eta2[{term}]"] = squares / total
        share = partial_eta_squared(row.statistic, row.num_df, row.den_df)
        values |= {f"eta2p[{term}]": share.value, f"eta2p_lo[{term}]": share.low}
        if gain < 0:
            continue  # a negative share: programs differ on whether to print it or 0
        values[f"eps2p[{term}]"] = gain / (squares + error)
        values[f"omega2p[{term}]"] = gain / (squares + (n - row.num_df) * fit.sigma2)
    return values


def numbered(case: Case) -> Values:
    """Regression of the NIST data sets: coefficients by number, from 0 for the intercept."""
    asked = spelled_out(str(case.model.get("formula", "")), list(case.frame.columns))
    if "~" not in asked:
        raise CannotAnswer("the case has no formula")
    fit, names = ols(asked, case.frame), Names(asked)
    first = 0 if "Intercept" in fit.terms else 1
    values: Values = {}
    for k, row in enumerate(fit.tidy().itertuples(), start=first):
        for name in (k, names.term(str(row.term))):
            values |= {f"beta[{name}]": row.estimate, f"se[{name}]": row.std_error}
    y = _outcome(fit.design)
    return values | _whole(fit, y, fit.residuals.to_numpy())


def spelled_out(formula: str, columns: list[str]) -> str:
    """`y ~ x + ... + x^5`, `y ~ x1 + ... + x6` and `y ~ .` with every term in its place."""
    left, _, right = (part.strip() for part in formula.partition("~"))
    power = re.fullmatch(r"x\s*\+.*I?\(?x\^(\d+)\)?", right)
    run = re.fullmatch(r"([^\W\d]+)1\s*\+.*\.\.\..*\+\s*\1(\d+)", right)
    if power and ("..." in right or right.count("+") == int(power[1]) - 1):
        right = " + ".join(["x", *(f"I(x^{k})" for k in range(2, int(power[1]) + 1))])
    elif run:
        right = " + ".join(f"{run[1]}{k}" for k in range(1, int(run[2]) + 1))
    elif right == ".":
        right = " + ".join(quote(c) for c in columns if c != left.strip("`"))
    return f"{left} ~ {right}" if left else formula


def mediation(case: Case) -> Values:
    """One mediator by two regressions: a, b, c, c', their product and Sobel's error."""
    x, m, y = (quote(str(case.model[k])) for k in ("x", "m", "y"))
    given = case.option("covariate", "covariates", default=[])
    others = [quote(c) for c in ([given] if isinstance(given, str) else given)]
    first, second, total = (
        ols(f"{left} ~ {' + '.join([*right, *others])}", case.frame)
        for left, right in ((m, [x]), (y, [x, m]), (y, [x]))
    )
    a, a_se = _coefficient(first, 1)
    b, b_se = _coefficient(second, 2)
    return {
        "a": a,
        "b": b,
        "c": _coefficient(total, 1)[0],
        "cprime": _coefficient(second, 1)[0],
        "ab": a * b,
        "sobel_se": float(np.hypot(a * b_se, b * a_se)),
    }


def _coefficient(fit: OlsFit, at: int) -> tuple[float, float]:
    return float(fit.beta[at]), float(np.sqrt(fit.covariance_matrix[at, at]))


def _outcome(design: Design) -> np.ndarray:
    if not isinstance(design.response, Outcome):
        raise CannotAnswer("the response is not one column")
    return design.response.y
