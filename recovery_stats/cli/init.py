"""recovery-stats init"""

from __future__ import annotations

from pathlib import Path

import click

from recovery_stats.cli.screen import Screen, screened
from recovery_stats.errors import OutputError

DEFAULT = Path("study.toml")


@click.command("init")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE..."
)
@click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(path_type=Path, dir_okay=False),
    default=DEFAULT,
    show_default=True,
    help="The study file to write; - for the screen.",
)
@click.option("--force", is_flag=True, help="Replace a study file that is already there.")
@screened
def command(files: tuple[Path, ...], target: Path, force: bool, screen: Screen) -> int:
    """Look at data files and write a commented study.toml with guessed roles.

    Every guess is a suggestion for you to read; nothing is decided by a guess that stands in
    a comment. Then: recovery-stats validate study.toml
    """
    from recovery_stats.data.draft import draft
    from recovery_stats.study.folder import refused_by_system, write_whole

    if str(target) != "-" and target.exists() and not force:
        raise OutputError(f"{str(target)!r} is already there. Use --force, or -o ANOTHER.toml.")
    text = draft(files, folder=Path() if str(target) == "-" else target.parent)
    if str(target) == "-":
        screen.result(text)
        return 0
    with refused_by_system(target.parent):
        write_whole(target.parent, {target.name: text.encode()})
    if screen.as_json:
        screen.data({"file": str(target)})
    else:
        screen.result(str(target))
    screen.say(f"Read it, then: recovery-stats validate {target}")
    return 0
