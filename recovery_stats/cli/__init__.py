"""The command line: one module a verb, loaded when its verb is called.

The list of verbs stands here, so that `--help` imports none of them.
"""

from __future__ import annotations

from importlib import import_module

import click

from recovery_stats import __version__
from recovery_stats.cli.ending import ended
from recovery_stats.cli.stop import deaf

VERBS = {
    "init": "Look at data files and write a commented study.toml.",
    "inspect": "Show a file's codebook, missing values by reason, keys, suspicious codes.",
    "missing": "Describe what is missing: by reason, wave and arm, and in which patterns.",
    "score": "Score a questionnaire from its items, and say how far to trust the scores.",
    "validate": "Report every problem of a study file and its data at once.",
    "lock": "Write down what a study file asks, so that reports say what came later.",
    "run": "Answer the study's questions and write the reports.",
    "multiverse": "Repeat one analysis over many definitions of its endpoint.",
    "check": "Run again and compare with the reports that stand in a folder.",
    "verify": "Check what a paper prints: effects from counts, counts behind a percentage.",
    "synth": "Make a synthetic study whose truth is known.",
    "analyze": "Answer one question from data files, without a study file.",
    "explain": "Say what a term, method, analysis or check means and when not to trust it.",
    "doctor": "Show versions, threads and optional parts, and test the installation.",
}
EPILOG = (
    "No network, no telemetry. A flag beats its environment variable (RECOVERY_STATS_…), which "
    "beats study.toml, which beats the default. Exit codes: 0 done, 1 a fault of ours, 2 command "
    "line or study file, 3 data, 4 not estimable, 5 output or system, 6 disclosure rules, "
    "7 drift or a failed check, 130 and 143 interrupted."
)
SETTINGS = {
    "help_option_names": ["-h", "--help"],
    "auto_envvar_prefix": "RECOVERY_STATS",
    "max_content_width": 100,
}


class Verbs(click.Group):
    """The verbs in the order of a study's life; each is imported when called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command: click.Command = import_module(f"recovery_stats.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from recovery_stats.errors import unknown

        if args and args[0] not in VERBS and not args[0].startswith("-"):
            ctx.fail(unknown("verb", args[0], VERBS))
        return super().resolve_command(ctx, args)


@click.command(cls=Verbs, context_settings=SETTINGS, epilog=EPILOG)
@click.version_option(__version__, message="recovery_stats %(version)s")
def recovery_stats() -> None:
    """Outcomes-research statistics for addiction-recovery studies.

    SPSS files in, defensible reports out. `recovery-stats run` alone makes the three reports of
    a synthetic study.
    """


def main() -> None:
    """Run the command line and leave with the exit code of its ending."""
    deaf()  # once the answer is given, a second Ctrl-C changes nothing
    raise SystemExit(ended(lambda: recovery_stats.main(standalone_mode=False)))
