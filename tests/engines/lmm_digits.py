"""A linear mixed model in 50 decimal digits: the dense formulas, where float64 has none left.

Everything is n by n, on numpy arrays of Decimal. The data are the float64 numbers themselves,
taken exactly, so that only the arithmetic differs from the engine's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import cached_property

import numpy as np

from recovery_stats.engines.lmm import RandomFactor
from tests.engines.lmm_example import Array

DIGITS = 50
PI = Decimal("3.14159265358979323846264338327950288419716939937510582097")
STEP = Decimal("1e-12")  # of central differences: an error of 1e-24, and 38 digits left


def exactly(values: Array) -> Array:
    """Float64 as decimals, digit by digit."""
    return np.vectorize(Decimal, otypes=[object])(np.asarray(values, dtype=float))


def cholesky(A: Array) -> Array:
    """Lower C with C C' = A."""
    n, C = len(A), np.array(A)
    for j in range(n):
        C[j:, j] = C[j:, j] / C[j, j].sqrt()
        C[j + 1 :, j + 1 :] -= np.outer(C[j + 1 :, j], C[j + 1 :, j])
        C[j, j + 1 :] = Decimal(0)
    return C


def forward(C: Array, B: Array) -> Array:
    """C⁻¹B for lower C."""
    out = np.array(B)
    for j in range(len(C)):
        out[j] = out[j] / C[j, j]
        out[j + 1 :] -= np.multiply.outer(C[j + 1 :, j], out[j])
    return out


@dataclass(frozen=True)
class Digits:
    """The model at psi over s2, all Decimal; parameters: the entries of each Psi, by block."""

    X: Array
    y: Array
    factors: Sequence[RandomFactor]
    reml: bool

    @cached_property
    def changes(self) -> list[Array]:
        """dV0 / d parameter, (n, n)."""
        found = []
        for f in self.factors:
            Z, same = exactly(f.Z), exactly(f.codes[:, None] == f.codes)
            for block in f.blocks:
                for j in block:
                    for i in (i for i in block if i >= j):
                        half = np.outer(Z[:, i], Z[:, j])
                        found.append(same * (half if i == j else half + half.T))
        return found

    def parameters(self, psi: Sequence[Array]) -> Array:
        """The entries in the order of `changes`."""
        return exactly(
            np.array(
                [
                    P[i, j]
                    for f, P in zip(self.factors, psi, strict=True)
                    for block in f.blocks
                    for j in block
                    for i in block
                    if i >= j
                ]
            )
        )

    def root(self, psi: Array) -> Array:
        n = len(self.y)
        V = np.array([[Decimal(int(i == j)) for j in range(n)] for i in range(n)])
        for value, change in zip(psi, self.changes, strict=True):
            V = V + value * change
        return cholesky(V)

    def criterion(self, psi: Array) -> Decimal:
        """The profiled deviance, as the engine's."""
        with localcontext() as context:
            context.prec = DIGITS
            n, p = self.X.shape
            C = self.root(psi)
            S = forward(C, np.column_stack([exactly(self.X), exactly(self.y)]))
            T = cholesky(S.T @ S)
            nu = Decimal(n - p if self.reml else n)
            r2 = T[p, p] ** 2
            found = 2 * sum(C[i, i].ln() for i in range(n))
            found += nu * (1 + (2 * PI * r2 / nu).ln())
            return found + (2 * sum(T[i, i].ln() for i in range(p)) if self.reml else 0)

    def optimum(self, psi: Array, rounds: int = 4) -> tuple[Array, Decimal]:
        """Newton steps in log parameters (variances only) from a start close by."""
        with localcontext() as context:
            context.prec = DIGITS
            at, eye = np.array([v.ln() for v in psi]), exactly(np.eye(len(psi))) * STEP

            def value(log: Array) -> Decimal:
                return self.criterion(np.array([v.exp() for v in log]))

            for _ in range(rounds):
                middle = value(at)
                up, down = [value(at + e) for e in eye], [value(at - e) for e in eye]
                slope = np.array([(u - d) / (2 * STEP) for u, d in zip(up, down, strict=True)])
                H = np.empty((len(at), len(at)))
                for a in range(len(at)):
                    for b in range(a + 1):
                        both = value(at + eye[a] + eye[b])
                        H[a, b] = H[b, a] = float((both - up[a] - up[b] + middle) / STEP**2)
                at = at - exactly(np.linalg.solve(H, slope.astype(float)))
            return np.array([v.exp() for v in at]), value(at)

    def information(self, psi: Array, sigma2: float) -> Information:
        """What degrees of freedom are made of, by n by n matrices; REML."""
        with localcontext() as context:
            context.prec = DIGITS
            X, y, n = exactly(self.X), exactly(self.y), len(self.y)
            s2 = Decimal(float(sigma2))
            C = self.root(psi)
            whitened = forward(C, np.column_stack([X, y]))
            T = cholesky(whitened[:, :-1].T @ whitened[:, :-1])
            half = forward(C, exactly(np.eye(n)))
            XW = whitened[:, :-1].T @ half
            inner = forward(T, XW)
            P = half.T @ half - inner.T @ inner
            changes = [D / s2 for D in (*self.changes, exactly(np.eye(n)))]
            PD, Py = [P @ D for D in changes], P @ y
            moved = [D @ Py for D in changes]
            r = len(changes)
            expected, observed = np.empty((r, r), object), np.empty((r, r), object)
            for a in range(r):
                for b in range(a + 1):
                    trace = np.sum(PD[a] * PD[b].T) / 2
                    expected[a, b] = expected[b, a] = trace
                    quadratic = moved[a] @ P @ moved[b] / s2
                    observed[a, b] = observed[b, a] = quadratic - trace
            slopes = [XW @ D @ XW.T / s2 for D in changes]
            inverse = forward(T, exactly(np.eye(len(T))))
            return Information(s2 * inverse.T @ inverse, slopes, observed, expected)


@dataclass(frozen=True)
class Information:
    """Phi (p, p), X'V⁻¹V_rV⁻¹X for every parameter, the information about the parameters."""

    Phi: Array
    P: list[Array]
    observed: Array
    expected: Array

    def df(self, row: Array, which: str) -> float:
        """Satterthwaite's with the observed, Kenward and Roger's with the expected information."""
        with localcontext() as context:
            context.prec = DIGITS
            contrast = exactly(row)
            u = self.Phi @ contrast
            g = np.array([u @ P @ u for P in self.P])
            half = forward(cholesky(getattr(self, which)), g)
            return float(2 * (contrast @ u) ** 2 / (half @ half))
