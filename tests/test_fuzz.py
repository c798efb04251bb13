"""What reads bytes or text from strangers either reads or refuses: nothing else ever happens.

The long runs are those of scripts/fuzz.py; here are short ones, and each case they found.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import fuzz  # noqa: E402

SEED = fuzz.sav_seeds()
SHORT = settings(
    max_examples=150,
    deadline=5000,  # ms; a refusal takes a few, the machine may be busy
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
KEYS = ("schema", "tables", "roles", "missing", "privacy", "analysis", "report", "kind", "file")
TOML = st.recursive(
    st.one_of(
        st.integers(), st.floats().map(repr), st.booleans().map(lambda b: str(b).lower())
    ).map(str)
    | st.text(max_size=8).map(lambda t: '"' + t.replace("\\", "").replace('"', "") + '"'),
    lambda inner: st.lists(inner, max_size=3).map(lambda xs: "[" + ", ".join(xs) + "]"),
    max_leaves=6,
)
LINES = st.one_of(
    st.tuples(st.sampled_from(KEYS), TOML).map(lambda p: f"{p[0]} = {p[1]}"),
    st.lists(st.sampled_from(KEYS), min_size=1, max_size=3).map(lambda k: f"[{'.'.join(k)}]"),
    st.sampled_from(KEYS).map(lambda k: f"[[{k}]]"),
)


@SHORT
@given(
    st.sampled_from(SEED), st.lists(st.tuples(st.integers(0), st.binary(min_size=1, max_size=4)))
)
def test_spss_with_bytes_changed(
    tmp_path: Path, raw: bytes, changes: list[tuple[int, bytes]]
) -> None:
    damaged = bytearray(raw)
    for at, new in changes:
        place = at % len(raw)
        damaged[place : place + len(new)] = new
    fuzz.tried(fuzz.sav, bytes(damaged), tmp_path)


@SHORT
@given(st.sampled_from(SEED), st.integers(0), st.integers(-(2**31), 2**31 - 1))
def test_spss_with_a_number_that_lies(tmp_path: Path, raw: bytes, at: int, number: int) -> None:
    """Every count and length of the dictionary is a 32-bit number on a multiple of four."""
    place = at % (len(raw) // 4) * 4
    lying = raw[:place] + struct.pack("<i", number) + raw[place + 4 :]
    fuzz.tried(fuzz.sav, lying[: len(raw)], tmp_path)


@SHORT
@given(st.lists(LINES, max_size=12))
def test_study_files_near_the_form(tmp_path: Path, lines: list[str]) -> None:
    fuzz.tried(fuzz.study, "\n".join(lines).encode("utf-8", "replace"), tmp_path)


@SHORT
@given(st.binary(max_size=200))
def test_study_files_of_any_bytes(tmp_path: Path, raw: bytes) -> None:
    fuzz.tried(fuzz.study, raw, tmp_path)


@SHORT
@given(st.text(alphabet="yxz012+-*/:^()|~,='\"` CISurvstrata", max_size=50))
def test_formulas_near_the_grammar(tmp_path: Path, text: str) -> None:
    fuzz.tried(fuzz.formula, text.encode(), tmp_path)


@SHORT
@given(st.integers(0, 255), st.text(alphabet="+-o*_\n\0é", max_size=60))
def test_patterns(tmp_path: Path, which: int, text: str) -> None:
    fuzz.tried(fuzz.endpoint, bytes([which]) + text.encode(), tmp_path)


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_seeds_are_read(name: str, tmp_path: Path) -> None:
    """A target that refuses its own seeds would fuzz nothing but its first refusal."""
    if name == "study":  # its tables lie beside the original only
        fuzz.tried(fuzz.study, fuzz.STUDY, tmp_path)
        return
    for seed in fuzz.SEEDS[name]():
        fuzz.TARGETS[name](seed, tmp_path)
