"""Draws for categories: logistic, proportional odds and multinomial models.

Each model is fitted by Newton's method, its coefficients are drawn from their large-sample normal
distribution (Rubin 1987, p. 169), and the category from the chances that follow. Where predictors
predict perfectly the estimates are infinite; the data are then augmented by a few rows of small
weight (White, Daniel & Royston 2010), and the caller is told. X is (p, n): a design column a row.
Checked: R glm, polr and multinom; derivatives; chances (tests/engines/test_impute_category.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import lapack
from scipy.special import expit

from recovery_stats.engines.linalg import Array, IntArray
from recovery_stats.errors import ConvergenceError

STEPS = 25
TOLERANCE = 1e-4  # squared length in standard errors of the last step; what is left is its square
LOST = 25.0  # log odds: an effect known no better than this is not known at all


@dataclass(frozen=True, slots=True)
class Drawn:
    """Imputed codes (k,), the estimate to start from next time, and whether rows were added."""

    codes: Array
    estimate: Array
    augmented: bool


@dataclass(frozen=True, slots=True)
class Fitted:
    """A maximum: parameters and the Cholesky factor of their information (lower)."""

    theta: Array
    factor: Array

    def draw(self, rng: np.random.Generator) -> Array:
        """From the normal distribution around the maximum."""
        noise = rng.standard_normal(self.theta.size)
        step, _ = lapack.dtrtrs(self.factor, noise, lower=1, trans=1)
        return np.asarray(self.theta + step)


# A model: (theta, X, y, w) -> log-likelihood, score, information.
Model = Callable[[Array, Array, Any, Array | None], tuple[float, Array, Array]]


def impute_binary(
    X: Array, y: Array, new: Array, rng: np.random.Generator, start: Array | None = None,
    delta: Array | float = 0.0,
) -> Drawn:  # fmt: skip
    """Codes 0 and 1; delta is added to the log odds."""
    fitted, augmented = _fit(logistic, X, y, 2, start, X.shape[0])
    chance = expit(fitted.draw(rng) @ new + delta)
    return Drawn((rng.random(new.shape[1]) < chance).astype(float), fitted.theta, augmented)


def impute_ordered(
    X: Array, y: Array, new: Array, levels: int, rng: np.random.Generator,
    start: Array | None = None, delta: Array | float = 0.0,
) -> Drawn:  # fmt: skip
    """Codes 0 to levels - 1 by proportional odds; delta is added to the log odds of more.

    Raises ConvergenceError where thresholds meet.
    """
    inner, seen = _seen(y, levels)
    fitted, augmented = _fit(proportional(len(seen)), X[1:], inner, len(seen), start, None)
    cut, slope = _draw_ordered(fitted, len(seen), rng)
    eta = slope @ new[1:] + delta
    logistic_noise = rng.logistic(size=new.shape[1])
    codes = seen[np.searchsorted(cut, eta + logistic_noise)]
    return Drawn(codes.astype(float), fitted.theta, augmented)


def _draw_ordered(fitted: Fitted, levels: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Rising thresholds, and slopes."""
    for _ in range(100):
        theta = fitted.draw(rng)
        cut, slope = theta[: levels - 1], theta[levels - 1 :]
        if (np.diff(cut) > 0).all():
            return cut, slope
    return np.sort(cut), slope


def impute_nominal(
    X: Array, y: Array, new: Array, levels: int, rng: np.random.Generator,
    start: Array | None = None,
) -> Drawn:  # fmt: skip
    """Codes 0 to levels - 1 by a multinomial logistic model."""
    inner, seen = _seen(y, levels)
    size = (len(seen) - 1) * X.shape[0]
    fitted, augmented = _fit(multinomial(len(seen)), X, inner, len(seen), start, size)
    B = fitted.draw(rng).reshape(len(seen) - 1, -1)
    score = np.vstack([np.zeros(new.shape[1]), B @ new])
    codes = seen[(score + rng.gumbel(size=score.shape)).argmax(axis=0)]
    return Drawn(codes.astype(float), fitted.theta, augmented)


def fit_logistic(X: Array, y: Array, start: Array | None) -> tuple[Fitted, bool]:
    """The maximum of a logistic regression, and whether data were augmented for it."""
    return _fit(logistic, X, y, 2, start, X.shape[0])


def perfectly_predicted(X: Array, y: Array, levels: int) -> bool:
    """Whether a logistic or multinomial model of the codes y has no finite maximum."""
    codes, seen = _seen(y, levels)
    size = (seen.size - 1) * X.shape[0]
    model = logistic if seen.size < 3 else multinomial(seen.size)
    return _climb(model, X, codes, None, _beginning(X, codes, levels, size)) is None


def drawn_chances(
    X: Array, y: Array, new: Array, levels: int, kind: str, rng: np.random.Generator,
    start: Array | None,
) -> tuple[Array, Array | None]:  # fmt: skip
    """Chances of every level (levels, k) for the rows new at drawn parameters, and the estimate.

    kind: "binary", "ordered" or "nominal". The estimate is None where data were augmented.
    """
    inner, seen = _seen(y, levels)
    size = {"binary": X.shape[0], "ordered": None, "nominal": (seen.size - 1) * X.shape[0]}[kind]
    model = {
        "binary": logistic, "ordered": proportional(seen.size), "nominal": multinomial(seen.size)
    }[kind]  # fmt: skip
    design = X[1:] if kind == "ordered" else X
    codes = inner.astype(float) if kind == "binary" else inner
    fitted, augmented = _fit(model, design, codes, seen.size, start, size)
    chances = np.zeros((levels, new.shape[1]))
    if kind == "ordered":
        cut, slope = _draw_ordered(fitted, seen.size, rng)
        below = expit(cut[:, None] - slope @ new[1:])
        ends = np.vstack([np.zeros(new.shape[1]), below, np.ones(new.shape[1])])
        chances[seen] = np.diff(ends, axis=0)
    else:
        eta = fitted.draw(rng).reshape(seen.size - 1, -1) @ new
        eta = np.vstack([np.zeros(new.shape[1]), eta])
        part = np.exp(eta - eta.max(axis=0))
        chances[seen] = part / part.sum(axis=0)
    return chances, None if augmented else fitted.theta


def _seen(y: Array, levels: int) -> tuple[IntArray, IntArray]:
    """Codes among the levels that occur, and these levels."""
    codes = y.astype(np.intp)
    seen = np.flatnonzero(np.bincount(codes, minlength=levels))
    place = np.zeros(levels, dtype=np.intp)
    place[seen] = np.arange(seen.size)
    return place[codes], seen


def _fit(
    model: Model, X: Array, y: Any, levels: int, start: Array | None, size: int | None
) -> tuple[Fitted, bool]:
    """The maximum, with augmented data where plain data have none."""
    codes = y if model is logistic else y.astype(np.intp)
    begin = start if start is not None else _beginning(X, codes, levels, size)
    found = _climb(model, X, codes, None, begin)
    if found is not None:
        return found, False
    X, codes, w = augment(X, codes, levels)
    codes = codes.astype(y.dtype if model is logistic else np.intp)
    found = _climb(model, X, codes, w, _beginning(X, codes, levels, size))
    if found is None:
        raise ConvergenceError("A model of categories found no maximum.")
    return found, True


def _beginning(X: Array, y: Any, levels: int, size: int | None) -> Array:
    """Zeros; for ordered categories (size None) thresholds at their shares."""
    if size is not None:
        return np.zeros(size)
    share = np.cumsum(np.bincount(y, minlength=levels))[:-1] / y.size
    share = np.clip(share, 1e-6, 1 - 1e-6)
    return np.concatenate([np.log(share / (1 - share)), np.zeros(X.shape[0])])


def _climb(model: Model, X: Array, y: Any, w: Array | None, theta: Array) -> Fitted | None:
    """Newton's method with halved steps; None where the maximum runs away."""
    value, score, information = model(theta, X, y, w)
    for _ in range(STEPS):
        factor, failed = lapack.dpotrf(information, lower=1)
        if failed:
            return None
        step, _ = lapack.dpotrs(factor, score, lower=1)
        gain = float(score @ step)
        if gain < TOLERANCE:
            return Fitted(theta + step, factor) if tame(factor, X) else None
        for halving in range(30):
            trial = theta + step / 2**halving
            there = model(trial, X, y, w)
            if np.isfinite(there[0]) and there[0] >= value - 1e-9 * abs(value):
                break
        else:
            return None
        theta, (value, score, information) = trial, there
    return None


def tame(factor: Array, X: Array) -> bool:
    """Whether the data tell every slope: along a separated direction the error has no bounds.

    Its standard error times the range of its predictor, in log odds, is compared with LOST.
    """
    p = X.shape[0]
    if not p:
        return True
    inverse, _ = lapack.dpotri(factor, lower=1)
    variance = np.diag(inverse)
    slopes = variance[variance.size % p :].reshape(-1, p)
    reach = np.ptp(X, axis=1)
    return bool((np.sqrt(slopes) * reach).max() < LOST)


def augment(X: Array, y: Any, levels: int) -> tuple[Array, Any, Array]:
    """Add rows one standard deviation to each side of the mean, of every category alike.

    For each predictor but the intercept two rows of every category, other predictors at their
    means; they share the weight p + 1. Source: White, Daniel & Royston 2010, section 5.
    """
    mean, spread = X.mean(axis=1), X.std(axis=1)
    moving = np.flatnonzero(spread > 0)
    sides = np.repeat(mean[:, None], 2 * moving.size, axis=1)
    at = np.arange(moving.size)
    sides[moving, 2 * at] += spread[moving]
    sides[moving, 2 * at + 1] -= spread[moving]
    extra = np.tile(sides, levels)
    codes = np.repeat(np.arange(levels), sides.shape[1])
    w = np.ones(X.shape[1] + extra.shape[1])
    w[X.shape[1] :] = (moving.size + 1.0) / max(extra.shape[1], 1)
    return np.hstack([X, extra]), np.concatenate([y, codes]), w


# --- models ---------------------------------------------------------------------------------


def logistic(theta: Array, X: Array, y: Array, w: Array | None) -> tuple[float, Array, Array]:
    """Logistic regression; y holds 0 and 1."""
    eta = theta @ X
    small = np.exp(-np.abs(eta))
    mu = np.where(eta >= 0, 1.0, small) / (1.0 + small)
    lost = np.maximum(eta, 0.0) + np.log1p(small)  # log(1 + exp(eta))
    left, v = y - mu, mu * (1.0 - mu)
    if w is None:
        return float(y @ eta - lost.sum()), X @ left, (X * v) @ X.T
    return float(w @ (y * eta - lost)), X @ (w * left), (X * (w * v)) @ X.T


def proportional(levels: int) -> Model:
    """Proportional odds: theta is levels - 1 thresholds, then slopes; X without an intercept.

    logit P(y <= j) = threshold_j - X'b.
    """

    def model(theta: Array, X: Array, y: IntArray, w: Array | None) -> tuple[float, Array, Array]:
        cut, slope = theta[: levels - 1], theta[levels - 1 :]
        if (np.diff(cut) <= 0).any():
            return -np.inf, theta, np.eye(theta.size)
        ends = np.concatenate([[-np.inf], cut, [np.inf]])
        eta = slope @ X if slope.size else np.zeros(y.size)
        upper, lower = expit(ends[y + 1] - eta), expit(ends[y] - eta)
        chance = np.maximum(upper - lower, 1e-300)
        weight = np.ones(y.size) if w is None else w
        fu, fl = upper * (1 - upper), lower * (1 - lower)  # densities at both ends
        gu, gl = fu * (1 - 2 * upper), fl * (1 - 2 * lower)  # and their slopes
        # first and second derivatives of log chance by its upper and its lower end
        du, dl = fu / chance, -fl / chance
        duu, dll, dul = gu / chance - du**2, -gl / chance - dl**2, -du * dl
        value = float(weight @ np.log(chance))
        D = np.zeros((levels + 1, y.size))  # row j: derivative by threshold j (ends unused)
        rows = np.arange(y.size)
        D[y + 1, rows], D[y, rows] = du, dl
        score = np.concatenate([(D[1:levels] * weight).sum(axis=1), -X @ (weight * (du + dl))])
        return value, score, _curvature(levels, X, y, weight, duu, dll, dul)

    return model


def _curvature(
    levels: int, X: Array, y: IntArray, w: Array, duu: Array, dll: Array, dul: Array
) -> Array:
    """Minus the second derivatives of the proportional odds log-likelihood."""
    k, rows = levels - 1, np.arange(y.size)
    cuts = np.zeros((levels + 1, levels + 1))
    np.add.at(cuts, (y + 1, y + 1), w * duu)
    np.add.at(cuts, (y, y), w * dll)
    np.add.at(cuts, (y + 1, y), w * dul)
    np.add.at(cuts, (y, y + 1), w * dul)
    both = np.zeros((levels + 1, y.size))  # by a threshold and by -eta
    both[y + 1, rows], both[y, rows] = w * (duu + dul), w * (dll + dul)
    out = np.empty((k + X.shape[0], k + X.shape[0]))
    out[:k, :k] = -cuts[1:levels, 1:levels]
    out[k:, :k] = X @ both[1:levels].T
    out[:k, k:] = out[k:, :k].T
    out[k:, k:] = -(X * (w * (duu + dll + 2.0 * dul))) @ X.T
    return out


def multinomial(levels: int) -> Model:
    """Multinomial logit against level 0: theta holds a row of coefficients for each other level."""

    def model(theta: Array, X: Array, y: IntArray, w: Array | None) -> tuple[float, Array, Array]:
        p = X.shape[0]
        eta = theta.reshape(levels - 1, p) @ X
        top = np.maximum(eta.max(axis=0), 0.0)
        part = np.exp(eta - top)
        whole = part.sum(axis=0) + np.exp(-top)
        P = part / whole
        weight = np.ones(y.size) if w is None else w
        own = np.where(y > 0, eta[np.maximum(y - 1, 0), np.arange(y.size)], 0.0)
        value = float(weight @ (own - top - np.log(whole)))
        hit = (y == np.arange(1, levels)[:, None]).astype(float)
        score = (((hit - P) * weight) @ X.T).ravel()
        out = np.empty((levels - 1, p, levels - 1, p))
        for a in range(levels - 1):
            for b in range(a + 1):
                v = weight * (P[a] * ((a == b) - P[b]))
                out[a, :, b] = out[b, :, a] = (X * v) @ X.T
        return value, score, out.reshape(theta.size, theta.size)

    return model
