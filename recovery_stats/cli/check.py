"""recovery-stats check"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recovery_stats.cli.output import FOUND, folder_option
from recovery_stats.cli.run import selected
from recovery_stats.cli.screen import Screen, screened
from recovery_stats.errors import UsageError

if TYPE_CHECKING:
    from recovery_stats.study.drift import Finding, Move

SHOWN = 20


@click.command("check")
@click.argument("words", nargs=-1, metavar="[STUDY.toml] [ANALYSIS]...")
@click.option("--allow-outside", is_flag=True, help="Tables may lie outside the study's folder.")
@click.option("--jobs", type=click.IntRange(1, 64), default=1, envvar="RECOVERY_STATS_JOBS")
@folder_option
@screened
def command(
    words: tuple[str, ...], allow_outside: bool, jobs: int, folder: Path, screen: Screen
) -> int:
    """Run again, write nothing, and compare with the reports that stand in a folder.

    Says which statistic moved and by how much, apart from changes of the layout. Exit code 7
    when anything differs.
    """
    from recovery_stats.study import drift, workflow
    from recovery_stats.study.folder import read_manifest

    if read_manifest(folder) is None:
        raise UsageError(
            f"No reports of ours in {str(folder)!r} to compare with. "
            "Name their folder with -o, or write them first: recovery-stats run."
        )
    asked = selected(words, screen, allow_outside)
    formats = workflow.formats_of(asked.study.protocol.formats)
    found = drift.compare(asked.study, asked.specs, folder, formats, jobs, asked.faults)
    if screen.as_json:
        screen.data({"analyses": [_plain(f) for f in found]})
    else:
        for finding in found:
            _tell(finding, screen)
    failed = [f.exit_code for f in found if f.exit_code]
    return failed[0] if failed else (0 if all(f.state == "same" for f in found) else FOUND)


def _tell(finding: Finding, screen: Screen) -> None:
    name = finding.name
    if finding.state == "failed":
        screen.complain(f"{name}: {finding.message}")
    elif finding.state == "same":
        but = " (but for digits beyond the ninth in results.json)" if finding.files else ""
        screen.result(f"{name}: {screen.mark('ok', 'the same')}{but}")
    elif finding.state == "absent":
        screen.result(f"{name}: {screen.mark('fail', 'not there')}: {', '.join(finding.files)}")
    elif finding.state == "layout":
        files = ", ".join(finding.files)
        screen.result(f"{name}: {screen.mark('caution', 'numbers the same, layout not')}: {files}")
    else:
        count = len(finding.moves)
        screen.result(f"{name}: {screen.mark('fail', f'{count} statistic(s) moved')}")
        shown = finding.moves if screen.verbosity > 0 else finding.moves[:SHOWN]
        for move in shown:
            screen.result(f"  {_move(move)}")
        if len(shown) < count:
            screen.result(f"  and {count - len(shown)} more (-v shows all)")


def _move(move: Move) -> str:
    note = f" ({move.note})" if move.note else ""
    by = "" if move.change is None else f", by {move.change:+.3g}"
    return f"{move.place}{note}: {move.old!r} -> {move.new!r}{by}"


def _plain(finding: Finding) -> dict[str, Any]:
    return asdict(finding)
