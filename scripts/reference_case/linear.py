"""Least squares, logistic regression and mediation in the vocabulary of the reference cases."""

from __future__ import annotations

import re

import numpy as np
from scipy.stats import norm

from recovery_stats.engines.glm import Separation, logistic
from recovery_stats.engines.robust import sandwich
from recovery_stats.models.design import Design, Outcome, build_design
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
    residual = y - fit.design.X @ fit.beta
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


def polynomial(case: Case) -> Values:
    """Polynomial regression of the NIST data sets: `y ~ x + ... + x^5`, coefficients by power."""
    asked = str(case.model.get("formula", ""))
    powers = [int(p) for p in re.findall(r"x\^(\d+)", asked)]
    if not re.fullmatch(r"\s*y\s*~\s*x(\s*\+\s*(\.\.\.|I?\(?x\^\d+\)?))*\s*", asked):
        raise CannotAnswer(f"the formula {asked!r} is not understood")
    highest = max(powers, default=1)
    terms = ["x", *(f"I(x^{k})" for k in range(2, highest + 1))]
    fit = ols(f"y ~ {' + '.join(terms)}", case.frame)
    y = _outcome(fit.design)
    se = np.sqrt(np.diag(fit.covariance_matrix))
    values: Values = {f"beta[{k}]": b for k, b in enumerate(fit.beta.tolist())}
    values |= {f"se[{k}]": s for k, s in enumerate(se.tolist())}
    return values | _whole(fit, y, y - fit.design.X @ fit.beta)


def binomial(case: Case) -> Values:
    """Logistic regression; `estimate_exists` says whether the likelihood has a maximum."""
    family, link = case.option("family", default="binomial"), case.option("link", default="logit")
    if family != "binomial" or link != "logit":
        raise CannotAnswer(f"family {family!r} with link {link!r} is not offered")
    design = build_design(case.formula, case.frame)
    y = _outcome(design)
    try:
        fit = logistic(design.X, y)
    except Separation:
        # Complete where the outcome is told apart in every row; then the deviance tends to 0.
        return {"estimate_exists": 0}
    names = [Names(case.formula, case.wrapped).term(t) for t in design.names]
    se = np.sqrt(np.diag(fit.covariance))
    values: Values = {"estimate_exists": 1, "loglik": fit.log_likelihood, "nobs": len(y)}
    for name, b, s in zip(names, fit.beta.tolist(), se.tolist(), strict=True):
        values |= {f"beta[{name}]": b, f"se[{name}]": s, f"z[{name}]": b / s}
        values[f"p[{name}]"] = 2 * float(norm.sf(abs(b / s)))
    return values


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
