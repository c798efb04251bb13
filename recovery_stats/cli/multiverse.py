"""recovery-stats multiverse"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recovery_stats.cli.output import write_reports, writing
from recovery_stats.cli.screen import Screen, screened
from recovery_stats.errors import UsageError

if TYPE_CHECKING:
    from recovery_stats.core.study import AnalysisSpec, Study


@click.command("multiverse")
@click.argument("file", type=click.Path(path_type=Path), metavar="STUDY.toml")
@click.argument("analysis")
@click.option("--pattern", metavar="COLUMN", help="Column of the patterns of visits (+ - * o _).")
@click.option(
    "--endpoints",
    multiple=True,
    metavar="NAME",
    help="A definition, or all, abstinence, reduction, relapse (repeatable).  [default: all]",
)
@click.option(
    "--missing",
    multiple=True,
    metavar="RULE",
    help="published, positive, negative, ignored, carried (repeatable).  [default: published]",
)
@click.option("--estimate", metavar="NAME", help="The estimate to take.  [default: the primary]")
@click.option("--per-week", type=click.IntRange(1), help="Visits a week in the patterns.")
@click.option("--allow-outside", is_flag=True, help="Tables may lie outside the study's folder.")
@writing
@screened
def command(file: Path, analysis: str, allow_outside: bool, screen: Screen, **given: Any) -> int:
    """Repeat one analysis over many definitions of its endpoint, and report them all.

    ANALYSIS is one of the study file, by name or kind, or any analysis of people. Each published
    definition takes the place of its time and event, or of its outcome. The report is a
    specification curve, with the share of specifications on each side and those that failed.
    """
    from recovery_stats.study.table import read_study

    screen.progress(f"Reading {file} …")
    study = read_study(file, allow_outside=allow_outside)
    own = {k: given.pop(k) for k in ("pattern", "endpoints", "missing", "estimate", "per_week")}
    return write_reports(study, [_spec(study, analysis, own)], screen, **given)


def _spec(study: Study, name: str, own: dict[str, Any]) -> AnalysisSpec:
    """The analysis as it stands in the study file, with the definitions in its endpoint's place."""
    from dataclasses import replace

    from recovery_stats.study.batch import chosen
    from recovery_stats.study.multiverse import REPLACED, pattern_of

    specs = chosen(study, [name])
    if len(specs) > 1:
        raise UsageError(
            f"{len(specs)} analyses of the study file are {name!r}. Name one: "
            f"{', '.join(s.name for s in specs)}."
        )
    options = {k: v for k, v in specs[0].options.items() if k not in REPLACED}
    options |= {k: v for k, v in own.items() if v not in (None, ())}
    options.setdefault("pattern", pattern_of(study))
    if not options["pattern"]:
        raise UsageError("Name the column of the patterns of visits with --pattern COLUMN.")
    options.setdefault("endpoints", ("all",))
    title = specs[0].options.get("title")
    named = {"title": f"{title}: many definitions"} if title else {}
    return replace(specs[0], name=f"{specs[0].name}_multiverse", options={**options, **named})
