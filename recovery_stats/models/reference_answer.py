"""The answers of a trial under reference-based assumptions, with each of their variances."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recovery_stats.core.estimate import Estimate
from recovery_stats.core.worker import end_with_parent
from recovery_stats.engines import impute as chained
from recovery_stats.engines import reference_based as engine
from recovery_stats.engines import rubin
from recovery_stats.engines.linalg import Array, single_thread
from recovery_stats.engines.reference_based import Trial, Varied
from recovery_stats.errors import DataError, NotEstimable, UsageError
from recovery_stats.models.missing_contrast import OUTCOME, Assumed, Contrast
from recovery_stats.models.risk import estimate

Progress = Callable[[int, int], None]
GROUP = "Reference-based"
TOLD = {
    "MAR": "Missing at random: who left went on like people of the own arm with the same course.",
    "J2R": "Jump to reference: who left the compared arm then had the reference's mean.",
    "CR": "Copy reference: who left the compared arm were as if in the reference from the start.",
    "CIR": "Copy increments in reference: who left the compared arm kept what they had gained, and "
    "changed from then on as the reference arm did.",
}
RUBIN, BOOTSTRAP, JACKKNIFE = "rubin", "bootstrap", "jackknife"
VARIANCES = {
    RUBIN: "Rubin's (information-anchored)",
    BOOTSTRAP: "bootstrap (repeated sampling)",
    JACKKNIFE: "jackknife (repeated sampling)",
}


@dataclass(frozen=True)
class Prepared:
    """The people of a trial as arrays. contrast: those with every covariate, in a fixed order.

    trial: its Y has mean 0 and, at the last visit, sd 1: value = centre + unit * y.
    """

    contrast: Contrast
    trial: Trial = field(repr=False)
    centre: float
    unit: float

    @property
    def visits(self) -> tuple[str, ...]:
        return (*self.contrast.earlier, OUTCOME)


# --- the trial as arrays -------------------------------------------------------------------------


def prepare(contrast: Contrast, at_random: str | None = None) -> Prepared:
    """Arrays of the people with every covariate; what does not fit is refused."""
    if contrast.binary:
        raise UsageError(
            "Reference-based imputation is for a number; for a yes/no outcome missing_panel has "
            "the shifts of its odds."
        )
    if not contrast.missing.any():
        raise DataError("The outcome is not missing for anybody: every strategy gives one answer.")
    known = contrast.known(outcome=False).ordered()
    Y: Array = np.column_stack([_visit(known, c) for c in (*known.earlier, OUTCOME)])
    centre, unit = float(np.nanmean(Y[:, -1])), float(np.nanstd(Y[:, -1]))
    sample, strata = known.sample()
    sample = sample.alone()
    X = np.array((sample if strata is None else sample.stratified(strata)).X, dtype=np.float64)
    X[:, 2:] /= X[:, 2:].std(axis=0)
    spared = np.zeros(len(Y), dtype=bool)
    if at_random is not None:
        spared = _yes(known, at_random)
    return Prepared(known, Trial(X, (Y - centre) / unit, spared), centre, unit)


def _visit(contrast: Contrast, column: str) -> Array:
    values = contrast.data.frame[column]
    if not pd.api.types.is_numeric_dtype(values):
        raise DataError(f"Visit {column!r} is no number; every visit must be one.")
    if values.notna().sum() == 0:
        raise DataError(f"Visit {column!r} has no value; leave it out of earlier=.")
    return np.asarray(values.to_numpy(float, na_value=np.nan))


def _yes(contrast: Contrast, column: str) -> NDArray[np.bool_]:
    values = contrast.data.frame[column]
    if not set(values.dropna().unique()) <= {0, 1}:
        raise DataError(f"Column {column!r} of at_random= must be 0 or 1 (or true and false).")
    return np.asarray(values.fillna(0).to_numpy(float) == 1)


# --- answers -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Work:
    """What is to be computed, with what, and who hears how far it is."""

    made: Prepared
    strategies: tuple[str, ...]
    m: int
    bootstrap: int
    jackknife: bool
    sweeps: int
    seed: int
    jobs: int
    progress: Progress | None = None

    @property
    def of(self) -> int:
        people = len(self.made.trial.Y) if self.jackknife else 0
        return self.m + self.bootstrap + people


def answers(work: Work) -> tuple[engine.Chains, tuple[Assumed, ...]]:
    """Both arms' models at maximum likelihood, and the rows: strategy by strategy."""
    trial, strategies = work.made.trial, work.strategies
    with single_thread():
        start = engine.estimate(trial)
        told = [_rubin(work, start)]
        if work.bootstrap:
            told.append(_bootstrap(work, start))
        if work.jackknife:
            told.append(_jackknife(work, start))
    n = len(trial.Y)
    rows = (
        _row(work, s, name, found, n) for s in range(len(strategies)) for name, found in told
    )  # fmt: skip
    return start, tuple(rows)


def _rubin(work: Work, start: engine.Chains) -> tuple[str, Varied]:
    trial = work.made.trial
    run = partial(engine.imputation, trial, start, work.strategies, work.sweeps)
    drawn = np.array(_collected(work, run, chained.seeds(work.seed, 0, work.m), 0))
    complete = np.full(len(work.strategies), float(trial.X.shape[0] - trial.X.shape[1]))
    pooled = rubin.pool(drawn[:, 0], drawn[:, 1], complete)
    return RUBIN, Varied(pooled.estimate, pooled.total, pooled.df)


def _bootstrap(work: Work, start: engine.Chains) -> tuple[str, Varied]:
    run = partial(engine.resample, work.made.trial, start, work.strategies)
    # a stream of its own, that does not move with m
    seeds = np.random.SeedSequence(work.seed, spawn_key=(1 << 31,)).spawn(work.bootstrap)
    found = engine.bootstrap_variance(np.array(_collected(work, run, seeds, work.m)))
    if not (found.variance > 0).all():
        raise NotEstimable(
            "The samples differ less than their imputations do: give more of them (bootstrap=)."
        )
    return BOOTSTRAP, found


def _jackknife(work: Work, start: engine.Chains) -> tuple[str, Varied]:
    trial = work.made.trial
    run = partial(engine.leave_out, trial, start, work.strategies)
    left = _collected(work, run, range(len(trial.Y)), work.m + work.bootstrap)
    answer = engine.conditional(trial, start, work.strategies)
    return JACKKNIFE, engine.jackknife_variance(answer, np.array(left))


def _collected(work: Work, run: Callable[[Any], Array], items: Sequence[Any], told: int) -> Any:
    """The answers in their order, in processes where jobs are more than one."""
    if work.jobs == 1:
        return _heard(map(run, items), work, told)
    with ProcessPoolExecutor(min(work.jobs, len(items)), initializer=end_with_parent) as pool:
        return _heard(pool.map(run, items, chunksize=max(1, len(items) // 50)), work, told)


def _heard(found: Iterable[Array], work: Work, told: int) -> list[Array]:
    done = []
    for answer in found:
        done.append(answer)
        if work.progress is not None:
            work.progress(told + len(done), work.of)
    return done


def named(strategy: str, variance: str) -> tuple[str, str]:
    """Name and label of a row."""
    return f"{strategy.lower()}_{variance}", f"{strategy}, {VARIANCES[variance]}"


def _row(work: Work, s: int, name: str, found: Varied, n: int) -> Assumed:
    strategy, unit = work.strategies[s], work.made.unit
    how = {
        RUBIN: f"{work.m} imputations, Rubin's rules",
        BOOTSTRAP: f"{work.bootstrap} samples imputed twice",
        JACKKNIFE: "conditional means, jackknife",
    }
    told: Estimate = estimate(
        *named(strategy, name),
        unit * float(found.estimate[s]), unit * float(np.sqrt(found.variance[s])),
        float(found.df[s]), level=work.made.contrast.level, rank="sensitivity", method=how[name],
        n=n,
    )  # fmt: skip
    return Assumed(told, TOLD[strategy], GROUP)
