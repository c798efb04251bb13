"""A made-up result with every type of cell, table, figure and check; nothing here is data."""

from __future__ import annotations

import math
import random

from recovery_stats.core.cell import Cell, Count, Quantity, Ref, Share, Spread
from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Source, Step
from recovery_stats.core.document import (
    CaterpillarFigure,
    Column,
    CurveFigure,
    Figure,
    ForestFigure,
    LineFigure,
    LoveFigure,
    Row,
    Series,
    Table,
    Total,
)
from recovery_stats.core.estimate import Estimand, Estimate
from recovery_stats.core.result import Result
from recovery_stats.errors import UsageError
from recovery_stats.report.pdf import printer

HOSTILE = "<script>alert('x')</script> \"q\" & \u202eevil\u202c \x00\x1b[31m 👩‍⚕️ سؤال"


def draws_pdf() -> bool:
    """Whether the extra for PDF is here, and the library it draws with."""
    try:
        printer()
    except UsageError:
        return False
    return True


TEMPLATE = """# Do more meetings go with later relapse?

[question] Do people who attend more mutual-help meetings relapse later?

[answer] Of 100 people with three or more meetings a week, about {free_high.per_100} had not
relapsed after a year, against {free_low.per_100} with fewer than one; hazard ratio for one
more meeting {hr.full}.

[[survival]]

[sure] {n} people, {events} relapsed. The design is observational {{not randomised}}.

[limits unless randomised] People chose how often to attend; the numbers describe, they do not
prove.

[warning if thin] Only {n_sites} sites.

## Participants

[[flow]]

[[table_one]]

## Main result

[[model]]

[text if diary] The diary was read strictly before each day at risk; median {median} days,
{mean_age} years, {cost}.

[[curve_by_dose]]

## [if never] Never said

This is not printed.

### Nor this

## Sensitivity

[[sensitivity]]

[[missing_figure?]]

## Balance

[[love]]

[[sites]]

## Checks

[[checks]]

## Methods

[[estimand]]

- Cox model, Efron ties (Efron 1977), {hr.label}.
- [if diary] Start–stop rows from the diary.
- [if never] Not printed.

## Provenance

[[provenance]]
"""


def estimates() -> tuple[Estimate, ...]:
    ratio = {"scale": "ratio", "method": "Cox, Efron ties", "n": 812, "events": 341}
    shares = {"scale": "probability", "level": "descriptive", "method": "Kaplan–Meier"}
    return (
        Estimate(
            "hr",
            "One more meeting a week",
            0.8412,
            0.7703,
            0.9186,
            0.0449,
            0.00012,
            math.inf,
            level="primary",
            **ratio,
        ),  # type: ignore[arg-type]
        Estimate(
            "hr_naive",
            "Baseline meetings only",
            0.9534,
            0.8811,
            1.0316,
            0.0402,
            0.2359,
            math.inf,
            level="naive",
            **ratio,
        ),  # type: ignore[arg-type]
        Estimate(
            "hr_site",
            "Stratified by site",
            0.8367,
            0.7589,
            0.9225,
            0.0498,
            0.00034,
            11.4,
            level="sensitivity",
            **ratio,
        ),  # type: ignore[arg-type]
        Estimate(
            "age", "Age, per 10 years", 0.9012, 0.8123, 0.9998, 0.053, 0.0496, math.inf, **ratio
        ),  # type: ignore[arg-type]
        Estimate(
            "free_high",
            "Free of relapse, 3 or more a week",
            0.5812,
            0.5012,
            0.6597,
            n=261,
            events=104,
            **shares,
        ),  # type: ignore[arg-type]
        Estimate(
            "free_low",
            "Free of relapse, fewer than 1",
            0.4391,
            0.3745,
            0.5093,
            n=290,
            events=160,
            **shares,
        ),  # type: ignore[arg-type]
        Estimate(
            "rd",
            "Risk difference",
            -0.1421,
            -0.2398,
            -0.0444,
            0.0498,
            0.0044,
            24.6,
            method="adjusted, by site",
        ),
        Estimate("nnt", "Number needed to treat", 7.04, -31.2, 4.17, method="1 / risk difference"),
    )


def curve(name: str, people: int, hazard: float, seed: int) -> Series:
    """A Kaplan–Meier curve over 365 days, computed the slow plain way."""
    draw = random.Random(seed)  # noqa: S311
    found = []
    for _ in range(people):
        relapse = math.ceil(draw.expovariate(hazard))
        lost = math.ceil(draw.expovariate(0.0006))
        last = min(relapse, lost, 365)
        found.append((last, relapse <= min(lost, 365)))
    times = sorted({day for day, _ in found})
    x, y, low, high, at, events, censored = [], [], [], [], [], [], []
    survival, spread = 1.0, 0.0
    for day in times:
        n = sum(t >= day for t, _ in found)
        d = sum(t == day and e for t, e in found)
        survival *= 1 - d / n
        spread += d / (n * (n - d)) if n > d else 0.0
        half = 1.96 * survival * math.sqrt(spread)
        x.append(float(day))
        y.append(survival)
        low.append(max(survival - half, 0.0))
        high.append(min(survival + half, 1.0))
        at.append(n)
        events.append(d)
        censored.append(sum(t == day and not e for t, e in found))
    return Series(
        name, tuple(x), tuple(y), tuple(low), tuple(high), tuple(at), tuple(events), tuple(censored)
    )


def table_one() -> Table:
    def row(key: str, label: str, *cells: Cell, depth: int = 0) -> Row:
        return Row(key, label, cells, depth)

    return Table(
        "table_one",
        "People at baseline, by meetings a week",
        (
            Column("low", "Fewer than 1", "Meetings a week"),
            Column("middle", "1 or 2", "Meetings a week"),
            Column("high", "3 or more", "Meetings a week"),
            Column("all", "All"),
            Column("smd", "Largest SMD"),
        ),
        (
            row("n", "People", Count(290), Count(261), Count(261), Count(812), None),
            row(
                "age",
                "Age, years",
                Spread(38.21, 11.32, 290),
                Spread(39.9, 10.8, 261),
                Spread(41.77, 11.9, 261),
                Spread(39.9, 11.4, 812),
                Quantity(0.3071),
            ),
            row("sex", "Sex"),
            row(
                "female",
                "Female",
                Share(112, 290),
                Share(96, 261),
                Share(88, 261),
                Share(296, 812),
                Quantity(0.1029),
                depth=1,
            ),
            row(
                "male",
                "Male",
                Share(171, 290),
                Share(160, 261),
                Share(169, 261),
                Share(500, 812),
                Quantity(0.1181),
                depth=1,
            ),
            row(
                "other",
                "Another",
                Share(7, 290),
                Share(5, 261),
                Share(4, 261),
                Share(16, 812),
                Quantity(0.0629),
                depth=1,
            ),
            row(
                "housing",
                "Stable housing",
                Share(201, 290),
                Share(190, 261),
                Share(214, 261),
                Share(605, 812),
                Quantity(0.2931),
            ),
            row(
                "income",
                "Income, median",
                Quantity(812.5, "money"),
                Quantity(930.0, "money"),
                Quantity(1204.0, "money"),
                Quantity(960.0, "money"),
                None,
            ),
        ),
        ("Mean (SD) or n (%). SMD: standardised mean difference, largest of three pairs.",),
        (
            Total("n", ("female", "male", "other")),
            Total("all", ("low", "middle", "high"), "columns"),
        ),
        "Characteristic",
    )


def model() -> Table:
    def row(name: str, label: str) -> Row:
        return Row(name, label, tuple(Ref(name, part) for part in ("value", "interval", "p")))

    columns = (Column("hr", "HR"), Column("ci", "HR [95% CI]"), Column("p", "p"))
    rows = (
        Row("exposure", "Meetings in the last seven days"),
        row("hr", "One more meeting a week"),
        Row("adjust", "Adjustment"),
        row("age", "Age, per 10 years"),
        Row("sex", "Sex: female", ("1 (reference)", None, None)),
    )
    return Table(
        "model",
        "Cox model of time to relapse",
        columns,
        rows,
        ("HR: hazard ratio; CI: confidence interval. Robust errors by person.",),
        stub="Term",
    )


def figures() -> dict[str, Figure]:
    curves = (
        curve("Fewer than 1", 290, 0.0023, 1),
        curve("1 or 2", 261, 0.0019, 2),
        curve("3 or more", 261, 0.0015, 3),
    )
    x = tuple(float(i) for i in range(8))
    dose = tuple(0.84**i for i in x)
    return {
        "survival": CurveFigure(
            "survival",
            "Time to relapse by meetings a week",
            "Days since entry",
            "Share free of relapse",
            curves,
            (0.0, 90.0, 180.0, 270.0, 365.0),
            ((180.0, "six months"),),
            ("Kaplan–Meier with 95% bands.",),
        ),
        "curve_by_dose": LineFigure(
            "curve_by_dose",
            "Hazard by meetings in the last week",
            "Meetings in the last 7 days",
            "Hazard ratio",
            (
                Series(
                    "Adjusted",
                    x,
                    dose,
                    tuple(v * 0.9**i for i, v in enumerate(dose)),
                    tuple(v * 1.1**i for i, v in enumerate(dose)),
                    (300, 210, 120, 80, 40, 22, 12, 4),
                ),
                Series("Baseline only", x, tuple(0.95**i for i in x)),
            ),
            horizontal=1.0,
            points=True,
            log_y=True,
        ),
        "sensitivity": ForestFigure(
            "sensitivity",
            "The same question, other choices",
            "Hazard ratio per meeting",
            (Ref("hr"), Ref("hr_site"), Ref("hr_naive")),
            1.0,
            True,
            ((0, "Diary"), (2, "Baseline")),
        ),
        "love": LoveFigure(
            "love",
            "Balance before and after weighting",
            ("Age", "Female", "Stable housing", HOSTILE),
            (0.31, 0.10, 0.29, -0.12),
            (0.04, 0.02, -0.06, 0.01),
        ),
        "sites": CaterpillarFigure(
            "sites",
            "Site effects",
            "Log hazard",
            (-0.4, -0.1, 0.02, 0.2, 0.35),
            (-0.8, -0.4, -0.3, -0.1, 0.0),
            (0.0, 0.2, 0.34, 0.5, 0.7),
            (60, 80, 8, 70, 55),
        ),
    }


def result(**changes: object) -> Result:
    checks = (
        Check(
            "proportional hazards",
            "ok",
            ("Grambsch–Therneau test ", Quantity(0.31, "p"), "."),
            "meetings",
        ),
        Check(
            "clusters",
            "caution",
            (Count(14, "sites"), " sites; the smallest has ", Count(6), " people."),
        ),
        Check(
            "exposure before outcome", "fail", (Share(40, 812), " attended on the day."), HOSTILE
        ),
    )
    flow = (
        Step("in the file", 840, "people"),
        Step("entry date known", 828, "people"),
        Step("meetings observed", 825, "people"),
        Step("at least one day at risk", 812, "people"),
    )
    values: dict[str, object] = {
        "analysis": "meeting_frequency",
        "estimand": Estimand(
            "People leaving treatment",
            "Meetings in the last 7 days",
            "First relapse",
            "Death ends follow-up",
            "Hazard ratio",
        ),
        "estimates": estimates(),
        "checks": checks,
        "flow": flow,
        "facts": {
            "n": Count(812),
            "events": Share(341, 812),
            "n_sites": Count(14, "sites"),
            "median": Quantity(214.0, "days"),
            "mean_age": Spread(39.9, 11.4, 812),
            "cost": Quantity(1234.5, "money"),
        },
        "said": frozenset({"diary", "thin"}),
        "tables": {"table_one": table_one(), "model": model()},
        "figures": figures(),
        "sources": (Source("cohort.sav", "ab" * 32, 840),),
        "synthetic": True,
    }
    return Result(**{**values, **changes})  # type: ignore[arg-type]
