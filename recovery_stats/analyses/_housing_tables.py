"""Tables and figures of `collaborative_housing`; they point at estimates, never embed them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from recovery_stats.analyses._follow_up import follow_up_table
from recovery_stats.analyses._housing_case import ARM, OUTCOME, Case, OutcomeAnswer, had
from recovery_stats.analyses._housing_mixed import mixed_diagnostics, mixed_table
from recovery_stats.analyses._housing_rct import RIVALS as TRIAL_RIVALS
from recovery_stats.analyses._housing_rct import instrument_table
from recovery_stats.analyses._wording import phrase, short
from recovery_stats.core.bar import Bar, BarFigure, CellOf
from recovery_stats.core.cell import Cell, Count, Quantity, Ref, Share, Spread
from recovery_stats.core.document import (
    CaterpillarFigure,
    Column,
    CurveFigure,
    Figure,
    ForestFigure,
    Row,
    Series,
    Table,
    Total,
)
from recovery_stats.core.estimate import Estimate
from recovery_stats.models.balance import balance_table, love_figure
from recovery_stats.models.comparison import each_cluster
from recovery_stats.models.missing_figure import missing_by_group
from recovery_stats.models.summary import missing_table, table_one

ROUND_STEPS = (1, 2, 5, 10, 30, 60, 90, 180, 360, 720)  # days
MOST_STEPS = 6
PARTS = (("interval", "Estimate [CI]"), ("df", "df"), ("p", "p"))
NOTES = {
    "sensitivity": (
        "The first row is the declared answer. Rows by cluster have Satterthwaite df; summaries "
        "are one number a cluster, without covariates.",
    )
}
RIVALS = ("crude", "naive", "by_cluster", "within", "gee", "summary", "mixed",
          "first_house", "membership", *TRIAL_RIVALS,
          "by_site", "weighted_overlap", "weighted_ate", "weighted_att", "entropy_ate",
          "entropy_att", "matched", "doubly_robust",
          "left_out_low", "left_out_high", "missing_yes", "missing_no")  # fmt: skip
EFFECTS = ("risk_compared", "risk_usual", "mean_compared", "mean_usual", "risk_difference",
           "risk_ratio", "odds_ratio", "mean_difference", "hedges_g")  # fmt: skip
HAZARDS = ("hazard_ratio", "hazard_ratio_crude", "hazard_ratio_naive", "in_house",
           "stayed_six_months")  # fmt: skip


MEAN_DAYS = tuple(f"{kind}_{end}" for kind in ("rmst", "lost")
                  for end in ("compared", "usual", "difference"))  # fmt: skip


def tables(case: Case) -> Iterator[Table]:
    """Every table, in the order of the report."""
    asked = case.asked
    if asked.described:
        yield _headed(case, table_one(case.described, asked.described, ARM))
    if case.balance:
        yield balance_table(case.balance)
    if case.outcome:
        yield from _outcome_tables(case, case.outcome)
    if case.clusters.structure != "none":
        yield _clusters_table(case)
    if case.outcome and case.outcome.mixed:
        yield mixed_table(asked, case.outcome.mixed)
    if case.outcome and case.outcome.trial and case.outcome.trial.moved:
        yield instrument_table(case.outcome.trial.moved, asked.level)
    if case.times:
        yield follow_up_table(case.times.data, str(asked.time), str(asked.event), asked.entry)
        yield _estimates(case, "hazards", "Time to relapse", case.times.estimates, (
            *HAZARDS, *MEAN_DAYS))  # fmt: skip
    wanted = (asked.outcome, asked.time, *asked.adjust)
    yield missing_table(case.described, [c for c in wanted if c])


def _outcome_tables(case: Case, outcome: OutcomeAnswer) -> Iterator[Table]:
    """What the arms had, the effects, and the same difference asked in other ways."""
    yield _arms_table(case, outcome)
    drawn = case.asked.design != "chosen"
    caption = "Effect of the arm" if drawn else "Difference between the arms"
    yield _estimates(case, "effects", caption, outcome.estimates, EFFECTS)
    if case.asked.sensitivity:
        caption = "The same difference, asked in other ways"
        rivals = (case.primary.name, *RIVALS)
        yield _estimates(case, "sensitivity", caption, outcome.estimates, rivals)
    if outcome.chosen:
        yield from outcome.chosen.tables


def _headed(case: Case, table: Table) -> Table:
    """The columns of the arms under what they are levels of."""
    if not case.arms.heading:
        return table
    arms = ("group_1", "group_2")
    heads = (replace(c, group=case.arms.heading if c.key in arms else "") for c in table.columns)
    return replace(table, columns=tuple(heads))


def _explained(case: Case) -> tuple[str, ...]:
    """What “Yes” and “No” mean, for what is read apart from the text."""
    arms = case.arms
    return (f"“{arms.counted}”, “{arms.other}”: {arms.heading}.",) if arms.heading else ()


def _estimates(
    case: Case, name: str, caption: str, found: Sequence[Estimate], order: Sequence[str]
) -> Table:
    """Estimates as rows, those of `order` that exist."""
    named = {e.name: e for e in found}
    rows = tuple(
        Row(n, named[n].label, tuple(_cell(named[n], part) for part, _ in PARTS))
        for n in order
        if n in named
    )
    notes = (*_explained(case), *NOTES.get(name, ()))
    return Table(name, caption, tuple(Column(p, label) for p, label in PARTS), rows, notes)


def _cell(e: Estimate, part: str) -> Cell:
    """A part of an estimate; a description has no test."""
    return None if part == "p" and e.level == "descriptive" else Ref(e.name, part)


def _arms_table(case: Case, outcome: OutcomeAnswer) -> Table:
    """The outcome as it was observed, by arm."""
    reading = outcome.reading
    rows = []
    for key, label, arm in (("usual", case.arms.other, 0.0), ("compared", case.arms.counted, 1.0),
                            ("all", "All", None)):  # fmt: skip
        values = outcome.eligible.frame[OUTCOME]
        if arm is not None:
            values = values[outcome.eligible.frame[ARM] == arm]
        seen = values.dropna()
        cell: Cell = (
            Share(int(seen.sum()), len(seen))
            if reading.binary
            else Spread(float(seen.mean()), float(seen.std()), len(seen))
        )
        missing = Count(len(values) - len(seen))
        rows.append(Row(key, label, (Count(len(values)), cell, missing)))
    label = case.data.label(OUTCOME)
    head = had(label, reading) if reading.binary else f"{short(label)}: mean (SD)"
    return Table(
        "arms", "The outcome as observed",
        (Column("people", "People"), Column("outcome", head), Column("missing", "Missing")),
        tuple(rows), ("People to whom the outcome applies. Not adjusted.",),
        (Total("all", ("usual", "compared")),), case.arms.heading,
    )  # fmt: skip


def _clusters_table(case: Case) -> Table:
    clusters, word = case.clusters, case.asked.word
    rows = [
        Row("named", f"{word.capitalize()}s", (
            Count(clusters.named, f"{word}s"),)),
        *(Row(key, f"with people in “{case.arm_name(arm)}”",
              (Count(clusters.by_arm[arm], f"{word}s"),), 1)
          for arm, key in enumerate(("usual", "compared"))),
        Row("shared", "with both", (Count(clusters.shared, f"{word}s"),), 1),
        Row("people", f"People in a {word}", (Count(int(clusters.real.sum())),)),
        Row("alone", f"People without a {word} (each a cluster of one)",
            (Count(sum(clusters.alone)),)),
    ]  # fmt: skip
    if case.outcome and case.outcome.alike:
        alike = case.outcome.alike
        rows += [
            Row("icc", "Intraclass correlation", (Quantity(alike.icc),)),
            Row("icc_low", "lower limit", (Quantity(alike.low),), 1),
            Row("icc_high", "upper limit", (Quantity(alike.high),), 1),
            Row("design_effect", "Design effect (unequal sizes)",
                (Quantity(alike.design_effect, "ratio"),)),
        ]  # fmt: skip
    return Table(
        "clusters", f"The {word}s", (Column("value", "Value"),), tuple(rows), _explained(case)
    )


# --- figures ---------------------------------------------------------------------------------


def figures(case: Case, tables: Mapping[str, Table]) -> Iterator[Figure]:
    """Every figure that the case has; `tables` are those of the same report."""
    if missing := _missingness(case, tables):
        yield missing
    if case.outcome:
        yield _arms_figure(case, case.outcome)
        if case.asked.sensitivity:
            yield _forest(case)
        if case.outcome.chosen:
            yield from case.outcome.chosen.figures
        if caterpillar := _caterpillar(case, case.outcome):
            yield caterpillar
        yield from _diagnostics(case, case.outcome)
    if len(case.balance) > 1:
        yield love_figure(case.balance)
    if case.times:
        yield curves(case)


def _missingness(case: Case, tables: Mapping[str, Table]) -> BarFigure | None:
    """Who lacks the outcome or a covariate, by arm."""
    first: list[Bar] = []
    arms = tables.get("arms")
    lacking = [row.cells[2] for row in arms.rows] if arms else []
    if arms and any(isinstance(c, Count) and c.n for c in lacking):
        first.append(Bar(case.data.label(OUTCOME)))
        for row in arms.rows:
            missing, people = (CellOf("arms", row.key, key) for key in ("missing", "people"))
            first.append(Bar(row.label, (missing,), people))
    return missing_by_group(tables.get("table_one"), first, caption="Share missing, by arm")


def _diagnostics(case: Case, outcome: OutcomeAnswer) -> Iterator[Figure]:
    if outcome.mixed:
        binary = outcome.reading.binary
        drawn = mixed_diagnostics(case.asked, outcome.mixed, binary=binary)
        yield from (drawn,) if drawn else ()


def _arms_figure(case: Case, outcome: OutcomeAnswer) -> ForestFigure:
    """The two standardised risks or means with their intervals, from zero."""
    kind = "risk" if outcome.reading.binary else "mean"
    what = short(case.data.label(OUTCOME))
    return ForestFigure(
        "arms_figure", f"{what}, by arm", "Risk" if kind == "risk" else what,
        (Ref(f"{kind}_compared"), Ref(f"{kind}_usual")),
        notes=(
            *_explained(case), "Standardised over the covariates of the people analysed.",
        ),
    )  # fmt: skip


def _forest(case: Case) -> ForestFigure:
    names = [n for n in (case.primary.name, *RIVALS) if n in case.named]
    return ForestFigure(
        "forest", "The same difference, asked in other ways",
        f"Difference, {case.arms.counted} minus {case.arms.other}", tuple(Ref(n) for n in names),
        notes=_explained(case),
    )  # fmt: skip


def _caterpillar(case: Case, outcome: OutcomeAnswer) -> CaterpillarFigure | None:
    y = outcome.data.frame[OUTCOME].to_numpy(float)
    rows = each_cluster(y, outcome.clusters, level=case.asked.level)
    if len(rows) < 3:
        return None
    value, low, high, n, people = zip(*rows, strict=True)
    shares = tuple((round(y * of), of) for y, of in zip(value, people, strict=True))
    word = case.asked.word
    return CaterpillarFigure(
        "caterpillar", f"The outcome in each {word}", short(case.data.label(OUTCOME)),
        value, low, high, n,
        (f"One line a {word}, in order; not adjusted. The {word}s are not named.",),
        shares if outcome.reading.binary else (), case.asked.level,
    )  # fmt: skip


def curves(case: Case) -> CurveFigure:
    """People free of relapse by arm (Kaplan–Meier)."""
    assert case.times is not None
    by = f", by {phrase(case.arms.heading)}" if case.arms.heading else ""
    return CurveFigure(
        "curves", f"Share of people who have not relapsed{by}", "Days since entry",
        "Relapse-free", case.times.curves, round_times(_well_known(case.times.curves)),
    )  # fmt: skip


def _well_known(curves: Sequence[Series]) -> float:
    """The last time with one in twenty of the people of some curve still at risk."""
    return max(
        (x for s in curves for x, n in zip(s.x, s.n_at, strict=True) if n >= s.n_at[0] / 20),
        default=1.0,
    )


def round_times(last: float) -> tuple[float, ...]:
    """Times for the axis and the risk table: 0 and up to six round steps of days."""
    step = next((s for s in ROUND_STEPS if last / s <= MOST_STEPS), ROUND_STEPS[-1])
    step *= max(1, math.ceil(last / (step * MOST_STEPS)))
    return tuple(float(step * k) for k in range(int(last // step) + 1))
