"""Cox models of every transition between states at once, and the states they predict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from recovery_stats.core.cell import Count, Quantity
from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset
from recovery_stats.engines import transition as engine
from recovery_stats.engines.cox_likelihood import Ties
from recovery_stats.engines.curves import Interval, position
from recovery_stats.errors import DataError, UsageError, unknown
from recovery_stats.models.argument import read_level, read_times
from recovery_stats.models.columns import Array, Columns, IntArray
from recovery_stats.models.formula import Formula
from recovery_stats.models.hazard import TIE_NAMES, CoxFit, fit_rows
from recovery_stats.models.hazard_check import FEW_EVENTS
from recovery_stats.models.incidence import probability_limits
from recovery_stats.models.observation import Observation, read_survival
from recovery_stats.models.stacked import shared_columns, spread, spread_columns, stratify, take
from recovery_stats.models.state_path import StateRows, read_states

TRANSITION = "transition"


def transition_models(
    formula: Formula | str,
    data: pd.DataFrame | Dataset,
    *,
    person: str,
    initial: str | None = None,
    common: Sequence[str] = (),
    absorbing: Sequence[str] | None = None,
    possible: Sequence[tuple[str, str]] | None = None,
    ties: Ties = "efron",
    weights: str | None = None,
    offset: str | None = None,
    cluster: str | None = None,
) -> TransitionFit:
    """Fit the hazard of each transition: `Surv(start, stop, state) ~ x + strata(site)`.

    Rows as multistate() takes them. Every transition that occurs has a baseline of its own, and
    every term an effect for each transition, but for terms in `common`, which have one effect
    on all. Errors are robust by person, or by `cluster`; those of the model stand beside.
    Raises UsageError, DataError, NotEstimable (a term without a finite estimate).
    """
    if ties not in ("efron", "breslow"):
        raise UsageError(unknown("treatment of ties", ties, ("efron", "breslow")))
    what = "transition_models"
    asked = read_survival(formula, what)
    if asked.frailty is not None:
        raise UsageError("transition_models has no frailty(x); errors are robust by person.")
    found = read_states(
        asked, data, what=what, person=person, initial=initial, absorbing=absorbing,
        possible=possible, weights=weights, offset=offset, cluster=cluster,
    )  # fmt: skip
    for term in common:
        if term not in found.seen.design.terms:
            raise UsageError(unknown("term", term, found.seen.design.terms))
    moves = tuple(found.moves())
    rows, codes = _stack(found, moves)
    seen = found.seen
    if not seen.cluster_name:
        seen = replace(seen, cluster=seen.person, cluster_name=person)
    shared = shared_columns(seen, common)
    seen = _lay_out(found, seen, moves, rows, codes, common)
    fit = fit_rows(seen, ties)
    return TransitionFit(
        fit.observation, fit.engine, fit.clusters, fit.robust, found, moves, codes, shared
    )


def _stack(found: StateRows, moves: Sequence[tuple[int, int]]) -> tuple[IntArray, IntArray]:
    """Rows at risk of each transition, and which it is."""
    rows = [np.flatnonzero(found.paths.origin == j) for j, _ in moves]
    return np.concatenate(rows), np.repeat(np.arange(len(moves)), [len(r) for r in rows])


def _lay_out(
    found: StateRows,
    seen: Observation,
    moves: Sequence[tuple[int, int]],
    rows: IntArray,
    codes: IntArray,
    common: Sequence[str],
) -> Observation:
    event = found.paths.to[rows] == np.array([k for _, k in moves])[codes]
    words = [found.name(m) for m in moves]
    laid = replace(take(seen, rows), cause=event.astype(np.intp))
    return spread(stratify(laid, TRANSITION, codes, words), codes, words, common)


@dataclass(frozen=True)
class TransitionFit(CoxFit):
    """Cox models of transitions, stratified by transition. Coefficients are log hazard ratios.

    found: the rows as paths. moves: the transitions (from, to). codes (n,): the transition that
    each row is at risk of. shared: coefficients of the formula with one effect on all.
    """

    found: StateRows = field(repr=False)
    moves: tuple[tuple[int, int], ...] = field(repr=False)
    codes: IntArray = field(repr=False)
    shared: tuple[bool, ...] = field(repr=False)

    @property
    def states(self) -> tuple[str, ...]:
        """The names of the states."""
        return self.found.states

    @property
    def method(self) -> str:
        """How it was estimated, for tables."""
        return (
            f"Cox models of {len(self.moves)} transitions, {TIE_NAMES[self.engine.ties]} ties, "
            f"robust errors by {self.observation.cluster_name}"
        )

    def transitions(self) -> pd.DataFrame:
        """from, to, n_risk (rows), n_event of each transition."""
        at_risk = np.bincount(self.codes)
        events = np.bincount(self.codes, self.observation.cause)
        rows = [
            (self.states[j], self.states[k], int(at_risk[m]), int(events[m]))
            for m, (j, k) in enumerate(self.moves)
        ]
        return pd.DataFrame(rows, columns=["from", "to", "n_risk", "n_event"])

    def _new_rows(self, new_data: pd.DataFrame | Dataset) -> Array:
        """Rows of new data, whose column `transition` says of which ("a -> b")."""
        words = [self.found.name(m) for m in self.moves]
        asked = Columns.of(new_data).series(TRANSITION).astype(str).tolist()
        for word in asked:
            if word not in words:
                raise UsageError(unknown(TRANSITION, word, words))
        codes = np.array([words.index(w) for w in asked], dtype=np.intp)
        return spread_columns(super()._new_rows(new_data), codes, len(words), self.shared)

    def occupation(
        self,
        new_data: pd.DataFrame | Dataset,
        *,
        times: Sequence[float] | None = None,
        start_in: str | None = None,
        conf_type: Interval = "log-log",
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Probabilities of the states for people whose covariates stay as they are.

        start_in: the state at time 0 (default: where most rows of first observation are).
        Returns row (label in new_data), state, time, estimate, std_error, conf_low, conf_high
        at every event time, or at `times`; nan beyond the last observation. With strata(x) the
        column x must be in new_data. The Markov property is assumed.
        """
        p0, level = self._start(start_in), read_level(level)
        recipe = self.found.seen.design.recipe
        X, offset = recipe.matrix(new_data), recipe.offset(new_data)
        index = (new_data.frame if isinstance(new_data, Dataset) else new_data).index
        if not len(X):
            raise DataError("The new data have no rows.")
        strata = self._strata_of_new(new_data, len(X))
        parts = [
            self._person(label, x, o, list(s), p0, times, conf_type, level)
            for label, x, o, s in zip(index, X, offset, strata, strict=True)
        ]
        return pd.concat(parts, ignore_index=True)

    def _start(self, state: str | None) -> Array:
        if state is None:
            first = self.found.paths.start == self.found.paths.start.min()
            at = int(np.bincount(self.found.paths.origin[first]).argmax())
        elif state in self.states:
            at = self.states.index(state)
        else:
            raise UsageError(unknown("state", state, self.states))
        p0 = np.zeros(len(self.states))
        p0[at] = 1.0
        return p0

    def _strata_of_new(self, new_data: pd.DataFrame | Dataset, n: int) -> IntArray:
        """The engine's stratum of each transition for each new row: (n, M)."""
        M, within = len(self.moves), self.found.seen.design.strata
        if within is None:
            return np.tile(np.arange(M), (n, 1))
        columns = Columns.of(new_data)
        found = columns.grouping(within.name.split(":"))
        grouping = self.observation.design.strata
        assert grouping is not None
        words = [self.found.name(m) for m in self.moves]
        wanted = [[f"{found.levels[c]}:{w}" for w in words] for c in found.codes]
        known = {level: s for s, level in enumerate(grouping.levels)}
        for name in (name for row in wanted for name in row):
            if name not in known:
                raise UsageError(unknown(f"stratum of {grouping.name}", name, known))
        return np.array([[known[name] for name in row] for row in wanted])

    def _person(
        self,
        label: object,
        x: Array,
        offset: float,
        strata: list[int],
        p0: Array,
        times: Sequence[float] | None,
        conf_type: Interval,
        level: float,
    ) -> pd.DataFrame:
        M, S = len(self.moves), len(self.states)
        X = spread_columns(np.tile(x, (M, 1)), np.arange(M), M, self.shared)
        found = engine.steps(self.engine, X, strata, offset)
        P, se = engine.occupation(self.engine, found, self.moves, p0)
        time = found.time
        if times is not None:
            asked = read_times(times)
            at = position(time, asked) + 1
            beyond = asked > self.observation.stop.max()
            P, se = np.vstack([p0, P])[at], np.vstack([np.zeros(S), se])[at]
            P[beyond], se[beyond], time = np.nan, np.nan, asked
        low, high = probability_limits(P, se, level, conf_type)
        return pd.DataFrame(
            {
                "row": [label] * (S * len(time)),
                "state": np.repeat(self.states, len(time)),
                "time": np.tile(time, S),
                "estimate": P.T.ravel(),
                "std_error": se.T.ravel(),
                "conf_low": low.T.ravel(),
                "conf_high": high.T.ravel(),
            }
        )

    def checks(self) -> tuple[Check, ...]:
        """Those of a Cox model, and transitions with too few events for their coefficients."""
        return (*super().checks(), *self._own_checks())

    def _own_checks(self) -> Iterator[Check]:
        table, apart = self.transitions(), len(self.shared) - sum(self.shared)
        least = table.loc[table["n_event"].idxmin()]
        few = bool(least["n_event"] < FEW_EVENTS * max(apart, 1))
        yield Check(
            "transitions",
            "caution" if few else "ok",
            (
                f"The transition with fewest events is {least['from']} -> {least['to']}: ",
                Count(int(least["n_event"]), "events"),
                " for ",
                Quantity(apart, "whole"),
                " coefficients of its own" + ("; share effects with common=." if few else "."),
            ),
        )

    def __repr__(self) -> str:
        return (
            f"<Cox models of transitions {', '.join(self.found.name(m) for m in self.moves)}: "
            f"{self.observation.people} people, {self.engine.n_events} moves>"
        )
