"""Presets: every number of the data-generating process, under a name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from recovery_stats.data.synthetic.protection import Kernel
from recovery_stats.errors import UsageError, unknown

HORIZON_DAYS = 730
WAVE_MONTHS = (0, 6, 12, 18, 24)
WAVE_DAYS = (0, 183, 365, 548, 730)

Design = Literal["chosen", "house", "site"]


@dataclass(frozen=True, slots=True)
class Slopes:
    """Slopes of one wave outcome on satisfaction: within a person, and between persons."""

    within: float
    between: float


@dataclass(frozen=True, slots=True)
class Preset:
    """The truth of one synthetic cohort; log hazards are per day, rates per year where named.

    design: the housing arm is `chosen` by motivation and severity, randomised by `house`, or
    randomised person by person within `site`. kernel: protection from the `last` meeting, the
    `sum` over all meetings before the day, or `saturating` (see `protection`). theta,
    half_life_days: strength of that protection and its half-life. b_house acts on resident
    days, b_arm on every day of the arm, b_carry on non-resident days after `carry_days` resident
    ones. motivation_gain: what one meeting of the past week adds to this week's motivation
    (feedback). prodrome_days: days between the onset of a relapse and the relapse, with
    attendance already low. dropout_using: log odds of missing a wave when using on that day.
    missing_shift: by how many standard deviations outcomes of missed waves are worse than those
    of observed ones.
    death_ratio: hazard ratio of death under the housing arm.
    """

    name: str
    says: str
    design: Design = "chosen"
    kernel: Kernel = "last"
    theta: float = 1.0
    half_life_days: float = 2.0
    b_house: float = -0.80
    b_arm: float = 0.0
    b_carry: float = 0.0
    carry_days: int = 180
    base_rate: float = 0.0125
    base_decay: float = 0.55
    b_severity: float = 0.35
    b_motivation: float = -0.20
    b_display: float = 0.15
    sd_site: float = 0.20
    sd_house: float = 0.30
    sd_frailty: float = 0.60
    motivation_gain: float = 0.0
    prodrome_days: int = 0
    hide_motivation: bool = False
    dropout_using: float = 0.0
    missing_shift: float = 0.0
    death_ratio: float = 1.0
    women_only: bool = False
    work_arm: float = 0.30
    craving: Slopes = Slopes(-1.2, -2.0)
    stress: Slopes = Slopes(-2.0, -3.0)
    abstinence: Slopes = Slopes(0.20, 0.35)
    quality_of_life: Slopes = Slopes(4.0, 7.0)
    sites: int | None = None
    houses: int | None = None


NONE = Slopes(0.0, 0.0)
PLAIN = Preset(
    "plain", "Housing is chosen; protection lasts from the last meeting, half-life 2 days."
)

PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        PLAIN,
        replace(
            PLAIN,
            name="null",
            says="Nothing works: meetings, houses and satisfaction have no effect at all.",
            theta=0.0,
            b_house=0.0,
            sd_house=0.0,  # houses that differ have a mean hazard above 1: that is an effect
            work_arm=0.0,
            craving=NONE,
            stress=NONE,
            abstinence=NONE,
            quality_of_life=NONE,
        ),
        replace(
            PLAIN,
            name="plain-without-frailty",
            says="As plain, and people differ in relapse only by recorded columns.",
            b_display=0.0,
            sd_site=0.0,
            sd_house=0.0,
            sd_frailty=0.0,
        ),
        replace(
            PLAIN,
            name="feedback",
            says="Meetings raise next week's motivation, which drives attendance and relapse.",
            motivation_gain=0.12,
            b_motivation=-0.40,
        ),
        replace(
            PLAIN,
            name="prodrome",
            says="Attendance falls in the 14 days before a relapse, because of what leads to it.",
            prodrome_days=14,
        ),
        replace(
            PLAIN,
            name="unmeasured",
            says="Motivation drives attendance, housing and relapse, and no column holds it.",
            hide_motivation=True,
            b_motivation=-0.40,
        ),
        replace(
            PLAIN,
            name="sum-kernel",
            says="Protection adds up over all past meetings, each with a half-life of 2 days.",
            kernel="sum",
            theta=0.5,
        ),
        replace(
            PLAIN,
            name="saturating-kernel",
            says="Every meeting takes its share of the risk that the others left, half-life 2 "
            "days.",
            kernel="saturating",
        ),
        replace(
            PLAIN,
            name="last-meeting",
            says="The kernel of plain under its own name: only the last meeting protects.",
        ),
        replace(
            PLAIN,
            name="oxford2006",
            says="A trial shaped like the Oxford House trial of 2006: large effects that last.",
            design="site",
            b_house=-0.90,
            b_carry=-0.95,
            b_arm=-0.55,
            base_rate=0.021,
            base_decay=0.45,
            work_arm=0.80,
        ),
        replace(
            PLAIN,
            name="mnar",
            says="Those who miss a wave are half a standard deviation worse than they would look.",
            dropout_using=1.0,
            missing_shift=-0.5,
        ),
        replace(
            PLAIN,
            name="women2015",
            says="A trial in women: houses do not change use or work, and halve deaths.",
            design="site",
            b_house=0.0,
            sd_house=0.0,
            work_arm=0.0,
            death_ratio=0.5,
            women_only=True,
        ),
        replace(
            PLAIN,
            name="house-randomised",
            says="Whole houses are randomised; everyone is in a house from the first day.",
            design="house",
        ),
        replace(
            PLAIN,
            name="site-randomised",
            says="People are randomised to a house or usual after-care within each site.",
            design="site",
        ),
    )
}


def find(preset: str | Preset) -> Preset:
    """The preset of that name; a Preset comes back as it is (for variants of one's own)."""
    if isinstance(preset, Preset):
        return preset
    if preset not in PRESETS:
        raise UsageError(unknown("preset", preset, PRESETS))
    return PRESETS[preset]
