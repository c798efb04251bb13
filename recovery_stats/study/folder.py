"""The output folder: ours or refused, one writer at a time, every file whole or absent.

`manifest.json` makes a folder ours. It holds, for each analysis, the key of everything its
report is a function of and the hashes of the files written; an analysis whose key and files
still agree is kept by the next run.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from recovery_stats.errors import OutputError
from recovery_stats.report import index
from recovery_stats.report.index import Card
from recovery_stats.study import lock

MANIFEST = "manifest.json"
MAKER = "recovery_stats"
SPARE_BYTES = 256 * 1024  # below this nothing of ours fits, and a run would be in vain
PART = ".part"


@dataclass(frozen=True, slots=True)
class Entry:
    """What the manifest knows of one analysis: its key, and its files with their hashes.

    failed_checks, refusal: what the run said of it, so that one that keeps it says the same.
    card: what the index page says of it.
    """

    kind: str
    key: str
    files: Mapping[str, str]
    inputs: Mapping[str, str] = field(default_factory=dict)
    failed_checks: tuple[str, ...] = ()
    refusal: str = ""
    card: Card = Card()


@dataclass(frozen=True, slots=True)
class Manifest:
    """The folder's record. `made_with`: versions and hashes, for people; nothing depends on it."""

    entries: Mapping[str, Entry] = field(default_factory=dict)
    made_with: Mapping[str, str] = field(default_factory=dict)
    title: str = ""

    def with_entry(self, name: str, entry: Entry) -> Manifest:
        """Add or replace one analysis."""
        return replace(self, entries={**self.entries, name: entry})

    def index(self) -> bytes:
        """The page over all reports, in the order of their names."""
        cards = {name: (e.card, tuple(e.files)) for name, e in sorted(self.entries.items())}
        return index.render(self.title, cards)

    def text(self) -> bytes:
        """JSON, sorted, without times."""
        body = {
            "made_by": MAKER,
            "schema": 1,
            "made_with": dict(self.made_with),
            "title": self.title,
            "index": {index.NAME: sha256(self.index())},
            "analyses": {
                name: {
                    "kind": e.kind,
                    "key": e.key,
                    "files": dict(e.files),
                    "inputs": dict(e.inputs),
                    "card": asdict(e.card),
                    **({"failed_checks": list(e.failed_checks)} if e.failed_checks else {}),
                    **({"refusal": e.refusal} if e.refusal else {}),
                }
                for name, e in self.entries.items()
            },
        }
        return (json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of `folder`, or None where there is none of ours."""
    try:
        body = json.loads((folder / MANIFEST).read_bytes())
        if body["made_by"] != MAKER:
            return None
        entries = {n: _entry(e) for n, e in body["analyses"].items()}
        return Manifest(entries, body["made_with"], body.get("title", ""))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _entry(body: Mapping[str, Any]) -> Entry:
    return Entry(
        body["kind"], body["key"], dict(body["files"]), dict(body["inputs"]),
        tuple(body.get("failed_checks", ())), body.get("refusal", ""), Card(**body.get("card", {})),
    )  # fmt: skip


def sha256(content: bytes) -> str:
    """The hash by which files are compared."""
    return hashlib.sha256(content).hexdigest()


@dataclass(slots=True)
class Folder:
    """An open output folder; made by `opened`, the only state of a run.

    broken_off: the run before this one did not come to its end.
    """

    path: Path
    manifest: Manifest
    broken_off: bool = False

    def why_stale(self, name: str, key: str, wanted: frozenset[str]) -> str | None:
        """Say why analysis `name` must be done again, or None when what stands is current."""
        entry = self.manifest.entries.get(name)
        if entry is None:
            return "not there yet"
        if entry.key != key:
            return "out of date: the data, the study file or the program changed"
        if not wanted <= set(entry.files):
            return "not in all the formats asked for"
        for file, was in entry.files.items():
            content = _content(self.path / file)
            if content is None or sha256(content) != was:
                return f"{file} is {'missing' if content is None else 'not as it was written'}"
        return None

    def write(self, name: str, entry: Entry, files: Mapping[str, bytes]) -> tuple[Path, ...]:
        """Write one analysis with its line in the manifest; earlier files stay if it fails."""
        manifest = self.manifest.with_entry(name, entry)
        with refused_by_system(self.path):
            write_whole(self.path, {**files, **self._record(manifest)})
        self.manifest = manifest
        return tuple(self.path / file for file in files)

    def settle(self) -> None:
        """Bring the index page and the manifest up to what the folder holds."""
        with refused_by_system(self.path):
            write_whole(self.path, self._record(self.manifest))

    def _record(self, manifest: Manifest) -> dict[str, bytes]:
        """The index page and the manifest, as far as they change."""
        record = {index.NAME: manifest.index(), MANIFEST: manifest.text()}
        return {file: text for file, text in record.items() if _content(self.path / file) != text}


@contextmanager
def opened(
    path: Path, *, force: bool, made_with: Mapping[str, str], title: str = ""
) -> Iterator[Folder]:
    """Hold `path` for writing: OutputError where it is in use, not ours, read-only or full."""
    with ExitStack() as held:
        with refused_by_system(path):
            made = _make(path)
            held.callback(_drop_empty, made)
            manifest = read_manifest(path)
            _refuse_strangers(path, manifest, force)
            _refuse_unwritable(path)
            left = held.enter_context(lock.held(path))
            held.callback(_sweep, path)
            broken_off = _sweep(path) or left
        entries = manifest.entries if manifest else {}
        yield Folder(path, Manifest(entries, made_with, title), broken_off)


@contextmanager
def refused_by_system(path: Path) -> Iterator[None]:
    """Turn what the system says about `path` into an OutputError with a cure."""
    try:
        yield
    except OSError as error:
        raise OutputError(_words(error, path)) from error


def _words(error: OSError, path: Path) -> str:
    place = repr(str(path))
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk is full at {place}. Make room, or give another folder with -o."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"No permission to write in {place}. Give another folder with -o."
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return f"{place} is a file, or lies below one; -o needs a folder."
    return f"The system refused {place}: {os.strerror(error.errno or 0)}."


def _make(path: Path) -> Path | None:
    """Make the folder, private; return the highest one that had to be made."""
    missing = [p for p in (path, *path.parents) if not p.exists()]
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return missing[-1] if missing else None


def _drop_empty(path: Path | None) -> None:
    """Remove folders that a run made and left empty."""
    if path is None:
        return
    for folder, _, _ in os.walk(path, topdown=False):
        with contextlib.suppress(OSError):
            Path(folder).rmdir()


def _refuse_strangers(path: Path, manifest: Manifest | None, force: bool) -> None:
    names = {p.name for p in path.iterdir() if not _is_part(p)}
    if lock.NAME in names:  # a run of ours was killed here, maybe before its first manifest
        return
    if names and manifest is None and not force:
        raise OutputError(
            f"Folder {str(path)!r} holds {len(names)} file(s) and no manifest of ours, so "
            "nothing was written. Give an empty folder with -o, or --force to write there anyway."
        )


def _refuse_unwritable(path: Path) -> None:
    if not os.access(path, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "not writable")
    if shutil.disk_usage(path).free < SPARE_BYTES:
        raise OSError(errno.ENOSPC, "full")


def write_whole(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write `files` into `folder`, private (0600): all of them to temporary files first.

    Every file is whole at every moment: the old one until its new one takes its place. When
    the disk fills or a signal comes, the temporary files go and the old files stay; a signal
    that comes when all are written waits until all are in their places.
    """
    parts: dict[str, str] = {}
    try:
        for name, content in files.items():
            parts[name] = _write_part(folder, name, content)
        _place(folder, parts)
    finally:
        for part in parts.values():
            with contextlib.suppress(OSError):
                os.unlink(part)


def _place(folder: Path, parts: dict[str, str]) -> None:
    """Put every file in its place, and take it from `parts`; a signal does not stop half-way."""
    try:
        for name in tuple(parts):
            os.replace(parts[name], folder / name)
            del parts[name]
    except Exception:
        raise
    except BaseException:
        for name in tuple(parts):
            with contextlib.suppress(FileNotFoundError):  # in its place already
                os.replace(parts[name], folder / name)
        raise


def _write_part(folder: Path, name: str, content: bytes) -> str:
    handle, part = tempfile.mkstemp(prefix=f".{name}.", suffix=PART, dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        os.unlink(part)
        raise
    return part


def _is_part(path: Path) -> bool:
    return path.name.startswith(".") and path.name.endswith(PART)


def _sweep(path: Path) -> bool:
    """Remove the temporary files of a run that was killed; whether there were any."""
    parts = [file for file in path.iterdir() if _is_part(file)]
    for file in parts:
        file.unlink(missing_ok=True)
    return bool(parts)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
