"""recovery-stats inspect"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from recovery_stats.cli.output import FOUND
from recovery_stats.cli.screen import Screen, screened

if TYPE_CHECKING:
    from recovery_stats.core.document import Checks


@click.command("inspect")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--person", metavar="COLUMN", help="The column that identifies a person.")
@click.option("--wave", metavar="COLUMN", help="The column that numbers the interviews.")
@click.option("--key", multiple=True, metavar="COLUMN", help="A key column (repeatable).")
@click.option("--by", metavar="COLUMN", help="Split by the levels of this column.")
@click.option(
    "--cross-check", is_flag=True, help="Read a .sav with pyreadstat too, and compare every cell."
)
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
    cross_check: bool,
    privacy: str,
    target: Path | None,
    screen: Screen,
) -> int:
    """Show what a data file holds: codebook, missing values by reason, keys, suspicious codes.

    Reads .sav, .zsav, .por, .csv, .csv.gz and .parquet. Small counts are hidden as in a report.
    With --cross-check, exit code 7 when the two readers disagree.
    """
    from recovery_stats import report
    from recovery_stats.data.inspection import inspect
    from recovery_stats.data.table import read_table
    from recovery_stats.report.disclose import disclose
    from recovery_stats.study.table import profile

    rules = profile(privacy)
    screen.progress("Reading the file …")
    with screen.watching():
        data = read_table(file)
        document = inspect(
            data, name=file.name, key=key, person=person, wave=wave, by=by, privacy=rules
        )
        second = (_second_reading(file),) if cross_check else ()
    document = replace(document, blocks=(document.blocks[0], *second, *document.blocks[1:]))
    failed = any(check.verdict == "fail" for block in second for check in block.checks)
    hidden = disclose(document, rules)
    if target is not None:
        from recovery_stats.study.workflow import write_document

        screen.result(str(write_document(hidden, target)))
        return FOUND * failed
    screen.result(report.render(hidden, "json" if screen.as_json else "txt").decode().rstrip("\n"))
    return FOUND * failed


def _second_reading(file: Path) -> Checks:
    from recovery_stats.core.document import Checks
    from recovery_stats.data.sav_crosscheck import cross_check

    return Checks((cross_check(file),))
