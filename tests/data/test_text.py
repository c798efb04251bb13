"""CSV, Parquet and codebooks in TOML: strict reading, lossless writing."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recovery_stats.core.codebook import Codebook, MissingRule, Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.data import text
from recovery_stats.data.codebook_toml import from_toml, to_toml
from recovery_stats.data.sav import read_spss
from recovery_stats.data.table import read_table, write_table
from recovery_stats.data.text import read_csv, write_csv
from recovery_stats.errors import DataError, UsageError
from tests.data.conftest import same, same_cells, shared


def csv(tmp_path: Path, content: str | bytes, name: str = "t.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


# --- round trips -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz", "x.parquet"])
def test_everything_survives(everything: Dataset, tmp_path: Path, name: str) -> None:
    write_table(everything, tmp_path / name)
    same(everything, read_table(tmp_path / name))


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_a_real_file_survives(tmp_path: Path, name: str) -> None:
    first = read_spss(shared("data/ctn0094/ctn0094_person.sav"))
    write_table(first, tmp_path / name)
    same(first, read_table(tmp_path / name))


def test_bytes_are_the_same_every_time(everything: Dataset, tmp_path: Path) -> None:
    for name in ("x.csv.gz", "x.parquet"):
        write_table(everything, tmp_path / name)
        first = (tmp_path / name).read_bytes()
        write_table(everything, tmp_path / name)
        assert (tmp_path / name).read_bytes() == first


CELL = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=12)


@settings(max_examples=80, deadline=None)
@given(st.lists(CELL.map(lambda t: t.rstrip(" ")), min_size=1, max_size=5))
def test_any_text_survives(tmp_path_factory: pytest.TempPathFactory, cells: list[str]) -> None:
    path = tmp_path_factory.mktemp("h") / "x.csv"
    frame = pd.DataFrame(
        {"t": pd.Series([c or None for c in cells], dtype=object), "n": 1.0},
        index=pd.RangeIndex(len(cells)),
    )
    frame.index = pd.RangeIndex(1, len(cells) + 1)
    write_csv(Dataset(frame), path)
    same_cells(frame, read_csv(path).frame)


def test_no_cell_runs_in_a_spreadsheet(tmp_path: Path) -> None:
    cells = ["=1+1", "+x", "-5", "@A1", "\tx", "'=y", "plain"]
    frame = pd.DataFrame({"=HYPERLINK": [1.0] * 7, "t": cells}, index=pd.RangeIndex(1, 8))
    path = tmp_path / "x.csv"
    with pytest.raises(DataError, match="HYPERLINK"):
        write_table(Dataset(frame), tmp_path / "x.sav")
    write_csv(Dataset(frame), path)
    for line in path.read_text().splitlines():
        for cell in line.split(","):
            assert not cell.lstrip('"').startswith(("=", "+", "-", "@", "\t"))
    assert read_csv(path).frame["t"].tolist() == cells
    assert next(iter(read_csv(path).frame)) == "=HYPERLINK"


# --- what is understood ------------------------------------------------------------------


def test_types(tmp_path: Path) -> None:
    read = read_csv(
        csv(
            tmp_path,
            "n,na,code,big,word,day,when,empty\n"
            "1,.,007,900000000000000001,nan,2020-01-01,2020-01-01 10:30,\n"
            "2.5,NA,7,900000000000000002,None,,2020-01-02T00:00:01.5,\n"
            "-3e2,1,12,,NA,2021-05-06,,\n",
        )
    ).frame
    assert read["n"].tolist() == [1.0, 2.5, -300.0]
    assert read["na"].isna().tolist() == [True, True, False]
    assert read["code"].tolist() == ["007", "7", "12"]
    assert read["big"].tolist() == ["900000000000000001", "900000000000000002", None]
    assert read["word"].tolist() == ["nan", "None", "NA"]
    assert read["day"].iloc[2] == pd.Timestamp("2021-05-06")
    assert read["when"].iloc[1].microsecond == 500_000
    assert read["empty"].isna().all()
    assert read.index.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    "content",
    [
        "a,b\n1,x\n2,y\n",
        "\ufeffa,b\r\n1,x\r\n2,y\r\n\r\n",
        "a,b\r1,x\r2,y\r",
        "a;b\n1;x\n2;y\n",
        "a\tb\n1\tx\n2\ty\n",
        "a,b\n1,x\n2,y\n".encode("utf-16"),
        gzip.compress(b"a,b\n1,x\n2,y\n", mtime=0),
    ],
)
def test_one_table_in_many_forms(content: str | bytes, tmp_path: Path) -> None:
    packed = isinstance(content, bytes) and content[:2] == b"\x1f\x8b"
    read = read_csv(csv(tmp_path, content, "t.csv.gz" if packed else "t.csv")).frame
    assert list(read) == ["a", "b"]
    assert read["a"].tolist() == [1.0, 2.0]
    assert read["b"].tolist() == ["x", "y"]


def test_decimal_comma_and_old_encoding(tmp_path: Path) -> None:
    read = read_csv(csv(tmp_path, "a;město\n1,5;Brno\n-2,25;Zlín\n".encode("cp1250")))
    assert read.frame["a"].tolist() == [1.5, -2.25]
    assert "cp1252" in read.codebook.documents[0]


def test_a_codebook_beside_the_file(tmp_path: Path) -> None:
    path = csv(tmp_path, "id,q\n01,1\n2,99\n3,-8\n")
    (tmp_path / "t.codebook.toml").write_text(
        'schema = 1\n[columns.id]\nkind = "string"\n[columns.q]\nlabel = "How often"\n'
        'missing = [99]\nmissing_range = [-inf, -1]\nunit = "a week"\n'
        '[columns.q.values]\n1 = "once"\n99 = "refused"\n-8 = "not asked"\n'
    )
    read = read_csv(path)
    assert read.frame["id"].tolist() == ["01", "2", "3"]
    assert read.variable("q").missing == MissingRule((99.0,), float("-inf"), -1.0)
    assert read.reasons("q") == {"refused": 1, "not asked": 1}
    assert read.variable("q").unit == "a week"


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("[columns.q", "not TOML"),
        ('[columns.q]\nlable = "x"', "'lable'.*Did you mean 'label'"),
        ('[columns.q]\nmeasure = "nominel"', "Did you mean 'nominal'"),
        ('[columns.q]\nmissing = ["x"]', 'kind = "string"'),
        ("[columns.q]\nmissing_range = [3, 1]", "lower first"),
        ("columns = 3", "wrong type"),
    ],
)
def test_codebooks_refused(toml: str, says: str, tmp_path: Path) -> None:
    path = csv(tmp_path, "q\n1\n")
    (tmp_path / "t.codebook.toml").write_text(toml)
    with pytest.raises(DataError, match=says):
        read_csv(path)


def test_codebook_is_equal_after_writing(everything: Dataset) -> None:
    odd = Variable('a "b"\x7f', "line\nbreak", {1.5: "x", -2.0: "\\"}, unit="days")
    book = everything.codebook.with_variables(odd)
    assert from_toml(to_toml(book), "x") == book
    assert from_toml(to_toml(Codebook()), "x") == Codebook()


# --- what is refused ---------------------------------------------------------------------

NUMBERS = "".join(f"{i},{i}\n" for i in range(1, 20))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "empty"),
        ("a,a\n1,2\n", "'a'.*Rename"),
        ("a,,c\n1,2,3\n", "column 2 has no name"),
        ("1,2\n3,4\n", "header not found"),
        ("Title\nprinted\n\na,b\n1,2\n3,4\n", "header not found.*skip_rows = 3"),
        ("a,b\n1,x\n2,\0\n", "row 2 holds a NUL"),
        ('a,b\n1,x\n2,"y\n3,z\n', "opens in row 2"),
        ('a,b\n1,"x"y\n', "opens in row 1"),
        ("a,b\n1,2\n3,4,5\n", "row 2 has 3 cells"),
        (f"a,b\n{NUMBERS}20,O\n", "'b'.*row 20"),
        (f"a,b\n{NUMBERS}Total,20\n", "'a'.*row 20"),
        (f"a,b\n{NUMBERS}20,1e999\n", "'b'.*row 20|three digits|too large"),
        (b"a,b\n1,\x81\x8d\n", "neither UTF-8"),
    ],
)
def test_refused(content: str | bytes, says: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=says) as caught:
        read_csv(csv(tmp_path, content))
    assert "t.csv" in str(caught.value)


def test_messages_hold_no_cell(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_csv(csv(tmp_path, f"a,b\n{NUMBERS}20,secret name\n"))
    assert "secret" not in str(caught.value)


def test_a_gzip_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "BOMB_FROM", 1 << 16)
    with pytest.raises(DataError, match="unpacks from"):
        read_csv(csv(tmp_path, gzip.compress(b"a\n" + b"1\n" * 10**6, mtime=0), "t.csv.gz"))
    with pytest.raises(DataError, match="cannot be unpacked"):
        read_csv(csv(tmp_path, gzip.compress(b"a\n" + b"1\n" * 999, mtime=0)[:-9], "u.csv.gz"))


def test_names_and_content_must_agree(tmp_path: Path) -> None:
    csv(tmp_path, "a\n1\n", "x.parquet")
    with pytest.raises(DataError, match="text"):
        read_table(tmp_path / "x.parquet")
    with pytest.raises(DataError, match="empty"):
        read_table(csv(tmp_path, ""))
    with pytest.raises(UsageError, match=r"\.xlsx"):
        write_table(Dataset(pd.DataFrame({"a": [1.0]})), tmp_path / "x.xlsx")


def test_unknown_columns(everything: Dataset, tmp_path: Path) -> None:
    for name in ("x.csv", "x.parquet"):
        write_table(everything, tmp_path / name)
        with pytest.raises(DataError, match="Did you mean 'housing'"):
            read_table(tmp_path / name, ["housng"])
        assert list(read_table(tmp_path / name, ["sex", "id"]).frame) == ["id", "sex"]


def test_parquet_of_others(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "i": [1, 2],
            "big": [2**60, 2**60 + 1],
            "flag": [True, False],
            "level": pd.Categorical(["a", "b"]),
            "day": pd.to_datetime(["2020-01-01", None]),
            "span": pd.to_timedelta(["25h", None]),
        }
    )
    frame.to_parquet(tmp_path / "x.parquet")
    read = read_table(tmp_path / "x.parquet").frame
    assert read["i"].dtype == np.float64
    assert read["big"].tolist() == [str(2**60), str(2**60 + 1)]
    assert read["flag"].tolist() == [1.0, 0.0]
    assert read["level"].tolist() == ["a", "b"]
    assert str(read["day"].dtype) == "datetime64[us]"
    assert read["span"].iloc[0] == 90_000.0
