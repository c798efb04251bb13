"""Which table a file is and which column plays which role, guessed, each guess with its reason."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pandas.api.types import is_datetime64_any_dtype, is_numeric_dtype

from recovery_stats.core.dataset import Dataset
from recovery_stats.data.role import TABLES, Role, TableKind, roles_of
from recovery_stats.data.wording import BEFORE, patterns

BY_NAME, BY_LABEL, BY_SPSS_ROLE = 2, 3, 1
REPEATED = 0.01  # a persons table may hold a few accidental duplicates
FEW_LEVELS = 12


@dataclass(frozen=True, slots=True)
class Guess:
    """A column for a role: how strongly it is suggested, and by what."""

    role: str
    column: str
    score: int
    reason: str


@dataclass(frozen=True, slots=True)
class TableGuess:
    """A file as a table: the roles found, and the other candidates of each role."""

    name: str
    roles: Mapping[str, tuple[Guess, ...]] = field(default_factory=dict)
    others: Mapping[str, tuple[Guess, ...]] = field(default_factory=dict)
    key: tuple[str, ...] = ()
    reason: str = ""


def guess_tables(data: Dataset, stem: str) -> tuple[TableGuess, ...]:
    """The tables that a file may serve, the likeliest first; none when nothing fits."""
    found = [_fit(data, stem, kind) for kind in TABLES.values()]
    ranked = sorted((f for f in found if f), key=lambda f: -f[0])
    if not ranked:
        return ()
    best = ranked[0][1]
    # A file of visits per week is waves and, by its counts, attendance too.
    also = [g for _, g in ranked[1:] if {best.name, g.name} == {"waves", "meetings"}]
    return (best, *(g for g in also if "count" in g.roles))


def _fit(data: Dataset, stem: str, kind: TableKind) -> tuple[int, TableGuess] | None:
    """How well the file serves as `kind`, or None when it lacks what that table needs."""
    known = {n: r for n, r in roles_of(kind.name).items() if (kind.name, n) != ("waves", "adjust")}
    candidates = _candidates(data, known.values())
    roles = _assign(candidates, known)
    if any(role not in roles for role in kind.needs):
        return None
    key = tuple(roles[role][0].column for role in kind.key)
    unique, reason = _key_fits(data, kind, key, roles)
    if not unique:
        return None
    named = bool(re.search(kind.names, stem, re.IGNORECASE))
    strength = sum(roles[role][0].score for role in kind.needs if role != "person")
    score = 10 * named + strength + 5 * (kind.name in ("persons", "houses", "sites"))
    taken = {g.column for found in roles.values() for g in found}
    others = {r: tuple(g for g in candidates if g.role == r and g.column not in taken)
              for r in roles_of(kind.name)}  # fmt: skip
    return score, TableGuess(kind.name, roles, others, key, reason)


def _key_fits(
    data: Dataset, kind: TableKind, key: tuple[str, ...], roles: Mapping[str, tuple[Guess, ...]]
) -> tuple[bool, str]:
    """Say whether rows repeat as they must in such a table, in words for the draft."""
    if key:
        repeated = int(data.frame.duplicated(list(key)).sum())
        fits = repeated <= REPEATED * len(data)
        verb = "tells" if len(key) == 1 else "tell"
        return fits, f"{kind.says}: {' and '.join(key)} {verb} the rows apart"
    person = roles["person"][0].column
    fits = bool(data.frame[person].duplicated().any())
    return fits, f"{kind.says}: {person} repeats"


def _candidates(data: Dataset, roles: Iterable[Role]) -> list[Guess]:
    """Every column that may play one of `roles`, the strongest suggestions first."""
    found = [
        guess
        for role in roles
        for column in map(str, data.frame.columns)
        if (guess := _suggest(data, role, column))
    ]
    return sorted(found, key=lambda g: -g.score)  # stable: order of roles, then of columns


def _suggest(data: Dataset, role: Role, column: str) -> Guess | None:
    names, labels = patterns(role.name)
    variable, values = data.variable(column), data.frame[column]
    by_name = bool(names.fullmatch(column))
    by_label = bool(variable.label and labels.search(variable.label))
    if not (by_name or by_label) or not _plausible(role, values):
        return None
    if role.name == "outcome" and BEFORE.search(variable.label):
        return None
    score = BY_NAME * by_name + BY_LABEL * by_label
    score += BY_SPSS_ROLE * (role.name == "outcome" and variable.role in ("target", "both"))
    reasons = [f"label '{variable.label}'"] * by_label + [f"name '{column}'"] * by_name
    return Guess(role.name, column, score, " and ".join(reasons))


def _plausible(role: Role, values: Any) -> bool:
    """Say whether the values could play the role at all."""
    present = values.dropna()
    numeric, dated = is_numeric_dtype(values.dtype), is_datetime64_any_dtype(values.dtype)
    if present.empty or (role.varies and present.nunique() < 2):
        return False
    if role.name in ("entry_date", "exit_date"):  # numbered days are on a clock we cannot know
        return bool(dated)
    demands: Mapping[str, bool] = {
        "event": present.nunique() == 2,
        "number": numeric,
        "time": numeric and present.min() >= 0,
        "count": numeric and present.min() >= 0,
        "weight": numeric and present.min() >= 0,
        "code": present.nunique() <= FEW_LEVELS,
        "day": numeric or dated,
    }
    return bool(demands.get(role.nature, True))


def _assign(candidates: list[Guess], roles: Mapping[str, Role]) -> dict[str, tuple[Guess, ...]]:
    """Give each role its strongest column and each column one role; covariates take what is left.

    Only covariates are guessed in the plural: an analysis has one outcome.
    """
    found: dict[str, list[Guess]] = {}
    taken: set[str] = set()
    for guess in sorted(candidates, key=lambda g: (g.role != "person", g.role == "adjust")):
        several = guess.role == "adjust"
        if guess.column not in taken and (several or guess.role not in found):
            found.setdefault(guess.role, []).append(guess)
            taken.add(guess.column)
    return {role: tuple(found[role]) for role in roles if role in found}
