"""An outcome at several waves: the difference at each, by a mixed model for repeated measures.

Secondary beside the declared outcome. Where chance decided the arm both arms have one mean at the
baseline; where it did not, differences are those in change since the baseline.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from recovery_stats.analyses._housing_case import ARM, Asked
from recovery_stats.analyses._housing_question import Question
from recovery_stats.analyses._part import Part
from recovery_stats.analyses._refusal import caution, why
from recovery_stats.analyses._wording import phrase, short
from recovery_stats.core.cell import Cell, Count, Quantity, Ref
from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset, as_dataset
from recovery_stats.core.document import Column, Figure, LineFigure, Row, Series, Table
from recovery_stats.core.estimate import Estimate
from recovery_stats.core.study import Study
from recovery_stats.errors import NotEstimable, UsageError
from recovery_stats.models.mixed_figure import diagnostic_figure, shown_in
from recovery_stats.models.outcome import Reading
from recovery_stats.models.over_time import PERSON, OverTime, compare_over_time
from recovery_stats.models.summary import level_label

PRIMARY = "wave_primary"
RESIDUALS = frozenset({"normal residuals", "constant spread"})


def at_every_wave(
    question: Question, asked: Asked, everyone: Dataset, arms: Reading, study: Study
) -> Part:
    """The part of the report on waves; nothing where no outcome is named at waves.

    Raises UsageError without the column of the wave or the person, or with weights.
    """
    if question.repeated is None:
        return Part()
    key = study.role("waves", "person") or question.person
    if question.wave is None or key is None or asked.person is None:
        raise UsageError(
            "An outcome at every wave needs the columns of person and wave: --wave COLUMN; in the "
            "study file: person and repeated_at under [roles.waves]."
        )
    if asked.weights:
        raise UsageError(
            "The outcome at every wave is asked by a mixed model, which takes no weights: take "
            "'weights' or 'repeated' out."
        )
    waves = _joined(question, asked, everyone, study["waves"], key)
    drawn = asked.design != "chosen"
    baseline: float | Literal["first"] = (
        "first" if question.wave_baseline is None else question.wave_baseline
    )
    try:
        found = compare_over_time(
            waves, outcome=question.repeated, arm=ARM, wave=question.wave, person=asked.person,
            baseline=baseline, means="constrained" if drawn else "unconstrained",
            primary=question.wave_primary, adjust=asked.adjust, cluster=asked.cluster,
            level=asked.level,
        )  # fmt: skip
    except NotEstimable:
        return _refused(waves, question.repeated)
    names = {w: level_label(waves.variable(question.wave), w) for w in found.waves}
    means = _figure(found, names, waves.label(question.repeated), waves.label(question.wave))
    figures = (means, *_diagnostics(found))
    return Part(
        tuple(_estimates(found, names)), tuple(_checks(found, figures)),
        (_table(found, names, arms), _tests(found)), figures,
        {"repeated": phrase(waves.label(question.repeated)), "wave_name": names[found.primary]},
        frozenset({"repeated", "over_time", "over_time_drawn" if drawn else "over_time_chosen"}),
    )  # fmt: skip


def _refused(waves: Dataset, column: str) -> Part:
    reason = why(waves, column)
    facts = {"repeated": phrase(waves.label(column)), "repeated_why": reason}
    check = caution("outcome at every wave", "The outcome at every wave", reason)
    return Part(checks=(check,), facts=facts, said=frozenset({"repeated", "repeated_refused"}))


def _diagnostics(found: OverTime) -> Iterator[Figure]:
    """Its residuals, freed of the covariance of the waves."""
    people = as_dataset(found.fit.analysed).frame[PERSON].to_numpy()
    drawn = diagnostic_figure(
        found.fit, people, name="over_time_diagnostics",
        caption="Diagnostics of the model of every wave",
    )  # fmt: skip
    yield from (drawn,) if drawn else ()


def _checks(found: OverTime, drawn: tuple[Figure, ...]) -> Iterator[Check]:
    """Those of the comparison, and the shape and spread of its residuals."""
    yield from found.checks()
    for check in shown_in(found.fit.checks(), drawn):
        if check.name in RESIDUALS and check.about == "residuals":
            yield replace(check, about="residuals, outcome at every wave")


def _joined(
    question: Question, asked: Asked, everyone: Dataset, waves: Dataset, key: str
) -> Dataset:
    """The waves of the people with an arm, with what the persons' table knows of them."""
    assert question.repeated is not None
    assert question.wave is not None
    named = [c for c in (ARM, asked.cluster, *asked.adjust) if c]
    people = everyone.frame[[asked.person, *named]]
    own = waves.frame[[key, question.wave, question.repeated]].rename(columns={key: asked.person})
    held = own.merge(people, on=asked.person, how="inner")
    columns = (waves.variable(question.wave), waves.variable(question.repeated))
    book = everyone.codebook.with_variables(*columns)
    return replace(waves, frame=held, codebook=book, missing={})


def _name(found: OverTime, wave: float) -> str:
    return PRIMARY if wave == found.primary else f"wave[{wave:g}]"


def _estimates(found: OverTime, names: dict[float, str]) -> Iterator[Estimate]:
    for w, e in zip(found.later, found.estimates(), strict=True):
        yield replace(e, name=_name(found, w), label=f"Difference at wave {names[w]}")


def _table(found: OverTime, names: dict[float, str], arms: Reading) -> Table:
    robust = {w: e.p for w, e in zip(found.later, found.estimates(robust=True), strict=False)}
    holm = dict(zip(found.later, found.holm, strict=True))
    rows = []
    for k, w in enumerate(found.waves):
        label = f"{names[w]} (primary)" if w == found.primary else names[w]
        cells: tuple[Cell, ...] = (Count(found.n[k][0]), Count(found.n[k][1]))
        if w in holm:
            name = _name(found, w)
            cells += (Ref(name, "interval"), Ref(name, "df"), Ref(name, "p"),
                      Quantity(holm[w], "p"))  # fmt: skip
        else:
            cells += (None,) * 4
        if robust:
            cells += (Quantity(robust[w], "p") if w in robust else None,)
        rows.append(Row(f"wave[{w:g}]", label, cells))
    heads = [Column("usual", arms.other, "People seen"), Column("compared", arms.counted,
             "People seen"), Column("interval", "Difference [CI]"), Column("df", "df"),
             Column("p", "p"), Column("holm", "Holm's p")]  # fmt: skip
    if robust:
        heads.append(Column("cr2", "p (CR2)"))
    return Table(
        "over_time", "The difference at every wave", tuple(heads), tuple(rows),
        ("Holm's p holds for all waves together; the intervals are those of each alone.",),
    )  # fmt: skip


def _tests(found: OverTime) -> Table:
    rows = tuple(
        Row(f"test[{i}]", str(t.hypothesis).capitalize(),
            (Quantity(float(t.statistic)), Quantity(float(t.num_df), "df"),
             Quantity(float(t.den_df), "df"), Quantity(float(t.p_value), "p")))
        for i, t in enumerate(found.tests().itertuples())
    )  # fmt: skip
    return Table(
        "over_time_tests", "Hypotheses on all waves",
        (Column("f", "F"), Column("num_df", "df"), Column("den_df", "df within"),
         Column("p", "p")), rows,
    )  # fmt: skip


def _figure(found: OverTime, names: dict[float, str], outcome: str, wave: str) -> LineFigure:
    table = found.means()
    series = tuple(
        Series(
            str(rows["arm"].iloc[0]), tuple(rows["wave"]), tuple(rows["mean"]),
            tuple(rows["conf_low"]), tuple(rows["conf_high"]), tuple(rows["n"]),
        )
        for _, rows in table.sort_values("wave").groupby("code")
    )  # fmt: skip
    return LineFigure(
        "over_time_means", f"{short(outcome)} at every wave, by arm", short(wave),
        short(outcome), series, points=True,
        x_ticks=tuple((w, names[w]) for w in sorted(found.waves)),
        notes=("Means of the mixed model, over the covariates of those seen at the wave.",),
    )  # fmt: skip
