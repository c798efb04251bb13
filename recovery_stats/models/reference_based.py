"""A trial's difference at its last visit under reference-based assumptions: `reference_based`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from recovery_stats.core.cell import Count
from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset
from recovery_stats.engines import impute as chained
from recovery_stats.engines import reference_based as engine
from recovery_stats.engines.reference_based import STRATEGIES
from recovery_stats.engines.visit_normal import SWEEPS, Visits
from recovery_stats.errors import UsageError, unknown
from recovery_stats.models.missing_contrast import ARM, Assumed, read_contrast
from recovery_stats.models.reference_answer import Prepared, Progress, Work, answers, prepare

LEFT = "people who left"
FEWEST = 20  # bootstrap samples: below, their variance is hardly one


@dataclass(frozen=True)
class ReferenceBased:
    """The difference by strategy and variance; `completed(strategy)` are the imputed tables."""

    prepared: Prepared = field(repr=False)
    rows: tuple[Assumed, ...]
    outcome: str
    m: int
    samples: int
    seed: int
    start: engine.Chains = field(repr=False)
    sweeps: int
    left_out: int

    def __repr__(self) -> str:
        return f"<ReferenceBased: {len(self.rows)} rows, {len(self.prepared.trial.Y)} people>"

    def __getitem__(self, name: str) -> Assumed:
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)

    def tidy(self) -> pd.DataFrame:
        """One row a strategy and variance: `method, strategy, variance, estimate … assumption`."""
        return pd.DataFrame(
            {
                "method": r.name, "strategy": r.name.split("_")[0].upper(),
                "variance": r.name.split("_")[1], "label": r.estimate.label, **r.numbers(),
                "assumption": r.assumption,
            }
            for r in self.rows
        )  # fmt: skip

    def patterns(self) -> pd.DataFrame:
        """`arm, last_visit, people`: how many of each arm were last seen when ("none": never)."""
        last = pd.Series(Visits.of(self.prepared.trial.X, self.prepared.trial.Y).last)
        names = ("none", *self.prepared.contrast.earlier, self.outcome)
        arm = pd.Series(self._arm_names())
        counts = pd.crosstab(arm, last).reindex(columns=range(len(names)), fill_value=0)
        return pd.DataFrame(
            {"arm": a, "last_visit": names[j], "people": int(counts.loc[a, j])}
            for a in counts.index for j in range(len(names))
        )  # fmt: skip

    def completed(self, strategy: str) -> Iterator[pd.DataFrame]:
        """The m tables with every visit filled, of the people analysed."""
        if strategy not in STRATEGIES:
            raise UsageError(unknown("strategy", strategy, STRATEGIES))
        made, contrast = self.prepared, self.prepared.contrast
        columns = [*contrast.earlier, self.outcome]
        plain = contrast.data.frame.drop(columns=[c for c in contrast.data.frame if "|" in str(c)])
        for seed in chained.seeds(self.seed, 0, self.m):
            filled = engine.imputed(made.trial, self.start, (strategy,), self.sweeps, seed)[0]
            values = made.centre + made.unit * filled
            yield plain.assign(**dict(zip(columns, values.T, strict=True)))

    def checks(self) -> tuple[Check, ...]:
        """Who left, who came back, who never came, and who could not take part."""
        return tuple(_checks(self))

    def _arm_names(self) -> list[str]:
        names = self.prepared.contrast.data.variable(ARM).values
        return [names[float(a)] for a in self.prepared.trial.arm]


def reference_based(
    data: pd.DataFrame | Dataset,
    outcome: str,
    arm: str,
    *,
    reference: str,
    earlier: Sequence[str] = (),
    adjust: Sequence[str] = (),
    strata: str | None = None,
    at_random: str | None = None,
    strategies: Sequence[str] = STRATEGIES,
    m: int = 50,
    bootstrap: int = 500,
    jackknife: bool = True,
    sweeps: int = SWEEPS,
    seed: int,
    level: float = 0.95,
    jobs: int = 1,
    progress: Progress | None = None,
) -> ReferenceBased:
    """The difference of a number at a trial's last visit if people who left went on as stated.

    For two arms into which people were drawn one by one. One row a person: `outcome` at the last
    visit, `earlier` the visits after baseline before it, first to last, `adjust` the baseline
    (also of the outcome) and other covariates, `strata` what people were randomised within.
    reference: the level of `arm` that is the reference. strategies: of "MAR", "J2R" (jump to
    reference), "CR" (copy reference), "CIR" (copy increments in reference); they apply to the
    compared arm from the visit after the last one seen. Holes before it are filled at random.
    at_random: a yes/no column of people whose leaving had nothing to do with the outcome; they
    go on in their own arm under every strategy.

    Each strategy has its answer with three variances, which answer different questions:
    "rubin", from m draws of both arms' models, keeps the share of information that is missing as
    it is under MAR (information-anchored); "bootstrap", two imputations of each of `bootstrap`
    samples of the people, and "jackknife", of conditional means without any draw, are those of
    the estimate in repeated trials, smaller where the reference is borrowed from. bootstrap=0,
    jackknife=False leave them out. sweeps: over holes. The same seed gives the same answer
    whatever jobs (processes) and the order of rows; progress(done, of) is told.
    Raises UsageError, DataError, NotEstimable. Sources, and where it is checked:
    engines.reference_based; rs.missing_panel beside the other assumptions.
    """
    asked = _strategies(strategies)
    _whole(m=(m, 2), sweeps=(sweeps, 1), jobs=(jobs, 1), seed=(seed, 0))
    if bootstrap and bootstrap < FEWEST:
        raise UsageError(f"bootstrap= is 0 or a whole number from {FEWEST}, not {bootstrap!r}.")
    if not isinstance(reference, str):
        raise UsageError("reference= is one level of the arm: the one reference of the trial.")
    columns = (outcome, *earlier, *adjust)
    if twice := [c for c in dict.fromkeys(columns) if columns.count(c) > 1]:
        raise UsageError(f"Column {twice[0]!r} is named twice; a visit or covariate has one place.")
    contrast = read_contrast(
        data, outcome, arm, None, reference, adjust=tuple(adjust), earlier=tuple(earlier),
        helping=tuple(c for c in (at_random,) if c), cluster=None, strata=strata, weights=None,
        limits=None, level=level,
    )  # fmt: skip
    made = prepare(contrast, at_random)
    work = Work(made, asked, m, bootstrap, jackknife, sweeps, seed, jobs, progress)
    start, rows = answers(work)
    return ReferenceBased(
        made, rows, outcome, m, bootstrap, seed, start, sweeps,
        len(contrast.data) - len(made.trial.Y),
    )  # fmt: skip


def _strategies(names: Sequence[str]) -> tuple[str, ...]:
    listed = (names,) if isinstance(names, str) else tuple(dict.fromkeys(names))
    for name in listed:
        if name not in STRATEGIES:
            raise UsageError(unknown("strategy", str(name), STRATEGIES))
    if not listed:
        raise UsageError(f"strategies= names one at least of {', '.join(STRATEGIES)}.")
    return listed


def _whole(**asked: tuple[int, int]) -> None:
    for name, (value, least) in asked.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise UsageError(f"{name}= is a whole number from {least}, not {value!r}.")


def _checks(found: ReferenceBased) -> Iterator[Check]:
    trial = found.prepared.trial
    visits = Visits.of(trial.X, trial.Y)
    left, J = visits.last < trial.Y.shape[1], trial.Y.shape[1]
    parts = (
        Count(int(np.sum(left & (trial.arm == 1)))), " people left the compared arm and ",
        Count(int(np.sum(left & (trial.arm == 0)))), " the reference arm before the last visit.",
    )  # fmt: skip
    yield Check(LEFT, "ok", parts)
    if never := int(np.sum(left & (visits.last == 0))) if J else 0:
        told = " people held no visit after baseline: they have the reference's mean from there."
        yield Check(LEFT, "ok", (Count(never), told))
    if holes := sum(h.rows.size for h in visits.holes):
        told = " people missed a visit and came back; those holes are filled at random."
        yield Check(LEFT, "ok", (Count(int(holes)), told))
    if found.left_out:
        told = (
            " people lack a covariate and take no part; impute the baseline, or leave the "
            "covariate out of adjust=."
        )
        yield Check(LEFT, "caution", (Count(found.left_out), told))
