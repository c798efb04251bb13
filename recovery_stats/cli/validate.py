"""recovery-stats validate"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recovery_stats.cli.screen import Screen, screened
from recovery_stats.errors import DataError, RecoveryError

if TYPE_CHECKING:
    from recovery_stats.core.check import Check
    from recovery_stats.core.study import Study
    from recovery_stats.data.problem import Problem


@click.command("validate")
@click.argument("study", type=click.Path(path_type=Path), default=Path("study.toml"))
@click.option("--allow-outside", is_flag=True, help="Tables may lie outside the study's folder.")
@click.option("--strict", is_flag=True, help="Exit with 7 when a check failed.")
@screened
def command(study: Path, allow_outside: bool, strict: bool, screen: Screen) -> int:
    """Report every problem of a study file and of its data, each with its line and its cure."""
    from recovery_stats.data.problem import Problem, ProtocolError
    from recovery_stats.data.rules import validate
    from recovery_stats.study.table import load_study, uses_of

    try:
        read = load_study(study, allow_outside=allow_outside)
    except ProtocolError as error:
        return _told(error.problems, (), error.exit_code, study, screen)
    found = validate(read, uses_of(read))
    problems = [f for f in found if isinstance(f, Problem)]
    checks = _disclosed([*read.checks, *(f for f in found if not isinstance(f, Problem))], read)
    code = DataError.exit_code if problems else 0
    if not problems:
        problems, code = _unbound(read)
    failed = strict and any(c.verdict == "fail" for c in checks)
    return _told(problems, checks, code or (7 if failed else 0), study, screen)


def _unbound(study: Study) -> tuple[list[Problem], int]:
    """What keeps an analysis from being asked: a role nobody plays, a choice that is none."""
    from recovery_stats import analyses
    from recovery_stats.data.problem import Problem
    from recovery_stats.study.binding import bind

    problems, code = [], 0
    for spec in study.protocol.analyses:
        try:
            bind(analyses.get(spec.kind), study, spec.options)
        except RecoveryError as error:
            problems.append(Problem(spec.line, f"[[analysis]] {spec.name}", str(error)))
            code = code or error.exit_code
    return problems, code


def _told(problems: Any, checks: Any, code: int, study: Path, screen: Screen) -> int:
    if screen.as_json:
        screen.data(
            {"problems": [_plain(p) for p in problems], "checks": [_line(c) for c in checks]}
        )
        return code
    for problem in problems:
        screen.result(problem.text(study.name))
    for check in checks:
        if check.verdict != "ok" or screen.verbosity > 0:
            name, verdict, about, words = _line(check).values()
            mark = screen.mark(check.verdict, verdict)
            screen.say(f"{mark}: {name}{f' ({about})' if about else ''}: {words}")
    if problems:
        screen.say(f"{len(problems)} problem(s).")
    else:
        screen.result(f"{study}: no problems.")
    return code


def _disclosed(checks: Sequence[Check], study: Study) -> tuple[Check, ...]:
    """The checks with their small counts hidden, as a report would show them."""
    from recovery_stats.core.document import Checks, Document
    from recovery_stats.report.disclose import disclose

    document = Document("validate", "", "", (Checks(tuple(checks)),))
    shown = disclose(document, study.protocol.privacy).blocks
    return tuple(c for block in shown if isinstance(block, Checks) for c in block.checks)


def _plain(problem: Problem) -> dict[str, Any]:
    return {
        "line": problem.line,
        "where": problem.where,
        "message": problem.message,
        "cure": problem.cure,
    }


def _line(check: Check) -> dict[str, str]:
    from recovery_stats.report.numbers import sentence

    return {
        "name": check.name,
        "verdict": check.verdict,
        "about": check.about,
        "words": sentence(check.parts),
    }
