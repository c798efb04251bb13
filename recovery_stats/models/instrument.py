"""The effect of moving in among those whom the assignment moves: `complier_effect(data, ...)`.

Randomisation is the instrument. Four things must hold: it was random; it touches the outcome only
through the treatment (exclusion); nobody does the opposite of what was assigned (monotonicity); it
moves somebody. "Moved in at all" can meet the second. "Stayed six months" cannot: a stay of two
months acts too, and relapse ends stays, so that it is refused. Months of residence give a weighted
average of the effects of single months (Angrist & Imbens 1995), an effect of "a month" only if each
is worth the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recovery_stats.core.cell import Quantity, Share
from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset, as_dataset
from recovery_stats.core.estimate import Estimate, Level
from recovery_stats.engines.instrument import (
    AndersonRubin,
    Bounds,
    Compliance,
    TwoStage,
    balke_pearl,
    compliance,
    two_stage,
)
from recovery_stats.errors import DataError, NotEstimable
from recovery_stats.models.comparison import within_strata
from recovery_stats.models.outcome import read_outcome
from recovery_stats.models.risk import estimate
from recovery_stats.models.sample import ARM
from recovery_stats.models.trial import Trial, read_trial

Array = NDArray[np.floating[Any]]

WEAK = 10.0  # first-stage F below which the ratio's own interval misleads (Staiger & Stock 1997)
COUNT = r"(?:\d+|three|six|nine|twelve)"
THRESHOLD = re.compile(
    rf"(?:stay|resid|remain|retain|complet|los)[a-z]*[\W_]*{COUNT}"
    rf"|{COUNT}[\W_]*(?:mo\b|month|week|day)",
    re.IGNORECASE,
)
AT_ALL = re.compile(r"mov(?:e|ed|ing)[\W_]*in|\bever\b|\bany\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ComplierEffect:
    """What moving in did to those who moved in because of the assignment.

    engine: the two regressions. bounds: of the effect in everybody (yes/no outcome and treatment
    only). compliance: who does what, under monotonicity (yes/no treatment). months: the treatment
    is an amount, and the effect a linear average causal response.
    """

    trial: Trial = field(repr=False)
    treatment: str
    d: Array = field(repr=False)
    engine: TwoStage = field(repr=False)
    bounds: Bounds | None
    compliance: Compliance | None

    @property
    def months(self) -> bool:
        return self.compliance is None

    def tidy(self, level: float = 0.95) -> pd.DataFrame:
        """Effect, intention to treat, first stage, bounds and means of compliers, a row each.

        term, estimate, std_error, df, statistic, p_value, conf_low, conf_high, method. The limits
        of `anderson_rubin` are those of the test; where they are -inf and inf every effect is
        left possible, and where conf_low > conf_high those between the two are excluded.
        """
        return pd.DataFrame(list(self._rows(level)))

    def _rows(self, level: float) -> Iterator[dict[str, Any]]:
        e = self.engine
        yield _wald("effect", self.method, e.effect, e.se, e.df, level)
        yield _limits("anderson_rubin", "Anderson–Rubin", e, e.accepted(level))
        to_treat, moved = float(e.covariance[0, 0]) ** 0.5, float(e.covariance[1, 1]) ** 0.5
        yield _wald("intention_to_treat", "difference by arm", e.gamma, to_treat, e.df, level)
        yield _wald("first_stage", "difference by arm", e.pi, moved, e.df, level)
        if self.bounds:
            yield _row("bound_low", "Balke–Pearl bounds", self.bounds.low)
            yield _row("bound_high", "Balke–Pearl bounds", self.bounds.high)
        if self.compliance:
            c = self.compliance
            for name in ("compliers", "always", "never", "treated", "untreated"):
                yield _row(name, "monotonicity, no covariates", float(getattr(c, name)))

    @property
    def method(self) -> str:
        """What the effect is, for tables."""
        if self.months:
            return "two-stage least squares, linear average causal response"
        return "two-stage least squares, complier-average effect"

    def estimate(self, *, name: str, label: str, level: float, rank: Level) -> Estimate:
        """The effect as an Estimate, with its own interval."""
        e = self.engine
        return estimate(name, label, e.effect, e.se, e.df, level=level, rank=rank,
                        method=self.method, n=len(self.d))  # fmt: skip

    def anderson_rubin(self, level: float = 0.95) -> AndersonRubin:
        """The effects that the test does not reject; right however weak the instrument."""
        return self.engine.accepted(level)

    def glance(self) -> pd.DataFrame:
        """The fit in one row."""
        return pd.DataFrame(
            {
                "n_obs": [len(self.d)],
                "n_groups": [self.trial.clusters.named],
                "first_stage_f": [self.engine.first_stage_f],
                "method": [self.method],
            }
        )

    def crossed(self) -> tuple[Share, Share]:
        """Who of the usual arm took the treatment, and who of the compared arm did not."""
        arm, took = self.trial.sample.arm, self.d > 0
        return (
            Share(int(took[arm == 0].sum()), int((arm == 0).sum())),
            Share(int((~took)[arm == 1].sum()), int((arm == 1).sum())),
        )

    def checks(self) -> tuple[Check, ...]:
        """Strength of the instrument, cross-over, whether an instrument is possible at all."""
        return (*self._strength(), *self._cross_over(), *self._possible(), self._what())

    def _strength(self) -> Iterator[Check]:
        F = self.engine.first_stage_f
        tail = " Read the Anderson–Rubin limits, not the effect's own." if WEAK > F else ""
        yield Check(
            "strength of the instrument", "caution" if WEAK > F else "ok",
            ("First-stage F ", Quantity(F), "; under ", Quantity(WEAK, "whole"),
             f" the assignment moves too few.{tail}"),
            self.treatment,
        )  # fmt: skip

    def _cross_over(self) -> Iterator[Check]:
        usual, refused = self.crossed()
        arms = self.trial.arms
        yield Check(
            "cross-over", "caution" if usual.n else "ok",
            (f"In “{arms.other}” ", usual, f" had the treatment all the same; in "
             f"“{arms.counted}” ", refused, " never had it."),
            self.treatment,
        )  # fmt: skip

    def _possible(self) -> Iterator[Check]:
        if self.bounds is None:
            return
        wrong = self.bounds.worst > 1.0 + 1e-12
        words = (
            " The table contradicts the instrument: assignment reaches the outcome other than "
            "through the treatment, or is not random." if wrong else " The table allows it."
        )  # fmt: skip
        yield Check(
            "exclusion", "caution" if wrong else "ok",
            ("Pearl's sum ", Quantity(self.bounds.worst, "ratio"),
             ", at most 1 if assignment acts through the treatment alone.", words),
            self.treatment,
        )  # fmt: skip

    def _what(self) -> Check:
        if not self.months:
            return Check(
                "what the instrument tells", "ok",
                ("The effect is that in people who move in if assigned and not otherwise; who "
                 "they are cannot be seen.",), self.treatment,
            )  # fmt: skip
        return Check(
            "what the instrument tells", "caution",
            ("Months of residence: a weighted average of the effects of single months in people "
             "whose stay the assignment lengthens, linear by assumption. It is not the effect of "
             "staying six months, and relapse ends stays.",), self.treatment,
        )  # fmt: skip

    def __repr__(self) -> str:
        e = self.engine
        return (
            f"<ComplierEffect of {self.treatment!r} on {self.trial.names[0]!r}: {e.effect:.3f}, "
            f"{len(self.d)} people, first-stage F {e.first_stage_f:.1f}>"
        )


def complier_effect(
    data: pd.DataFrame | Dataset,
    *,
    outcome: str,
    assigned: str,
    treatment: str,
    stay: str | None = None,
    cluster: str | None = None,
    adjust: Sequence[str] = (),
    strata: str | None = None,
    weights: str | None = None,
    outcome_level: str | None = None,
    reference: str | None = None,
) -> ComplierEffect:
    """Effect of the treatment taken, with assignment as its instrument.

    assigned: the arm, two levels. treatment: moved in at all (two levels), or an amount (months in
    a house). stay: days or months in a house, against which a yes/no treatment is held. cluster:
    house or site; adjust: baseline covariates; strata: randomised within, a coefficient each.
    Raises NotEstimable for a length of stay made yes or no, and where assignment moves nobody.
    """
    table = as_dataset(data)
    table.require(treatment, *([stay] if stay else ()))
    _refuse_threshold(table, treatment, stay)
    trial = read_trial(
        table, outcome=outcome, arm=assigned, cluster=cluster, adjust=adjust, strata=strata,
        weights=weights, outcome_level=outcome_level, reference=reference, also=(treatment,),
    )  # fmt: skip
    d = _taken(trial.data, treatment)
    sample = trial.sample
    if trial.strata is not None:
        sample = within_strata(sample, trial.strata)
    found = two_stage(trial.sample.y, d, sample.X, ARM, sample.cluster, weights=sample.weights)
    yes_no = set(np.unique(d)) <= {0.0, 1.0}
    z = trial.sample.arm
    sharp = balke_pearl(_table(trial.sample.y, d, z)) if yes_no and trial.reading.binary else None
    return ComplierEffect(
        trial, treatment, d, found, sharp, compliance(trial.sample.y, d, z) if yes_no else None
    )


def _taken(data: Dataset, column: str) -> Array:
    """0/1 for two levels, else the amount."""
    reading = read_outcome(data, column)
    if not reading.binary and (reading.values < 0).any():
        raise DataError(
            f"Treatment {column!r} is below 0 in {int((reading.values < 0).sum())} rows; months of "
            "residence are 0 or more."
        )
    return np.asarray(reading.values, dtype=float)


def _refuse_threshold(data: Dataset, column: str, stay: str | None) -> None:
    """NotEstimable for a yes/no treatment that is a length of stay cut in two."""
    values = data.frame[column].dropna()
    if values.nunique() > 2:
        return
    said = f"{column} {data.variable(column).label or ''}"
    named = THRESHOLD.search(said) and not AT_ALL.search(said)
    shorter = 0
    if stay is not None:
        taken = _taken(data.keep(data.frame[column].notna(), "treatment known"), column)
        lived = data.frame.loc[values.index, stay].to_numpy(float) > 0
        shorter = int(np.sum((taken == 0) & lived))
    if named or shorter:
        seen = f" {shorter} people counted as untreated lived in a house." if shorter else ""
        raise NotEstimable(
            f"Treatment {column!r} is a length of stay made yes or no, for which assignment is no "
            f"instrument: shorter stays act too, and relapse ends stays, so that exclusion fails."
            f"{seen} Use 'moved in at all', or months in the house as a number."
        )


def _table(y: Array, d: Array, z: Array) -> Array:
    """P(Y=y, D=d | Z=z) at [y, d, z]."""
    p = np.zeros((2, 2, 2))
    np.add.at(p, (y.astype(int), d.astype(int), z.astype(int)), 1.0)
    return np.asarray(p / p.sum(axis=(0, 1)))


def _wald(
    term: str, method: str, value: float, se: float, df: float, level: float
) -> dict[str, Any]:
    found = estimate(term, "", value, se, df, level=level)
    return _row(
        term, method, value, std_error=se, df=df, statistic=value / se, p_value=found.p,
        conf_low=found.low, conf_high=found.high,
    )  # fmt: skip


def _limits(term: str, method: str, e: TwoStage, found: AndersonRubin) -> dict[str, Any]:
    low, high = found.low, found.high
    if found.shape == "outside":
        low, high = high, low
    return _row(term, method, e.effect, df=e.df, p_value=e.test(0.0), conf_low=low, conf_high=high)


def _row(term: str, method: str, value: float, **more: float) -> dict[str, Any]:
    empty = dict.fromkeys(
        ("std_error", "df", "statistic", "p_value", "conf_low", "conf_high"), float("nan")
    )
    return {"term": term, "estimate": value, **empty, **more, "method": method}
