"""Two arms at every wave: `compare_over_time(waves, outcome="pacs", arm="arm", wave="wave", ...)`.

    found = rs.compare_over_time(waves, outcome="craving", arm="arm", wave="wave", person="pid",
                                 cluster="house", adjust=["severity"])
    found.tidy()       the difference at each wave after the baseline
    found.means()      means of both arms at every wave
    found.tests()      no difference at any wave; the same difference at all

Every visit held is used, so that a visit missed may depend on the visits before it. Constrained
means: where chance decided the arm, both arms have one mean at the baseline, which gives its
information without being a covariate that must not be missing. Unconstrained: each arm has its
own, and differences are those in change since the baseline. The covariance of the waves has no
pattern where the data can tell it; houses vary from the first wave after the baseline on.
Sources: Liang & Zeger 2000; Lu 2010; Mallinckrodt et al. 2008; Kenward & Roger 1997. Checked:
complete data in closed form, R nlme (tests/models/over_time.R).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from recovery_stats.core.cell import Count
from recovery_stats.core.check import Check
from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset, as_dataset
from recovery_stats.core.estimate import Estimate
from recovery_stats.engines.linalg import Array
from recovery_stats.errors import DataError, NotEstimable, UsageError, unknown
from recovery_stats.models.comparison import Clusters, clusters_of
from recovery_stats.models.formula import quote
from recovery_stats.models.margins import row_of
from recovery_stats.models.mixed import MixedFit, lmm
from recovery_stats.models.multiplicity import adjust_p
from recovery_stats.models.outcome import Reading, read_arms, read_outcome
from recovery_stats.models.risk import estimate

Means = Literal["constrained", "unconstrained"]
ARM, VALUE, WAVE, PERSON, VISIT = "arm|", "value|", "wave|", "person#", "visit#"
CLUSTER, HOUSE, HOUSED = "cluster|", "house|", "housed|"
STRUCTURES = ("unstructured", "heterogeneous-toeplitz", "heterogeneous-compound-symmetry")
FEWEST = 5  # people of an arm at a wave, below which it has no difference of its own


@dataclass(frozen=True, slots=True)
class OverTime:
    """The rows analysed, the fit and what is asked of it.

    waves: in order, the baseline first where there is one; primary: the wave declared. n (k, 2):
    people of the usual and of the compared arm seen at each wave.
    """

    data: Dataset = field(repr=False)
    fit: MixedFit = field(repr=False)
    robust: MixedFit | None = field(repr=False)
    waves: tuple[float, ...]
    baseline: float | None
    primary: float
    kind: Means
    structure: str
    arms: Reading = field(repr=False)
    outcome: Reading = field(repr=False)
    clusters: Clusters = field(repr=False)
    n: tuple[tuple[int, int], ...]
    lost: int
    level: float

    @property
    def later(self) -> tuple[float, ...]:
        """The waves at which arms are compared."""
        return tuple(w for w in self.waves if w != self.baseline)

    def _row(self, fit: MixedFit, wave: float) -> Array:
        weights = {_arm_at(self.waves.index(wave)): 1.0}
        if self.kind == "unconstrained" and self.baseline is not None:
            weights[_arm_at(0)] = -1.0
        return row_of(fit.terms, weights)

    def estimates(self, *, robust: bool = False) -> Iterator[Estimate]:
        """The difference at each wave after the baseline; robust: CR2 errors by cluster."""
        fit = self.robust if robust else self.fit
        if fit is None:
            return
        found = fit.combine(np.vstack([self._row(fit, w) for w in self.later]))
        for i, w in enumerate(self.later):
            yield estimate(
                f"wave[{w:g}]", f"Wave {w:g}", float(found.estimate[i]),
                float(found.std_error[i]), float(found.df[i]), level=self.level,
                rank="secondary", method=f"{fit.method}, {self.kind} means",
                n=sum(self.n[self.waves.index(w)]),
            )  # fmt: skip

    def tidy(self) -> pd.DataFrame:
        """wave, estimate, std_error, df, p_value, p_holm, conf_low, conf_high, p_cr2, primary."""
        found = list(self.estimates())
        robust = [e.p for e in self.estimates(robust=True)] or [np.nan] * len(found)
        return pd.DataFrame({
            "wave": self.later, "estimate": [e.value for e in found],
            "std_error": [e.se for e in found], "df": [e.df for e in found],
            "p_value": [e.p for e in found], "p_holm": self.holm,
            "conf_low": [e.low for e in found], "conf_high": [e.high for e in found],
            "p_cr2": robust, "primary": [w == self.primary for w in self.later],
        })  # fmt: skip

    @property
    def holm(self) -> list[float]:
        """Holm's p over the waves."""
        return [float(p) for p in adjust_p([e.p for e in self.estimates()], "holm")]

    def means(self) -> pd.DataFrame:
        """wave, arm, mean with limits, people: standardised over those seen at the wave."""
        rows, parts = [], []
        seen = self.data.frame[WAVE].to_numpy(dtype=float)
        for k, w in enumerate(self.waves):
            base = self.fit.X[seen == w].mean(axis=0)
            for arm in (0, 1):
                row = base.copy()
                if _arm_at(k) in self.fit.terms:
                    row[self.fit.terms.index(_arm_at(k))] = float(arm)
                rows.append(row)
                parts.append(
                    (w, arm, self.arms.counted if arm else self.arms.other, self.n[k][arm])
                )
        found = self.fit.combine(np.vstack(rows))
        low, high = found.limits(self.level)
        table = pd.DataFrame(parts, columns=["wave", "code", "arm", "n"])
        return table.assign(mean=found.estimate, conf_low=low, conf_high=high)

    def tests(self) -> pd.DataFrame:
        """hypothesis, statistic (F), num_df, den_df, p_value."""
        L = np.vstack([self._row(self.fit, w) for w in self.later])
        asked = {"no difference at any wave": L}
        if len(L) > 1:
            asked["the same difference at every wave"] = L[1:] - L[0]
        tests = [self.fit.test(rows) for rows in asked.values()]
        return pd.DataFrame({
            "hypothesis": list(asked), "statistic": [t.statistic for t in tests],
            "num_df": [t.num_df for t in tests], "den_df": [t.den_df for t in tests],
            "p_value": [t.p_value for t in tests],
        })  # fmt: skip

    def checks(self) -> tuple[Check, ...]:
        """Covariance used, people seen at the primary wave, rows lost."""
        at = self.n[self.waves.index(self.primary)]
        most = max(sum(n) for n in self.n)
        found = [
            Check("waves seen", "caution" if sum(at) < 0.8 * most else "ok", (
                Count(sum(at)), " people were seen at the primary wave, of ", Count(most),
                " at the wave with most. A visit missed may depend on arm, covariates and visits "
                "before it, not on what would have been seen.",
            )),
            Check("covariance of the waves", "ok" if self.structure == STRUCTURES[0] else
                  "caution", (f"The covariance of the waves is {self.structure}.",)),
        ]  # fmt: skip
        if self.lost:
            found.append(Check("waves without a value", "caution", (
                Count(self.lost, "rows"), " rows of waves lack the outcome or a covariate and were "
                "left out.",
            )))  # fmt: skip
        return tuple(found)

    def __repr__(self) -> str:
        return (
            f"<OverTime: {len(self.later)} waves, {self.kind} means, {self.structure}, "
            f"{len(self.data)} rows>"
        )


def compare_over_time(
    waves: Dataset | pd.DataFrame,
    *,
    outcome: str,
    arm: str,
    wave: str,
    person: str,
    baseline: float | Literal["first"] | None = "first",
    means: Means = "constrained",
    primary: float | None = None,
    adjust: Sequence[str] = (),
    cluster: str | None = None,
    reference: str | None = None,
    outcome_level: str | None = None,
    level: float = 0.95,
) -> OverTime:
    """Compare two arms at every wave of an outcome, with one wave primary (default: the last).

    waves: one row a person and wave, with arm, covariates (each has an effect of its own at each
    wave) and cluster on every row. baseline: the wave before the arms began ("first", its number,
    None: there is none). means: "constrained" to be equal at the baseline, right where chance
    decided the arm; "unconstrained", then differences are those in change since the baseline.
    cluster: house or site, empty for people alone; a random effect of it, and CR2 errors beside. A
    yes-no outcome is read as a difference in risk.
    Raises UsageError, DataError; NotEstimable where a wave lacks an arm or no covariance settles.
    """
    table = as_dataset(waves)
    named = (outcome, arm, wave, person, *adjust)
    table.require(*named, *([cluster] if cluster else ()), table="waves")
    if means not in ("constrained", "unconstrained"):
        raise UsageError(unknown("kind of means", means, ("constrained", "unconstrained")))
    _once(table, person, wave)
    whole = table.frame[list(named)].notna().all(axis=1)
    kept = table.with_frame(table.frame[whole])
    arms, reading = read_arms(kept, arm, reference), read_outcome(kept, outcome, outcome_level)
    assigned = np.asarray(arms.values, dtype=float)
    _same_arm(kept, person, assigned)
    clusters = clusters_of(kept, cluster, assigned)
    at = kept.frame[wave].to_numpy(dtype=float)
    order = tuple(float(w) for w in np.unique(at))
    first = order[0] if baseline == "first" else baseline
    order = _ordered(order, first, primary)
    n = _people(at, assigned, order)
    made = kept.with_column(Variable(ARM), arms.values)
    made = made.with_column(Variable(VALUE, table.label(outcome)), reading.values)
    made = made.with_column(Variable(WAVE), at)
    made, formula = _model(made, order, first, means, adjust, clusters, person)
    fit, robust, structure = _fitted(formula, made, clusters)
    last = max(w for w in order if w != first) if primary is None else float(primary)
    return OverTime(
        made, fit, robust, order, first, last, means, structure, arms, reading, clusters, n,
        int((~whole).sum()), level,
    )  # fmt: skip


def _arm_at(k: int) -> str:
    return f"arm at {k}|"


def _once(table: Dataset, person: str, wave: str) -> None:
    repeated = int(table.frame[[person, wave]].dropna().duplicated().sum())
    if repeated:
        raise DataError(
            f"Table 'waves' has {repeated} rows whose {person!r} and {wave!r} occurred before; one "
            "row a person and wave is needed."
        )


def _same_arm(table: Dataset, person: str, arm: Array) -> None:
    by = pd.Series(arm).groupby(table.frame[person].to_numpy())
    changed = int((by.max() != by.min()).sum())
    if changed:
        raise DataError(
            f"{changed} people have several arms in table 'waves'; an arm is what a person was "
            "assigned to, the same at every wave."
        )


def _ordered(
    order: tuple[float, ...], first: float | None, primary: float | None
) -> tuple[float, ...]:
    """The waves, the baseline first. Raises UsageError for one that does not exist."""
    shown = [f"{w:g}" for w in order]
    for what, asked in (("baseline wave", first), ("primary wave", primary)):
        if asked is not None and float(asked) not in order:
            raise UsageError(unknown(what, f"{asked:g}", shown))
    if primary is not None and first is not None and float(primary) == float(first):
        raise UsageError("The primary wave is the baseline: before the arms began nothing differs.")
    if first is None:
        return order
    if len(order) < 2:
        raise NotEstimable("There is no wave after the baseline.")
    return (float(first), *(w for w in order if w != first))


def _people(at: Array, arm: Array, order: tuple[float, ...]) -> tuple[tuple[int, int], ...]:
    n = tuple((int(np.sum((at == w) & (arm == 0))), int(np.sum((at == w) & (arm == 1))))
              for w in order)  # fmt: skip
    for w, each in zip(order, n, strict=True):
        if min(each) < FEWEST:
            raise NotEstimable(
                f"Wave {w:g} has fewer than {FEWEST} people of one arm: leave it out of the waves."
            )
    return n


def _model(
    made: Dataset, order: tuple[float, ...], first: float | None, means: Means,
    adjust: Sequence[str], clusters: Clusters, person: str,
) -> tuple[Dataset, str]:  # fmt: skip
    """The rows with columns for each wave, and the formula."""
    at = made.frame[WAVE].to_numpy(dtype=float)
    arm = made.frame[ARM].to_numpy(dtype=float)
    waves = {f"w{k}|": (at == w) * 1.0 for k, w in enumerate(order) if k}
    free = means == "unconstrained" or first is None
    by_arm = {_arm_at(k): arm * (at == w) for k, w in enumerate(order) if free or w != first}
    after = clusters.real & (at != first) if _one_arm(clusters) else clusters.real
    frame = made.frame.assign(
        **{PERSON: pd.factorize(made.frame[person])[0].astype(str),
           CLUSTER: _codes(made, clusters, person),
           HOUSE: np.where(clusters.real, clusters.codes, -1).astype(str), HOUSED: after * 1.0},
        **waves, **by_arm,
    )  # fmt: skip
    frame[VISIT] = pd.Categorical([f"v{order.index(w)}" for w in at])
    terms = [*map(quote, (*waves, *by_arm))]
    terms += [t for c in adjust for t in (quote(c), *(f"{quote(c)}:{quote(w)}" for w in waves))]
    formula = f"{quote(VALUE)} ~ {' + '.join(terms)}"
    if clusters.structure != "none":
        formula += f" + (0 + {quote(HOUSED)} | {quote(HOUSE)})"
    return made.with_frame(frame), formula


def _one_arm(clusters: Clusters) -> bool:
    """Houses are moved into after the baseline; sites where both arms meet are there before."""
    return clusters.structure == "nested"


def _codes(made: Dataset, clusters: Clusters, person: str) -> Any:
    """A label of each row's cluster; somebody alone is one cluster over all waves."""
    alone = "p" + pd.Series(pd.factorize(made.frame[person])[0].astype(str))
    named = "c" + pd.Series(clusters.codes.astype(str))
    return np.where(clusters.real, named, alone)


def _fitted(
    formula: str, made: Dataset, clusters: Clusters
) -> tuple[MixedFit, MixedFit | None, str]:
    """The first covariance that settles, by Kenward and Roger, and the same with CR2 errors."""
    by = f"{VISIT} | {PERSON}"
    trouble: NotEstimable | None = None
    for structure in STRUCTURES:
        try:
            fit = lmm(formula, made, residual=structure, residual_by=by, df="kenward-roger")
        except NotEstimable as error:
            trouble = trouble or error
            continue
        robust = None
        if clusters.structure != "none":
            robust = lmm(formula, made, residual=structure, residual_by=by, cluster=CLUSTER)
        return fit, robust, structure
    assert trouble is not None
    raise trouble
