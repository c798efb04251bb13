"""Lock a protocol before the data are looked at; say in every report what came after."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path

from recovery_stats.core.dataset import Source
from recovery_stats.core.study import Change, Lock, Protocol
from recovery_stats.data.protocol_lock import (
    Version,
    changes,
    data_hashes,
    lock_path,
    lock_text,
    read_versions,
)
from recovery_stats.errors import UsageError

EPOCH = "SOURCE_DATE_EPOCH"
SHOWN = 160  # characters of a value
# Filters may name people by their identifier.
UNSAID = re.compile(r"tables\.[^.]+\.where")
NONE = "no protocol was locked before this run"
OF_AN_ANALYSIS = re.compile(r"analysis\.(.+)\.[^.]+")


@dataclass(frozen=True, slots=True)
class Locked:
    """A lock that stands. written: by this call; else it was there, and nothing has changed."""

    path: Path
    date: str
    sha256: str
    keys: int
    data: Mapping[str, str]
    written: bool = True


def lock(
    study_file: str | Path,
    *,
    on: str | None = None,
    amend: bool = False,
    allow_outside: bool = False,
) -> Locked:
    """Write down beside the study file what it asks for, so that reports say what came later.

    on: the date, as 2026-01-31; by default that of SOURCE_DATE_EPOCH, else today (UTC). amend:
    add what has changed since as an amendment; what was locked before stays in the file. The data
    files may be there or not; their hashes are kept beside.
    Raises UsageError where the study file is wrong, where it was locked and has changed, or where
    there is nothing to amend. The lock file is written whole or not at all.
    """
    from recovery_stats.study.folder import refused_by_system, write_whole
    from recovery_stats.study.table import protocol_of

    path = Path(study_file)
    protocol = protocol_of(path, allow_outside=allow_outside, data_to_come=True)
    before = read_versions(path)
    files = tuple(spec.file for spec in protocol.tables.values() if spec.file)
    now = Version(_date(on), protocol.content, data_hashes(path.parent, files))
    if before and before[-1].content == protocol.content:
        last = before[-1]
        return Locked(lock_path(path), last.date, last.sha256, len(last.content), last.data, False)
    _refuse(path, before, now, amend=amend)
    target = lock_path(path)
    with refused_by_system(target.parent):
        write_whole(target.parent, {target.name: lock_text(path.name, (*before, now))})
    return Locked(target, now.date, now.sha256, len(now.content), now.data)


def _date(given: str | None) -> str:
    if given is not None:
        try:
            return date.fromisoformat(given).isoformat()
        except ValueError:
            raise UsageError(f"{given!r} is not a date; write it as 2026-01-31.") from None
    epoch = os.environ.get(EPOCH)
    if not epoch:
        return datetime.now(UTC).date().isoformat()
    try:
        return datetime.fromtimestamp(int(epoch), UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):
        raise UsageError(f"{EPOCH} must be a number of seconds since 1970.") from None


def _refuse(path: Path, before: tuple[Version, ...], now: Version, *, amend: bool) -> None:
    if not before and amend:
        raise UsageError(f"{path.name} was not locked: there is nothing to amend.")
    if before and not amend:
        found = changes(before[-1].content, now.content)
        keys = ", ".join(change.key for change in found[:5]) + (", …" if found[5:] else "")
        raise UsageError(
            f"{path.name} was locked on {before[-1].date} and has changed since ({keys}). The lock "
            "stays as it is, and reports list the changes; to date them as an amendment: "
            "recovery-stats lock --amend."
        )
    if before and now.date < before[-1].date:
        raise UsageError(f"{now.date} is before {before[-1].date}, when {path.name} was locked.")


def about(protocol: Protocol, name: str) -> Protocol:
    """The protocol with those changes after its lock that bear on the analysis called `name`."""
    if protocol.lock is None or not name:
        return protocol
    lock = protocol.lock
    mine = tuple(c for c in lock.since if _concerns(c, name))
    amended = tuple(
        (day, tuple(c for c in found if _concerns(c, name))) for day, found in lock.amendments
    )
    elsewhere = len(lock.since) - len(mine)
    kept = replace(lock, since=mine, amendments=amended, asked=name, elsewhere=elsewhere)
    return replace(protocol, lock=kept)


def _concerns(change: Change, name: str) -> bool:
    found = OF_AN_ANALYSIS.fullmatch(change.key)
    return found is None or found[1] == name


def provenance(lock: Lock | None, sources: Iterable[Source]) -> tuple[tuple[str, str], ...]:
    """The lines that close a report: when the protocol was locked, and what came after."""
    return (("Protocol", NONE),) if lock is None else tuple(_lines(lock, sources))


def _lines(lock: Lock, sources: Iterable[Source]) -> Iterator[tuple[str, str]]:
    yield "Protocol", f"locked on {lock.date}; {_state(lock)}"
    yield "Locked content", f"sha256 {lock.sha256}"
    yield "Data when locked", _data(lock, sources)
    for day, found in lock.amendments:
        yield f"Amended on {day}", "; ".join(map(told, found)) or "nothing that bears on this"
    for change in lock.since:
        yield "After the lock", told(change)


def _state(lock: Lock) -> str:
    if not lock.asked:
        return "this result was asked for in a script, with the options above"
    others = f" ({lock.elsewhere} in other analyses only)" if lock.elsewhere else ""
    if lock.asked not in lock.analyses:
        return f"this analysis was added after it{others}"
    if lock.since:
        return f"added or changed after it: {len(lock.since)} of the keys that bear on this{others}"
    return f"unchanged since in what bears on this{others}" if others else "unchanged since"


def told(change: Change) -> str:
    """A change in words: what was added, removed or changed, as text of the study file."""
    key = change.key
    if UNSAID.fullmatch(key):
        word = "changed" if change.old and change.new else "added" if change.new else "removed"
        return f"{word} {key} (its values are not shown)"
    if not change.old:
        return f"added {key} = {_short(change.new)}"
    if not change.new:
        return f"removed {key}, which was {_short(change.old)}"
    return f"changed {key} from {_short(change.old)} to {_short(change.new)}"


def _short(value: str) -> str:
    return value if len(value) <= SHOWN else f"{value[: SHOWN - 1]}…"


def _data(lock: Lock, sources: Iterable[Source]) -> str:
    now = {s.name: s.sha256 for s in sources if s.sha256}
    was = {name: lock.data.get(name, "") for name in now}
    if not any(was.values()):
        return "not there yet"
    other = [name for name in now if was[name] and was[name] != now[name]]
    late = [name for name in now if not was[name]]
    if not other and not late:
        return "there already, the same as read now"
    parts = [f"there already, but other than read now: {', '.join(other)}"] if other else []
    return "; ".join([*parts, *([f"not there yet: {', '.join(late)}"] if late else [])])
