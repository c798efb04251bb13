"""Published definitions of a reduction of use: rates of use.

The published results of all of them are larger with less use; where the published words tell a rate
of positive screens they are its complement, 1 - rate.
"""

from __future__ import annotations

from recovery_stats.data.endpoint import paper
from recovery_stats.data.endpoint.entry import REDUCTION, Endpoint
from recovery_stats.data.endpoint.piece import VISITS

USE = "Opioid use rate"
BEYOND_15 = "The published results stop at week 15, the shortest pattern of the three trials."
COMPLEMENT = "Words: a rate of positive screens. The published results are 1 minus it."
NONE_ATTENDED_IS_1 = "Who attended no screen has 1, as the published results do."
THIRDS = tuple(float(block) for block in (1, 2, 3, 4, 5) for _ in range(3))
STEADY = tuple(1.0 + 4.0 * week / 14 for week in range(15))
DEFINITIONS = (
    Endpoint(
        name="Ab_schwartz_2006",
        group=REDUCTION,
        kind=USE,
        paper=paper.SCHWARTZ_2006,
        text="Number of positive UOS at 120-day follow-up",
        computed="The screen of week 15 is negative.",
        missing="Missing/not imputed",
        reads_missed="as use",
        frequency="BL and 120-day follow-up",
        rule=VISITS.at_weeks(15).share("-").at_least(1),
        class_="logical",
        note="Words: a number of positive screens at day 120. The published results tell "
        "whether week 15 is negative, and a missed screen is not.",
    ),
    Endpoint(
        name="Rd_eissenberg_1997",
        group=REDUCTION,
        kind=USE,
        paper=paper.EISSENBERG_1997,
        text="subject retained in study at least 17 weeks AND subject showed 4 consecutive "
        "negative UDS between weeks 1-17",
        computed="A screen attended in week 15 or later, and four negative in a row in weeks 1 "
        "to 15, where a single missed one between two negative ones counts as negative.",
        missing="Imputed",
        reads_missed="imputed",
        frequency="3x/week",
        rule=VISITS.bridged().weeks(1, 15).longest_run("-").at_least(4)
        & VISITS.retained().at_least(15),
        class_="logical",
        note=f"Words: 17 weeks, and a ratio. The published results are true or false. {BEYOND_15}",
    ),
    Endpoint(
        name="Rd_lingA_1976",
        group=REDUCTION,
        kind=USE,
        paper=paper.LING_1976,
        text="Index of illicit morphine use ([0, 120]). Note: this is a complex definition; "
        "for details see the original paper.",
        computed="120 less the cost of weeks 1 to 15 as a share of the worst: a positive screen "
        "costs 1 in weeks 1 to 3, 2 in weeks 4 to 6, up to 5 in weeks 13 to 15, a mixed"
        " one half of that, a missed one 0.22; 0 without a screen attended in week 4 or"
        " later.",
        missing="Positive",
        reads_missed="at a cost of their own",
        frequency="weekly",
        rule=VISITS.index(THIRDS, missed=0.22, top=120).given(VISITS.retained().at_least(4)),
        class_="ratio",
        top=120.0,
        note="The published results are higher with less use. The costs were worked out from them.",
    ),
    Endpoint(
        name="Rd_lingB_1976",
        group=REDUCTION,
        kind=USE,
        paper=paper.LING_1976,
        text="",
        computed="As Rd_lingA_1976, with a positive screen costing from 1 in week 1 to 5 in week"
        " 15 in even steps, and a missed one 1.25.",
        missing="Not stated",
        reads_missed="at a cost of their own",
        frequency="weekly",
        rule=VISITS.index(STEADY, missed=1.25, top=120).given(VISITS.retained().at_least(4)),
        class_="ratio",
        top=120.0,
        note="Published results only: no words come with them. The costs were worked out "
        "from the results.",
    ),
    Endpoint(
        name="Rd_petitjean_2001",
        group=REDUCTION,
        kind=USE,
        paper=paper.PETITJEAN_2001,
        text="Weekly proportion of positive UOS (intent-to-treat and completer analysis)",
        computed="1 minus the share of screens that are positive or missed (half of the mixed "
        "ones).",
        missing="Positive",
        reads_missed="as use",
        frequency="weekly",
        rule=VISITS.recode("o", "+").share("+", half="*").complement(),
        class_="ratio",
        note=COMPLEMENT,
    ),
    Endpoint(
        name="Rd_shufman_1994",
        group=REDUCTION,
        kind=USE,
        paper=paper.SHUFMAN_1994,
        text="Percentage of positive UOS",
        computed="1 minus the share of screens that are positive (half of the mixed ones); a "
        "missed one counts as not positive.",
        missing="Missing",
        reads_missed="as no use",
        frequency="Weekly",
        rule=VISITS.share("+", half="*").complement(),
        class_="ratio",
        note=f"{COMPLEMENT} {NONE_ATTENDED_IS_1}",
    ),
    Endpoint(
        name="Rd_soyka_2008",
        group=REDUCTION,
        kind=USE,
        paper=paper.SOYKA_2008,
        text="Monthly rates of positive UOS",
        computed="1 minus the share of screens that are positive (half of the mixed ones) among "
        "those attended.",
        missing="Missing/not imputed",
        reads_missed="left out",
        frequency="weekly",
        rule=VISITS.observed().share("+", half="*").complement(),
        class_="ratio",
        note=f"{COMPLEMENT} {NONE_ATTENDED_IS_1} The rate is over the whole pattern, not by month.",
    ),
    Endpoint(
        name="Rd_strain_1993",
        group=REDUCTION,
        kind=USE,
        paper=paper.STRAIN_1993,
        text="Rate of positive UOS through the end of the stable dosing period",
        computed="1 minus the share of the screens of weeks 6 to 15 that are positive (half of "
        "the mixed ones); a missed one counts as not positive.",
        missing="Not defined",
        reads_missed="as no use",
        frequency="3x/week",
        rule=VISITS.weeks(6, 15).share("+", half="*").complement(),
        class_="ratio",
        note=f"{COMPLEMENT} {NONE_ATTENDED_IS_1}",
    ),
    Endpoint(
        name="Rd_strain_1994",
        group=REDUCTION,
        kind=USE,
        paper=paper.STRAIN_1994,
        text="Overall rate of positive UOS",
        computed="1 minus the share of screens that are positive (half of the mixed ones); a "
        "missed one counts as not positive.",
        missing="Missing/not imputed",
        reads_missed="as no use",
        frequency="3x/week",
        rule=VISITS.share("+", half="*").complement(),
        class_="ratio",
        note=f"{COMPLEMENT} {NONE_ATTENDED_IS_1}",
    ),
    Endpoint(
        name="Rd_strain_1996",
        group=REDUCTION,
        kind=USE,
        paper=paper.STRAIN_1996,
        text="Percentage of positive UOS - Overall AND summarized in consecutive 2-week blocks",
        computed="1 minus the share of screens that are positive (half of the mixed ones) among "
        "those attended.",
        missing="Missing/not imputed",
        reads_missed="left out",
        frequency="3x/week",
        rule=VISITS.observed().share("+", half="*").complement(),
        class_="ratio",
        note=f"{COMPLEMENT} {NONE_ATTENDED_IS_1}",
    ),
    Endpoint(
        name="Rd_strain_1999",
        group=REDUCTION,
        kind=USE,
        paper=paper.STRAIN_1999,
        text="Percentage of positive UOS",
        computed="1 minus the share of screens that are positive (half of the mixed ones); a "
        "missed one counts as not positive.",
        missing="Missing/not imputed",
        reads_missed="as no use",
        frequency="2x/week",
        rule=VISITS.share("+", half="*").complement(),
        class_="ratio",
        note=f"{COMPLEMENT} {NONE_ATTENDED_IS_1}",
    ),
    Endpoint(
        name="Rd_woody_2008",
        group=REDUCTION,
        kind=USE,
        paper=paper.WOODY_2008,
        text="Percentage of positive UOS at weeks 4, 8, and 12",
        computed="Share of negative screens (half of the mixed ones) of weeks 4, 8 and 12.",
        missing="Imputed",
        reads_missed="as use",
        frequency="weeks 4, 8, 12",
        rule=VISITS.at_weeks(4, 8, 12).share("-", half="*"),
        class_="ratio",
        note=f"{COMPLEMENT} A missed screen counts as not negative: nothing is imputed.",
    ),
    Endpoint(
        name="Rd_zaks_1972",
        group=REDUCTION,
        kind=USE,
        paper=paper.ZAKS_1972,
        text="Number of positive UOS",
        computed="Number of negative screens (half of the mixed ones).",
        missing="Not defined",
        reads_missed="as use",
        frequency="2x/week",
        rule=VISITS.count("-", half="*"),
        class_="count",
        note="Words: the number of positive screens. The published results count the "
        "negative ones.",
    ),
)
