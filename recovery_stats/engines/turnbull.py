"""The nonparametric maximum-likelihood estimate of survival under any censoring and late entry.

Mass sits on innermost intervals: each begins where some row's set begins and ends where some row's
set ends (or somebody enters), with no other such end between. The masses s maximise
sum w (log sum_{j in set} s_j - log sum_{j after entry} s_j). From the fewest intervals that meet
every set, each round lets the steepest ones join and maximises a quadratic model over masses >= 0,
until the Karush-Kuhn-Tucker conditions hold: no interval's derivative exceeds 0 (on the scale
below), and those with mass have derivative 0.

Source: Peto 1973; Turnbull 1976; Frydman 1994 (late entry); Gentleman & Geyer 1994 (conditions,
uniqueness); Wang 2008 (constrained Newton with a reduced support).
Checked: on paper; Kaplan-Meier; brute force; survfit (tests/engines/test_turnbull.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.optimize import nnls

from recovery_stats.engines.censoring import Censored
from recovery_stats.errors import ConvergenceError, NotEstimable

Array = NDArray[np.float64]
Ints = NDArray[np.intp]

MOST_STEPS = 200
EMPTIED = 1e-6  # survival at somebody's entry below which the likelihood has no maximum
FLAT = 1e-9  # a curve this near a level lies on it
TINY = 1e-14  # a mass below this is none
MOST_SUPPORT = 4_000  # intervals for which second derivatives are stored
EQUAL = 1e-6  # derivatives this near 0, as a share of the rows, count as 0 for uniqueness


@dataclass(frozen=True, slots=True)
class Layout:
    """Innermost intervals (left, right] and which of them each distinct set of rows covers.

    left, right (m,); closed (m,): the interval is the single time right. first, last (u,): covers
    first <= j < last; begins (u,): the first interval after entry; w (u,): weight of its rows.
    of_row (n,): each row's set.
    """

    left: Array
    right: Array
    first: Ints
    last: Ints
    begins: Ints
    w: Array
    of_row: Ints

    @property
    def m(self) -> int:
        return len(self.left)

    @property
    def truncated(self) -> bool:
        return bool((self.begins > 0).any())


@dataclass(frozen=True, slots=True, eq=False)
class Turnbull:
    """The estimate. mass (m,) on the layout's intervals, loglik, largest excess of a derivative
    as a share of the weight (0 at the maximum), whether the masses are unique."""

    layout: Layout
    mass: Array
    loglik: float
    excess: float
    unique: bool
    steps: int

    @property
    def survival(self) -> Array:
        """S at the right end of every interval (m,)."""
        S = 1 - np.cumsum(self.mass)
        return np.where(S < FLAT, 0.0, S)

    def at(self, times: Array) -> tuple[Array, Array]:
        """Lowest and highest S that the estimate allows at times (T,): they differ inside an
        interval with mass."""
        gone = np.append(0.0, np.cumsum(self.mass))
        through = np.searchsorted(self.layout.right, times, side="right")
        single = self.layout.left == self.layout.right
        begun = np.searchsorted(self.layout.left, times, side="left")
        at_single = np.isin(times, self.layout.right[single])
        low = 1 - gone[np.maximum(np.where(at_single, through, begun), through)]
        return np.maximum(low, 0.0), np.maximum(1 - gone[through], 0.0)

    def passes(self, level: float) -> tuple[float, float]:
        """Beginning and end of the interval in which S falls to `level`; inf where it does not."""
        at = np.flatnonzero(self.survival <= level + FLAT)
        if not at.size:
            return np.inf, np.inf
        j = int(at[0])
        return float(self.layout.left[j]), float(self.layout.right[j])

    def around(self, rows: Censored) -> tuple[Array, Array]:
        """S before and after each row's set (n,): their difference is its probability."""
        gone = np.append(0.0, np.cumsum(self.mass))
        of = self.layout.of_row
        before, after = 1 - gone[self.layout.first[of]], 1 - gone[self.layout.last[of]]
        return before, np.maximum(after, 0.0)


def lay_out(rows: Censored) -> Layout:
    """Find the innermost intervals and what each row covers.

    Sets are (low, high] and single times. At one time a set that begins with it comes before the
    ends, and those before a set that begins after it.
    """
    exact = rows.low == rows.high
    begin_key = np.where(exact, 0, 2)
    entry = np.zeros(len(rows)) if rows.entry is None else rows.entry
    ends = [rows.high] + ([entry[entry > 0]] if (entry > 0).any() else [])
    right_time = np.concatenate(ends)
    time = np.concatenate([rows.low, right_time])
    key = np.concatenate([begin_key, np.ones(len(right_time), int)])
    order = np.lexsort((key, time))
    time, key = time[order], key[order]
    is_inner = (key[:-1] != 1) & (key[1:] == 1)
    left, right = time[:-1][is_inner], time[1:][is_inner]
    # Position of interval j among left ends: 2 left + 2 (open) or 0 (closed at its time).
    open_left = key[:-1][is_inner] == 2
    starts = np.rec.fromarrays([left, open_left.astype(int)])
    asked = np.rec.fromarrays([rows.low, (~exact).astype(int)])
    first = np.searchsorted(starts, asked, side="left")
    last = np.searchsorted(right, rows.high, side="right")
    late = np.rec.fromarrays([entry, np.ones(len(rows), int)])
    begins = np.where(entry > 0, np.searchsorted(starts, late, side="left"), 0)
    sets, of_row = np.unique(np.stack([first, last, begins]), axis=1, return_inverse=True)
    w = np.bincount(of_row.ravel(), rows.w).astype(float)
    return Layout(left, right, sets[0], sets[1], sets[2], w, of_row.ravel())


def fit(rows: Censored, *, tol: float = 1e-9) -> Turnbull:
    """Maximise over all distributions.

    Raises NotEstimable where no row has the event, ConvergenceError where the conditions are not
    met to `tol`.
    """
    if len(rows.right) == len(rows):
        raise NotEstimable(f"No row of {len(rows)} has the event: survival stays at one.")
    return maximise(lay_out(rows), tol=tol)


def maximise(layout: Layout, *, start: Array | None = None, tol: float = 1e-9) -> Turnbull:
    """The masses on a layout, from `start` (m,), above 0 for every set, where it is given."""
    N = float(layout.w.sum())
    s = _smallest_support(layout) if start is None else start
    gradient = _gradient(layout, s)
    steps = 0
    while not _is_optimal(s, gradient, tol * N):
        _refuse_emptied(layout, s)
        if steps == MOST_STEPS:
            raise ConvergenceError(
                f"The nonparametric estimate met its conditions to {gradient.max() / N:.1e} only."
            )
        s = _advance(layout, s, gradient, N)
        gradient = _gradient(layout, s)
        steps += 1
    excess = float(max(gradient.max(), 0.0) / N)
    return Turnbull(layout, s, _loglik(layout, s), excess, _is_unique(layout, s, gradient), steps)


def _refuse_emptied(layout: Layout, s: Array) -> None:
    """With late entry all probability may move before somebody's entry; then nothing is known of
    the time after it."""
    if layout.truncated and _chances(layout, s)[1].min() < EMPTIED:
        raise NotEstimable(
            "With delayed entry the curve falls to 0 before somebody enters: too few were under "
            "observation early on. Begin the curve later, or use aft or flexible_survival."
        )


def _smallest_support(layout: Layout) -> Array:
    """Equal masses on few intervals that together meet every set: each time the set that ends
    first among those not met yet is met at its last interval."""
    s = np.zeros(layout.m)
    met = -1
    for k in np.argsort(layout.last, kind="stable").tolist():
        if layout.first[k] > met:
            met = int(layout.last[k]) - 1
            s[met] = 1.0
    return np.asarray(s / s.sum())


def _over(first: Ints, last: Ints, values: Array, m: int) -> Array:
    """Sum over rows of a value on first <= j < last, as a difference and its running sum."""
    change = np.bincount(first, values, m + 1) - np.bincount(last, values, m + 1)
    return np.asarray(np.cumsum(change)[:m])


def _chances(layout: Layout, s: Array) -> tuple[Array, Array]:
    """Probability of each set, and of what lies after its entry."""
    gone = np.append(0.0, np.cumsum(s))
    return gone[layout.last] - gone[layout.first], gone[-1] - gone[layout.begins]


def _loglik(layout: Layout, s: Array) -> float:
    P, D = _chances(layout, s)
    if not ((P > 0).all() and (D > 0).all()):
        return -np.inf
    return float(layout.w @ (np.log(P) - np.log(D)))


def _gradient(layout: Layout, s: Array) -> Array:
    """Derivative in each mass of the likelihood that does not change with the scale of s."""
    P, D = _chances(layout, s)
    m = layout.m
    ends = np.full(len(layout.w), m)
    return _over(layout.first, layout.last, layout.w / P, m) - _over(
        layout.begins, ends, layout.w / D, m
    )


def _is_optimal(s: Array, gradient: Array, tol: float) -> bool:
    return bool(gradient.max() <= tol and np.abs(gradient[s > 0]).max() <= tol)


def _advance(layout: Layout, s: Array, gradient: Array, N: float) -> Array:
    """Let the steepest interval of every gap join, then move all masses by a quadratic model."""
    here = _loglik(layout, s)
    where = _joined(s, gradient)
    target = np.zeros(layout.m)
    target[where] = _quadratic(layout, s, gradient, where, N)
    if not target.sum() > 0:
        target = s
    d = target - s
    for halvings in range(40):
        trial = s + d / 2**halvings
        trial = trial / trial.sum()
        trial[trial < TINY] = 0.0
        if _loglik(layout, trial) >= here - 1e-14 * abs(here):
            return np.asarray(trial / trial.sum())
    raise ConvergenceError("The nonparametric estimate found no step that raises the likelihood.")


def _joined(s: Array, gradient: Array) -> Ints:
    """Intervals with mass, and between two of them the one of the greatest derivative above 0."""
    held = np.flatnonzero(s > 0)
    edges = np.concatenate([[-1], held, [len(s)]])
    chosen = [
        a + 1 + int(np.argmax(gradient[a + 1 : b])) for a, b in pairwise(edges.tolist())
        if b > a + 1
    ]  # fmt: skip
    new = [j for j in chosen if gradient[j] > 0]
    return np.sort(np.concatenate([held, np.array(new, dtype=np.intp)]))


def _quadratic(layout: Layout, s: Array, gradient: Array, where: Ints, N: float) -> Array:
    """Masses >= 0 at which the second-order model of the likelihood is greatest."""
    H = _information(layout, s, where, N)
    scale = _sizes(H)
    A = H / np.outer(scale, scale)
    ridge = 1e-14
    while True:
        try:
            L = np.linalg.cholesky(A + ridge * np.eye(len(A)))
            break
        except np.linalg.LinAlgError:
            ridge *= 100
    aim = L @ (L.T @ (s[where] * scale)) + gradient[where] / scale
    right = solve_triangular(L, aim, lower=True)
    return np.asarray(nnls(L.T, right, maxiter=30 * len(A))[0] / scale)


def _sizes(H: Array) -> Array:
    """Roots of the diagonal; an interval that no row covers has none, and gets a small one."""
    diagonal = np.diag(H)
    return np.asarray(np.sqrt(np.maximum(diagonal, 1e-10 * diagonal.max())))


def _information(layout: Layout, s: Array, where: Ints, N: float) -> Array:
    """Negative second derivatives among some intervals, N fixing the scale of s.

    A set's share of it is one number on a square of intervals: differences at the corners,
    summed along both sides.
    """
    P, D = _chances(layout, s)
    k = len(where)
    first, last = np.searchsorted(where, layout.first), np.searchsorted(where, layout.last)
    square = np.zeros((k + 1, k + 1))
    for a, b, v in (
        (first, last, layout.w / P**2),
        (np.searchsorted(where, layout.begins), np.full(len(P), k), -layout.w / D**2),
    ):
        for i, j, sign in ((a, a, 1), (a, b, -1), (b, a, -1), (b, b, 1)):
            np.add.at(square, (i, j), sign * v)
    return np.cumsum(np.cumsum(square, axis=0), axis=1)[:k, :k] + N


def _is_unique(layout: Layout, s: Array, gradient: Array) -> bool:
    """Gentleman & Geyer's condition: second derivatives of full rank where derivatives are 0."""
    N = float(layout.w.sum())
    where = np.flatnonzero((s > 0) | (np.abs(gradient) < EQUAL * N))
    if len(where) > MOST_SUPPORT:
        return False
    H = _information(layout, s, where, N)
    scale = _sizes(H)
    return bool(np.linalg.eigvalsh(H / np.outer(scale, scale))[0] > 1e-9)


def survival_covariance(found: Turnbull) -> Array:
    """Covariance (m, m) of S at the right ends by the information of the masses above 0.

    Right where visits happen at a fixed set of times and masses stay away from 0 as people grow
    in number; with visits at arbitrary times it is only a guide (Sun 2006, section 3.5).
    """
    where = np.flatnonzero(found.mass > 0)
    k, m = len(where), found.layout.m
    if k < 2:
        return np.zeros((m, m))
    N = float(found.layout.w.sum())
    H = _information(found.layout, found.mass, where, N)
    B = np.vstack([np.eye(k - 1), -np.ones(k - 1)])
    V = B @ np.linalg.pinv(B.T @ H @ B, hermitian=True) @ B.T
    gone = np.tril(np.ones((m, m)))[:, where]
    return np.asarray(gone @ V @ gone.T)


def scores(found: Turnbull, rows: Censored, kind: str) -> Array:
    """Each row's score (n,) against one common survival curve: above 0 for early events.

    "logrank": derivative of the grouped proportional hazards likelihood (Finkelstein 1986);
    "wilcoxon": S before plus S after the set, less 1 (Peto & Peto 1972, Fay 1996).
    """
    before, after = found.around(rows)
    if kind == "wilcoxon":
        return before + after - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        f_before = np.where(before > 0, before * np.log(before), 0.0)
        f_after = np.where(after > 0, after * np.log(after), 0.0)
        return np.asarray((f_before - f_after) / (before - after))
