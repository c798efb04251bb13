"""Coordinates in which one quantity of a mixed model can be held while the rest moves.

A coordinate system maps a value x of the quantity and free coordinates to a `Place`: the relative
Cholesky factors L of the random effects and tau = log s2. A standard deviation is held through the
factor whose first row is its own, sd = exp(tau/2) M[0, 0]; a correlation through two first rows,
(l, 0) and s (sin x, cos x), so that zero variances and correlations of ±1 are ordinary points.
Sources: Pinheiro & Bates 1996. Checked: finite differences (tests/engines/test_lmm_profile.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from recovery_stats.engines.linalg import Array, lower_factor
from recovery_stats.engines.lmm import LmmFit

Kind = Literal["sd", "cor", "sigma", "beta"]


@dataclass(frozen=True, slots=True)
class Quantity:
    """What an interval is for: sd of effect a of a factor, correlation of its effects a and b, the
    residual standard deviation, or coefficient a. factor: its place in the user's order."""

    kind: Kind
    a: int = 0
    b: int = 0
    factor: int = 0


@dataclass(frozen=True, slots=True)
class Move:
    """The derivative of a place in one coordinate: the change of L of factor k, and dtau."""

    k: int
    change: Array
    dtau: float = 0.0


@dataclass(frozen=True, slots=True)
class Place:
    """L of every factor in the engine's order and tau, with first and second derivatives.

    moves: one per coordinate, x first. bends: (a, b, k, d2L) for a ≤ b, where they are not zero.
    """

    L: tuple[Array, ...]
    tau: float
    moves: tuple[Move, ...]
    bends: tuple[tuple[int, int, int, Array], ...] = ()


@dataclass(frozen=True, slots=True)
class Coordinates:
    """Free coordinates: entries of the held block, of all other blocks, and tau (unless held).

    base: the L at the estimate; k, rows: the held block, its held rows first; out: what turns
    a factor of those rows in the user's units into the engine's. others: (k, i, j) moved freely.
    """

    kind: Kind
    base: tuple[Array, ...]
    k: int
    rows: tuple[int, ...]
    out: Array
    others: tuple[tuple[int, int, int], ...]

    @property
    def own(self) -> list[tuple[int, int]]:
        """Entries of the held block's factor that are free as they are."""
        first = {"sd": 1, "cor": 2}.get(self.kind, len(self.rows))
        return [(i, j) for i in range(first, len(self.rows)) for j in range(i + 1)]

    def place(self, x: float, free: Array) -> Place:
        L = [factor.copy() for factor in self.base]
        count = len(self.others)
        for value, (k, i, j) in zip(free[:count], self.others, strict=True):
            L[k][i, j] = value
        steps = [Move(k, _unit(L[k].shape, i, j)) for k, i, j in self.others]
        if self.kind in ("beta", "sigma"):
            still = Move(0, np.zeros_like(L[0]))
            along = replace(still, dtau=1.0)
            if self.kind == "sigma":
                return Place(tuple(L), x, (along, *steps))
            return Place(tuple(L), float(free[-1]), (still, *steps, along))
        tau, inner = float(free[-1]), free[count:-1]
        M, firsts, bends = self._held(x, tau, inner)
        index = np.ix_(self.rows, self.rows)
        L[self.k][index] = self.out @ M
        entries = [_unit(M.shape, i, j) for i, j in self.own]
        moves = (
            Move(self.k, self._lifted(firsts[0])),
            *steps,
            *(Move(self.k, self._lifted(d)) for d in (*firsts[1:-1], *entries)),
            Move(self.k, self._lifted(firsts[-1]), 1.0),
        )
        bent = tuple((a, b, self.k, self._lifted(d)) for a, b, d in bends)
        return Place(tuple(L), tau, moves, bent)

    def _lifted(self, d: Array) -> Array:
        out = np.zeros_like(self.base[self.k])
        out[np.ix_(self.rows, self.rows)] = self.out @ d
        return out

    def _held(
        self, x: float, tau: float, inner: Array
    ) -> tuple[Array, list[Array], list[tuple[int, int, Array]]]:
        """The held block's factor, its derivatives in x, in l and s (cor) and in tau, and bends."""
        size, count = len(self.rows), len(self.others)
        M = np.zeros((size, size))
        special = 2 if self.kind == "cor" else 0
        for value, (i, j) in zip(inner[special:], self.own, strict=True):
            M[i, j] = value
        corner = _unit(M.shape, 0, 0)
        if self.kind == "sd":
            shrink, last = float(np.exp(-0.5 * tau)), count + len(self.own) + 1
            M[0, 0] = x * shrink
            firsts = [shrink * corner, -0.5 * M[0, 0] * corner]
            bends = [(0, last, -0.5 * shrink * corner), (last, last, 0.25 * M[0, 0] * corner)]
            return M, firsts, bends
        M[0, 0] = inner[0]
        across, along = np.zeros_like(M), np.zeros_like(M)
        along[1, :2], across[1, :2] = (np.sin(x), np.cos(x)), (np.cos(x), -np.sin(x))
        M += inner[1] * along
        firsts = [inner[1] * across, corner, along, np.zeros_like(M)]
        return M, firsts, [(0, 0, -inner[1] * along), (0, count + 2, across)]


def _unit(shape: tuple[int, ...], i: int, j: int) -> Array:
    E = np.zeros(shape)
    E[i, j] = 1.0
    return E


def coordinates(fit: LmmFit, held: Quantity) -> tuple[Coordinates, float, Array]:
    """The system that holds one quantity, with x and the free coordinates at the estimate.

    x is in the engine's units: sd / scale, the angle arcsin(correlation), log s2, or the
    coefficient's distance from `frame.start`, over scale.
    """
    problem, L = fit.problem, fit.solution.L
    tau = float(np.log(fit.solution.moments.r2 / problem.nu))
    entries = problem.entries()
    if held.kind in ("beta", "sigma"):
        system = Coordinates(held.kind, L, 0, (), np.zeros((0, 0)), tuple(entries))
        theta = np.array([L[k][i, j] for k, i, j in entries])
        if held.kind == "sigma":
            return system, tau, theta
        return system, float(fit.frame.A[held.a] @ fit.solution.moments.beta), np.append(theta, tau)
    k = fit.frame.order.index(held.factor)
    block = next(b for b in problem.blocks[k] if held.a in b)
    firsts = [held.a] if held.kind == "sd" else [held.a, held.b]
    rows = (*firsts, *(j for j in block if j not in firsts))
    index = np.ix_(rows, rows)
    T = fit.frame.T[k][index]
    others = tuple(e for e in entries if not (e[0] == k and e[1] in block))
    system = Coordinates(held.kind, L, k, rows, np.asarray(np.linalg.inv(T)), others)
    M = lower_factor(T @ L[k][index])
    own = [M[i, j] for i, j in system.own]
    elsewhere = [L[f][i, j] for f, i, j in others]
    if held.kind == "sd":
        return system, float(M[0, 0] * np.exp(0.5 * tau)), np.array([*elsewhere, *own, tau])
    spread = float(np.hypot(M[1, 0], M[1, 1]))
    angle = float(np.arctan2(M[1, 0], M[1, 1]))
    return system, angle, np.array([*elsewhere, M[0, 0], spread, *own, tau])


def quantities(fit: LmmFit, blocks: Sequence[Sequence[Sequence[int]]]) -> list[Quantity]:
    """Every quantity of a fit: coefficients, then by factor sds and correlations, then sigma.

    blocks: of each factor in the user's order. Within a block, each effect's sd is followed by
    its correlations with the effects after it.
    """
    found = [Quantity("beta", j) for j in range(fit.p)]
    for f, parts in enumerate(blocks):
        for block in parts:
            for place, a in enumerate(block):
                found.append(Quantity("sd", a, factor=f))
                found += [Quantity("cor", a, b, f) for b in block[place + 1 :]]
    return [*found, Quantity("sigma")]
