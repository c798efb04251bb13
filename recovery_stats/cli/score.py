"""recovery-stats score"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from recovery_stats.cli.screen import Screen, screened

if TYPE_CHECKING:
    from recovery_stats.study.scoring import Scored


@click.command("score")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE", required=False)
@click.option("--scale", metavar="NAME", help="The questionnaire; without it, those known.")
@click.option(
    "--items", metavar="COLUMNS", help="Item columns in order, by commas, or a pattern: ras{}_w2."
)
@click.option("--rule", metavar="NAME", help="What to do with missing items (see the scale).")
@click.option("--coded-from", type=float, help="The file's code of the lowest answer.")
@click.option("--reversed-already", is_flag=True, help="Reversed items were turned before.")
@click.option("--by", metavar="COLUMN", help="Reliability by the levels of this column, too.")
@click.option("--privacy", default="cms", show_default=True, metavar="PROFILE")
@click.option("--force", is_flag=True, help="Write over a file that stands there.")
@click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the data with the scores (.sav, .csv, .parquet), or this account (.html, .md, …).",
)
@screened
def command(
    file: Path | None,
    scale: str | None,
    items: str | None,
    rule: str | None,
    coded_from: float | None,
    reversed_already: bool,
    by: str | None,
    privacy: str,
    force: bool,
    target: Path | None,
    screen: Screen,
) -> int:
    """Score a questionnaire from its items, and say how far to trust the scores.

    Items are recognised by name (ras1, RAS_01, ras_q1). Told with the scores: answers out of
    range, scores resting on fewer items, floor and ceiling, alpha and omega. Small counts are
    hidden as in a report. Without FILE and --scale it lists the questionnaires.
    """
    from recovery_stats import report
    from recovery_stats.data.table import holds_a_table, read_table
    from recovery_stats.errors import UsageError
    from recovery_stats.report.disclose import disclose
    from recovery_stats.study.scoring import score
    from recovery_stats.study.table import profile

    if file is None and scale is None:
        return _list(screen)
    if file is None or scale is None:
        raise UsageError("score takes a FILE and --scale NAME; without both it lists the scales.")
    rules = profile(privacy)
    listed = items.split(",") if items and "{}" not in items else items
    scored = score(
        read_table(file), scale, items=listed, rule=rule, coded_from=coded_from,
        reversed_already=reversed_already,
    )  # fmt: skip
    hidden = disclose(scored.document(file.name, by=by), rules)
    if target is not None and not holds_a_table(target):
        from recovery_stats.study.workflow import write_document

        screen.result(str(write_document(hidden, target)))
        return 0
    if target is not None:
        _write(scored, target, force)
        screen.say(f"Written: {target}, with {', '.join(map(str, scored.frame.columns))}")
    screen.result(report.render(hidden, "json" if screen.as_json else "txt").decode().rstrip("\n"))
    return 0


def _write(scored: Scored, target: Path, force: bool) -> None:
    from recovery_stats.data.table import write_table
    from recovery_stats.errors import OutputError
    from recovery_stats.study.folder import refused_by_system

    if target.exists() and not force:
        raise OutputError(f"{str(target)!r} stands there already. Another name, or --force.")
    with refused_by_system(target.parent):
        write_table(scored.data, target)


def _list(screen: Screen) -> int:
    from recovery_stats.study.scoring import instruments

    table = instruments()
    if screen.as_json:
        screen.data(table.to_dict("records"))
        return 0
    width = int(table["name"].str.len().max())
    for row in table.itertuples(index=False):
        screen.result(f"{row.name:<{width}}  {row.items:>2} items  {row.title} ({row.measures})")
    return 0
