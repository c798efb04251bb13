"""Are waves with higher relationship satisfaction waves with a better outcome, within people?

Satisfaction is split into the person's mean and the deviation from it; a linear mixed model with
random intercepts and slopes takes both. The same-wave slope is an association: beside it stand
the wave before, the wave after (a test of strict exogeneity) and other ways of asking. A lagged
outcome never enters next to a random intercept (it is correlated with it by construction).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from recovery_stats.analyses._question import Common, column, columns, option
from recovery_stats.core.check import Check
from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset, Step
from recovery_stats.core.document import (
    Cell,
    Column,
    Count,
    ForestFigure,
    LineFigure,
    Quantity,
    Ref,
    Row,
    Series,
    Share,
    Spread,
    Table,
    Total,
)
from recovery_stats.core.estimate import Estimand, Estimate
from recovery_stats.core.result import Result
from recovery_stats.core.study import Study
from recovery_stats.errors import DataError, NotEstimable, UsageError
from recovery_stats.models import mixed
from recovery_stats.models.formula import quote
from recovery_stats.models.linear import ols
from recovery_stats.models.split import (
    AFTER,
    BEFORE,
    BETWEEN,
    DETRENDED,
    WITHIN,
    detrend,
    part_name,
    shift,
    split,
)
from recovery_stats.models.summary import levels_of, missing_table, table_one

TABLES = {
    "waves": "One row a person and wave: outcome, satisfaction, interview day.",
    "persons": "One row a person: baseline covariates, site (optional).",
}

TIME = "time since entry"
DAYS_IN_A_YEAR = 365.25
WAVES_FOR_SLOPE = 3
WAVES_FOR_WITHIN_SLOPE = 4
FEW_CLUSTERS = 10
SOME_CLUSTERS = 40
APPLIES = "The question applies at the wave"
PILED_UP = 0.15  # share of answers on one end of the scale from which a normal model misleads
FEW_RESIDUAL_DF = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Question(Common):
    """What is asked, of which columns."""

    person: str | None = column(
        "Person identifier.", table="waves", role="person", default="pid", required=True
    )
    wave: str | None = column(
        "Scheduled wave (its order is its value).", table="waves", role="wave", default="wave",
        required=True,
    )  # fmt: skip
    day: str | None = column(
        "Actual interview day; with it time runs in years since entry.", table="waves", role="day"
    )
    outcome: str | None = column("Outcome at each wave.", table="waves", role="outcome",
                                 required=True)  # fmt: skip
    satisfaction: str | None = column(
        "Relationship satisfaction at each wave.", table="waves", role="satisfaction",
        required=True,
    )  # fmt: skip
    partnered: str | None = column(
        "1 while in a relationship; other waves are outside the estimand.", table="waves",
        role="partnered",
    )  # fmt: skip
    cluster: str | None = column("House or site.", table="waves", role="cluster")
    random_slope: tuple[str, ...] = columns(
        "A further column whose slope varies between people.", table="waves", role="random_slope"
    )
    family: str = option("Distribution of the outcome.", default="gaussian", choices=("gaussian",))


def answer(question: Question, study: Study) -> Result:
    """Slope of the outcome on satisfaction within and between people, with its rivals."""
    asked = _Asked.of(question)
    everything = _read(asked, study)
    used = _estimand_rows(asked, everything, study)
    model = _Model.of(asked, used)
    fit = model.fit()
    estimates = (
        *_main(model, fit),
        *_coefficients(model, fit),
        *_means(model, fit),
        *(_simple_slopes(model) if question.sensitivity else ()),
        *(_rivals(model, fit, everything) if question.sensitivity else ()),
    )
    named = {e.name: e for e in estimates}
    return Result(
        analysis="relationship_satisfaction",
        estimand=_estimand(asked, used, study),
        estimates=estimates,
        checks=tuple(_checks(model, fit, everything, named)),
        flow=_flow(asked, used),
        facts=_facts(model, fit, everything, question.notes),
        said=frozenset((*_said(model, named), *(("notes",) if question.notes else ()))),
        tables={t.name: t for t in _tables(model, fit, everything, study, named)},
        figures=_figures(model, fit, named),
        sources=tuple(t.source for t in study.tables.values()),
        synthetic=study.protocol.synthetic,
    )


# --- what is asked, of which rows --------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Asked:
    """The question with every column known to be named."""

    person: str
    wave: str
    day: str | None
    outcome: str
    satisfaction: str
    partnered: str | None
    cluster: str | None
    adjust: tuple[str, ...]
    random_slope: tuple[str, ...]
    weights: str | None
    level: float

    @classmethod
    def of(cls, q: Question) -> _Asked:
        names = {"person": q.person, "wave": q.wave, "outcome": q.outcome,
                 "satisfaction": q.satisfaction}  # fmt: skip
        for name, value in names.items():
            if value is None:
                raise UsageError(f"relationship_satisfaction needs a column for {name!r}.")
        if q.outcome in (q.satisfaction, *q.adjust):
            raise UsageError(
                f"Column {q.outcome!r} is the outcome and a predictor as well; "
                "take it out of 'satisfaction' and 'adjust'."
            )
        return cls(
            str(q.person), str(q.wave), q.day, str(q.outcome), str(q.satisfaction), q.partnered,
            q.cluster, tuple(c for c in q.adjust if c != q.satisfaction), q.random_slope,
            q.weights, q.level,
        )  # fmt: skip

    @property
    def needed(self) -> tuple[str, ...]:
        """Columns a row must have beyond outcome and satisfaction."""
        optional = (self.day, self.weights)
        return (*(c for c in optional if c), *self.adjust, *self.random_slope)


def _read(asked: _Asked, study: Study) -> Dataset:
    """The waves with what is known of their people, numbers where numbers are needed."""
    data = study.joined("waves", key=asked.person)
    optional = (asked.partnered, asked.cluster)
    wanted = (asked.person, asked.wave, asked.outcome, asked.satisfaction, *asked.needed)
    data.require(*wanted, *(c for c in optional if c), table="waves")
    for name in (asked.outcome, asked.satisfaction, asked.wave, asked.day):
        if name and not pd.api.types.is_numeric_dtype(data.frame[name]):
            raise DataError(
                f"Column {name!r} of table 'waves' is text; this analysis needs numbers there. "
                "Name another column, or give the file value labels with numeric codes."
            )
    repeated = int(data.frame.duplicated([asked.person, asked.wave]).sum())
    if repeated:
        raise DataError(
            f"Table 'waves' has {repeated} rows whose person and wave ({asked.person!r}, "
            f"{asked.wave!r}) occurred before; one row a person and wave is needed."
        )
    return _with_time(asked, data)


def _with_time(asked: _Asked, data: Dataset) -> Dataset:
    if asked.day is None:
        label = data.label(asked.wave)
        return data.with_column(Variable(TIME, label), data.frame[asked.wave].astype(float))
    years = data.frame[asked.day].astype(float) / DAYS_IN_A_YEAR
    return data.with_column(Variable(TIME, "Years since entry", unit="years"), years)


def _not_applicable(asked: _Asked, data: Dataset, study: Study) -> pd.Series[bool]:
    """Waves at which satisfaction does not apply: coded so, or known to be unpartnered."""
    variable = data.variable(asked.satisfaction)
    codes = data.missing.get(asked.satisfaction, pd.Series(dtype=float))
    structural = {
        code
        for code in codes.unique()
        if code in study.protocol.structural or "not applicable" in variable.level(code).casefold()
    }
    outside = pd.Series(data.frame.index.isin(codes.index[codes.isin(structural)]),
                        index=data.frame.index)  # fmt: skip
    if asked.partnered:
        outside |= data.frame[asked.partnered] == 0
    return outside


def _estimand_rows(asked: _Asked, data: Dataset, study: Study) -> Dataset:
    """Keep the waves the estimand is about, each loss written into the flow; then split."""
    start = Step("Person-waves read", len(data), "rows", int(data.frame[asked.person].nunique()))
    data = replace(data, flow=data.flow or (start,))
    outside = _not_applicable(asked, data, study)
    if outside.any():
        data = data.keep(~outside, APPLIES, person=asked.person)
    data = data.complete(asked.satisfaction, asked.outcome, *asked.needed, person=asked.person)
    if not len(data):
        raise DataError(
            f"No row of table 'waves' has {asked.outcome!r}, {asked.satisfaction!r} and the "
            "covariates together; `recovery-stats inspect` shows which of them is empty."
        )
    return split(data, asked.satisfaction, asked.person)


# --- the model ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Model:
    """The declared model over the rows used."""

    asked: _Asked
    data: Dataset
    cluster: str | None
    waves: int

    @classmethod
    def of(cls, asked: _Asked, data: Dataset) -> _Model:
        waves = data.frame[asked.wave].nunique()
        return cls(asked, data, _usable_cluster(asked, data), waves)

    @property
    def within(self) -> str:
        return part_name(self.asked.satisfaction, WITHIN)

    @property
    def between(self) -> str:
        return part_name(self.asked.satisfaction, BETWEEN)

    @property
    def people(self) -> int:
        return int(self.data.frame[self.asked.person].nunique())

    @property
    def slopes(self) -> tuple[str, ...]:
        """Columns whose slope varies between people: time from three waves, satisfaction from four.

        Only as many as the rows can carry: more random effects than rows are not estimable.
        """
        wished = list(self.asked.random_slope)
        if self.waves >= WAVES_FOR_SLOPE and TIME not in wished:
            wished.append(TIME)
        if self.waves >= WAVES_FOR_WITHIN_SLOPE:
            wished.append(self.within)
        room = (len(self.data) - 1) // self.people - 1
        return tuple(wished[: max(room, 0)])

    @property
    def varying(self) -> bool:
        """Whether the within-person slope varies between people."""
        return self.within in self.slopes

    def random(self, *, within_slope: bool = True, cluster: bool = True) -> str:
        """The random terms of people and of the cluster."""
        slopes = [c for c in self.slopes if within_slope or c != self.within]
        inside = " + ".join(["1", *map(quote, slopes)])
        terms = [f"({inside} | {quote(self.asked.person)})"]
        if self.cluster and cluster:
            terms.append(f"(1 | {quote(self.cluster)})")
        return " + ".join(terms)

    def formula(
        self, *satisfaction: str, adjust: bool = True, within_slope: bool = True,
        cluster: bool = True, extra: str = "",
    ) -> str:  # fmt: skip
        """The outcome on time, the parts of satisfaction given, covariates and random terms."""
        predictors = [TIME, *(satisfaction or (self.within, self.between))]
        if adjust:
            predictors += [c for c in self.asked.adjust if c not in predictors]
        fixed = " + ".join(map(quote, predictors)) + extra
        random = self.random(within_slope=within_slope, cluster=cluster)
        return f"{quote(self.asked.outcome)} ~ {fixed} + {random}"

    def fit(self, formula: str | None = None, data: Dataset | None = None, **options: Any) -> Any:
        return mixed.lmm(
            formula or self.formula(), data or self.data, weights=self.asked.weights,
            required=(self.within,) if formula is None else (), **options,
        )  # fmt: skip

    def sd(self, name: str) -> float:
        """Standard deviation over rows; of a person's mean over people, each once."""
        values = self.data.frame[name]
        if name == self.between:
            values = values.groupby(self.data.frame[self.asked.person]).first()
        return float(values.std())


def _usable_cluster(asked: _Asked, data: Dataset) -> str | None:
    """The cluster column where every row has one; a single cluster is refused by name."""
    if asked.cluster is None or data.frame[asked.cluster].isna().any():
        return None
    if data.frame[asked.cluster].nunique() < 2:
        raise NotEstimable(
            f"Column {asked.cluster!r} has one level among {len(data)} rows; a variance between "
            "clusters needs at least two. Leave 'cluster' out, and say in the text that there "
            "was one."
        )
    return asked.cluster


def _main(model: _Model, fit: Any) -> Iterator[Estimate]:
    level = model.asked.level
    label = model.data.label(model.asked.satisfaction)
    yield fit.estimate(
        {model.within: 1.0}, name="within", label=f"{label}: within a person, same wave",
        level=level, rank="primary",
    )  # fmt: skip
    yield fit.estimate(
        {model.between: 1.0}, name="between", label=f"{label}: between people", level=level
    )
    yield fit.estimate(
        {model.between: 1.0, model.within: -1.0}, name="contextual",
        label="Difference between the two slopes", level=level,
    )  # fmt: skip
    yield fit.estimate({TIME: 1.0}, name="time", label=model.data.label(TIME), level=level)


def _coefficients(model: _Model, fit: Any) -> Iterator[Estimate]:
    for term in fit.terms:
        yield fit.estimate(
            {term: 1.0}, name=f"fixed[{term}]", label=_term_label(model.data, term),
            level=model.asked.level,
        )  # fmt: skip


def _means(model: _Model, fit: Any) -> Iterator[Estimate]:
    """Adjusted means of the outcome one sd below, at and above usual, covariates at their means."""
    for part, name, words in (
        (model.within, "within", "person's own usual level"),
        (model.between, "between", "average person"),
    ):
        for step, where in ((-1, "One SD below"), (0, "At"), (1, "One SD above")):
            at = dict(zip(fit.terms, fit.term_means, strict=True))
            at |= {model.within: 0.0, model.between: 0.0, part: step * model.sd(part)}
            yield fit.estimate(
                at, name=f"mean_{name}[{step}]", label=f"{where} the {words}",
                level=model.asked.level, rank="descriptive",
            )  # fmt: skip


def _simple_slopes(model: _Model) -> Iterator[Estimate]:
    """The within slope at low, average and high usual satisfaction (cross-level interaction)."""
    product = f"{quote(model.within)}:{quote(model.between)}"
    try:
        fit = model.fit(model.formula(extra=f" + {product}"))
    except NotEstimable:
        return
    interaction = next((t for t in fit.terms if _is_product(t, model)), None)
    if interaction is None:
        return
    sd = model.sd(model.between)
    for step, where in ((-1, "one SD below average"), (0, "average"), (1, "one SD above average")):
        yield fit.estimate(
            {model.within: 1.0, interaction: step * sd}, name=f"simple[{step}]",
            label=f"Within slope where the usual level is {where}", level=model.asked.level,
        )  # fmt: skip
    yield fit.estimate(
        {interaction: 1.0}, name="interaction", label="Within × between interaction",
        level=model.asked.level,
    )  # fmt: skip


def _is_product(term: str, model: _Model) -> bool:
    return term in {f"{model.within}:{model.between}", f"{model.between}:{model.within}"}


# --- other ways of asking ----------------------------------------------------------------


def _rivals(model: _Model, fit: Any, everything: Dataset) -> Iterator[Estimate]:
    asked = model.asked
    yield _pooled(model)
    yield _robust(model)
    if model.varying:
        one = model.fit(model.formula(within_slope=False))
        yield _sensitivity(one, model.within, "fixed_slope", "Same slope for everyone", asked)
    if asked.adjust:
        crude = model.fit(model.formula(adjust=False))
        yield _sensitivity(crude, model.within, "unadjusted", "Without covariates", asked)
    if model.waves >= WAVES_FOR_SLOPE:
        yield from _detrended(model)
    yield from _neighbours(model, everything)


def _sensitivity(fit: Any, term: str, name: str, label: str, asked: _Asked) -> Estimate:
    found: Estimate = fit.estimate(
        {term: 1.0}, name=name, label=label, level=asked.level, rank="sensitivity"
    )
    return found


def _pooled(model: _Model) -> Estimate:
    """The naive answer: one regression over all rows, as if each were another person."""
    terms = [TIME, model.asked.satisfaction, *model.asked.adjust]
    fit = ols(f"{quote(model.asked.outcome)} ~ {' + '.join(map(quote, terms))}", model.data)
    return fit.estimate(
        {model.asked.satisfaction: 1.0}, name="pooled", level=model.asked.level, rank="naive",
        label="Naive: all rows as if from different people",
    )  # fmt: skip


def _robust(model: _Model) -> Estimate:
    fit = model.fit(model.formula(cluster=False), cluster=model.asked.person)
    return _sensitivity(fit, model.within, "robust", "Robust errors by person", model.asked)


def _detrended(model: _Model) -> Iterator[Estimate]:
    """Deviations from the person's own line over time, so that shared drift cannot make a slope."""
    asked = model.asked
    data = detrend(model.data, asked.satisfaction, asked.person, TIME)
    name = part_name(asked.satisfaction, DETRENDED)
    data = data.complete(name)
    try:
        fit = model.fit(model.formula(name, model.between, within_slope=False), data)
    except NotEstimable:
        return
    yield _sensitivity(fit, name, "detrended", "Deviations from own trend over time", asked)


def _neighbours(model: _Model, everything: Dataset) -> Iterator[Estimate]:
    """Satisfaction the wave before, and the wave after beside this wave's (strict exogeneity)."""
    asked = model.asked
    partnered = everything.with_frame(
        everything.frame[everything.frame[asked.satisfaction].notna()]
    )
    around = shift(partnered, asked.satisfaction, asked.person, asked.wave).frame
    before, after = (part_name(asked.satisfaction, p) for p in (BEFORE, AFTER))
    centre = model.data.frame[asked.satisfaction] - model.data.frame[model.within]
    for name, predictors, label in (
        (before, (before, model.between), "Its value at the wave before"),
        (after, (model.within, after, model.between), "Its value at the wave after (test)"),
    ):
        neighbour = around[name].reindex(model.data.frame.index) - centre
        data = model.data.with_column(Variable(name, label), neighbour).complete(name)
        try:
            fit = model.fit(model.formula(*predictors, within_slope=False), data)
        except (NotEstimable, DataError):
            continue
        short = "lagged" if name == before else "lead"
        yield _sensitivity(fit, name, short, label, asked)


# --- checks and words --------------------------------------------------------------------


def _checks(
    model: _Model, fit: Any, everything: Dataset, named: Mapping[str, Estimate]
) -> Iterator[Check]:
    yield from fit.checks()
    yield from _random_slopes(model)
    yield from _clusters(model)
    yield _scale_ends(model)
    yield from _known_once(model)
    yield from _floor(model)
    yield from _exogeneity(named)
    yield _share_missing(model, everything)
    df = named["within"].df
    verdict = "caution" if df < FEW_RESIDUAL_DF else "ok"
    yield Check(
        "degrees of freedom", verdict,  # type: ignore[arg-type]
        ("The main slope rests on ", Quantity(df, "df"), " degrees of freedom."),
    )  # fmt: skip


def _random_slopes(model: _Model) -> Iterator[Check]:
    """Say when the data are too thin for the slopes that the design calls for."""
    if model.waves >= WAVES_FOR_WITHIN_SLOPE and not model.varying:
        yield Check(
            "random slopes", "caution",
            (Count(len(model.data), "rows"), " waves of ", Count(model.people),
             " people cannot carry a within-person slope that varies between people; if it does "
             "vary, the interval of the main slope is too short. Robust errors stand beside it."),
        )  # fmt: skip


def _clusters(model: _Model) -> Iterator[Check]:
    name = model.asked.cluster
    if name is None:
        return
    values = model.data.frame[name]
    if model.cluster is None:
        yield Check(
            "clusters", "caution",
            (f"Column {name!r} is empty in ", Count(int(values.isna().sum()), "rows"),
             " rows used; it was left out of the model rather than losing them."),
            about=name,
        )  # fmt: skip
        return
    n = values.nunique()
    verdict = "caution" if n < FEW_CLUSTERS else "ok"
    words = (
        " clusters: too few to learn their variance; the intervals rest on the people."
        if n < FEW_CLUSTERS
        else " clusters carry a variance of their own in the model."
    )
    unit = "sites"
    yield Check("clusters", verdict, (Count(n, unit), words), about=name)  # type: ignore[arg-type]


def _ends(model: _Model) -> tuple[float, float]:
    values = model.data.frame[model.asked.outcome]
    return float((values == values.min()).mean()), float((values == values.max()).mean())


def _bounded(model: _Model) -> bool:
    """Say whether the outcome is a whole number piled up on an end of its scale."""
    values = model.data.frame[model.asked.outcome].dropna()
    return bool((values % 1 == 0).all()) and max(_ends(model)) >= PILED_UP


def _scale_ends(model: _Model) -> Check:
    low, high = _ends(model)
    shares: tuple[Cell, ...] = (
        Quantity(low, "percent"), " of the answers are at the lowest value and ",
        Quantity(high, "percent"), " at the highest. ",
    )  # fmt: skip
    if _bounded(model):
        words = (
            "The outcome is a bounded count piled up at an end of its scale; a normal model can "
            "give a slope and an interval that are off. Read the slope as an average tendency."
        )
        return Check("bounded outcome", "caution", (*shares, words), about=model.asked.outcome)
    return Check("bounded outcome", "ok", (*shares[:-1], " at the highest."), model.asked.outcome)


def _known_once(model: _Model) -> Iterator[Check]:
    """Covariates that never change within a person compare people only."""
    grouped = model.data.frame.groupby(model.asked.person)
    fixed = [c for c in model.asked.adjust if grouped[c].nunique().max() <= 1]
    if fixed:
        names = ", ".join(model.data.label(c) for c in fixed)
        yield Check(
            "known once a person",
            "ok",
            (f"{names}: the same at every wave of a person, so the coefficients compare people.",),
        )


def _floor(model: _Model) -> Iterator[Check]:
    """An outcome that is 0 whenever the predictor is 0 may be unknown there, not 0."""
    frame = model.data.frame
    none = frame[model.asked.satisfaction] == 0
    if not none.any() or none.all():
        return
    zero = frame[model.asked.outcome] == 0
    if zero[none].mean() >= 0.95 > zero[~none].mean():
        yield Check(
            "zero where nothing was recorded", "caution",
            ("The outcome is 0 in ", Quantity(float(zero[none].mean()), "percent"),
             " of the waves at which the predictor is 0: is it unknown there? If so, leave those "
             "waves out with a `where` in the study file."),
            about=model.asked.outcome,
        )  # fmt: skip


def _exogeneity(named: Mapping[str, Estimate]) -> Iterator[Check]:
    lead = named.get("lead")
    if lead is None:
        yield Check(
            "strict exogeneity", "caution",
            ("Could not be examined: too few people with consecutive waves.",),
        )  # fmt: skip
        return
    bad = lead.p < 1 - lead.confidence
    words = (
        "Its value at the wave after goes with the outcome now: the outcome may change what comes "
        "later, and the same-wave slope then mixes both directions ("
        if bad
        else "No sign that the outcome changes the later value, which is not proof that it "
        "does not ("
    )
    yield Check(
        "strict exogeneity", "caution" if bad else "ok",
        (words, Ref("lead", "interval"), ", ", Ref("lead", "p"), ")."),
    )  # fmt: skip


def _share_missing(model: _Model, everything: Dataset) -> Check:
    asked = model.asked
    partnered = _partnered_rows(model, everything)
    lost = partnered - len(model.data)
    share = lost / partnered if partnered else 0.0
    verdict = "caution" if share > 0.2 else "ok"
    return Check(
        "missing values", verdict,  # type: ignore[arg-type]
        (Share(lost, partnered), " of the waves within the estimand lacked a value the model "
         "needs; the model assumes that, given what is observed, the loss does not depend on the "
         "missing value."),
        about=asked.outcome,
    )  # fmt: skip


def _partnered_rows(model: _Model, everything: Dataset) -> int:
    """Waves in the estimand before anything was lost to missing values."""
    for step in model.data.flow:
        if step.reason == APPLIES:
            return step.kept
    return len(everything)


def _said(model: _Model, named: Mapping[str, Estimate]) -> Iterator[str]:
    main = named["within"]
    shown = main.p < 1 - main.confidence
    yield "shown" if shown else "not_shown"
    yield "higher" if main.value > 0 else "lower"
    if model.cluster:
        yield "clustered"
    if model.asked.day:
        yield "interview_day"
    if model.asked.adjust:
        yield "adjusted"
    if model.varying:
        yield "random_within"
    if TIME in model.slopes:
        yield "random_time"
    if _bounded(model):
        yield "bounded"
    if any(step.reason == APPLIES for step in model.data.flow):
        yield "unpartnered"
    yield from (name for name in ("lagged", "lead", "detrended", "interaction") if name in named)
    lead = named.get("lead")
    if lead is not None and lead.p < 1 - lead.confidence:
        yield "feedback"


def _estimand(asked: _Asked, data: Dataset, study: Study) -> Estimand:
    outcome, satisfaction = data.label(asked.outcome), data.label(asked.satisfaction)
    return Estimand(
        population=f"{study.protocol.population}, at the waves at which the question applied to "
        "them (for relationship satisfaction: those with a partner)",
        treatment=f"{satisfaction} one point above the person's own mean, against the mean",
        endpoint=f"{outcome} at the same wave",
        intercurrent="separation ends the estimand for the waves without a partner (tabulated, "
        "never imputed); waves not held are taken as missing at random given the model",
        summary="mean difference per point, within people",
    )


def _facts(
    model: _Model, fit: Any, everything: Dataset, notes: Sequence[str]
) -> Mapping[str, Cell]:
    asked, data = model.asked, model.data
    r2, icc = fit.r2(), fit.icc()
    return {
        "people": Count(model.people),
        "rows": Count(len(data), "rows"),
        "waves": Quantity(float(model.waves), "whole"),
        "outcome": data.label(asked.outcome),
        "satisfaction": data.label(asked.satisfaction),
        "time": data.label(TIME),
        "cluster": data.label(model.cluster) if model.cluster else "",
        "clusters": Count(data.frame[model.cluster].nunique() if model.cluster else 0, "sites"),
        "sd_within": Quantity(model.sd(model.within)),
        "sd_between": Quantity(model.sd(model.between)),
        "sd_outcome": Quantity(model.sd(asked.outcome)),
        "icc": Quantity(float(icc)),
        "r2_marginal": Quantity(float(r2["marginal"])),
        "r2_conditional": Quantity(float(r2["conditional"])),
        "notes": " ".join(notes),
        "confidence": Quantity(100 * asked.level, "whole"),
        "lost": Share(_partnered_rows(model, everything) - len(data),
                      _partnered_rows(model, everything)),
    }  # fmt: skip


def _flow(asked: _Asked, used: Dataset) -> tuple[Step, ...]:
    return used.flow


# --- tables and figures ------------------------------------------------------------------


def _tables(
    model: _Model, fit: Any, everything: Dataset, study: Study, named: Mapping[str, Estimate]
) -> Iterator[Table]:
    asked = model.asked
    first = model.data.with_frame(
        model.data.frame.sort_values([asked.person, asked.wave]).drop_duplicates(asked.person)
    )
    described = dict.fromkeys([*asked.adjust, asked.satisfaction, asked.outcome])
    yield table_one(
        first, list(described), caption="The people analysed, at the first wave they contribute"
    )
    yield _wave_table(model, everything, study)
    yield _effects_table(model, fit)
    yield _variance_table(model, fit)
    yield _means_table(named)
    if "interaction" in named:
        yield _slopes_table(named)
    yield _rivals_table(named)
    yield missing_table(everything, [asked.outcome, asked.satisfaction, *asked.adjust])


def _wave_table(model: _Model, everything: Dataset, study: Study) -> Table:
    """By wave: held, in a relationship, used, and what was observed there."""
    asked = model.asked
    outside = _not_applicable(asked, everything, study)
    rows = []
    for wave in levels_of(everything, asked.wave):
        held = everything.frame[asked.wave] == wave
        used = model.data.frame[model.data.frame[asked.wave] == wave]
        n_held, n_out, n_used = int(held.sum()), int((held & outside).sum()), len(used)
        cells: tuple[Cell, ...] = (
            Count(n_held), Count(n_out), Count(n_held - n_out - n_used), Count(n_used),
            _spread(used[asked.satisfaction]), _spread(used[asked.outcome]),
        )  # fmt: skip
        rows.append(Row(f"wave_{wave:g}", everything.variable(asked.wave).level(wave), cells))
    return Table(
        "waves", "Waves held, to which the question applies, and analysed",
        (
            Column("held", "Held"), Column("outside", "Does not apply"),
            Column("missing", "Value missing"), Column("used", "Analysed"),
            Column("satisfaction", everything.label(asked.satisfaction), "Mean (SD), analysed"),
            Column("outcome", everything.label(asked.outcome), "Mean (SD), analysed"),
        ),
        tuple(rows),
        ("Does not apply: the person had no partner at the wave, or the item was coded as not "
         "applicable. That is not a missing value.",),
        (Total("held", ("outside", "missing", "used"), "columns"),),
        everything.label(asked.wave),
    )  # fmt: skip


def _spread(values: pd.Series[float]) -> Spread:
    sd = float(values.std()) if len(values) > 1 else float("nan")
    return Spread(float(values.mean()) if len(values) else float("nan"), sd, len(values))


PARTS = ("value", "se", "df", "statistic", "p", "range")


def _effects_table(model: _Model, fit: Any) -> Table:
    y = model.sd(model.asked.outcome)
    sections = (
        ("Within a person", [model.within]),
        ("Between people", [model.between]),
        ("Time", [TIME]),
        ("Covariates", [t for t in fit.terms
                        if t not in (model.within, model.between, TIME, "Intercept")]),
        ("", ["Intercept"]),
    )  # fmt: skip
    rows: list[Row] = []
    for title, terms in sections:
        if title and terms:
            rows.append(Row(f"head[{title}]", title))
        for term in terms:
            name = f"fixed[{term}]"
            cells: tuple[Cell, ...] = tuple(Ref(name, part) for part in PARTS)
            std: Cell = None
            if term in model.data.frame.columns and y > 0:
                std = Quantity(fit.coefficient(term) * model.sd(term) / y)
            rows.append(Row(name, _term_label(model.data, term), (*cells, std), int(bool(title))))
    heads = ("b", "SE", "df", "t", "p", "CI", "Std. b")
    keys = (*PARTS, "standardised")
    return Table(
        "effects", "Fixed effects of the mixed model",
        tuple(Column(k, h) for k, h in zip(keys, heads, strict=True)), tuple(rows),
        ("b: difference in the outcome per unit. Std. b: in standard deviations of the outcome "
         "per standard deviation of the predictor. df: Satterthwaite.",),
    )  # fmt: skip


def _variance_table(model: _Model, fit: Any) -> Table:
    """Standard deviations and correlations of the random effects, and the residual."""
    rows = []
    frame = fit.variance_components()
    for i, part in enumerate(frame.itertuples(index=False)):
        same = part.term_1 == part.term_2 or part.group == "Residual"
        label = _component_label(model, part)
        sd = Quantity(float(np.sqrt(part.covariance))) if same else None
        correlation = None if same else Quantity(float(part.correlation))
        rows.append(Row(f"component_{i}", label, (sd, correlation)))
    return Table(
        "variance", "Random effects",
        (Column("sd", "SD"), Column("correlation", "Correlation")), tuple(rows),
    )  # fmt: skip


def _component_label(model: _Model, part: Any) -> str:
    if part.group == "Residual":
        return "Residual"
    group = "Person" if part.group == model.asked.person else model.data.label(part.group)
    one, two = (_term_label(model.data, t) for t in (part.term_1, part.term_2))
    return f"{group}: {one}" if part.term_1 == part.term_2 else f"{group}: {one} with {two}"


def _means_table(named: Mapping[str, Estimate]) -> Table:
    rows: list[Row] = []
    for part, title in (("within", "At this wave"),
                        ("between", "Usual level")):  # fmt: skip
        rows.append(Row(f"head[{part}]", title))
        for step in (-1, 0, 1):
            name = f"mean_{part}[{step}]"
            rows.append(Row(name, named[name].label, (Ref(name, "value"), Ref(name, "range")), 1))
    return Table(
        "means", "Adjusted means of the outcome",
        (Column("value", "Mean"), Column("range", "CI")), tuple(rows),
        ("Covariates and time at their means.",),
    )  # fmt: skip


def _slopes_table(named: Mapping[str, Estimate]) -> Table:
    names = [f"simple[{step}]" for step in (-1, 0, 1)] + ["interaction"]
    return _estimate_table("slopes", "Simple slopes within people", names, named)


def _rivals_table(named: Mapping[str, Estimate]) -> Table:
    order = ("within", "between", "robust", "fixed_slope", "unadjusted", "detrended", "lagged",
             "lead", "pooled")  # fmt: skip
    return _estimate_table(
        "rivals", "The same question asked in other ways", [n for n in order if n in named], named,
        ("The wave before answers whether it precedes the outcome; the wave after is a "
         "test, not an effect. The naive row mixes people with waves and counts every row as a "
         "new person.",),
    )  # fmt: skip


def _estimate_table(
    name: str, caption: str, names: Sequence[str], named: Mapping[str, Estimate],
    notes: tuple[str, ...] = (),
) -> Table:  # fmt: skip
    parts = ("value", "range", "df", "p")
    return Table(
        name, caption,
        tuple(Column(p, h) for p, h in zip(parts, ("b", "CI", "df", "p"), strict=True)),
        tuple(Row(n, named[n].label, tuple(Ref(n, p) for p in parts)) for n in names), notes,
    )  # fmt: skip


def _figures(
    model: _Model, fit: Any, named: Mapping[str, Estimate]
) -> Mapping[str, LineFigure | ForestFigure]:
    outcome = model.data.label(model.asked.outcome)
    satisfaction = model.data.label(model.asked.satisfaction)
    order = ("within", "robust", "fixed_slope", "unadjusted", "detrended", "lagged", "lead",
             "pooled")  # fmt: skip
    return {
        "slopes_figure": LineFigure(
            "slopes_figure", "Outcome predicted by this wave's and by the usual value",
            f"{satisfaction}: points from the mean", outcome,
            (
                _line(model, fit, model.within, "Within a person"),
                _line(model, fit, model.between, "Between people"),
            ),
            notes=("Lines with confidence bands from the mixed model, covariates at their means.",),
        ),
        "trajectory": LineFigure(
            "trajectory", "Outcome over the waves",
            model.data.label(model.asked.wave), outcome, (_trajectory(model),), points=True,
            notes=("Observed means of the waves analysed, with confidence intervals of the mean.",),
        ),
        "forest": ForestFigure(
            "forest", "The within-person slope asked in other ways",
            f"Difference in {outcome} per point", tuple(Ref(n) for n in order if n in named),
        ),
    }  # fmt: skip


def _line(model: _Model, fit: Any, part: str, name: str) -> Series:
    """A predicted line from the 5th to the 95th centile of `part`, with its band."""
    seen = model.data.frame[part]
    x = np.linspace(*np.quantile(seen, (0.05, 0.95)), 21)
    base = dict(zip(fit.terms, fit.term_means, strict=True))
    base |= {model.within: 0.0, model.between: 0.0}
    points = [
        fit.estimate({**base, part: float(v)}, name="", label="", level=model.asked.level)
        for v in x
    ]
    return Series(
        name, tuple(map(float, x)), tuple(p.value for p in points), tuple(p.low for p in points),
        tuple(p.high for p in points),
    )  # fmt: skip


def _trajectory(model: _Model) -> Series:
    asked = model.asked
    grouped = model.data.frame.groupby(asked.wave)[asked.outcome]
    mean, n = grouped.mean(), grouped.size()
    half = 1.96 * grouped.std() / np.sqrt(n)
    return Series(
        "Observed mean", tuple(map(float, mean.index)), tuple(map(float, mean)),
        tuple(map(float, mean - half)), tuple(map(float, mean + half)), tuple(map(int, n)),
    )  # fmt: skip


def _term_label(data: Dataset, term: str) -> str:
    """A term in words: its column's label, a factor level after a colon."""
    if term == "Intercept":
        return "Intercept"
    if term in data.frame.columns:
        return data.label(term)
    name, _, level = term.partition("[T.")
    return f"{data.label(name)}: {level.removesuffix(']')}" if level else term
