"""Compare an answer with the values of a case, in digits of agreement."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scipy.stats import norm

from .answer import answer

LEAST_P = 1e-3  # a p-value below this is compared with 0.001: nobody reads further digits
STRICTEST = 1e-6  # where a case states no tolerance at all
P_KEY = re.compile(r"(^|[._])p([._\[]|$)")


@dataclass(frozen=True, slots=True)
class Compared:
    """One value: ours against the reference, relative to `scale`, allowed to differ by `tol`."""

    case: str
    topic: str
    key: str
    ours: float | None
    reference: float | None
    scale: float
    tol: float

    @property
    def difference(self) -> float:
        """Difference in units of the scale; 0 where both are unknown, infinite where one is."""
        if self.ours is None or self.reference is None:
            return 0.0 if self.ours is self.reference else math.inf
        return abs(self.ours - self.reference) / self.scale

    @property
    def digits(self) -> float:
        """Digits of agreement, 16 at most."""
        return min(16.0, -math.log10(self.difference)) if self.difference > 0 else 16.0

    @property
    def within(self) -> bool:
        return self.difference <= self.tol


@dataclass(frozen=True, slots=True)
class Comparison:
    """A whole case: what was compared, which keys were left out, and why."""

    case: str
    topic: str
    compared: tuple[Compared, ...]
    left_out: tuple[str, ...]
    note: str

    @property
    def outside(self) -> tuple[Compared, ...]:
        return tuple(c for c in self.compared if not c.within)


def compare(path: Path) -> Comparison:
    """Answer the case at `path`, then look at its values."""
    found = answer(path)
    raw = json.loads(path.read_text(encoding="utf-8"))
    values, tol = raw["values"], raw.get("tol") or {}
    compared = tuple(
        Compared(
            raw["name"],
            raw["topic"],
            key,
            found.values[key],
            reference,
            scale_of(key, values),
            tolerance_of(key, tol if isinstance(tol, dict) else {}),
        )
        for key, reference in values.items()
        if key in found.values and agrees_with_itself(key, values)
    )
    left_out = tuple(k for k in values if k not in found.values)
    return Comparison(raw["name"], raw["topic"], compared, left_out, found.note)


def agrees_with_itself(key: str, values: Mapping[str, float | None]) -> bool:
    """False for a p-value that is not that of the z beside it: one of the two is rougher.

    glmer prints p from its own Hessian; the cases have z from an exact one.
    """
    z, p = values.get(re.sub(r"(^|\.)p\[", r"\1z[", key)), values.get(key)
    if not re.search(r"(^|\.)p\[", key) or z is None or p is None:
        return True
    return abs(2 * float(norm.sf(abs(z))) - p) <= STRICTEST * max(p, LEAST_P)


def tolerance_of(key: str, tol: Mapping[str, float]) -> float:
    """The tolerance of the longest kind that begins the key, else the loosest of the case."""
    kinds = [k for k in tol if key.startswith(k)]
    return tol[max(kinds, key=len)] if kinds else max(tol.values(), default=STRICTEST)


def scale_of(key: str, values: Mapping[str, float | None]) -> float:
    """The reference's size; for a covariance the root of its variances, for p at least 0.001.

    A variance or effect that is exactly 0 is measured by the residual variance or its root.
    """
    size = abs(values[key] or 0.0)
    pair = re.fullmatch(r"(.*)cov\[(.*)\|(.*),(.*)\]", key)
    if pair:
        sides = (values.get(f"{pair[1]}var[{pair[2]}|{end}]") for end in (pair[3], pair[4]))
        size = math.sqrt(math.prod(abs(v or 0.0) for v in sides)) or size
    if P_KEY.search(key):
        size = max(size, LEAST_P)
    if size > 0:
        return size
    residual = values.get("sigma2") or 1.0
    return residual if key.startswith(("var", "cov")) else math.sqrt(residual)
