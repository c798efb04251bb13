"""What `collaborative_housing` is asked: its tables, its columns and its options."""

from __future__ import annotations

from dataclasses import dataclass

from recovery_stats.analyses._housing_kind import KINDS
from recovery_stats.analyses._question import Common, column, columns, option

TABLES = {
    "persons": "One row a person: arm, outcome or time to relapse, house or site, covariates.",
    "waves": "One row a person and wave, of an outcome at every wave (optional).",
    "stays": "One row a stay in a house: person, day in, day out (optional).",
    "houses": "One row a house: type, size, rules, friendship density (optional).",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question(Common):
    """What is asked, of which columns."""

    person: str | None = column("Person identifier.", table="persons", role="person", default="pid")
    arm: str | None = column(
        "The two groups: collaborative house, usual after-care.", table="persons", role="arm",
        default="arm_house", required=True, late=True,
    )  # fmt: skip
    outcome: str | None = column("Outcome, yes/no or a number.", table="persons", role="outcome")
    earlier: tuple[str, ...] = columns(
        "The outcome at visits between baseline and this one, first to last (repeatable).",
        table="persons", role="earlier",
    )  # fmt: skip
    outcome_level: str | None = option(
        "The level of the outcome that counts (default: yes, or the higher code).", default=None
    )
    outcome_kind: str | None = option(
        "What the outcome is (default: two levels are yes-no, else a number); days go with "
        "--out-of or --trials.", default=None, choices=KINDS,
    )  # fmt: skip
    out_of: float | None = option("Days that the outcome's days are out of.", default=None)
    trials: str | None = column(
        "The same where each person has their own.", table="persons", role="trials"
    )
    secondary: tuple[str, ...] = columns(
        "Declared secondary outcome, judged with the others by Holm (repeatable).",
        table="persons", role="secondary",
    )  # fmt: skip
    cost: str | None = column("What each person cost.", table="persons", role="cost")
    benefit: str | None = column(
        "What each person gained, more is better, as abstinent months.",
        table="persons", role="benefit",
    )  # fmt: skip
    willingness: float | None = option(
        "Money declared as the worth of a unit of benefit.", default=None
    )
    time: str | None = column(
        "Days to relapse or end of observation.", table="persons", role="time"
    )
    event: str | None = column("1 relapse seen, 0 censored.", table="persons", role="event")
    entry: str | None = column(
        "Day on which observation began (late entry).", table="persons", role="entry"
    )
    cluster: str | None = column(
        "House or site: people of one resemble each other.", table="persons", role="cluster"
    )
    house: str | None = column(
        "House of the person, and of each row of houses and stays.", table="persons", role="house"
    )
    treatment: str | None = column(
        "Moved into a house at all, or months of residence; the arm is its instrument.",
        table="persons", role="treatment",
    )  # fmt: skip
    design: str = option(
        "How people came into the arms.", default="chosen",
        choices=("chosen", "randomised", "houses-randomised", "openings"),
    )  # fmt: skip
    opened: str | None = column(
        "Time, on the scale of the waves, at which a house opened where the person lives; empty: "
        "none did.", table="persons", role="opened",
    )  # fmt: skip
    repeated: str | None = column(
        "Outcome at each wave, compared wave by wave, or where houses open during the study.",
        table="waves",
        role="repeated",
    )
    wave: str | None = column(
        "Time or number of the wave of --repeated.", table="waves", role="repeated_at"
    )
    wave_baseline: float | None = option(
        "The wave before the arms began, where an outcome is compared at every wave (default: the "
        "first).", default=None,
    )  # fmt: skip
    wave_primary: float | None = option(
        "The wave at which that difference is declared (default: the last).", default=None
    )
    weighting: str = option(
        "Whom weights make the groups alike to, where nobody was drawn: who could have been in "
        "either (overlap), everybody (ate), the compared arm (att).", default="overlap",
        choices=("overlap", "ate", "att"),
    )  # fmt: skip
    balance_stop: float = option(
        "Show no effect where a covariate still differs by more standard deviations than this "
        "after weighting (0: always show).",
        default=0.0,
    )
    stay_start: str | None = column("Day a stay began.", table="stays", role="start",
                                    default="in_day")  # fmt: skip
    stay_stop: str | None = column("Day a stay ended.", table="stays", role="stop",
                                   default="out_day")  # fmt: skip
    stay_days: int = option(
        "Days since moving in over which times of leaving a house are compared.", default=540
    )
    cause: str | None = column(
        "Cause of the first event, 0 for none: death and others compete with relapse where times "
        "of leaving are compared.",
        table="persons", role="cause",
    )  # fmt: skip
    lost_cause: str = option("Code or label of the cause that means loss to follow-up.", default="")
    subgroup: tuple[str, ...] = columns(
        "Declared subgroup or moderator of the effect, as sex or ACE (repeatable).",
        table="persons", role="subgroup",
    )  # fmt: skip
    house_by: tuple[str, ...] = columns(
        "Declared characteristic of houses, as size, type, rules or friendship density, by which "
        "the effect may differ (repeatable).",
        table="houses", role="characteristic",
    )  # fmt: skip
    cross_level: tuple[str, ...] = columns(
        "Declared covariate of persons, as severity, whose slope may differ by each "
        "characteristic of houses (repeatable).",
        table="persons", role="cross_level",
    )  # fmt: skip
    screens: tuple[str, ...] = columns(
        "Where the outcome is a share of screens: counts of negative, attended and scheduled ones.",
        table="persons", role="screens",
    )  # fmt: skip
    margin: float | None = option(
        "Margin of equivalence, on the scale of the difference.", default=None
    )
    margin_reason: str = option("Why a smaller difference would not matter.", default="")
    margin_aim: str | None = option(
        "What the margin is for (default: equivalence).", default=None,
        choices=("equivalence", "non-inferiority"),
    )  # fmt: skip
    better: str | None = option(
        "Which way the outcome is good, for non-inferiority (default: lower).", default=None,
        choices=("lower", "higher"),
    )  # fmt: skip
    expected: float | None = option(
        "Difference expected beforehand, for Bayes factors.", default=None
    )

    @property
    def tables(self) -> tuple[str, ...]:
        """Tables that some options read beside those of every question."""
        houses = ("houses",) if self.house_by else ()
        return ("waves", *houses) if self.repeated else houses
