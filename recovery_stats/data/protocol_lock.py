"""What of a study file was locked beforehand, and which of its keys are no longer as they were.

`study.lock.json` beside `study.toml` holds, for the first lock and for every amendment, the date,
the keys of the study file that bear on the analyses, and their hash. Its form: JSON, sorted,
without anything that differs from run to run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

from recovery_stats.core.study import Change, Lock
from recovery_stats.errors import OutputError, UsageError

MAKER, SCHEMA = "recovery_stats", 1
LARGEST = 20_000_000  # bytes
# Where files lie, what is written and what it is called bear on no number.
OUTSIDE = re.compile(r"schema|study\.title|tables\.[^.]+\.file|report\.formats|analysis\..+\.title")

Content = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Version:
    """The content of a study file on the day it was locked or amended; the hashes of its data."""

    date: str
    content: Content
    data: Mapping[str, str]

    @property
    def sha256(self) -> str:
        """The hash of the content: what one puts into a registration."""
        return digest(self.content)


def lock_path(study_file: Path) -> Path:
    """Where the lock of a study file lies: study.toml, study.lock.json."""
    return study_file.with_suffix(".lock.json")


def content_of(document: Mapping[str, Any]) -> dict[str, str]:
    """The keys of a study file that bear on the analyses, by dotted path, with values as text.

    Comments, the order of keys, paths, titles and formats are no part of it. An analysis goes by
    its name.
    """
    named = {**document, "analysis": {_name(a): a for a in document.get("analysis", [])}}
    pairs = dict(_flat(named, ""))
    return {key: pairs[key] for key in sorted(pairs) if not OUTSIDE.fullmatch(key)}


def _name(analysis: Mapping[str, Any]) -> str:
    return str(analysis.get("name", analysis.get("kind", "")))


def _flat(value: Any, at: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, member in value.items():
            yield from _flat(member, f"{at}.{key}" if at else str(key))
    else:
        yield at, json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def digest(content: Content) -> str:
    """The hash of a content, whatever the order of its keys."""
    text = json.dumps(dict(content), ensure_ascii=False, sort_keys=True)
    return sha256(text.encode()).hexdigest()


def changes(before: Content, after: Content) -> tuple[Change, ...]:
    """The keys that two contents do not share with one value, in the order of the alphabet."""
    return tuple(
        Change(key, before.get(key, ""), after.get(key, ""))
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    )


def read_lock(study_file: Path, content: Content) -> Lock | None:
    """What was locked of the study file whose content is now `content`; None where nothing was.

    Raises UsageError for a lock that is damaged, or that of another study.
    """
    versions = read_versions(study_file)
    if not versions:
        return None
    first, last = versions[0], versions[-1]
    _refuse_stranger(study_file, first.content, content)
    amended = tuple((b.date, changes(a.content, b.content)) for a, b in pairwise(versions))
    return Lock(
        first.date, last.sha256, analyses_of(last.content), first.data, amended,
        changes(last.content, content),
    )  # fmt: skip


def analyses_of(content: Content) -> tuple[str, ...]:
    """The names of the analyses in a content."""
    named = (re.fullmatch(r"analysis\.(.+)\.kind", key) for key in content)
    return tuple(found[1] for found in named if found)


def _refuse_stranger(study_file: Path, locked: Content, content: Content) -> None:
    """Another study: not one role and not one analysis in common."""
    if not _kin(locked) & _kin(content):
        raise UsageError(
            f"{lock_path(study_file).name} locks another study: it has no role and no analysis in "
            f"common with {study_file.name}. Put the right one there, or move it away."
        )


def _kin(content: Content) -> set[tuple[str, str]]:
    return {pair for pair in content.items() if pair[0].startswith(("roles.", "analysis."))}


def read_versions(study_file: Path) -> tuple[Version, ...]:
    """The lock and its amendments in order; empty where there is no lock."""
    path = lock_path(study_file)
    if not path.exists():
        return ()
    try:
        with path.open("rb") as file:
            body = json.loads(file.read(LARGEST))
    except OSError as error:
        raise UsageError(f"Cannot read {path.name}: {error.strerror}.") from error
    except (ValueError, RecursionError):
        raise _damaged(path, "it is not JSON") from None
    return _versions(path, study_file.name, body)


def _versions(path: Path, file: str, body: Any) -> tuple[Version, ...]:
    try:
        made_by, schema, of, entries = (body[k] for k in ("made_by", "schema", "study", "locks"))
        found = tuple(Version(e["date"], dict(e["content"]), dict(e["data"])) for e in entries)
        sound = all(v.sha256 == e["sha256"] for v, e in zip(found, entries, strict=True))
        dates = [date.fromisoformat(v.date) for v in found]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise _damaged(path, "a part of it is missing") from None
    if (made_by, schema) != (MAKER, SCHEMA) or not found:
        raise _damaged(path, "this version does not read its form")
    if of != file:
        raise UsageError(
            f"{path.name} is the lock of {str(of)[:80]!r}, not of {file!r}. Put the right one "
            "there, or move it away."
        )
    if not sound:
        raise _damaged(path, "what it says was locked does not have the hash it gives")
    if dates != sorted(dates):
        raise _damaged(path, "its dates are not in order")
    return found


def _damaged(path: Path, why: str) -> UsageError:
    return UsageError(
        f"{path.name} is damaged: {why}. Restore it from where you keep it; a lock written again "
        "would not be the one that was made beforehand."
    )


def lock_text(file: str, versions: tuple[Version, ...]) -> bytes:
    """The bytes of the lock of the study file called `file`."""
    locks = [
        {"date": v.date, "sha256": v.sha256, "data": dict(v.data), "content": dict(v.content)}
        for v in versions
    ]
    body = {"made_by": MAKER, "schema": SCHEMA, "study": file, "locks": locks}
    return (json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def data_hashes(folder: Path, files: tuple[str, ...]) -> dict[str, str]:
    """The hash of each data file by its name; empty for one that is not there yet."""
    return {Path(name).name: _hash(folder / name) for name in sorted(files)}


def _hash(path: Path) -> str:
    if not path.is_file():
        return ""
    found = sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                found.update(block)
    except OSError as error:
        raise OutputError(f"Cannot read {path.name}: {error.strerror}.") from error
    return found.hexdigest()
