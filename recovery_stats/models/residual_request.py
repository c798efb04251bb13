"""What `residual=` and `residual_by=` ask for, read from words.

    residual_by = "wave | person"    person: within whom residuals are correlated; a:b or a/b for
                                     ids that are unique only together. Without "| person" the
                                     finest grouping of the formula's random terms is taken;
                                     compound symmetry needs no wave: "person", "1 | person".
                                     "heterogeneous" needs no person: "arm", or "wave"
    residual_variance = "sex"        a variance of its own for each level, beside any structure
    residual_groups = "arm"          the whole structure separately for each group of people

Checked: every refusal below (tests/models/test_mixed_residual.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from recovery_stats.engines.residual_correlation import Family
from recovery_stats.errors import UsageError, unknown
from recovery_stats.models.expression import Formula

STRUCTURES: dict[str, tuple[Family | None, bool]] = {
    "ar1": ("ar1", False),
    "heterogeneous-ar1": ("ar1", True),
    "car1": ("car1", False),
    "compound-symmetry": ("cs", False),
    "heterogeneous-compound-symmetry": ("cs", True),
    "toeplitz": ("toeplitz", False),
    "heterogeneous-toeplitz": ("toeplitz", True),
    "ante-dependence": ("ante", True),
    "general-correlation": ("free", False),
    "heterogeneous": ("independent", True),
    "unstructured": (None, False),
}  # family (None: unstructured), and whether each wave has a variance of its own
ALIASES = {
    "ar(1)": "ar1", "ar1h": "heterogeneous-ar1", "arh1": "heterogeneous-ar1",
    "arh(1)": "heterogeneous-ar1", "car(1)": "car1", "exponential": "car1", "sp(exp)": "car1",
    "sp-exp": "car1", "sp(pow)": "car1", "cs": "compound-symmetry",
    "exchangeable": "compound-symmetry", "csh": "heterogeneous-compound-symmetry",
    "heterogeneous-cs": "heterogeneous-compound-symmetry", "toep": "toeplitz",
    "toeph": "heterogeneous-toeplitz", "adh": "ante-dependence", "ante(1)": "ante-dependence",
    "ante1": "ante-dependence", "diagonal": "heterogeneous", "diag": "heterogeneous",
    "un": "unstructured", "corsymm": "general-correlation", "us": "unstructured",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """The columns a residual structure reads. person is empty where the formula must tell."""

    kind: str
    wave: str | None
    person: tuple[str, ...]
    variance: str | None
    groups: str | None

    @property
    def family(self) -> Family | None:
        return STRUCTURES[self.kind][0]

    @property
    def by_wave(self) -> bool:
        return STRUCTURES[self.kind][1]

    @property
    def correlated(self) -> bool:
        return self.family != "independent"

    @property
    def columns(self) -> tuple[str, ...]:
        named = (self.wave, *self.person, self.variance, self.groups)
        return tuple(dict.fromkeys(c for c in named if c))


def read_request(
    residual: str | None,
    by: str | None,
    variance: str | None,
    groups: str | None,
    formula: Formula,
) -> Request | None:
    """Read the arguments; None when no structure is asked for. Raises UsageError."""
    if residual is None and variance is not None and by is None:
        residual, by, variance = "heterogeneous", variance, None
    if residual is None:
        if by or groups or variance:
            raise UsageError("residual_by= and its companions need residual=, such as 'ar1'.")
        return None
    kind = _kind(residual)
    wave, person = _read_by(by, kind)
    if kind != "heterogeneous" and not person and not formula.random:
        raise UsageError(
            f"residual={residual!r} is a structure within people: name them, "
            f"residual_by='{wave or 'wave'} | person'."
        )
    if variance is not None and kind in ("unstructured", "ante-dependence", "heterogeneous"):
        raise UsageError(
            f"residual={kind!r} has a variance for each level of residual_by= already; for groups "
            "of people with a structure of their own use residual_groups=."
        )
    return Request(kind, wave, person, variance, groups)


def _kind(residual: str) -> str:
    plain = str(residual).strip().lower().replace("_", "-").replace(" ", "-")
    kind = ALIASES.get(plain, plain)
    if kind not in STRUCTURES:
        raise UsageError(unknown("residual structure", str(residual), STRUCTURES))
    return kind


def _apart(text: str, marks: str) -> list[str]:
    """Split at any of the marks that does not stand within back-quotes."""
    outside = "(?=(?:[^`]*`[^`]*`)*[^`]*$)"  # an even number of back-quotes follows
    return re.split(f"[{re.escape(marks)}]{outside}", text)


def _read_by(by: str | None, kind: str) -> tuple[str | None, tuple[str, ...]]:
    left, *after = _apart(by or "", "|")
    bar, wave = bool(after), left.strip().strip("`") or None
    wave = None if wave == "1" else wave
    person = tuple(c.strip().strip("`") for c in _apart("|".join(after), ":/") if c.strip())
    if bar and not person:
        raise UsageError(f"residual_by={by!r} names nobody after the bar, as in 'wave | person'.")
    if kind == "compound-symmetry":
        return (wave, person) if bar or not wave else (None, (wave,))
    if wave is None:
        what = "the time" if kind == "car1" else "the wave"
        raise UsageError(
            f"residual={kind!r} needs the column of {what}: residual_by='wave | person'."
        )
    return wave, person
