"""The factors beside the first, eliminated at one value of theta.

S22 = Z2'V1⁻¹Z2, V1 the first factor's share of V0; K2 = L2 (I + L2'S22 L2)⁻¹ L2'; rest, I - K2 S22,
turns what the first factor leaves into what all leave: T22 = Z2'V0⁻¹Z2 = S22 rest, Z1'V0⁻¹Z2 =
Z1'V1⁻¹Z2 rest, Z1'V1⁻¹Z2 = R'N C. The moments come from cross-products, the quick way, or from
their roots (`lmm_root`). Checked: dense formulas (tests/engines/test_lmm.py).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from recovery_stats.engines.linalg import Array, inverse_and_log_det
from recovery_stats.engines.lmm_second import Second


@dataclass(frozen=True, slots=True)
class Part:
    """Effects of one factor as the others meet them, (M2, s) each.

    lifted: Z2'V1⁻¹Z W, or what else stands for it; crossed: the same on its way to other factors,
    of the first factor only; placed: W itself among the M2 effects, None for the first factor.
    """

    lifted: Array
    crossed: Array | None = None
    placed: Array | None = None


@dataclass(frozen=True)
class SecondMoments(ABC):
    """H2 = Z2'V0⁻¹[X y] (M2, s) and whatever else is asked of the other factors.

    Weights N (q1, q1, m1) stand for C'NC (M2, M2); `weighed` makes of them what `sent` and
    `carried` take.
    """

    second: Second
    H2: Array

    @property
    @abstractmethod
    def T22(self) -> Array:
        """Z2'V0⁻¹Z2, (M2, M2): a dense product, so only where it is asked for."""

    @abstractmethod
    def blocks(self, k: int) -> Array:
        """The diagonal blocks of T22 for factor k+1, (levels, q, q)."""

    @abstractmethod
    def gathered(self) -> Array:
        """C_i K2 C_i' of every group of the first factor, (q1, q1, m1)."""

    @abstractmethod
    def weighed(self, N: Array) -> Array: ...

    @abstractmethod
    def sent(self, weighed: Array) -> Array:
        """A (M2, M2) whose products have the traces of those of K2 C'NC."""

    @property
    @abstractmethod
    def carrier(self) -> Array:
        """A (·, M2) with A'(`carried` by N) = rest'C'NC rest."""

    @abstractmethod
    def carried(self, weighed: Array) -> Array: ...

    @abstractmethod
    def lift_first(self, inner: Array) -> Part:
        """Effects of the first factor, given as N_i R_i W_i (q1 m1, s)."""

    @abstractmethod
    def lift(self, placed: Array) -> Part:
        """Effects (M2, s) of the other factors."""

    @abstractmethod
    def meet(self, a: Part, b: Part) -> Array:
        """W_a'Z'V0⁻¹Z W_b, less W_a'Z1'V1⁻¹Z1 W_b where both are the first factor's; (s, s)."""

    def information(self, inner: Array, placed: Array) -> Array:
        """The same for directions (·, r) that have parts in both."""
        first, others = self.lift_first(inner), self.lift(placed)
        cross = self.meet(others, first)
        return self.meet(first, first) + cross + cross.T + self.meet(others, others)


@dataclass(frozen=True)
class FromProducts(SecondMoments):
    """From K2 and S22 (M2, M2); L: without zeros."""

    K2: Array
    S22: Array
    L: tuple[Array, ...]

    @cached_property
    def carrier(self) -> Array:
        return np.asarray(np.eye(len(self.K2)) - self.K2 @ self.S22)

    @cached_property
    def T22(self) -> Array:
        return np.asarray(self.S22 @ self.carrier)

    def blocks(self, k: int) -> Array:
        """For one effect per level T22 Psi = S22 K2 row by row: a sum of products, with nothing
        subtracted, in place of the products of T22."""
        if self.second.q[k] > 1:
            return self.second.diagonal(k, self.T22)
        at, m = self.second.offsets[k], self.second.levels[k]
        rows = slice(at, at + m)
        total = np.einsum("ij,ij->i", self.S22[rows], self.K2[rows])
        return np.asarray(total / float(self.L[k][0, 0]) ** 2)[:, None, None]

    def gathered(self) -> Array:
        return self.second.gather(self.K2)

    def weighed(self, N: Array) -> Array:
        return self.second.scatter(N)

    def sent(self, weighed: Array) -> Array:
        return np.asarray(self.K2 @ weighed)

    def carried(self, weighed: Array) -> Array:
        return np.asarray(weighed @ self.carrier)

    def lift_first(self, inner: Array) -> Part:
        return Part(self.second.Ct @ inner)

    def lift(self, placed: Array) -> Part:
        return Part(self.S22 @ placed, placed=placed)

    def meet(self, a: Part, b: Part) -> Array:
        taken = a.lifted.T @ self.K2 @ b.lifted
        if a.placed is not None:
            return np.asarray(a.placed.T @ b.lifted - taken)
        return np.asarray((0.0 if b.placed is None else a.lifted.T @ b.placed) - taken)

    def information(self, inner: Array, placed: Array) -> Array:
        lifted = self.second.Ct @ inner
        cross, reached = placed.T @ lifted, self.S22 @ placed
        reach = lifted + reached
        return np.asarray(cross + cross.T + placed.T @ reached - reach.T @ self.K2 @ reach)


def eliminate(
    second: Second, L: Sequence[Array], N: Array, Nc: Array
) -> tuple[FromProducts, Array, Array, float]:
    """The moments, what the other factors take of [X y]'V1⁻¹[X y] and of c (q1 m1, s), and
    log|I + L2'S22 L2|.

    N (q, q, m) and N c (q, s, m) of the first factor.
    """
    L = [without_zeros(factor) for factor in L]
    S22 = second.within + second.scatter(N)
    S2 = second.within_xy + second.Ct @ Nc.transpose(0, 2, 1).reshape(-1, Nc.shape[1])
    D = second.sandwiched(L, S22)
    D[np.diag_indices_from(D)] += 1.0
    inverse, log_det = inverse_and_log_det(D)
    K2 = second.sandwiched([factor.T for factor in L], inverse)
    E = K2 @ S2
    found = FromProducts(second, S2 - S22 @ E, K2, S22, tuple(L))
    return found, S2.T @ E, second.C @ E, log_det


def without_zeros(L: Array) -> Array:
    """L with 1e-100 for a zero on the diagonal: no digit changes, and ratios to L exist."""
    return np.where(np.eye(len(L), dtype=bool) & (L == 0), 1e-100, L)
