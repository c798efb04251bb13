"""The parts of the report with a diary, each from its module."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from recovery_stats.analyses._meeting_bias import bias_tables
from recovery_stats.analyses._meeting_causes import FEWEST_EVENTS
from recovery_stats.analyses._meeting_curves import Groups
from recovery_stats.analyses._meeting_dose import (
    Dose,
    dose_facts,
    dose_figure,
)
from recovery_stats.analyses._meeting_landmark import Later, later_estimates, later_table
from recovery_stats.analyses._meeting_loss import Lost, loss_estimates
from recovery_stats.analyses._meeting_missing import missing_figures, missing_panel_table
from recovery_stats.analyses._meeting_models import Models
from recovery_stats.analyses._meeting_policy import Policies, policy_estimates, policy_tables
from recovery_stats.analyses._meeting_recurrent import recurrent_estimate
from recovery_stats.analyses._meeting_rivals import (
    control_estimates,
    other_codes,
    rival_attempts,
)
from recovery_stats.analyses._meeting_strategy import Strategies
from recovery_stats.analyses._meeting_strategy_rivals import rival_table, strategy_attempts
from recovery_stats.analyses._meeting_weeks import Weeks, week_checks, week_estimates, week_table
from recovery_stats.analyses._missing_rows import Attempt
from recovery_stats.analyses._part import Part
from recovery_stats.core.cell import Ref
from recovery_stats.core.document import Column, ForestFigure, Row, Table
from recovery_stats.core.estimate import Estimate


def described(models: Models) -> Part:
    """Attendance week by week until relapse."""
    weeks = Weeks.of(models.asked, models.study, models.people)
    if not len(weeks.frame):
        return Part()
    estimates = tuple(week_estimates(weeks))
    return Part(
        estimates,
        tuple(week_checks(weeks, models.study, models.people)),
        (week_table(weeks, {e.name: e for e in estimates}),),
    )


def landmarks(models: Models) -> Part:
    """Curves from later landmarks."""
    later = Later.of(models.asked, models.study, models.people)
    estimates = tuple(later_estimates(later))
    table = later_table(later, {e.name: e for e in estimates})
    return Part(estimates, tables=(table,) if table else ())


def doses(models: Models) -> Part:
    """The curve of dose and response."""
    dose = Dose.of(models)
    figure, facts = dose_figure(dose), dose_facts(dose)
    said = frozenset({"dose_curve"}) if facts else frozenset()
    return Part(
        tuple(_made(dose.beside)), figures=(figure,) if figure else (), facts=facts, said=said,
        refused=tuple(a for a in dose.beside if a.reason),
    )  # fmt: skip


def policies(models: Models, emulated: Strategies | None) -> Part:
    """One more a week, and the marginal structural model."""
    found = Policies.of(models.asked, models.rows, emulated.people if emulated else None)
    estimates = tuple(policy_estimates(found))
    return Part(estimates, tables=tuple(policy_tables(found, {e.name: e for e in estimates})))


def otherwise(models: Models, emulated: Strategies | None, groups: Groups | None) -> Part:
    """The sensitivity analyses beside those of the main model."""
    again = recurrent_estimate(models.asked, models.study, models.people)
    rivals = tuple(rival_attempts(models))
    strategies = tuple(strategy_attempts(emulated, models.study, models.people)) if emulated else ()
    estimates = (
        *_made(rivals),
        *((again,) if again else ()),
        *control_estimates(models),
        *_made(strategies),
        *(_lost(models, groups) if groups else ()),
    )
    return Part(
        estimates,
        said=frozenset(e.name for e in estimates),
        refused=tuple(a for a in (*rivals, *strategies) if a.reason),
    )


def _made(attempts: Iterable[Attempt]) -> Iterator[Estimate]:
    yield from (a.estimate for a in attempts if a.estimate)


def _lost(models: Models, groups: Groups) -> Iterator[Estimate]:
    codes, _ = other_codes(models)
    if codes and not models.asked.custody.suspended:
        yield from loss_estimates(Lost(groups, codes), FEWEST_EVENTS)


def sensitivity_tables(
    named: dict[str, Estimate], failed: Mapping[str, Attempt], most: str, least: str
) -> Iterator[Table]:
    """Tables that take their numbers from estimates of any part."""
    made = (
        rival_table(named, failed),
        missing_panel_table(named, failed, f"{most} minus {least}"),
        _control_table(named),
        *bias_tables(named),
    )
    yield from (t for t in made if t is not None)


def sensitivity_figures(
    named: dict[str, Estimate], most: str, least: str
) -> Iterator[ForestFigure]:
    """Figures of the missing-data panel."""
    yield from missing_figures(named, f"{most} minus {least}")


def _control_table(named: dict[str, Estimate]) -> Table | None:
    names = [n for n in named if n.startswith("before[")]
    if not names:
        return None
    return Table(
        "controls",
        "Negative control: what was there before, by attendance after it",
        (Column("difference", "Per one more a week"), Column("p", "p")),
        tuple(Row(n, named[n].label, (Ref(n, "interval"), Ref(n, "p"))) for n in names),
        (
            "Differences at entry, per one more attended a week until the landmark, the other "
            "covariates held. Attendance cannot have changed them: a difference says that who "
            "attends more was different before, and may be in ways that were not measured.",
        ),
    )
