"""Published definitions of relapse, and of dropping out."""

from __future__ import annotations

from recovery_stats.data.endpoint import paper
from recovery_stats.data.endpoint.entry import RELAPSE, Endpoint
from recovery_stats.data.endpoint.piece import VISITS

SHORT = "censored in the last week in which such a run could begin"
RELAPSED = VISITS.recode("*o", "+")

DEFINITIONS = (
    Endpoint(
        name="Dr_ctnNinetyFour_2023",
        group=RELAPSE,
        kind="Time to study dropout",
        paper=paper.CTN_0094,
        text="Weeks to study dropout (4 consecutive weeks of missing UOS)",
        computed=f"Week in which the first run of four missed screens begins; {SHORT}.",
        missing="Missing",
        reads_missed="as the event",
        frequency="weekly",
        rule=VISITS.time_to("o", needed=4),
        class_="time and event",
        of_missing=True,
    ),
    Endpoint(
        name="Rs_ctnFiftyOne_2018",
        group=RELAPSE,
        kind="Time to opioid use/relapse",
        paper=paper.LEE_2018,
        text="Weeks to relapse (starting at day 21 post-randomization: 4 consecutive weeks with "
        "positive UOS)",
        computed="Week in which the first run of four positive, mixed or missed screens begins, "
        f"week 3 or later; {SHORT}.",
        missing="Positive",
        reads_missed="as use",
        frequency="weekly",
        rule=RELAPSED.time_to("+", needed=4, start=3),
        class_="time and event",
    ),
    Endpoint(
        name="Rs_ctnNinetyFour_2023",
        group=RELAPSE,
        kind="Time to relapse",
        paper=paper.CTN_0094,
        text="Weeks to relapse (4 consecutive weeks of positive UOS)",
        computed="Week in which the first run of four positive, mixed or missed screens begins; "
        f"{SHORT}.",
        missing="Positive",
        reads_missed="as use",
        frequency="weekly",
        rule=RELAPSED.time_to("+", needed=4),
        class_="time and event",
    ),
    Endpoint(
        name="Rs_johnson_1992",
        group=RELAPSE,
        kind="Relapse/failure rate",
        paper=paper.JOHNSON_1992,
        text="Failure rate: 2 consecutive positive UOS following 4 weeks of treatment",
        computed="Two positive, mixed or missed screens in a row, in week 4 or later.",
        missing="Positive",
        reads_missed="as use",
        frequency="3x/week (only Monday sample was considered for this endpoint)",
        rule=RELAPSED.from_week(4).longest_run("+").at_least(2),
        class_="logical",
        better="less",
        note="Words: following 4 weeks. The published results count from week 4 itself.",
    ),
    Endpoint(
        name="Rs_krupitsky_2004",
        group=RELAPSE,
        kind="Relapse/failure rate",
        paper=paper.KRUPITSKY_2004,
        text="Relapse rate (3 consecutive positive UOS)",
        computed="Three positive, mixed or missed screens in a row.",
        missing="Positive",
        reads_missed="as use",
        frequency="biweekly",
        rule=RELAPSED.longest_run("+").at_least(3),
        class_="logical",
        better="less",
        note="Weeks in a row are counted, though the trials screened every second week.",
    ),
    Endpoint(
        name="Rs_lee_2016",
        group=RELAPSE,
        kind="Time to opioid use/relapse",
        paper=paper.LEE_2016,
        text="Weeks to relapse (>=10 days of opioid use in a 28-day period [a positive UOS was "
        "computed as 5 days of opioid use])",
        computed="Two positive, mixed or missed screens within four in a row (5 days of use "
        "each); told is the third week of the first four of which this holds, censored in the "
        "third week of the last four.",
        missing="Positive",
        reads_missed="as use",
        frequency="biweekly",
        rule=RELAPSED.time_to("+", needed=2, within=4, shown=2),
        class_="time and event",
        note="The published week is the third of the four, so that none comes before week 3.",
    ),
    Endpoint(
        name="Rs_schottenfeld_2008",
        group=RELAPSE,
        kind="Time to opioid use/relapse",
        paper=paper.SCHOTTENFELD_2008,
        text="Days to relapse (3 consecutive positive UOS)",
        computed="Week in which the first run of three positive, mixed or missed screens begins; "
        f"{SHORT}.",
        missing="Positive",
        reads_missed="as use",
        frequency="3x/week",
        rule=RELAPSED.time_to("+", needed=3),
        class_="time and event",
        note="Words: days. The published results are in weeks, and count three weeks in a row.",
    ),
)
