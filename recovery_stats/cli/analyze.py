"""recovery-stats analyze: a command an analysis, its options read off the Question."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recovery_stats.cli.output import write_reports, writing
from recovery_stats.cli.screen import Screen, screened
from recovery_stats.errors import unknown

if TYPE_CHECKING:
    from recovery_stats.analyses import Analysis
    from recovery_stats.study.binding import Option

FILE = click.Path(path_type=Path)


class Questions(click.Group):
    """One command an analysis; `--help` reads their titles without importing any."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        from recovery_stats import analyses

        return list(analyses.names())

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from recovery_stats import analyses

        with formatter.section("Analyses"):
            formatter.write_dl([(name, analyses.title(name)) for name in analyses.names()])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        from recovery_stats import analyses

        if cmd_name not in analyses.names():
            return None
        return _command(analyses.get(cmd_name))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = self.list_commands(ctx)
        if args and args[0] not in known and not args[0].startswith("-"):
            ctx.fail(unknown("analysis", args[0], known))
        return super().resolve_command(ctx, args)


@click.command("analyze", cls=Questions)
def command() -> None:
    """Answer one question from data files, without a study file."""


def _command(analysis: Analysis) -> click.Command:
    from recovery_stats.study.binding import options_of

    @writing
    @click.option("--privacy", default="cms", show_default=True, metavar="PROFILE")
    @screened
    def run(screen: Screen, privacy: str, data: Path | None, **given: Any) -> int:
        writing_options = {name: given.pop(name) for name in WRITING}
        files = {t: given.pop(f"table_{t}") for t in analysis.tables}
        files = {name: path for name, path in {"data": data, **files}.items() if path is not None}
        return _answer(analysis, files, given, privacy, screen, writing_options)

    made: click.Command = click.command(analysis.name, help=f"{analysis.title}.")(run)
    made.params[:0] = [*_file_options(analysis), *map(_click_option, options_of(analysis.question))]
    return made


WRITING = ("folder", "formats", "jobs", "force", "strict", "dry_run")


def _answer(
    analysis: Analysis,
    files: dict[str, Path],
    given: dict[str, Any],
    privacy: str,
    screen: Screen,
    writing_options: dict[str, Any],
) -> int:
    from recovery_stats.core.study import AnalysisSpec
    from recovery_stats.study.loose_file import study_from_files
    from recovery_stats.study.workflow import options_given

    options = options_given(given)
    screen.progress("Reading the data …")
    with screen.watching():
        study = study_from_files(analysis, files, options, privacy)
    spec = AnalysisSpec(analysis.name, analysis.name, options)
    return write_reports(study, [spec], screen, **writing_options)


def _file_options(analysis: Analysis) -> list[click.Option]:
    whole = click.Option(
        ["--data"], type=FILE, metavar="FILE", help="One file for every table: .sav, .csv, …"
    )
    tables = [
        click.Option([f"--{name}", f"table_{name}"], type=FILE, metavar="FILE", help=help)
        for name, help in analysis.tables.items()
    ]
    return [whole, *tables]


def _click_option(option: Option) -> click.Option:
    """The command-line form of a Question's field; unset stays None so that roles can fill it."""
    flag = option.flag
    if option.type is bool:
        return click.Option([f"{flag}/--no-{flag[2:]}"], default=None, help=_help(option))
    kind: Any = click.Choice(option.choices) if option.choices else option.type
    return click.Option(
        [flag],
        type=kind,
        multiple=option.many,
        default=None,
        metavar="COLUMN" if option.column else None,
        help=_help(option),
    )


def _help(option: Option) -> str:
    """The field's own words, and what an unset option becomes."""
    if option.required:
        return f"{option.help}  [required]" if not option.fallback else _defaulted(option)
    return _defaulted(option)


def _defaulted(option: Option) -> str:
    default = option.fallback if option.column else option.default
    if default in (None, (), False, ""):
        return option.help
    return f"{option.help}  [default: {default}]"
