"""The cache of cells: never a reason for another answer, private, and never in the way."""

from __future__ import annotations

import os
import stat
import struct
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recovery_stats.core.dataset import Dataset
from recovery_stats.data import sav, sav_cache
from recovery_stats.data.sav import read_spss, write_spss
from recovery_stats.errors import DataError, UsageError
from tests.data.conftest import same, shared

REAL = ("data/uis.sav", "data/ctn0094/ctn0094_person.sav")
posix = pytest.mark.skipif(os.name == "nt", reason="modes and owners are POSIX's")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache is on for files of any size, in a folder that is not there yet."""
    folder = tmp_path / "a" / "cache"
    monkeypatch.setenv(sav_cache.VARIABLE, str(folder))
    monkeypatch.setattr(sav_cache, "SMALLEST", 0)
    return folder


@pytest.fixture
def sealed(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From the call on, no cell can be read from a .sav file."""

    def seal() -> None:
        def refuse(*_: object) -> None:
            raise AssertionError("the file was decoded")

        monkeypatch.setattr(sav, "cells_of", refuse)

    return seal


def without_cache(path: Path, columns: list[str] | None = None) -> Dataset:
    """The answer that counts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(sav_cache.VARIABLE, "off")
        return read_spss(path, columns)


def alike(a: Dataset, b: Dataset) -> None:
    """Assert the same cells to the bit, codebook, reasons, hash and rows."""
    same(a, b)
    assert a.source == b.source
    for column in a.frame.select_dtypes("number"):
        assert a.frame[column].to_numpy().tobytes() == b.frame[column].to_numpy().tobytes()


# --- the same answer ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x.sav", "x.zsav"])
def test_an_entry_gives_the_same_answer(
    everything: Dataset, tmp_path: Path, place: Path, sealed: Callable[[], None], name: str
) -> None:
    write_spss(everything, tmp_path / name)
    plain = without_cache(tmp_path / name)
    alike(plain, read_spss(tmp_path / name))
    assert len(sav_cache.entries(place)) == 1
    sealed()
    alike(plain, read_spss(tmp_path / name))


@pytest.mark.parametrize("file", REAL)
def test_real_files(file: str, place: Path, sealed: Callable[[], None]) -> None:
    path = shared(file)
    plain = without_cache(path)
    read_spss(path)
    sealed()
    alike(plain, read_spss(path))


def test_some_columns_from_an_entry_of_all(
    everything: Dataset, tmp_path: Path, place: Path, sealed: Callable[[], None]
) -> None:
    path = tmp_path / "x.sav"
    write_spss(everything, path)
    some = [str(c) for c in everything.frame.columns[1:4]]
    plain = without_cache(path, some)
    alike(plain, read_spss(path, some))
    (of_some,) = sav_cache.entries(place)
    read_spss(path)
    of_some.unlink()
    sealed()
    alike(plain, read_spss(path, some))


def test_odd_numbers_to_the_bit(tmp_path: Path, place: Path, sealed: Callable[[], None]) -> None:
    odd = [-0.0, 5e-324, 0.1, 2.0**53, -1e300, np.nan]
    frame = pd.DataFrame({"x": odd}, index=pd.RangeIndex(1, len(odd) + 1))
    write_spss(Dataset(frame), tmp_path / "x.sav")
    plain = without_cache(tmp_path / "x.sav")
    read_spss(tmp_path / "x.sav")
    sealed()
    alike(plain, read_spss(tmp_path / "x.sav"))


def test_a_changed_file_or_reader_meets_no_old_entry(
    everything: Dataset, tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.sav"
    write_spss(everything, path)
    read_spss(path)
    write_spss(everything.with_frame(everything.frame.iloc[:2]), path)
    alike(without_cache(path), read_spss(path))
    assert len(sav_cache.entries(place)) == 2
    monkeypatch.setattr(sav_cache, "reader_version", lambda: "another")
    read_spss(path)
    assert len(sav_cache.entries(place)) == 3


def test_a_file_that_changes_while_it_is_read_is_not_kept(
    everything: Dataset, tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.sav"
    write_spss(everything, path)
    read = sav.cells_of

    def disturbed(*given: object) -> object:
        cells = read(*given)  # type: ignore[arg-type]
        os.utime(path, (1, 1))
        return cells

    monkeypatch.setattr(sav, "cells_of", disturbed)
    read_spss(path)
    assert not sav_cache.entries(place)


def test_a_damaged_file_is_refused_as_without_it(
    everything: Dataset, tmp_path: Path, place: Path
) -> None:
    path = tmp_path / "x.sav"
    write_spss(everything, path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match="cut short"):
        read_spss(path)
    assert not sav_cache.entries(place)


# --- entries that are not sound ----------------------------------------------------------


def test_a_damaged_entry_is_made_anew(everything: Dataset, tmp_path: Path, place: Path) -> None:
    path = tmp_path / "x.sav"
    write_spss(everything, path)
    plain = read_spss(path)
    (entry,) = sav_cache.entries(place)
    sound = entry.read_bytes()
    for damaged in _damaged(sound):
        entry.write_bytes(damaged)
        alike(plain, read_spss(path))
    entry.write_bytes(b"")
    alike(plain, read_spss(path))
    assert entry.read_bytes() == sound


def _damaged(sound: bytes) -> list[bytes]:
    """Cut short, foreign, and one bit turned in each of a hundred places."""
    rng = np.random.default_rng(1)
    turned = []
    for at in rng.integers(0, len(sound), 100):
        one = bytearray(sound)
        one[at] ^= 1 << int(rng.integers(8))
        turned.append(bytes(one))
    return [sound[: len(sound) // 2], b"x" * 100, sound[:4] + struct.pack("<i", -1), *turned]


def test_the_entry_of_another_file_is_not_believed(
    everything: Dataset, tmp_path: Path, place: Path
) -> None:
    for name, rows in (("a.sav", 4), ("b.sav", 3)):
        write_spss(everything.with_frame(everything.frame.iloc[:rows]), tmp_path / name)
    read_spss(tmp_path / "a.sav")
    (of_a,) = sav_cache.entries(place)
    read_spss(tmp_path / "b.sav")
    (of_b,) = set(sav_cache.entries(place)) - {of_a}
    of_a.replace(of_b)
    alike(without_cache(tmp_path / "b.sav"), read_spss(tmp_path / "b.sav"))


@posix
def test_what_others_could_have_written_is_not_read(
    everything: Dataset, tmp_path: Path, place: Path, sealed: Callable[[], None]
) -> None:
    write_spss(everything, tmp_path / "x.sav")
    read_spss(tmp_path / "x.sav")
    (entry,) = sav_cache.entries(place)
    entry.chmod(0o622)
    sealed()
    with pytest.raises(AssertionError, match="decoded"):
        read_spss(tmp_path / "x.sav")


# --- where it lies, and how long ---------------------------------------------------------


@posix
def test_entries_are_private_and_tell_no_name(
    everything: Dataset, tmp_path: Path, place: Path
) -> None:
    write_spss(everything, tmp_path / "cohort.sav")
    read_spss(tmp_path / "cohort.sav")
    (entry,) = sav_cache.entries(place)
    assert stat.S_IMODE(entry.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert "cohort" not in entry.name


@pytest.mark.parametrize("said", [None, "", "off", "0"])
def test_nothing_is_kept_unless_asked_for(
    said: str | None, everything: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sav_cache, "SMALLEST", 0)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv(sav_cache.VARIABLE, said) if said is not None else monkeypatch.delenv(
        sav_cache.VARIABLE, raising=False
    )
    write_spss(everything, tmp_path / "x.sav")
    read_spss(tmp_path / "x.sav")
    assert [p.name for p in tmp_path.iterdir()] == ["x.sav"]


@pytest.mark.parametrize(
    ("system", "where"),
    [
        ("linux", ".cache/recovery_stats"),
        ("darwin", "Library/Caches/recovery_stats"),
    ],
)
@posix
def test_on_means_the_folder_of_the_system(
    system: str, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sav_cache.sys, "platform", system)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv(sav_cache.VARIABLE, "on")
    assert sav_cache.folder() == tmp_path / where


def test_a_relative_folder_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(sav_cache.VARIABLE, "cache")
    with pytest.raises(UsageError, match="whole path"):
        sav_cache.folder()


def test_small_files_are_just_read(
    everything: Dataset, tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sav_cache, "SMALLEST", 1 << 22)
    write_spss(everything, tmp_path / "x.sav")
    read_spss(tmp_path / "x.sav")
    assert not place.exists()


def test_a_place_where_nothing_can_be_written(
    everything: Dataset, tmp_path: Path, place: Path
) -> None:
    place.parent.write_text("a file stands where the folder should be")
    write_spss(everything, tmp_path / "x.sav")
    alike(without_cache(tmp_path / "x.sav"), read_spss(tmp_path / "x.sav"))


def test_two_runs_at_once(everything: Dataset, tmp_path: Path, place: Path) -> None:
    path = tmp_path / "x.sav"
    write_spss(everything, path)
    plain = without_cache(path)
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: read_spss(path), range(24)):
            alike(plain, found)
    assert [p.name.startswith(".") for p in place.iterdir()] == [False]


def test_what_nobody_used_for_a_month_goes(
    everything: Dataset, tmp_path: Path, place: Path
) -> None:
    write_spss(everything, tmp_path / "x.sav")
    read_spss(tmp_path / "x.sav")
    (old,) = sav_cache.entries(place)
    broken = place / f".{old.name}.abc"
    broken.write_bytes(b"half")
    for path in (old, broken):
        os.utime(path, (time.time() - 2 * sav_cache.KEPT,) * 2)
    write_spss(everything.with_frame(everything.frame.iloc[:2]), tmp_path / "y.sav")
    read_spss(tmp_path / "y.sav")
    assert old not in place.iterdir()
    assert len(list(place.iterdir())) == 1
