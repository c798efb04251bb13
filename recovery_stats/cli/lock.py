"""recovery-stats lock"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from recovery_stats.cli.screen import Screen, screened


@click.command("lock")
@click.argument("study", type=click.Path(path_type=Path), default=Path("study.toml"))
@click.option("--date", "on", metavar="YYYY-MM-DD", help="The date (default: today, UTC).")
@click.option("--amend", is_flag=True, help="Add what has changed since as a dated amendment.")
@click.option("--allow-outside", is_flag=True, help="Tables may lie outside the study's folder.")
@screened
def command(study: Path, on: str | None, amend: bool, allow_outside: bool, screen: Screen) -> int:
    """Write down what a study file asks, before its data are looked at.

    The lock (study.lock.json beside study.toml) keeps every key that bears on a result, with its
    date and hash. Each report then says that nothing has changed since, or lists what was added
    or changed and labels it. Put the hash into the registration of the study: it shows that the
    lock is the one made then. The data files may be there already; their hashes are kept too.
    """
    from recovery_stats.study.locking import lock

    found = lock(study, on=on, amend=amend, allow_outside=allow_outside)
    if screen.as_json:
        screen.data({**asdict(found), "path": str(found.path), "data": dict(found.data)})
        return 0
    screen.result(str(found.path))
    done = "Locked" if found.written else "Nothing has changed since it was locked"
    screen.say(f"{done} on {found.date}: {found.keys} keys, sha256 {found.sha256}.")
    there = sum(map(bool, found.data.values()))
    screen.say(f"{there} of {len(found.data)} data files were there.")
    return 0
