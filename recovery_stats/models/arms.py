"""Two arms compared on any outcome: a yes or no, a number, a count, days out of days, money.

Every outcome gets an absolute effect (difference of the standardised means) and, where it has
one, a relative effect (their ratio), with cluster-robust errors. Of counts, days and money only
the mean has to be right (quasi-likelihood); the spread may be what it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recovery_stats.core.cell import Count, Quantity, Share
from recovery_stats.core.check import Check
from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset, as_dataset
from recovery_stats.core.estimate import Estimate
from recovery_stats.errors import DataError, NotEstimable, UsageError
from recovery_stats.models.comparison import Primary, clusters_of, primary, strata_codes
from recovery_stats.models.effect_size import hedges_g
from recovery_stats.models.outcome import Reading, read_arms, read_outcome
from recovery_stats.models.percentile import percentile_limits
from recovery_stats.models.risk import Family, NumberNeeded, number_needed, standardise
from recovery_stats.models.sample import SMALLEST_STRATUM, Sample, read_sample

Array = NDArray[np.float64]
Kind = Literal["auto", "yes-no", "number", "count", "days", "money"]
FAMILY: dict[str, Family] = {
    "yes-no": "binomial", "number": "gaussian", "count": "poisson", "days": "fraction",
    "money": "gamma",
}  # fmt: skip
MODEL = {
    "binomial": "logistic", "gaussian": "linear", "poisson": "log-linear",
    "fraction": "fractional logistic", "gamma": "gamma, log link",
}  # fmt: skip
ARM, OUTCOME = "arm|", "outcome|"
FEW_CLUSTERS = 10


@dataclass(frozen=True, slots=True)
class ArmsFit:
    """The standardised comparison; `scale` is what a mean is multiplied by (days: out of).

    strata: how many there are, and how many of them are too thin for a coefficient.
    """

    outcome: Reading
    arms: Reading
    kind: Kind
    found: Primary
    sample: Sample
    scale: float
    named: int
    level: float
    boot: Estimate | None
    strata: tuple[int, int] = (0, 0)

    def __repr__(self) -> str:
        main = self.estimates()[0]
        return f"<ArmsFit ({self.kind}): {main.label.casefold()} {main.value:.4g}>"

    def estimates(self) -> tuple[Estimate, ...]:
        """Difference first, then ratios, the mean of each arm, and for money the bootstrap."""
        return tuple(self._estimates())

    def _estimates(self) -> Iterator[Estimate]:
        fit, level = self.found.fit, self.level
        what = "risk" if self.kind == "yes-no" else "mean"
        method = f"standardised, {MODEL[fit.family]} model"
        made = fit.effect(
            "difference", f"{what}_difference", f"{what.capitalize()} difference", level=level,
            rank="primary", method=method,
        )  # fmt: skip
        yield _times(made, self.scale)
        ratios = {"yes-no": ("ratio", "odds_ratio"), "number": ()}.get(self.kind, ("ratio",))
        for ratio in ratios:
            name = ratio if ratio == "odds_ratio" else f"{what}_ratio"
            label = name.replace("_", " ").capitalize()
            yield fit.effect(ratio, name, label, level=level, rank="secondary", method=method)  # type: ignore[arg-type]
        for arm, end, who in ((1, "compared", self.arms.counted), (0, "usual", self.arms.other)):
            label = f"{what.capitalize()} in “{who}”"
            yield _times(fit.mean(arm, f"{what}_{end}", label, level=level, method=method),
                         self.scale)  # fmt: skip
        if self.kind != "yes-no":
            y, arm_of = self.sample.y, self.sample.arm
            yield hedges_g(y[arm_of == 1], y[arm_of == 0], level=level)
        if self.boot is not None:
            yield self.boot

    @property
    def number_needed(self) -> NumberNeeded:
        """Of a yes-no outcome; its interval may run through infinity."""
        if self.kind != "yes-no":
            raise UsageError("A number needed to treat belongs to a yes-no outcome.")
        return number_needed(self.estimates()[0])

    def tidy(self, level: float | None = None) -> pd.DataFrame:
        """The estimates, ratios as ratios with the error of their logarithm."""
        rows = []
        for e in self.estimates():
            linear = float(np.log(e.value)) if e.scale == "ratio" else e.value
            tested = e.level in ("primary", "secondary") and e.se > 0 and np.isfinite(e.p)
            rows.append({
                "term": e.name, "estimate": e.value, "std_error": e.se, "df": e.df,
                "statistic": linear / e.se if tested else float("nan"), "p_value": e.p,
                "conf_low": e.low, "conf_high": e.high,
            })  # fmt: skip
        return pd.DataFrame(rows)

    def glance(self) -> pd.DataFrame:
        """People, clusters, family, on what the errors rest, their ratio to those of people."""
        return pd.DataFrame([{
            "n_obs": len(self.sample.y), "n_groups": self.named, "family": self.found.fit.family,
            "errors": self.found.basis, "error_ratio": self.found.ratio,
        }])  # fmt: skip

    def checks(self) -> tuple[Check, ...]:
        """What to know before the difference is believed."""
        return tuple(_checks(self))


def compare_arms(
    data: Dataset | pd.DataFrame,
    outcome: str,
    arm: str,
    *,
    kind: Kind = "auto",
    out_of: float | str | None = None,
    adjust: Sequence[str] = (),
    cluster: str | None = None,
    strata: str | None = None,
    weights: str | None = None,
    reference: str | None = None,
    outcome_level: str | None = None,
    replicates: int = 0,
    seed: int = 1,
    level: float = 0.95,
) -> ArmsFit:
    """Absolute and relative effect of the compared arm, standardised over the people analysed.

    kind: "yes-no", "number", "count", "days" (with `out_of`: 30 or 90, or the
    column of each person's days, whose means are shares) or "money"; "auto" takes
    two levels as yes-no, else a number. cluster: house or site; strata: what people were
    randomised within (people without one make one of their own, or of one each where strata are the
    clusters; too thin ones are taken together). replicates: bootstrap draws of the difference in
    means, for money above all. Rows without a value are left out.
    Raises UsageError, DataError for values the kind does not allow, NotEstimable.
    Checked: closed forms without covariates; R's glm with sandwich errors.
    """
    table = as_dataset(data)
    own_days = out_of if isinstance(out_of, str) else None
    used = [c for c in (outcome, arm, own_days, *adjust, weights) if c]
    table.require(*used, *(c for c in (cluster, strata) if c))
    whole = table.with_frame(table.frame[table.frame[used].notna().all(axis=1)])
    arms = read_arms(whole, arm, reference)
    reading, scale = read_kind(whole, outcome, kind, out_of, outcome_level)
    chosen: Kind = ("yes-no" if reading.binary else "number") if kind == "auto" else kind
    made = whole.with_column(Variable(ARM), arms.values)
    made = made.with_column(Variable(OUTCOME), reading.values / scale)
    clusters = clusters_of(made, cluster, arms.values)
    codes = None if clusters.structure == "none" else clusters.codes
    sample = read_sample(made, OUTCOME, ARM, adjust, cluster=codes, weights=weights)
    _both_have_some(sample, chosen, arms)
    within = strata_codes(made, strata, cluster, clusters)
    found = primary(sample, FAMILY[chosen], strata=within, level=level)
    boot = _bootstrap(sample, scale, replicates, seed, level) if replicates else None
    counted = _counted(sample, within) if within is not None and not found.absorbed else (0, 0)
    return ArmsFit(
        reading, arms, chosen, found, sample, scale, clusters.named, level, boot, counted
    )


def read_kind(
    data: Dataset,
    outcome: str,
    kind: Kind,
    out_of: float | str | None = None,
    counted: str | None = None,
) -> tuple[Reading, float]:
    """The outcome as numbers (n,), NaN where empty, and what a mean is divided by to be a share.

    out_of: so many days for everybody, or the column with each person's; of a column the numbers
    are shares of the own days. Raises UsageError, and DataError for values the kind cannot have.
    """
    if kind not in ("auto", *FAMILY):
        raise UsageError(f"An outcome is one of {', '.join(FAMILY)}, not {kind!r}.")
    if (kind == "days") != (out_of is not None):
        raise UsageError("Days go with `out_of`, how many days they are out of; others without.")
    if kind in ("auto", "yes-no"):
        read = read_outcome(data, outcome, counted)
        if kind == "yes-no" and not read.binary:
            raise DataError(
                f"Outcome {outcome!r} has more than two levels; say which of them is a yes "
                "(outcome_level), or take it as a number."
            )
        return read, 1.0
    if not pd.api.types.is_numeric_dtype(data.frame[outcome]):
        raise DataError(f"Outcome {outcome!r} is text; {kind} are numbers.")
    values = data.frame[outcome].to_numpy(float)
    _possible(data, outcome, kind, values, out_of)
    if isinstance(out_of, str):
        return Reading(values / data.frame[out_of].to_numpy(float), binary=False), 1.0
    return Reading(values, binary=False), float(out_of or 1.0)


def _possible(
    data: Dataset, outcome: str, kind: Kind, values: Array, out_of: float | str | None
) -> None:
    """DataError for values that the kind cannot have."""
    lowest, highest = (-np.inf if kind == "number" else 0.0), _most(data, out_of)
    wrong = int(np.sum((values < lowest) | (values > highest)))
    if wrong:
        top = (
            "" if out_of is None else f" to {out_of if isinstance(out_of, str) else f'{out_of:g}'}"
        )
        raise DataError(
            f"Outcome {outcome!r} lies outside 0{top} in {wrong} of {len(values)} rows; {kind} "
            "cannot. Declare the codes of missing values, or take it as a number."
        )
    if kind == "count" and np.any(values[~np.isnan(values)] % 1):
        raise DataError(f"Outcome {outcome!r} has values that are no whole numbers; counts are.")


def _most(data: Dataset, out_of: float | str | None) -> Array | float:
    """The highest value possible: infinite, a number, or (n,) each person's own."""
    if out_of is None:
        return np.inf
    most = data.frame[out_of].to_numpy(float) if isinstance(out_of, str) else float(out_of)
    none = int(np.sum(np.asarray(most) <= 0))
    if none:
        raise DataError(
            f"`out_of` {out_of!r} is not above 0 in {none} rows; there days have no share."
        )
    return most


def _counted(sample: Sample, strata: NDArray[Any]) -> tuple[int, int]:
    """How many strata there are, and how many are too thin for a coefficient of their own."""
    thin = sample.thin(np.unique(strata, return_inverse=True)[1])
    return len(thin), int(thin.sum())


def _both_have_some(sample: Sample, kind: Kind, arms: Reading) -> None:
    """NotEstimable where an arm's mean is at its bound, so that ratios are 0 or infinite."""
    if kind == "number":
        return
    for arm, name in ((0, arms.other), (1, arms.counted)):
        mean = float(sample.y[sample.arm == arm].mean())
        if mean == 0 or (mean == 1 and kind in ("yes-no", "days")):
            raise NotEstimable(
                f"Everybody in {name!r} has the {'least' if mean == 0 else 'most'} that the "
                "outcome can be: ratios are 0 or infinite and no interval holds. "
                "As a number (kind='number') the difference in means is left."
            )


def _times(e: Estimate, scale: float) -> Estimate:
    """An estimate of a share in days."""
    if scale == 1.0:
        return e
    return replace(
        e, value=e.value * scale, low=e.low * scale, high=e.high * scale, se=e.se * scale,
        scale="difference",
    )  # fmt: skip


def _bootstrap(sample: Sample, scale: float, replicates: int, seed: int, level: float) -> Estimate:
    """Difference in means, adjusted linearly: units drawn anew within each arm, percentiles.

    Units are the clusters, or people; a cluster with both arms is drawn in each arm apart.
    """
    rng = np.random.default_rng(seed)
    codes = np.arange(len(sample.y)) if sample.cluster is None else sample.cluster
    units = [
        [np.flatnonzero(own & (codes == c)) for c in np.unique(codes[own])]
        for own in (sample.arm == 0, sample.arm == 1)
    ]
    draws = np.empty(replicates)
    for r in range(replicates):
        rows = np.concatenate([
            part[i] for part in units for i in rng.integers(len(part), size=len(part))
        ])  # fmt: skip
        draws[r] = np.linalg.lstsq(sample.X[rows], sample.y[rows], rcond=None)[0][1]
    value = float(standardise(sample.alone(), "gaussian").means @ [-1.0, 1.0])
    low, high = percentile_limits(draws, level)
    return Estimate(
        "mean_difference_bootstrap", "Mean difference (bootstrap)", scale * value,
        scale * float(low), scale * float(high), scale * float(draws.std(ddof=1)),
        level="sensitivity", method="bootstrap, linear model", confidence=level, n=len(sample.y),
    )  # fmt: skip


def _thin(strata: int, together: int) -> Check:
    """Strata without a coefficient of their own; without any the comparison is not stratified."""
    none = together == strata
    end = " None is left: the answer is that without strata." if none else ""
    return Check(
        "strata", "caution" if none else "ok",
        (Count(together, "groups"), " of ", Count(strata, "groups"), " strata have fewer than "
         f"{SMALLEST_STRATUM} people in an arm or no outcome that varies; they are taken "
         f"together.{end}"),
    )  # fmt: skip


def _checks(fit: ArmsFit) -> Iterator[Check]:
    y, n = fit.sample.y, len(fit.sample.y)
    arm: Any = fit.sample.arm
    small = int(min(np.sum(arm == 0), np.sum(arm == 1)))
    yield Check("size of the smaller arm", "caution" if small < 0.1 * n else "ok",
                (Count(small), " of ", Count(n), " people are in the smaller arm."))  # fmt: skip
    if fit.named:
        few = fit.named < FEW_CLUSTERS
        yield Check("clusters", "caution" if few else "ok",
                    (Count(fit.named, "clusters"), " clusters"
                     + ("; under ten every method is fragile." if few else ".")))  # fmt: skip
    if fit.strata[1]:
        yield _thin(*fit.strata)
    if fit.kind in ("count", "days", "money"):
        zeros = int(np.sum(y == 0))
        yield Check(
            "zeros", "caution" if zeros > n / 2 else "ok",
            (Share(zeros, n), " people have zero. The means and their difference hold with them; a "
             "model of two parts (any, and how much) would tell where the difference lies."),
        )  # fmt: skip
    if fit.kind == "money" and fit.boot is None:
        yield Check(
            "error of the bootstrap",
            "caution",
            ("Money is skewed: ask for bootstrap draws (replicates) beside the model.",),
        )
    if fit.boot is not None:
        main = fit.estimates()[0]
        ratio = fit.boot.se / main.se
        yield Check(
            "error of the bootstrap",
            "ok" if 0.67 < ratio < 1.5 else "caution",
            ("The bootstrap's error over the model's: ", Quantity(ratio, "ratio"), "."),
        )
