"""Audit the installed packages against requirements.lock, without a network.

    python scripts/audit.py            a line for each package; 1 when one is not as locked
    python scripts/audit.py --json     the same for a validation file

For each package that the lock names for this Python: whether the version installed is the locked
one, its licence as its metadata say, how many SHA-256 the lock holds (pip compares them with the
archive at installation, and leaves no archive to compare with later), and whether every file is
still the one that was installed, by the hashes of the package's own RECORD.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from packaging.markers import Marker

LOCK = Path(__file__).resolve().parent.parent / "requirements.lock"
PIN = re.compile(r"^([\w.-]+)==([^\s;\\]+)\s*(?:;\s*([^\\]+?))?\s*\\?$")
LONGEST = 60  # characters of a licence: some packages put its whole text in the field


@dataclass(frozen=True, slots=True)
class Locked:
    """A pin of the lock, and how many hashes it allows."""

    name: str
    version: str
    hashes: int


@dataclass(frozen=True, slots=True)
class Audited:
    """What is installed where the lock has a pin; `changed`: files unlike their RECORD."""

    name: str
    locked: str
    installed: str
    licence: str
    hashes: int
    files: int
    changed: tuple[str, ...]

    @property
    def well(self) -> bool:
        """As locked, with a hash to install by, and untouched."""
        return self.installed == self.locked and self.hashes > 0 and not self.changed


def read_lock(text: str) -> Iterator[Locked]:
    """The pins that apply to this Python and platform."""
    for block in re.split(r"\n(?=\S)", text):
        first = block.partition("\n")[0]
        pin = PIN.match(first)
        if pin and (pin[3] is None or Marker(pin[3]).evaluate()):
            yield Locked(pin[1], pin[2], len(re.findall(r"--hash=sha256:[0-9a-f]{64}", block)))


def audit(pin: Locked) -> Audited:
    """Compare one pin with what is installed."""
    try:
        found = metadata.distribution(pin.name)
    except metadata.PackageNotFoundError:
        return Audited(pin.name, pin.version, "missing", "", pin.hashes, 0, ())
    files = [f for f in found.files or [] if f.hash is not None]
    changed = tuple(str(f) for f in files if not _as_recorded(f))
    return Audited(
        pin.name, pin.version, found.version, licence(found), pin.hashes, len(files), changed
    )  # fmt: skip


def _as_recorded(file: metadata.PackagePath) -> bool:
    path = Path(str(file.locate()))
    if file.hash is None or not path.is_file():
        return False
    digest = hashlib.new(file.hash.mode, path.read_bytes()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == file.hash.value


def licence(found: metadata.Distribution) -> str:
    """The licence by the metadata's expression, else its classifiers, else its own words."""
    told = found.metadata
    classes = [c.rpartition(" :: ")[2] for c in told.get_all("Classifier", []) if "License" in c]
    words = (told.get("License") or "").strip().partition("\n")[0][:LONGEST]
    return told.get("License-Expression") or "; ".join(classes) or words or "not told"


def main() -> int:
    """Print the audit; 1 when a package is not as locked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--lock", type=Path, default=LOCK)
    asked = parser.parse_args()
    text = asked.lock.read_text(encoding="utf-8")
    found = [audit(pin) for pin in read_lock(text)]
    if asked.json:
        rows = [{**asdict(a), "well": a.well} for a in found]
        seal = hashlib.sha256(text.encode()).hexdigest()
        print(json.dumps({"lock_sha256": seal, "packages": rows}, indent=1))
    else:
        for a in found:
            print(_line(a))
        print(f"{sum(a.well for a in found)} of {len(found)} packages are as locked")
    return 0 if found and all(a.well for a in found) else 1


def _line(a: Audited) -> str:
    state = "ok" if a.well else "NOT AS LOCKED"
    version = a.installed if a.installed == a.locked else f"{a.installed}, locked {a.locked}"
    edited = f", {len(a.changed)} changed: {a.changed[0]}" if a.changed else ""
    return f"{a.name:18} {version:12} {state:14} {a.files:5} files{edited}  {a.licence}"


if __name__ == "__main__":
    sys.exit(main())
