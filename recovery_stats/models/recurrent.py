"""Regression of recurrent events from a formula: Andersen-Gill, LWYY, PWP, WLW.

    andersen-gill  one baseline for every event: what an event does to the next is in x or nowhere
    lwyy           the same estimates read as ratios of rates, which needs no such assumption
    pwp-total      a baseline for each event number, time since entry
    pwp-gap        the same, time since the event before
    wlw            a baseline for each event number, everybody at risk of all from entry on

All have errors robust to the likeness of a person's events.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np
import pandas as pd
from scipy.stats import chi2

from recovery_stats.core.cell import Count, Quantity
from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset
from recovery_stats.engines import recurrence
from recovery_stats.engines.cox_likelihood import Ties
from recovery_stats.errors import DataError, UsageError, unknown
from recovery_stats.models.coefficient import tabulate_coefficients
from recovery_stats.models.columns import Array, Columns, IntArray
from recovery_stats.models.formula import Formula
from recovery_stats.models.hazard import TIE_NAMES, CoxFit, fit_rows
from recovery_stats.models.observation import Observation, observe, read_survival
from recovery_stats.models.stacked import spread, spread_columns, stratify, take

Method = Literal["andersen-gill", "lwyy", "pwp-total", "pwp-gap", "wlw"]
Effects = Literal["common", "by_event"]
NAMES = {
    "andersen-gill": "Andersen-Gill model",
    "lwyy": "Rate model of Lin, Wei, Yang & Ying",
    "pwp-total": "Prentice-Williams-Peterson model in total time",
    "pwp-gap": "Prentice-Williams-Peterson model in gap time",
    "wlw": "Marginal model of Wei, Lin & Weissfeld",
}
BY_NUMBER = ("pwp-total", "pwp-gap", "wlw")
NUMBER = "event_number"
FEW = 10  # events of one number below which its own baseline or effect rests on luck


def recurrent(
    formula: Formula | str,
    data: pd.DataFrame | Dataset,
    *,
    person: str,
    method: Method = "lwyy",
    effects: Effects = "common",
    events_at_most: int | None = None,
    number: str | None = None,
    ties: Ties = "efron",
    weights: str | None = None,
    offset: str | None = None,
    cluster: str | None = None,
) -> RecurrentFit:
    """Fit a model of recurrent events: `Surv(start, stop, event) ~ x + strata(site)`.

    data: (start, stop] rows in time since entry, a person's rows after each other, as
    recurrent_rows() makes them. method: see the module. effects: "by_event" gives each event
    number effects of its own (not in Andersen-Gill, LWYY). events_at_most: leave out what
    follows a person's event of that number. number: column with the number of the event that
    a row leads to, where the data do not hold the earlier ones. cluster: a column of groups of
    people in place of `person` for the robust errors.
    Raises UsageError, DataError, NotEstimable (no event, a term without a finite estimate).
    """
    _know(method, effects, ties)
    asked = read_survival(formula, "recurrent")
    if asked.response.start is None:  # type: ignore[union-attr]
        raise UsageError(
            "recurrent takes Surv(start, stop, event): the rows from one event to the next; "
            "recurrent_rows() makes them. Rows of the marginal layout go to cox() with strata()."
        )
    if asked.frailty is not None:
        raise UsageError("recurrent has robust errors; frailty(x) goes with cox().")
    seen = observe(
        asked,
        data,
        what="recurrent",
        person=person,
        weights=weights,
        offset=offset,
        cluster=cluster,
        complete=() if number is None else (number,),
    )
    numbers = _numbers(seen, data, number)
    laid = _lay_out(seen, numbers, method, effects, events_at_most, person)
    fit = fit_rows(laid.seen, ties)
    return RecurrentFit(
        fit.observation, fit.engine, fit.clusters, fit.robust, method, effects, laid.number
    )


def _know(method: str, effects: str, ties: str) -> None:
    for what, value, known in (
        ("method", method, NAMES),
        ("kind of effects", effects, get_args(Effects)),
        ("treatment of ties", ties, ("efron", "breslow")),
    ):
        if value not in known:
            raise UsageError(unknown(what, value, known))
    if effects == "by_event" and method not in BY_NUMBER:
        raise UsageError(
            f"{NAMES[method]} has one effect for all events; by_event is for PWP, WLW."
        )


def _numbers(seen: Observation, data: pd.DataFrame | Dataset, column: str | None) -> IntArray:
    """The event number that each row leads to: counted, or as the column says."""
    assert seen.person is not None
    assert seen.start is not None
    if column is None:
        return recurrence.number_events(seen.person, seen.start, seen.cause)
    given = Columns.of(data).numbers(column)[np.flatnonzero(seen.design.kept)]
    if seen.weightless:
        raise UsageError("number= and weights of 0 do not go together; leave those rows out.")
    wrong = (given < 1) | (given != np.rint(given))
    if wrong.any():
        raise DataError(
            f"Column {column!r} numbers events from 1; {int(wrong.sum())} rows of "
            f"{len(np.unique(seen.person[wrong]))} people do not."
        )
    return given.astype(np.intp)


@dataclass(frozen=True, slots=True)
class _Layout:
    seen: Observation
    number: IntArray


def _lay_out(
    seen: Observation,
    number: IntArray,
    method: Method,
    effects: Effects,
    at_most: int | None,
    person: str,
) -> _Layout:
    """The rows of the method, with its strata and columns."""
    seen.refuse_no_event("no ratio can be estimated")
    seen = seen if seen.cluster_name else replace(seen, cluster=seen.person, cluster_name=person)
    K = int(number[seen.cause == 1].max())
    K = min(K, at_most or K) if at_most or method in BY_NUMBER else int(number.max())
    if method == "wlw":
        rows, event, number = recurrence.copy_marginally(number, seen.cause, K)
        seen = replace(take(seen, rows), cause=event)
    else:
        rows = np.flatnonzero(number <= K)
        seen, number = take(seen, rows), number[rows]
    if method == "pwp-gap":
        assert seen.person is not None
        assert seen.start is not None
        origin = recurrence.gap_origin(seen.person, seen.start, number)
        seen = replace(seen, start=seen.start - origin, stop=seen.stop - origin)
    if method in BY_NUMBER:
        seen = stratify(seen, NUMBER, number - 1, [str(k) for k in range(1, K + 1)])
    if effects == "by_event":
        seen = spread(seen, number - 1, [f"event[{k}]" for k in range(1, K + 1)])
    return _Layout(seen, number)


@dataclass(frozen=True)
class RecurrentFit(CoxFit):
    """A Cox model on rows of recurrent events, with errors robust to a person's likeness.

    number (n,): the event that each row is at risk of. The ratios of lwyy are of rates, those
    of pwp of the hazard of the next event, those of wlw of the hazard of the k-th since entry.
    """

    kind: Method = "lwyy"
    effects: Effects = "common"
    number: IntArray = field(default_factory=lambda: np.zeros(0, np.intp), repr=False)

    @property
    def method(self) -> str:
        """How it was estimated, for tables."""
        return (
            f"{NAMES[self.kind]}, {TIE_NAMES[self.engine.ties]} ties, robust errors by "
            f"{self.observation.cluster_name}"
        )

    @property
    def events(self) -> IntArray:
        """Events by number (K,)."""
        return np.bincount(self.number[self.observation.cause == 1])[1:]

    def glance(self) -> pd.DataFrame:
        """As for any Cox model, with the number of people."""
        frame = super().glance()
        frame.insert(1, "n_groups", self.observation.people)
        return frame

    def common_effect(self, level: float = 0.95) -> pd.DataFrame:
        """One effect for each coefficient from those by event, and whether they differ.

        The combination of least variance; the columns of tidy, then heterogeneity (chi-squared),
        heterogeneity_df, heterogeneity_p. Source: Wei, Lin & Weissfeld 1989, sec. 3.
        """
        if self.effects != "by_event":
            raise UsageError("common_effect() combines effects by event; fit with by_event.")
        K = len(self.events)
        found = [self._combine(np.arange(j, j + K)) for j in range(0, len(self.beta), K)]
        names = tuple(name.removesuffix(":event[1]") for name in self.terms[::K])
        beta, se, gap = (np.array([f[i] for f in found]) for i in range(3))
        frame = tabulate_coefficients(names, beta, se, level=level, exponentiate=False)
        return frame.assign(
            heterogeneity=gap, heterogeneity_df=K - 1, heterogeneity_p=chi2.sf(gap, K - 1)
        )

    def _combine(self, columns: IntArray) -> tuple[float, float, float]:
        """Weighted mean of some coefficients, its error, and their chi-squared distance from it."""
        b, V = self.beta[columns], self._V[np.ix_(columns, columns)]
        precision = np.linalg.solve(V, np.column_stack([b, np.ones(len(b))]))
        weight = precision[:, 1].sum()
        mean = precision[:, 0].sum() / weight
        return float(mean), float(weight**-0.5), float(b @ precision[:, 0] - mean**2 * weight)

    def _new_rows(self, new_data: pd.DataFrame | Dataset) -> Array:
        X = super()._new_rows(new_data)
        if self.effects == "common":
            return X
        number = Columns.of(new_data).numbers(NUMBER).astype(np.intp)
        return spread_columns(X, number - 1, len(self.events), [False] * X.shape[1])

    def checks(self) -> tuple[Check, ...]:
        """Those of a Cox model of repeated events, what the method assumes, events by number."""
        usual = (c for c in super().checks() if c.name != "rows after an event")
        return (*usual, *self._own_checks())

    def _own_checks(self) -> Iterator[Check]:
        yield Check("recurrent events", "ok", (READING[self.kind],))
        if self.kind not in BY_NUMBER:
            return
        few = np.flatnonzero(self.events < FEW) + 1
        yield Check(
            "events by number",
            "caution" if len(few) else "ok",
            (
                "Each event number has a baseline of its own; the fewest events are ",
                Count(int(self.events.min()), "events"),
                *(
                    (", below ", Quantity(FEW, "whole"), f" from number {few[0]} on; see "
                     "events_at_most.")
                    if len(few)
                    else (".",)
                ),
            ),
        )  # fmt: skip

    def __repr__(self) -> str:
        fit = self.engine
        return (
            f"<{NAMES[self.kind]}: {', '.join(self.terms) or 'no terms'}; "
            f"{self.observation.people} people, {fit.n_events} events{self._word_errors()}>"
        )


READING = {
    "andersen-gill": "Ratios are of the hazard of any event. They are ratios of intensities only "
    "if earlier events change nothing that the covariates do not hold; the robust errors do not "
    "need that.",
    "lwyy": "Ratios are of rates: of the mean number of events by any time. They hold however a "
    "person's events depend on each other; death must not end the follow-up of some.",
    "pwp-total": "Ratios are of the hazard of the next event among those who had as many before. "
    "From the second event on, those at risk are selected: arms are no longer as randomised.",
    "pwp-gap": "Ratios are of the hazard of the next event since the one before, among those who "
    "had as many before. From the second on, arms are no longer as randomised.",
    "wlw": "Ratios are of the time from entry to the k-th event, with everybody at risk of it "
    "from entry on, also before the event before it; effects carry over from event to event.",
}
