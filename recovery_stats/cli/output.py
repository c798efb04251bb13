"""Options of the verbs that write reports, and how they tell what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recovery_stats.cli.screen import Screen
from recovery_stats.errors import RecoveryError

if TYPE_CHECKING:
    from recovery_stats.core.study import AnalysisSpec, Study
    from recovery_stats.study.batch import Outcome, Plan
    from recovery_stats.study.folder import Folder

FOUND = 7
DEFAULT_FOLDER = "reports"
NAMED = 10  # analyses that one line of the screen names

folder_option = click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_FOLDER,
    show_default=True,
    envvar="RECOVERY_STATS_OUTPUT",
    metavar="DIR",
    help="Folder for the reports.",
)


def writing(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb -o, --format, --jobs, --force, --strict and --dry-run."""
    for option in (
        click.option(
            "--dry-run", "-n", is_flag=True, help="Say what would be done; write nothing."
        ),
        click.option("--strict", is_flag=True, help="Exit with 7 when a check failed."),
        click.option(
            "--force", is_flag=True, help="Do everything again, also in a folder that is not ours."
        ),
        click.option(
            "--jobs",
            type=click.IntRange(1, 64),
            default=1,
            show_default=True,
            envvar="RECOVERY_STATS_JOBS",
            help="Analyses done at the same time.",
        ),
        click.option(
            "--format",
            "formats",
            envvar="RECOVERY_STATS_FORMAT",
            metavar="LIST",
            help="Formats beside results.json, as html,md.  [default: the study file's]",
        ),
        folder_option,
    ):
        function = option(function)
    return function


def write_reports(
    study: Study,
    specs: Iterable[AnalysisSpec],
    screen: Screen,
    *,
    folder: Path,
    formats: str | None,
    jobs: int,
    force: bool,
    strict: bool,
    dry_run: bool,
    faults: Mapping[str, RecoveryError] | None = None,
) -> int:
    """Do the analyses and return the exit code: of the first failure, else of --strict, else 0."""
    from recovery_stats.core.progress import listening
    from recovery_stats.study import batch, workflow
    from recovery_stats.study.folder import opened

    faults = faults or {}
    wanted = workflow.formats_of(study.protocol.formats if formats is None else formats)
    if dry_run:
        return _tell_plan(batch.plan(study, tuple(specs), wanted, None, faults=faults), screen)
    outcomes: list[Outcome] = []
    title = study.protocol.title
    target = opened(folder, force=force, made_with=batch.versions(), title=title)
    with target as place, listening(screen.meter()):
        made = batch.plan(study, tuple(specs), wanted, place, force=force, faults=faults)
        _tell_going_on(made, place, screen)
        begin = lambda name: screen.progress(f"{name} …")  # noqa: E731
        for outcome in batch.run(study, made, place, wanted, jobs=jobs, begin=begin):
            outcomes.append(outcome)
            _tell(outcome, screen)
    if screen.as_json:
        screen.data({"analyses": [_plain(o) for o in outcomes]})
    return _code(outcomes, strict)


def _tell_going_on(made: Plan, place: Folder, screen: Screen) -> None:
    """After a run that was broken off: what it left that is kept, and what is done now."""
    kept = [o.name for o in made.settled if o.state == "kept"]
    due = [task.spec.name for task, _ in made.due]
    if not (place.broken_off and due):
        return
    more = f" and {len(due) - NAMED} more" if len(due) > NAMED else ""
    screen.say(
        f"The run before this one was broken off. Kept: {len(kept)} of {len(kept) + len(due)} "
        f"analyses; done now: {', '.join(due[:NAMED])}{more}."
    )


def _code(outcomes: Iterable[Outcome], strict: bool) -> int:
    outcomes = list(outcomes)
    failed = [o.exit_code for o in outcomes if o.exit_code]
    if failed:
        return failed[0]
    return FOUND if strict and any(o.failed_checks for o in outcomes) else 0


def _tell(outcome: Outcome, screen: Screen) -> None:
    if outcome.state == "failed":
        screen.complain(f"{outcome.name}: {outcome.message}")
        return
    if outcome.state == "kept":
        screen.say(f"{outcome.name}: up to date, kept.")
    elif outcome.why not in ("asked for", "not there yet"):
        screen.say(f"{outcome.name}: done again ({outcome.why}).")
    _tell_checks(outcome, screen)
    if not screen.as_json:
        for path in outcome.files:
            screen.result(str(path))


def _tell_checks(outcome: Outcome, screen: Screen) -> None:
    """What is wrong with a report that was written: no primary answer first, with its cure."""
    from recovery_stats.study.workflow import PRIMARY

    if outcome.message:
        screen.complain(f"{outcome.name}: {outcome.message}")
    for check in outcome.failed_checks:
        if not (outcome.message and check in PRIMARY):
            screen.say(f"{outcome.name}: {screen.mark('fail', 'check failed')}: {check}.")


def _tell_plan(made: Plan, screen: Screen) -> int:
    if screen.as_json:
        screen.data(
            {
                "due": [task.spec.name for task, _ in made.due],
                "failed": [_plain(o) for o in made.settled],
            }
        )
    for task, _ in made.due:
        screen.say(f"{task.spec.name}: would be done, with {_options(task.question)}")
    for outcome in made.settled:
        _tell(outcome, screen)
    return _code(made.settled, strict=False)


def _options(question: Any) -> str:
    from recovery_stats.study.workflow import described

    return described(question)


def _plain(outcome: Outcome) -> dict[str, Any]:
    return {
        "name": outcome.name,
        "kind": outcome.kind,
        "state": outcome.state,
        "files": [str(p) for p in outcome.files],
        "why": outcome.why,
        "message": outcome.message,
        "exit_code": outcome.exit_code,
        "failed_checks": list(outcome.failed_checks),
    }
