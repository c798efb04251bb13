"""Movement between states: counts of transitions, Aalen-Johansen occupation, time spent.

A person is in one state at a time; rows (start, stop] say in which, and where to it ends. With
dA(t) the matrix of transitions over numbers at risk, the probabilities p(t) to be in each of S
states are p(0) prod (I + dA). Errors are of one of two kinds:

    jackknife  Σ over people of U_i(t)², U_i what a change of i's weight does to p(t):
               U_i(t) = U_i(t-) (I + dA) + p_j (e_k - (I + dA)_j) / Y_j for i in j that moves to k
    greenwood  C(t) = (I + dA)' C(t-) (I + dA) + Σ_j p_j² Cov(dA_j), multinomial within states

Left truncation: only who is observed counts in Y. Without a Markov assumption p(t) is still the
right estimate of occupation when censoring has nothing to do with the states (Datta & Satten).

Source: Aalen & Johansen 1978; Andersen, Borgan, Gill & Keiding 1993, sec. IV.4; Datta & Satten
2001. Checked: Kaplan-Meier; cumulative incidence; derivatives in weights; survival 3.5.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from recovery_stats.engines.risk_set import Array, Ints, merge_close, number_times, rank

CENSORED = -1
ROUNDING = 1e-13  # a variance this share of its parts is what they left by rounding


@dataclass(frozen=True, slots=True, eq=False)
class Paths:
    """Rows (n,) of people on their way through S states.

    origin: the state during (start, stop]; to: the state it ends in, CENSORED for none.
    person: whole numbers from 0. weight > 0.
    """

    start: Array
    stop: Array
    origin: Ints
    to: Ints
    person: Ints
    weight: Array
    S: int

    def some(self, rows: Ints) -> Paths:
        """Only these rows, with people numbered anew."""
        person = np.unique(self.person[rows], return_inverse=True)[1].reshape(-1)
        return replace(
            self,
            start=self.start[rows],
            stop=self.stop[rows],
            origin=self.origin[rows],
            to=self.to[rows],
            person=person,
            weight=self.weight[rows],
        )

    def after(self, time: float) -> Paths:
        """What happens after a time, among those observed then or later."""
        later = self.some(np.flatnonzero(self.stop > time))
        start = np.maximum(later.start, time)
        return Paths(start, later.stop, later.origin, later.to, later.person, later.weight, self.S)


def follow(person: Ints, start: Array, to: Ints, initial: Ints) -> Ints:
    """The state during each row (n,): the initial one, or where the person went last.

    to (n,): CENSORED or a state. initial (n,): read in each person's first row.
    """
    order = np.lexsort((start, person))
    who, moved = person[order], to[order] != CENSORED
    first = np.append(True, who[1:] != who[:-1])
    place = np.arange(len(order))
    # the last row before each that moved, or the person's first row
    source = np.where(np.append(False, moved[:-1]) | first, place, 0)
    source = np.maximum.accumulate(source)
    state = np.where(first[source], initial[order[source]], to[order[source - 1]])
    origin = np.empty(len(person), np.int64)
    origin[order] = state
    return origin


@dataclass(frozen=True, slots=True, eq=False)
class Moves:
    """Counts at the T distinct times at which rows end.

    n_risk, n_censor (T, S) by state; events (T, S, S) from and to.
    """

    time: Array
    n_risk: Array
    n_censor: Array
    events: Array

    @property
    def rates(self) -> Array:
        """I + dA at each time (T, S, S)."""
        n = self.n_risk[:, :, None]
        dA = np.divide(self.events, n, out=np.zeros(self.events.shape), where=n > 0)
        here = np.arange(dA.shape[1])
        dA[:, here, here] = 0.0
        dA[:, here, here] = 1 - dA.sum(axis=2)
        return dA


def count(paths: Paths) -> Moves:
    """Who is at risk in which state at each time, and who moves where."""
    stop, start = merge_close(paths.stop, paths.start)
    time, at = number_times(stop)
    T, S = len(time), paths.S
    entry = rank(start, time)
    cell = paths.origin * (T + 1)
    change = np.bincount(cell + np.minimum(entry, T), paths.weight, S * (T + 1))
    change = change - np.bincount(cell + at + 1, paths.weight, S * (T + 1))
    n_risk = np.cumsum(change.reshape(S, T + 1), axis=1)[:, :T].T
    moves = paths.to != CENSORED
    flat = (at * S + paths.origin) * S + np.where(moves, paths.to, 0)
    events = np.bincount(flat, paths.weight * moves, T * S * S).reshape(T, S, S)
    censored = np.bincount(at * S + paths.origin, paths.weight * ~moves, T * S).reshape(T, S)
    none = np.bincount(cell + np.minimum(entry, T), minlength=S * (T + 1))
    none = none - np.bincount(cell + at + 1, minlength=S * (T + 1))
    empty = np.cumsum(none.reshape(S, T + 1), axis=1)[:, :T].T == 0
    return Moves(time, np.where(empty, 0.0, n_risk), censored.astype(float), events.astype(float))


def initial_distribution(paths: Paths, moves: Moves) -> tuple[Array, Array]:
    """Shares (S,) of the states among those observed at the first move, and influences (P, S)."""
    moved = moves.events.any(axis=(1, 2))
    first = moves.time[np.argmax(moved)]
    here = np.flatnonzero((paths.start < first) & (paths.stop >= first))
    total = paths.weight[here].sum()
    p = np.bincount(paths.origin[here], paths.weight[here], paths.S) / total
    U = np.zeros((int(paths.person.max()) + 1, paths.S))
    share = paths.weight[here] / total
    U[paths.person[here]] = share[:, None] * (np.eye(paths.S)[paths.origin[here]] - p)
    return p, U


@dataclass(frozen=True, slots=True, eq=False)
class Occupation:
    """Probabilities (T, S) of being in each state at the times of `moves`, with errors (T, S)."""

    moves: Moves
    p0: Array
    estimate: Array
    std_error: Array


def occupation(paths: Paths, *, p0: Array | None = None, greenwood: bool = False) -> Occupation:
    """Aalen-Johansen estimate of state occupation.

    p0 (S,): probabilities at the start, taken as known; None: estimated from those observed at
    the first move, which the jackknife errors count.
    """
    moves = count(paths)
    start, U0 = initial_distribution(paths, moves)
    if p0 is not None:
        start, U0 = p0, np.zeros_like(U0)
    estimate, variance = (np.empty((len(moves.time), paths.S)) for _ in range(2))
    steps = _greenwood(moves, start) if greenwood else _walk(paths, moves, start, U0)
    done, p, v = 0, start, (U0**2).sum(axis=0) * (not greenwood)
    for k, p_next, C in steps:
        estimate[done:k], variance[done:k] = p, v
        done, p, v = k, p_next, np.diag(C)
    estimate[done:], variance[done:] = p, v
    return Occupation(moves, start, estimate, np.sqrt(np.maximum(variance, 0.0)))


def _walk(
    paths: Paths, moves: Moves, p: Array, U: Array, until: float | None = None, begin: float = 0.0
) -> Iterator[tuple[int, Array, Array]]:
    """At each time k with a move: z (q,) and Σ U_i'U_i (q, q) just after it.

    z is p, or with `until` p and the time spent in each state to the next move (q = 2S). People
    in state j share a path G_j, so that U_i = B_i + w_i G_j with a B_i that changes only when
    they come, move or go: totals of B'B, sums and w² give the sum without a pass over people.
    """
    at = np.flatnonzero(moves.events.any(axis=(1, 2)) & (moves.time < (until or np.inf)))
    time, rates = moves.time[at], moves.rates[at]
    width = None if until is None else np.diff(np.concatenate(([begin], time, [until])))
    crowd = _Crowd.of(paths, p, U, 0.0 if width is None else width[0], time, width is not None)
    for e, k in enumerate(at):
        after = None if width is None else float(width[e + 1])
        yield int(k), *crowd.step(e, rates[e], moves.n_risk[k], after)
    if not len(at):
        yield 0, crowd.z, crowd.total()


@dataclass(slots=True, eq=False)
class _Crowd:
    """People on their way: B (P, q); G (S, q); sums BB (q, q), of wB (S, q) and ww (S,).

    z (q,): the estimate. row (P,): where each person is, -1 nowhere. come, gone: rows by time.
    """

    paths: Paths
    z: Array
    B: Array
    G: Array
    BB: Array
    sums: Array
    ww: Array
    come: list[Ints]
    gone: list[Ints]
    to: Ints

    @classmethod
    def of(cls, paths: Paths, p: Array, U: Array, width: float, time: Array, areas: bool) -> _Crowd:
        stop, start = merge_close(paths.stop, paths.start)
        entry, exit_ = rank(start, time), rank(stop, time) - 1
        lives = np.flatnonzero(entry <= exit_)
        ends = stop == np.append(time, np.inf)[exit_]
        B = np.hstack([U, width * U]) if areas else U.copy()
        z = np.append(p, width * p) if areas else p
        S, q = paths.S, B.shape[1]
        return cls(
            paths, z, B, np.zeros((S, q)), B.T @ B, np.zeros((S, q)), np.zeros(S),
            _by_time(lives, entry[lives], len(time)), _by_time(lives, exit_[lives], len(time)),
            np.where(ends & (exit_ >= 0), paths.to, CENSORED),
        )  # fmt: skip

    def step(self, e: int, H: Array, n_risk: Array, width: float | None) -> tuple[Array, Array]:
        """Pass event e: z and the total after it."""
        S, paths = self.paths.S, self.paths
        self._shift(self.come[e], sign=-1.0)

        def wide(x: Array) -> Array:
            return x if width is None else np.hstack([x, width * x])

        F = H if width is None else np.block([[H, width * H], [np.zeros((S, S)), np.eye(S)]])
        pull = np.divide(self.z[:S], n_risk, out=np.zeros(S), where=n_risk > 0)
        self.B = self.B @ F
        self.BB, self.sums = F.T @ self.BB @ F, self.sums @ F
        self.G = self.G @ F + wide((np.eye(S) - H) * pull[:, None])
        self.z = self.z @ F
        moved = self.gone[e][self.to[self.gone[e]] != CENSORED]
        j = paths.origin[moved]
        turn = (np.eye(S)[paths.to[moved]] - np.eye(S)[j]) * pull[j, None]
        self._change(moved, wide(turn * paths.weight[moved, None]), inside=True)
        found = self.total()
        self._shift(self.gone[e], sign=1.0)
        return self.z, found

    def _shift(self, rows: Ints, *, sign: float) -> None:
        """Take G out of the people of `rows` as they come (-1), put it back as they go (1)."""
        j, w = self.paths.origin[rows], self.paths.weight[rows]
        if sign > 0:
            np.subtract.at(self.sums, j, w[:, None] * self.B[self.paths.person[rows]])
        self._change(rows, sign * w[:, None] * self.G[j], inside=False)
        if sign < 0:
            np.add.at(self.sums, j, w[:, None] * self.B[self.paths.person[rows]])
        np.add.at(self.ww, j, -sign * w**2)

    def _change(self, rows: Ints, by: Array, *, inside: bool) -> None:
        """Add to B of the people of `rows`; `inside` a state its total sums follows."""
        who = self.paths.person[rows]
        old = self.B[who]
        self.B[who] = old + by
        self.BB += (old + by).T @ (old + by) - old.T @ old
        if inside:
            np.add.at(self.sums, self.paths.origin[rows], self.paths.weight[rows, None] * by)

    def total(self) -> Array:
        """Σ U_i'U_i (q, q); what is but rounding is 0."""
        cross = self.sums.T @ self.G
        own = (self.G.T * self.ww) @ self.G
        size = np.abs(np.diag(self.BB)) + 2 * np.abs(np.diag(cross)) + np.diag(own)
        value = self.BB + cross + cross.T + own
        none = np.diag(value) <= ROUNDING * size
        value[none], value[:, none] = 0.0, 0.0
        return np.asarray(value)


def _by_time(rows: Ints, at: Ints, T: int) -> list[Ints]:
    """Rows whose time is 0, 1, …, T-1."""
    order = np.argsort(at, kind="stable")
    return np.split(rows[order], np.searchsorted(at[order], np.arange(1, T)))


def _greenwood(moves: Moves, p: Array) -> Iterator[tuple[int, Array, Array]]:
    """At each time k with a move: p and its multinomial covariance just after it."""
    S = len(p)
    C = np.zeros((S, S))
    rates = moves.rates
    for k in np.flatnonzero(moves.events.any(axis=(1, 2))):
        H, n = rates[k], moves.n_risk[k]
        C = H.T @ C @ H
        for j in np.flatnonzero(n > 0):
            C += p[j] ** 2 / n[j] * (np.diag(H[j]) - np.outer(H[j], H[j]))
        p = p @ H
        yield int(k), p, C


def restricted_time(
    paths: Paths, tau: float, *, begin: float = 0.0, p0: Array | None = None
) -> tuple[Array, Array]:
    """Mean time (S,) in each state from `begin` to tau, and its jackknife covariance (S, S)."""
    moves = count(paths)
    p, U = initial_distribution(paths, moves)
    if p0 is not None:
        p, U = p0, np.zeros_like(U)
    S = paths.S
    *_, (_, z, C) = _walk(paths, moves, p, U, tau, begin)
    return z[S:], C[S:, S:]
