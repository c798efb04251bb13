"""recovery-stats inspect"""

from __future__ import annotations

from pathlib import Path

import click

from recovery_stats.cli.screen import Screen, screened


@click.command("inspect")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--person", metavar="COLUMN", help="The column that identifies a person.")
@click.option("--wave", metavar="COLUMN", help="The column that numbers the interviews.")
@click.option("--key", multiple=True, metavar="COLUMN", help="A key column (repeatable).")
@click.option("--by", metavar="COLUMN", help="Split by the levels of this column.")
@click.option("--privacy", default="cms", show_default=True, metavar="PROFILE")
@click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write it to this file (.html, .md, .json) instead of the screen.",
)
@screened
def command(
    file: Path,
    person: str | None,
    wave: str | None,
    key: tuple[str, ...],
    by: str | None,
    privacy: str,
    target: Path | None,
    screen: Screen,
) -> int:
    """Show what a data file holds: codebook, missing values by reason, keys, suspicious codes.

    Reads .sav, .zsav, .por, .csv, .csv.gz and .parquet. Small counts are hidden as in a report.
    """
    from recovery_stats import report
    from recovery_stats.data.inspection import inspect
    from recovery_stats.data.table import read_table
    from recovery_stats.report.disclose import disclose
    from recovery_stats.study.table import profile

    rules = profile(privacy)
    document = inspect(
        read_table(file), name=file.name, key=key, person=person, wave=wave, by=by, privacy=rules
    )
    hidden = disclose(document, rules)
    if target is not None:
        from recovery_stats.study.workflow import write_document

        screen.result(str(write_document(hidden, target)))
        return 0
    screen.result(report.render(hidden, "json" if screen.as_json else "txt").decode().rstrip("\n"))
    return 0
