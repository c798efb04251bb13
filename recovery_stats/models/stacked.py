"""Rows stacked by event number or transition, each with a stratum and perhaps its own effects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recovery_stats.models.columns import Grouping, IntArray
from recovery_stats.models.observation import Observation


def take(seen: Observation, rows: IntArray) -> Observation:
    """Rows by position, some of them perhaps more than once."""

    def of(values: NDArray[Any] | None) -> Any:
        return None if values is None else values[rows]

    return replace(
        seen,
        start=of(seen.start),
        stop=of(seen.stop),
        cause=of(seen.cause),
        X=of(seen.X),
        weights=of(seen.weights),
        offset=of(seen.offset),
        strata=of(seen.strata),
        cluster=of(seen.cluster),
        person=of(seen.person),
        taken=of(seen.places),
    )


def stratify(seen: Observation, name: str, codes: IntArray, levels: Sequence[str]) -> Observation:
    """A stratum for each of `codes` (n,), within the strata of the formula."""
    within, K = seen.design.strata, len(levels)
    if within is None:
        grouping = Grouping(name, codes, tuple(levels))
    else:
        assert seen.strata is not None
        used, both = np.unique(seen.strata * K + codes, return_inverse=True)
        names = tuple(f"{within.levels[u // K]}:{levels[u % K]}" for u in used.tolist())
        grouping = Grouping(f"{within.name}:{name}", both.reshape(-1), names)
    return replace(seen, strata=grouping.codes, design=replace(seen.design, strata=grouping))


def spread(
    seen: Observation, codes: IntArray, words: Sequence[str], common: Sequence[str] = ()
) -> Observation:
    """Effects apart for each of `codes` (n,): a column for each coefficient and word.

    common: terms of the formula that keep one effect.
    """
    design, K = seen.design, len(words)
    names, labels, assign = [], [], []
    for name, label, a in zip(design.names, design.labels, design.assign, strict=True):
        apart = design.terms[a] not in common
        names += [f"{name}:{w}" for w in words] if apart else [name]
        labels += [f"{label}, {w}" for w in words] if apart else [label]
        assign += [a] * (K if apart else 1)
    columns = spread_columns(seen.X, codes, K, shared_columns(seen, common))
    changed = replace(design, names=tuple(names), labels=tuple(labels), assign=tuple(assign))
    return replace(seen, X=columns, design=changed)


def shared_columns(seen: Observation, common: Sequence[str]) -> tuple[bool, ...]:
    """Which of the formula's coefficients belong to a term with one effect."""
    return tuple(seen.design.terms[a] in common for a in seen.design.assign)


def spread_columns(
    X: NDArray[np.float64], codes: IntArray, K: int, shared: Sequence[bool]
) -> NDArray[np.float64]:
    """X (n, p) with each column that is not shared in K columns, one for each code."""
    here = (codes[:, None] == np.arange(K)).astype(float)
    parts = [X[:, [j]] if s else X[:, [j]] * here for j, s in enumerate(shared)]
    return np.hstack([np.zeros((len(X), 0)), *parts])
