"""recovery-stats run"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recovery_stats.cli.output import write_reports, writing
from recovery_stats.cli.screen import Screen, screened

if TYPE_CHECKING:
    from recovery_stats.study.selection import Selection


@click.command("run")
@click.argument("words", nargs=-1, metavar="[STUDY.toml] [ANALYSIS]...")
@click.option("--allow-outside", is_flag=True, help="Tables may lie outside the study's folder.")
@writing
@screened
def command(words: tuple[str, ...], allow_outside: bool, screen: Screen, **options: Any) -> int:
    """Answer the study's questions and write a report of each.

    Without a study file: the synthetic study. Without analyses: all that the study file lists.
    The paths of the reports go to stdout. Reports that are up to date are kept, a failed
    analysis does not keep the others from being done, and the exit code is that of the first
    failure.
    """
    asked = selected(words, screen, allow_outside)
    return write_reports(asked.study, asked.specs, screen, faults=asked.faults, **options)


def selected(words: tuple[str, ...], screen: Screen, allow_outside: bool) -> Selection:
    """Read the study file that comes first among `words`, or the synthetic study."""
    from recovery_stats.study.batch import chosen
    from recovery_stats.study.demo import demo_study
    from recovery_stats.study.selection import Selection, select

    if words and words[0].endswith(".toml"):
        screen.progress(f"Reading {words[0]} …")
        with screen.watching():
            return select(words[0], words[1:], allow_outside=allow_outside)
    screen.say("No study file given: this is the synthetic study.")
    if Path("study.toml").is_file():
        screen.say("For the study in this folder: recovery-stats run study.toml")
    study = demo_study()
    return Selection(study, chosen(study, words))
