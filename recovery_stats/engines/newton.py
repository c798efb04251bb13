"""Newton's method for a smooth log-likelihood, with halved steps and a ridge where it is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from recovery_stats.errors import ConvergenceError

Array = NDArray[np.float64]

HALVINGS = 40
STALLED = 1e-8  # no step gains any more and so little is left: rounding hides the rest
RESOLUTION = 1e-12  # a fall of the log-likelihood below this share of it is rounding


class Point(Protocol):
    """A log-likelihood with its gradient (k,) and negative second derivatives (k, k)."""

    @property
    def value(self) -> float: ...
    @property
    def score(self) -> Array: ...
    @property
    def information(self) -> Array: ...


P = TypeVar("P", bound=Point)


@dataclass(frozen=True, slots=True)
class Summit(Generic[P]):
    """The maximum: theta (k,), the evaluation there and how many steps it took."""

    theta: Array
    at: P
    steps: int


def climb(
    evaluate: Callable[[Array], P | None], start: Array, *, tol: float = 1e-14, most: int = 100
) -> Summit[P]:
    """Maximise from `start`; `evaluate` gives None where the likelihood is 0 or not defined.

    Stops after a step whose squared length in standard errors (the Newton decrement) is at most
    tol; the step left over is about the square of that one.
    Raises ConvergenceError after `most` steps, or where `start` has no likelihood.
    """
    theta, here = start, _evaluated(evaluate, start)
    if here is None:
        raise ConvergenceError("The likelihood is 0 at the starting values.")
    for step_number in range(1, most + 1):
        step = _uphill(here.information, here.score)
        decrement = float(here.score @ step)
        theta, here, moved = _advance(evaluate, theta, here, step)
        if decrement <= tol or (not moved and decrement < STALLED):
            return Summit(theta, here, step_number)
    raise ConvergenceError(f"The likelihood found no maximum in {most} steps.")


def _evaluated(evaluate: Callable[[Array], P | None], theta: Array) -> P | None:
    """The likelihood at a point that may be far off: None where anything overflows."""
    with np.errstate(all="ignore"):
        found = evaluate(theta)
    if found is None or not np.isfinite(found.value):
        return None
    finite = np.isfinite(found.score).all() and np.isfinite(found.information).all()
    return found if finite else None


def _uphill(information: Array, score: Array) -> Array:
    """Newton's step; a ridge makes an information positive definite that is not."""
    scale = np.sqrt(np.maximum(np.abs(np.diag(information)), 1e-300))
    A, g = information / np.outer(scale, scale), score / scale
    ridge = 0.0
    for _ in range(30):
        try:
            L = np.linalg.cholesky(A + ridge * np.eye(len(g)))
        except np.linalg.LinAlgError:
            ridge = max(10 * ridge, 1e-8)
            continue
        return np.asarray(np.linalg.solve(L.T, np.linalg.solve(L, g)) / scale)
    raise ConvergenceError("The likelihood has no usable second derivatives.")


def _advance(
    evaluate: Callable[[Array], P | None], theta: Array, here: P, step: Array
) -> tuple[Array, P, bool]:
    for halvings in range(HALVINGS):
        trial = theta + step / 2**halvings
        there = _evaluated(evaluate, trial)
        if there is not None and there.value >= here.value - RESOLUTION * abs(here.value):
            return trial, there, True
    return theta, here, False
