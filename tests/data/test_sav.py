"""SPSS files: what is read, and that writing and reading again changes nothing."""

from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pyreadstat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recovery_stats.core.codebook import Codebook, MissingRule, Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.data.sav import read_spss, write_spss
from recovery_stats.data.sav_codebook import read_dictionary
from recovery_stats.data.sav_data import read_cells
from recovery_stats.errors import DataError, OutputError, UsageError
from tests.data.conftest import same, same_cells, shared

REAL = ("data/uis.sav", "data/ctn0094/ctn0094_person.sav", "data/ctn0094/ctn0094_week.sav")


def again(dataset: Dataset, folder: Path, name: str = "x.sav") -> Dataset:
    """Write and read."""
    write_spss(dataset, folder / name)
    return read_spss(folder / name)


def table(**columns: object) -> Dataset:
    """A dataset of these columns without a codebook."""
    frame = pd.DataFrame(columns)
    frame.index = pd.RangeIndex(1, len(frame) + 1)
    return Dataset(frame)


# --- round trips -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x.sav", "x.zsav"])
def test_everything_survives(everything: Dataset, tmp_path: Path, name: str) -> None:
    same(everything, again(everything, tmp_path, name))


@pytest.mark.parametrize("place", REAL)
def test_real_files_survive(place: str, tmp_path: Path) -> None:
    first = read_spss(shared(place))
    same(first, again(first, tmp_path))


def test_bytes_are_the_same_every_time(everything: Dataset, tmp_path: Path) -> None:
    write_spss(everything, tmp_path / "a.sav")
    write_spss(read_spss(tmp_path / "a.sav"), tmp_path / "b.sav")
    assert (tmp_path / "a.sav").read_bytes() == (tmp_path / "b.sav").read_bytes()


SPSS_TEXT = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=300
).map(lambda t: t.rstrip(" "))


@settings(max_examples=60, deadline=None)
@given(
    numbers=hnp.arrays(np.float64, 9, elements=st.floats(-1e300, 1e300) | st.just(np.nan)),
    codes=st.lists(st.integers(-100, 160), min_size=9, max_size=9),
    texts=st.lists(SPSS_TEXT, min_size=9, max_size=9),
)
def test_cells_survive(
    tmp_path_factory: pytest.TempPathFactory,
    numbers: np.ndarray,
    codes: list[int],
    texts: list[str],
) -> None:
    written = table(
        n=numbers, c=np.array(codes, float), t=pd.array([t or None for t in texts], dtype=object)
    )
    read = again(written, tmp_path_factory.mktemp("h"))
    same_cells(written.frame, read.frame)


@pytest.mark.parametrize("width", [1, 8, 9, 252, 255, 256, 504, 505, 510, 511, 1000, 32_767])
def test_strings_of_every_width_survive(width: int, tmp_path: Path) -> None:
    text = "".join(chr(97 + i % 26) for i in range(width))
    written = table(a=[1.0, 2.0], t=pd.array([text, None], dtype=object), z=[3.0, 4.0])
    read = again(written, tmp_path)
    same_cells(written.frame, read.frame)
    assert read.variable("t").width == width


@pytest.mark.parametrize("rows", [0, 1, 7, 8, 9, 400_000])
def test_any_number_of_rows(rows: int, tmp_path: Path) -> None:
    numbers = np.arange(rows) / 4
    read = again(table(a=numbers, b=np.arange(rows) % 300.0, c=-numbers), tmp_path)
    assert len(read) == rows
    assert np.array_equal(read.frame["a"], numbers)
    assert np.array_equal(read.frame["b"], np.arange(rows) % 300.0)


# --- reading -----------------------------------------------------------------------------


def test_agrees_with_pyreadstat_on_its_own_file(tmp_path: Path) -> None:
    path = tmp_path / "p.sav"
    frame = pd.DataFrame({"a": [1.0, 9.0, 97.5], "s": ["x", "yy", "zzz"], "d": [1.0, 2.0, 3.0]})
    pyreadstat.write_sav(
        frame,
        str(path),
        file_label="label",
        column_labels={"a": "Ä"},
        variable_value_labels={"a": {1: "one"}},
        missing_ranges={"a": [{"lo": 97, "hi": 99}, 9]},
        variable_measure={"a": "ordinal"},
        variable_format={"d": "DATE11"},
        note="a note",
    )
    read = read_spss(path)
    variable = read.variable("a")
    assert variable.missing == MissingRule((9.0,), 97.0, 99.0)
    assert (variable.label, variable.values, variable.measure) == ("Ä", {1.0: "one"}, "ordinal")
    assert read.frame["a"].tolist()[0] == 1.0
    assert read.reasons("a") == {"9": 1, "97.5": 1}
    assert read.missing["a"].to_dict() == {2: 9.0, 3: 97.5}
    assert read.codebook.documents == ("a note",)
    assert read.reasons("d") == {"impossible date": 3}


@pytest.mark.parametrize("name", ["x.sav", "x.zsav"])
def test_pyreadstat_gives_the_same_cells(everything: Dataset, tmp_path: Path, name: str) -> None:
    write_spss(everything, tmp_path / name)
    _agree(tmp_path / name)


@pytest.mark.parametrize("place", REAL)
def test_pyreadstat_gives_the_same_cells_of_real_files(place: str) -> None:
    _agree(shared(place))


@pytest.mark.parametrize("compress", [False, True])
def test_pyreadstat_gives_the_same_cells_of_its_files(compress: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    frame = pd.DataFrame(
        {
            "a": rng.integers(-200, 300, 5000).astype(float),
            "s": [f"{'x' * (i % 700)}." for i in range(5000)],
            "b": rng.normal(size=5000),
        }
    )
    pyreadstat.write_sav(frame, str(tmp_path / "p.sav"), row_compress=compress)
    _agree(tmp_path / "p.sav")


def _agree(path: Path) -> None:
    theirs, _ = pyreadstat.read_sav(
        str(path), user_missing=True, disable_datetime_conversion=True, output_format="dict"
    )
    dictionary = read_dictionary(path)
    ours = read_cells(path, dictionary, list(dictionary.places))
    assert list(ours) == list(theirs)
    for name, cells in ours.items():
        if isinstance(cells, list):
            assert cells == [t.rstrip(" ") for t in theirs[name]]
        else:
            np.testing.assert_array_equal(cells, np.array(theirs[name], dtype=float))


def test_dates_times_and_months_are_read_from_raw_seconds(tmp_path: Path) -> None:
    day = 86_400.0
    seconds = [141_428 * day, day - 1, 1e15, 13_696_761_633.72]
    frame = pd.DataFrame({"d": seconds, "t": [100_000.0, -5.0, 0.0, np.nan], "w": [1.0, 2, 3, 7]})
    path = tmp_path / "p.sav"
    formats = {"d": "DATETIME22.2", "t": "DTIME12", "w": "WKDAY9"}
    pyreadstat.write_sav(frame, str(path), variable_format=formats)
    read = read_spss(path)
    assert str(read.frame["d"].dtype) == "datetime64[us]"
    assert read.frame["d"].iloc[0] == pd.Timestamp("1970-01-01")
    assert read.frame["d"].iloc[3].microsecond == 720_000
    assert read.missing["d"].to_dict() == {2: day - 1, 3: 1e15}
    assert read.frame["t"].tolist()[:3] == [100_000.0, -5.0, 0.0]
    assert read.variable("w").kind == "number"


def test_only_the_columns_asked_for(everything: Dataset, tmp_path: Path) -> None:
    write_spss(everything, tmp_path / "x.sav")
    read = read_spss(tmp_path / "x.sav", ["craving", "id"])
    assert list(read.frame) == ["id", "craving"] == list(read.codebook.variables)
    assert read.weight == "weight_of_person"
    with pytest.raises(DataError, match="Did you mean 'craving'"):
        read_spss(tmp_path / "x.sav", ["carving"])


def test_a_blank_is_missing_unless_it_is_labelled(tmp_path: Path) -> None:
    written = table(s=["a", "", "b"])
    assert again(written, tmp_path).frame["s"].tolist() == ["a", None, "b"]
    labelled = Variable("s", values={"": "not said"}, kind="string", width=1)
    kept = Dataset(written.frame, Codebook({"s": labelled}))
    assert again(kept, tmp_path).frame["s"].tolist() == ["a", "", "b"]


# --- what SPSS cannot hold ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"Age": [1.0], "age": [2.0]}, "'Age' and 'age'"),
        ({"a b": [1.0]}, "letters, digits"),
        ({"1st": [1.0]}, "begins with a letter"),
        ({"with": [1.0]}, "SPSS language"),
        ({"x" * 65: [1.0]}, "64 bytes"),
        ({"a": [np.inf, 1.0, -np.inf]}, "infinite numbers .rows 1 and 3"),
        ({"a": [2**53 + 1]}, r"2\^53"),
        ({"a": pd.array([2**53 + 1, None], dtype="Int64")}, r"2\^53"),
        ({"a": pd.to_datetime(["2020-01-01"]).tz_localize("Europe/Prague")}, "time zone"),
        ({"a": ["x" * 32_768]}, "32767 bytes"),
        ({"a": [[1], [2]]}, "mixes"),
        ({"a": [1 + 2j]}, "mixes"),
    ],
)
def test_refused_by_name(columns: dict[str, object], says: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=says):
        write_spss(table(**columns), tmp_path / "x.sav")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("variable", "says"),
    [
        (Variable("a", "é" * 129), "variable label .* 258 bytes"),
        (Variable("a", values={1.0: "é" * 61}), "value label .* 122 bytes"),
        (Variable("a", values={"x": "text"}), "numeric"),
        (Variable("a", missing=MissingRule((1.0, 2.0, 3.0, 4.0))), "4 user-missing codes"),
        (Variable("a", missing=MissingRule((5.0,))), "declares user-missing.*row 1"),
        (Variable("a", attributes={"bad name": ("x",)}), "bad name"),
    ],
)
def test_codebooks_refused(variable: Variable, says: str, tmp_path: Path) -> None:
    dataset = Dataset(table(a=[5.0]).frame, Codebook({"a": variable}))
    with pytest.raises(DataError, match=says):
        write_spss(dataset, tmp_path / "x.sav")


def test_file_label_weight_and_sets_refused(everything: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"file label .* 65 bytes"):
        write_spss(Dataset(everything.frame, Codebook(label="x" * 65)), tmp_path / "x.sav")
    fewer = everything.with_frame(everything.frame.drop(columns="weight_of_person"))
    with pytest.raises(DataError, match="weight variable 'weight_of_person'"):
        write_spss(fewer, tmp_path / "x.sav")
    with pytest.raises(DataError, match="without columns"):
        write_spss(Dataset(pd.DataFrame(index=[1, 2])), tmp_path / "x.sav")
    with pytest.raises(UsageError, match="por"):
        write_spss(everything, tmp_path / "x.por")
    with pytest.raises(OutputError, match="cannot be written"):
        write_spss(everything, tmp_path / "absent" / "x.sav")


def test_other_types_become_what_spss_has(tmp_path: Path) -> None:
    read = again(
        table(
            flag=[True, False, True],
            count=pd.array([1, None, 3], dtype="Int64"),
            level=pd.Categorical(["low", "high", None], ["low", "high"], ordered=True),
            gone=pd.to_timedelta(["25:00:00", "-00:00:30", None]),
            day=pd.to_datetime(["2020-01-01", None, "2020-03-01"]),
        ),
        tmp_path,
    )
    assert read.frame["flag"].tolist() == [1.0, 0.0, 1.0]
    assert read.frame["count"].tolist()[::2] == [1.0, 3.0]
    assert read.frame["level"].tolist()[:2] == [1.0, 2.0]
    assert read.variable("level").values == {1.0: "low", 2.0: "high"}
    assert read.variable("level").measure == "ordinal"
    assert read.frame["gone"].tolist()[:2] == [90_000.0, -30.0]
    assert read.variable("gone").kind == "time"
    assert read.variable("day").spss_format == "DATE11"


def test_a_categorical_takes_the_codes_its_labels_have(tmp_path: Path) -> None:
    labels = Variable("x", values={5.0: "yes", 3.0: "no"}, measure="nominal")
    frame = table(x=pd.Categorical(["yes", "no", "yes"])).frame
    assert again(Dataset(frame, Codebook({"x": labels})), tmp_path).frame["x"].tolist() == [5, 3, 5]


def test_codes_in_use_are_declared(tmp_path: Path) -> None:
    frame = table(x=[1.0, np.nan]).frame
    dataset = Dataset(frame, missing={"x": pd.Series([-9.0], index=[2])})
    read = again(dataset, tmp_path)
    assert read.variable("x").missing == MissingRule((-9.0,))
    assert read.reasons("x") == {"-9": 1}


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    write_spss(table(a=[1.0]), tmp_path / "x.sav")
    assert stat.S_IMODE((tmp_path / "x.sav").stat().st_mode) & 0o077 == 0


# --- PSPP --------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("pspp") is None, reason="PSPP is not installed")
@pytest.mark.parametrize("name", ["x.sav", "x.zsav"])
def test_pspp_reads_what_is_written(everything: Dataset, tmp_path: Path, name: str) -> None:
    write_spss(everything, tmp_path / name)
    syntax = (
        f"GET FILE='{name}'.\nDISPLAY DICTIONARY.\nDISPLAY DOCUMENTS.\n"
        "MRSETS /DISPLAY NAME=ALL.\nSHOW WEIGHT.\n"
        "LIST id Meetings start travel sex housing.\nSAVE OUTFILE='back.sav'.\n"
    )
    (tmp_path / "s.sps").write_text(syntax)
    run = subprocess.run(
        ["pspp", "-O", "format=txt", "s.sps"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    said = run.stdout + run.stderr
    assert run.returncode == 0, said
    assert "warning" not in said.lower()
    assert "error" not in said.lower()
    for part in ("weight_of_person", "Third line.", "$codes", "Partition", "výška"):
        assert part in said, part
    back = read_spss(tmp_path / "back.sav")
    same_cells(back.frame, everything.frame)
    for column, variable in everything.codebook.variables.items():
        other = back.variable(column)
        assert other.missing == variable.missing
        assert other.values == variable.values
        assert (other.role, other.width, other.label) == (
            variable.role,
            variable.width,
            variable.label,
        )
        assert other.attributes == variable.attributes
    assert back.codebook.sets == everything.codebook.sets
    assert back.weight == everything.weight
