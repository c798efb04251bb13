"""recovery-stats verify"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from recovery_stats.cli.screen import Screen, screened

if TYPE_CHECKING:
    from recovery_stats.core.document import Document
    from recovery_stats.models.published import TwoByTwo

COUNTS = re.compile(r"(\d+)/(\d+)")
MOST_SHOWN = 40


@click.command("verify")
@click.argument("numbers", nargs=-1, metavar="NUMBERS", required=True)
@click.option("--people", metavar="N|N-N", default="1-1000", show_default=True,
              help="How many people the groups can have had.")  # fmt: skip
@click.option("--whole", metavar="PERCENT", help="The percentage of all the parts together.")
@click.option("--level", type=click.FloatRange(0.5, 0.9999), default=0.95, show_default=True)
@screened
def command(
    numbers: tuple[str, ...], people: str, whole: str | None, level: float, screen: Screen
) -> int:
    """Check what a paper prints: effects from counts, or the counts behind a percentage.

    \b
    verify 21/67 35/54                       risk difference, risk ratio, odds ratio, NNT, E-value
    verify 31.3% --people 75                 the counts that print as 31.3%
    verify 15.6% 45.7% --whole 31.3% --people 75
                                             counts of two parts that make up the whole
    """
    from recovery_stats.errors import UsageError

    counts = [COUNTS.fullmatch(text) for text in numbers]
    if all(counts):
        if len(numbers) != 2 or whole is not None:
            raise UsageError("Two arms are compared: verify EVENTS/PEOPLE EVENTS/PEOPLE.")
        values = [int(x) for found in counts if found for x in found.groups()]
        return _effects(values, level, screen)
    return _counts(numbers, _range(people), whole, screen)


def _range(text: str) -> tuple[int, int]:
    from recovery_stats.errors import UsageError

    read = re.fullmatch(r"(?:(\d+)[-–])?(\d+)", text.strip())
    if read is None:
        raise UsageError(f"--people is a number or a range such as 50-75, not {text!r}.")
    return int(read[1] or 1), int(read[2])


def _effects(values: list[int], level: float, screen: Screen) -> int:
    """The effects of two arms as a table, digits as reports print them."""
    from recovery_stats import report
    from recovery_stats.models.published import two_by_two

    found = two_by_two(*values, level=level)
    if screen.as_json:
        glance = found.glance().to_dict("records")[0]
        rows = found.tidy().to_dict("records")
        screen.data({**glance, "number_needed_other": found.number_needed.other, "effects": rows})
        return 0
    screen.result(report.render(_document(found), "txt").decode().rstrip("\n"))
    return 0


def _document(found: TwoByTwo) -> Document:
    from recovery_stats.core.cell import Quantity, Shown
    from recovery_stats.core.document import Checks, Column, Document, Row, Table

    columns = (Column("interval", "Estimate [CI]"), Column("p", "p"))
    rows = [
        Row(e.name, e.label, (Shown(e, "interval"), Shown(e, "p")))
        for e in (found.risk_difference, found.risk_ratio, found.odds_ratio)
    ]
    needed, (value, limit) = found.number_needed, found.e_value
    single: list[tuple[str, str, float]] = [
        ("nnt", "Number needed to treat", needed.value),
        ("nnt_low", "from", needed.low),
        *([("nnt_other", "through infinity, to the other direction", needed.other)]
          if needed.crosses else [("nnt_high", "to", needed.high)]),
        ("e_value", "E-value", value), ("e_value_limit", "of the limit nearer 1", limit),
    ]  # fmt: skip
    rows += [
        Row(key, label, (Quantity(x, "days" if key.startswith("nnt") else "ratio"), ""))
        for key, label, x in single
    ]
    events, n, events_usual, n_usual = found.counts
    title = f"{events}/{n} against {events_usual}/{n_usual}"
    table = Table("effects", title, columns, tuple(rows))
    return Document("verify", title, "", (table, Checks(found.checks())))


def _counts(
    numbers: tuple[str, ...], people: tuple[int, int], whole: str | None, screen: Screen
) -> int:
    """The counts that percentages allow."""
    from recovery_stats.models.possible_counts import possible_counts

    found = possible_counts(*numbers, people=people, whole=whole)
    if screen.as_json:
        screen.data(found.to_dict("records"))
        return 0
    low, high = people
    if found.empty:
        screen.result(f"No counts of {low} to {high} people print as {', '.join(numbers)}.")
    for row in found.head(MOST_SHOWN).itertuples(index=False):
        pairs = [f"{row[i]}/{row[i + 1]}" for i in range(0, len(row), 2)]
        screen.result(" + ".join(pairs[:-1]) + " = " + pairs[-1] if len(pairs) > 1 else pairs[0])
    if len(found) > MOST_SHOWN:
        screen.say(f"{len(found) - MOST_SHOWN} more; narrow --people, or --json for all.")
    return 0
