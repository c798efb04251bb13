"""Files that are not what they say: one DataError each, quickly, naming file and cure."""

from __future__ import annotations

import gzip
import pickle
import struct
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from recovery_stats.core.dataset import Dataset
from recovery_stats.data.sav import read_spss, write_spss
from recovery_stats.data.table import read_table
from recovery_stats.errors import DataError
from tests.data.conftest import shared

FLIPS = 400


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"id,wave\n1,2\n", r"text.*\.csv"),
        (pickle.dumps({"a": 1}), "pickle.*not opened"),
        (pickle.dumps({"a": 1}, protocol=0), "not an SPSS file"),
        (b"\x1c\x00\x00\x00\x00\x00\x00\x00ENCRYPTEDSAV" + bytes(64), "pspp-convert -p"),
        (b"PK\x03\x04" + bytes(64), "ZIP"),
        (gzip.compress(b"x"), "gzip"),
        (b"PAR1" + bytes(64), "Parquet"),
        (bytes(range(256)) * 4, "not an SPSS file"),
        (b"$FL2", "promises more than"),
    ],
)
def test_other_content_called_sav(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "cohort.sav"
    path.write_bytes(content)
    for read in (read_spss, read_table):
        with pytest.raises(DataError, match=says) as caught:
            read(path)
        assert "cohort.sav" in str(caught.value)


def test_absent_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "study.sav").write_bytes(b"x")
    with pytest.raises(DataError, match=r"'studdy\.sav'.*Did you mean 'study\.sav'"):
        read_spss(tmp_path / "studdy.sav")
    with pytest.raises(DataError, match="is a folder"):
        read_spss(tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        read_spss(tmp_path / "no" / "x.sav")


def test_spss_called_csv(everything: Dataset, tmp_path: Path) -> None:
    write_spss(everything, tmp_path / "x.sav")
    (tmp_path / "x.sav").rename(tmp_path / "x.csv")
    with pytest.raises(DataError, match=r"x\.csv.*SPSS.*\.sav"):
        read_table(tmp_path / "x.csv")


@pytest.mark.parametrize(
    ("offset", "number"),
    [(68, 2**31 - 1), (80, 2**31 - 1), (80, 10**6), (80, -5), (72, 7), (64, 9)],
)
def test_headers_that_lie(everything: Dataset, tmp_path: Path, offset: int, number: int) -> None:
    """offset 68: elements a case; 72: compression; 80: cases; 64: byte order."""
    path = tmp_path / "x.sav"
    write_spss(everything, path)
    raw = bytearray(path.read_bytes())
    struct.pack_into("<i", raw, offset, number)
    path.write_bytes(raw)
    began = time.perf_counter()
    with pytest.raises(DataError, match=r"x\.sav"):
        read_spss(path)
    assert time.perf_counter() - began < 2


def test_label_counts_and_lengths_that_lie(everything: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "x.sav"
    write_spss(everything, path)
    raw = bytearray(path.read_bytes())
    at = raw.index(b"Person") - 4
    struct.pack_into("<i", raw, at, 2**31 - 1)
    path.write_bytes(raw)
    with pytest.raises(DataError, match="more than the file holds"):
        read_spss(path)


@pytest.mark.parametrize("name", ["x.sav", "x.zsav"])
def test_cut_anywhere(everything: Dataset, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_spss(everything, path)
    raw = path.read_bytes()
    for end in np.linspace(1, len(raw) - 9, 60).astype(int):
        path.write_bytes(raw[:end])
        with pytest.raises(DataError):
            read_spss(path)


@pytest.mark.parametrize("name", ["x.sav", "x.zsav"])
def test_random_bytes_flipped(everything: Dataset, tmp_path: Path, name: str) -> None:
    """A damaged file is refused or read; nothing else happens."""
    path = tmp_path / name
    write_spss(everything, path)
    raw = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    rng = np.random.default_rng(20)
    for _ in range(FLIPS):
        damaged = raw.copy()
        at = rng.integers(0, len(raw), rng.integers(1, 41))
        damaged[at] = rng.integers(0, 256, len(at))
        path.write_bytes(damaged.tobytes())
        with suppress(DataError):
            read_spss(path)


def test_memory_bomb_of_the_shared_folder() -> None:
    began = time.perf_counter()
    with pytest.raises(DataError, match="2147483647 rows"):
        read_spss(shared("badinput/A06_sav_huge_header/t.sav"))
    assert time.perf_counter() - began < 2


@pytest.mark.parametrize("entry", ["A07_sav_fuzz_1", "A07_sav_fuzz_3", "A09_sav_trailing_garbage"])
def test_refused_or_read(entry: str) -> None:
    with suppress(DataError):
        assert len(read_spss(shared(f"badinput/{entry}/t.sav"))) == 180


def test_user_missing_of_the_shared_folder() -> None:
    discrete = read_spss(shared("badinput/C01_user_missing_discrete/t.sav"))
    assert discrete.reasons("meetings") == {"99": 18}
    assert discrete.frame["meetings"].mean() < 5
    ranged = read_spss(shared("badinput/C02_user_missing_range/t.sav"))
    assert set(ranged.reasons("meetings")) == {"97", "99"}
    unicode = read_spss(shared("badinput/C11_unicode_names/t.sav"))
    assert {"συναντήσεις", "满意度"} <= set(unicode.frame)
