"""The audit of installed packages: what it must find."""

from __future__ import annotations

import sys
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
sys.path.insert(0, str(SCRIPTS))
try:
    import audit
finally:
    sys.path.remove(str(SCRIPTS))

HASH = "--hash=sha256:" + "0" * 64


def test_pins_of_another_python_are_left_out() -> None:
    text = (
        f"a==1.0 ; python_full_version < '3' \\\n    {HASH}\n"
        f"a==2.0 ; python_full_version >= '3' \\\n    {HASH} \\\n    {HASH}\n    # via b\nb==3\n"
    )
    found = list(audit.read_lock(text))
    assert found == [audit.Locked("a", "2.0", 2), audit.Locked("b", "3", 0)]


def test_the_lock_names_a_hash_for_every_package() -> None:
    pins = list(audit.read_lock(audit.LOCK.read_text(encoding="utf-8")))
    assert {"numpy", "pandas", "scipy"} <= {p.name for p in pins}
    assert all(p.hashes for p in pins)
    assert len({p.name for p in pins}) == len(pins)


def test_another_version_and_a_missing_package_are_found() -> None:
    assert not audit.audit(audit.Locked("click", "0.0.1", 1)).well
    assert audit.audit(audit.Locked("no-such-package", "1", 1)).installed == "missing"
    assert not audit.audit(audit.Locked("click", audit.metadata.version("click"), 0)).well


def test_a_changed_file_is_found(tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / "toy-1.0.dist-info"
    folder.mkdir()
    (tmp_path / "toy.py").write_bytes(b"x = 1\n")
    (folder / "METADATA").write_text("Name: toy\nVersion: 1.0\nLicense-Expression: MIT\n")
    digest = audit.hashlib.sha256(b"x = 1\n").digest()
    encoded = audit.base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    (folder / "RECORD").write_text(f"toy.py,sha256={encoded},6\ntoy-1.0.dist-info/RECORD,,\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    pin = audit.Locked("toy", "1.0", 1)
    assert audit.audit(pin) == audit.Audited("toy", "1.0", "1.0", "MIT", 1, 1, ())
    assert audit.audit(pin).well
    (tmp_path / "toy.py").write_bytes(b"x = 2\n")
    assert audit.audit(pin).changed == ("toy.py",)
