"""State occupation by group from a formula: abstinent, relapsed, in treatment, dead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Literal, get_args

import numpy as np
import pandas as pd
from scipy.stats import chi2, norm

from recovery_stats.core.cell import Count, Quantity
from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset
from recovery_stats.engines import markov
from recovery_stats.engines import multistate as engine
from recovery_stats.engines.curves import Interval
from recovery_stats.engines.multistate import CENSORED, Occupation, Paths
from recovery_stats.errors import NotEstimable, UsageError, unknown
from recovery_stats.models.argument import read_horizon, read_level, read_times
from recovery_stats.models.columns import Array
from recovery_stats.models.formula import Formula
from recovery_stats.models.incidence import probability_limits
from recovery_stats.models.life_table import (
    group_columns,
    know_interval,
    only_times,
    read_frame,
    read_groups,
)
from recovery_stats.models.state_path import read_states

Errors = Literal["jackknife", "greenwood"]
STAY = "(no move)"
FEW_MOVES = 10


def multistate(
    formula: Formula | str,
    data: pd.DataFrame | Dataset,
    conf_type: Interval = "log-log",
    level: float = 0.95,
    *,
    person: str,
    initial: str | None = None,
    absorbing: Sequence[str] | None = None,
    possible: Sequence[tuple[str, str]] | None = None,
    weights: str | None = None,
    errors: Errors = "jackknife",
    start_time: float | None = None,
    start_in: str | None = None,
    initial_known: bool = False,
) -> StateCurves:
    """Probability of being in each state by time: `Surv(start, stop, state) ~ group`.

    state: 0 where a row ends without a move, else the code of the state moved to, named by its
    value label (or a Categorical, its first category for no move). initial: column with the
    state at a person's first row; without it everybody starts in "(entry)". Late entry is left
    truncation. absorbing, possible: see state_path.read_states. errors: "jackknife" (as R's
    survfit; by person, weights allowed) or "greenwood". start_time: count from then on, among
    those observed. start_in: start everybody in this state: transition probabilities.
    initial_known: errors given the distribution at the start (as R's survfit), which otherwise
    counts as estimated: without censoring the errors are then those of shares.
    Raises UsageError, DataError (rows after death, overlaps), NotEstimable (nobody moves).
    """
    know_interval(conf_type)
    level = read_level(level)
    what = "multistate"
    if errors not in get_args(Errors):
        raise UsageError(unknown("kind of errors", errors, get_args(Errors)))
    if errors == "greenwood" and weights is not None:
        raise UsageError("errors='greenwood' are for rows without weights; use 'jackknife'.")
    found = read_states(
        only_times(formula, what),
        data,
        what=what,
        person=person,
        initial=initial,
        absorbing=absorbing,
        possible=possible,
        complete=group_columns(formula, what),
        weights=weights,
    )
    groups = read_groups(formula, what, data, found.seen)
    paths = [found.paths.some(np.flatnonzero(groups.codes == g)) for g in range(groups.size)]
    if start_time is not None:
        paths = [p.after(start_time) for p in paths]
    p0 = _start_in(start_in, found.states)
    starts = [
        _at_start(p, p0, name, initial_known) for p, name in zip(paths, groups.levels, strict=True)
    ]
    fitted = tuple(
        engine.occupation(p, p0=start, greenwood=errors == "greenwood")
        for p, start in zip(paths, starts, strict=True)
    )
    return StateCurves(
        groups.name, groups.levels, found.states, fitted, tuple(paths), conf_type, level,
        start_time or 0.0, tuple(starts),
    )  # fmt: skip


def _start_in(state: str | None, states: tuple[str, ...]) -> Array | None:
    if state is None:
        return None
    if state not in states:
        raise UsageError(unknown("state", state, states))
    return np.asarray(np.eye(len(states))[states.index(state)])


def _at_start(paths: Paths, p0: Array | None, group: str, known: bool) -> Array | None:
    """The distribution at the start that errors take as known; None where it is estimated."""
    if not (paths.to != CENSORED).any():
        raise NotEstimable(f"Nobody moves in group {group!r}.")
    if p0 is None and known:
        return engine.initial_distribution(paths, engine.count(paths))[0]
    return p0


@dataclass(frozen=True)
class StateCurves:
    """Aalen-Johansen probabilities of being in each state, for each level of `group`."""

    group: str
    levels: tuple[str, ...]
    states: tuple[str, ...]
    fitted: tuple[Occupation, ...]
    paths: tuple[Paths, ...] = field(repr=False)
    conf_type: Interval
    level: float
    start_time: float
    starts: tuple[Array | None, ...]

    def tidy(self) -> pd.DataFrame:
        """One row per group, state and time.

        n_risk are in the state just before, n_event move into it, n_censor are last seen in it.
        """
        return pd.concat(
            [
                self._frame(name, found, s)
                for name, found in zip(self.levels, self.fitted, strict=True)
                for s in range(len(self.states))
            ],
            ignore_index=True,
        )

    def _frame(self, name: str, found: Occupation, s: int) -> pd.DataFrame:
        p, se, moves = found.estimate[:, s], found.std_error[:, s], found.moves
        low, high = probability_limits(p, se, self.level, self.conf_type)
        return pd.DataFrame(
            {
                "group": name,
                "state": self.states[s],
                "time": moves.time,
                "n_risk": moves.n_risk[:, s],
                "n_event": moves.events[:, :, s].sum(axis=1),
                "n_censor": moves.n_censor[:, s],
                "estimate": p,
                "std_error": se,
                "conf_low": low,
                "conf_high": high,
            }
        )

    def occupation(self, times: Sequence[float] | float) -> pd.DataFrame:
        """The columns of tidy at given times; unknown (nan) beyond the end of observation."""
        asked = np.sort(read_times(times))
        parts = []
        for name, found in zip(self.levels, self.fitted, strict=True):
            for s in range(len(self.states)):
                frame = self._frame(name, found, s)
                at_start = float(found.p0[s])
                parts.append(read_frame(frame, asked, start=at_start, known_end=False))
        return pd.concat(parts, ignore_index=True)

    at = occupation

    def transitions(self) -> pd.DataFrame:
        """group, from, to, n: moves between states, and rows' ends without one."""
        rows = []
        S = len(self.states)
        for name, found in zip(self.levels, self.fitted, strict=True):
            moves, ends = found.moves.events.sum(axis=0), found.moves.n_censor.sum(axis=0)
            for j in range(S):
                rows += [(name, self.states[j], self.states[k], moves[j, k]) for k in range(S)]
                rows.append((name, self.states[j], STAY, ends[j]))
        table = pd.DataFrame(rows, columns=["group", "from", "to", "n"])
        return table[(table["from"] != table["to"])].reset_index(drop=True)

    def restricted_time(self, tau: float) -> pd.DataFrame:
        """Mean time in each state up to tau: group, state, estimate, std_error and limits.

        With two groups also rows of the difference, second minus first; jackknife errors.
        """
        tau = read_horizon(tau)
        found = [self._time_in_states(i, tau) for i in range(len(self.levels))]
        names = list(self.levels)
        if len(found) == 2:
            (m0, V0), (m1, V1) = found
            found.append((m1 - m0, V0 + V1))
            names.append("difference")
        frame = pd.DataFrame(
            [
                (name, state, m[s], np.sqrt(V[s, s]))
                for name, (m, V) in zip(names, found, strict=True)
                for s, state in enumerate(self.states)
            ],
            columns=["group", "state", "estimate", "std_error"],
        )
        half = norm.isf((1 - self.level) / 2) * frame["std_error"]
        return frame.assign(conf_low=frame["estimate"] - half, conf_high=frame["estimate"] + half)

    def _time_in_states(self, group: int, tau: float) -> tuple[Array, Array]:
        last = self.fitted[group].moves.time[-1]
        if not self.start_time < tau <= last:
            raise NotEstimable(
                f"Time in states to {tau:g} is unknown: group {self.levels[group]!r} is observed "
                f"from {self.start_time:g} to {last:g}."
            )
        return engine.restricted_time(
            self.paths[group], tau, begin=self.start_time, p0=self.starts[group]
        )

    def markov_test(self) -> pd.DataFrame:
        """Does when a state was entered tell about leaving it? group, from, to, statistic, df, p.

        Transitions out of states entered under observation; the row "GLOBAL" adds them up.
        """
        rows = list(self._entry_tests())
        total = [r[3] for r in rows if np.isfinite(r[3])]
        rows.append(("GLOBAL", "", "", float(np.sum(total)), len(total)))
        frame = pd.DataFrame(rows, columns=["group", "from", "to", "statistic", "df"])
        p = chi2.sf(frame["statistic"], np.maximum(frame["df"], 1))
        return frame.assign(p_value=np.where(frame["df"] > 0, p, np.nan))

    def _entry_tests(self) -> Iterator[tuple[str, str, str, float, int]]:
        for name, paths, found in zip(self.levels, self.paths, self.fitted, strict=True):
            moves = found.moves.events.sum(axis=0)
            for j, k in product(range(len(self.states)), repeat=2):
                came = moves[:, j].sum() > 0
                if moves[j, k] and came:
                    statistic = markov.entry_time_test(paths, j, k)
                    known = int(np.isfinite(statistic))
                    yield name, self.states[j], self.states[k], statistic, known

    def checks(self) -> tuple[Check, ...]:
        """Whether entry to a state tells about leaving it, and transitions that few made."""
        return tuple(self._checks())

    def _checks(self) -> Iterator[Check]:
        test = self.markov_test().iloc[-1]
        if test["df"]:
            p = float(test["p_value"])
            yield Check(
                "Markov property",
                "caution" if p < 0.05 else "ok",
                (
                    "Test that leaving a state does not depend on when it was entered: ",
                    Quantity(p, "p"),
                    "; probabilities of states stand all the same, those of moving from a given "
                    "state do not."
                    if p < 0.05
                    else ".",
                ),
            )
        n = np.array([f.moves.events.sum(axis=0) for f in self.fitted])
        least = float(n[n > 0].min())
        yield Check(
            "transitions",
            "caution" if least < FEW_MOVES else "ok",
            ("The transition that fewest made was made ", Count(round(least), "events"), " times."),
        )

    def __repr__(self) -> str:
        n = sum(int(p.person.max()) + 1 for p in self.paths)
        moves = sum(f.moves.events.sum() for f in self.fitted)
        return f"<States {', '.join(self.states)}: {n} people, {moves:g} moves>"
