"""recovery-stats missing"""

from __future__ import annotations

from pathlib import Path

import click

from recovery_stats.cli.screen import Screen, screened


@click.command("missing")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.option(
    "--column", "columns", multiple=True, metavar="COLUMN", help="A variable (repeatable)."
)
@click.option("--person", metavar="COLUMN", help="The column that identifies a person.")
@click.option("--wave", metavar="COLUMN", help="The wave: everybody is expected at every one.")
@click.option("--arm", metavar="COLUMN", help="The arm of each person.")
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
    columns: tuple[str, ...],
    person: str | None,
    wave: str | None,
    arm: str | None,
    privacy: str,
    target: Path | None,
    screen: Screen,
) -> int:
    """Describe what is missing: by variable, reason, wave and arm, and in which patterns.

    Interviews that were not held count as missing at their wave; questions that do not apply
    count as nothing. Little's test and figures come with waves. Small counts are hidden.
    """
    from recovery_stats import report
    from recovery_stats.data.table import read_table
    from recovery_stats.models.missingness import missing
    from recovery_stats.report.disclose import disclose
    from recovery_stats.study.table import profile

    rules = profile(privacy)
    found = missing(read_table(file), columns or None, person=person, wave=wave, arm=arm)
    hidden = disclose(found.document(), rules)
    if target is not None:
        from recovery_stats.study.workflow import write_document

        screen.result(str(write_document(hidden, target)))
        return 0
    screen.result(report.render(hidden, "json" if screen.as_json else "txt").decode().rstrip("\n"))
    return 0
