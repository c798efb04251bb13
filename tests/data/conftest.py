"""Files made for the tests of reading and writing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recovery_stats.core.codebook import Codebook, MissingRule, MultipleResponse, Variable
from recovery_stats.core.dataset import Dataset

SHARED = Path(__file__).parents[3] / "shared"


def shared(place: str) -> Path:
    """A file of the folder beside the checkout; the test is skipped where it is absent."""
    path = SHARED / place
    if not path.exists():
        pytest.skip("the shared folder is not here")
    return path


def same(a: Dataset, b: Dataset) -> None:
    """Assert that two datasets hold the same cells, reasons and codebook."""
    same_cells(a.frame, b.frame)
    assert dict(a.codebook.variables) == dict(b.codebook.variables)
    assert (a.codebook.label, a.codebook.weight) == (b.codebook.label, b.codebook.weight)
    assert a.codebook.documents == b.codebook.documents
    assert dict(a.codebook.attributes) == dict(b.codebook.attributes)
    assert a.codebook.sets == b.codebook.sets
    assert set(a.missing) == set(b.missing)
    for column, codes in a.missing.items():
        pd.testing.assert_series_equal(codes, b.missing[column], check_names=False)


def same_cells(a: pd.DataFrame, b: pd.DataFrame) -> None:
    """Assert equal cells; pandas 3 has its own type of text, which counts as the same."""
    pd.testing.assert_frame_equal(_plain(a), _plain(b))


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    text = [c for c in frame if not pd.api.types.is_numeric_dtype(frame[c])]
    text = [c for c in text if frame[c].dtype.kind != "M"]
    plain = frame.astype(dict.fromkeys(text, object))
    return plain.assign(**{c: plain[c].where(plain[c].notna(), None) for c in text})


@pytest.fixture
def everything() -> Dataset:
    """One of each thing that SPSS keeps."""
    index = pd.RangeIndex(1, 5)
    long = "é" * 300
    frame = pd.DataFrame(
        {
            "id": [1.0, 2.0, 3.0, 4.0],
            "Meetings": [0.5, np.nan, np.nan, -151.0],
            "craving": [np.nan, np.nan, 7.0, np.nan],
            "start": pd.Series(
                ["2020-02-29T12:00:00.25", "1582-10-15", None, "9999-12-31"], dtype="str"
            ).to_numpy("datetime64[us]"),
            "travel": [100_000.5, -60.0, np.nan, 0.0],
            "sex": pd.array(["f", None, "m", None], dtype=object),
            "housing": pd.array(["house", None, "flat", "shared"], dtype=object),
            "note": pd.array([long, None, "x" * 255, "  indented"], dtype=object),
            "weight_of_person": [1.0, 0.5, 2.0, 1.25],
            "výška_postavy_v_cm": [180.0, 165.25, np.nan, 1e300],
        },
        index=index,
    )
    variables = [
        Variable("id", "Person", measure="nominal", spss_format="F8.0", alignment="right"),
        Variable(
            "Meetings",
            "Meetings a week",
            {0.0: "none", 97.0: "refused", 99.0: "not asked"},
            MissingRule((97.0, 98.0, 99.0)),
            "scale",
            spss_format="F8.2",
            columns=12,
            alignment="centre",
            role="target",
            attributes={"Source": ("diary",), "Notes": ("one", "it's two")},
        ),
        Variable(
            "craving",
            missing=MissingRule((-1.0,), 90.0, float("inf")),
            measure="ordinal",
            spss_format="F4.1",
            alignment="left",
            role="both",
        ),
        Variable(
            "start", kind="datetime", spss_format="DATETIME23.2", alignment="right", role="none"
        ),
        Variable(
            "travel", kind="time", spss_format="DTIME14.1", alignment="right", role="partition"
        ),
        Variable(
            "sex",
            "",
            {"f": "Female", "m": "Male"},
            MissingRule(("x",)),
            "nominal",
            "string",
            "A1",
            1,
            alignment="left",
            role="split",
        ),
        Variable(
            "housing",
            "Where they live",
            {"house": "Recovery house", "refused": "Refused to say"},
            MissingRule(("refused",)),
            "nominal",
            "string",
            "A12",
            12,
            alignment="left",
        ),
        Variable("note", kind="string", spss_format="A900", width=900, alignment="left"),
        Variable("weight_of_person", measure="scale", spss_format="F8.2", alignment="right"),
        Variable("výška_postavy_v_cm", spss_format="F8.2", alignment="right"),
    ]
    sets = (
        MultipleResponse("$any", "Any of them", ("Meetings", "craving"), "1"),
        MultipleResponse("$where", "", ("housing", "sex")),
        MultipleResponse("$codes", "Counted é", ("id", "craving"), "12", "counted"),
    )
    codebook = Codebook(
        {v.name: v for v in variables},
        "A file with everything",
        ("First line.", "", "Third line."),
        "weight_of_person",
        {"Project": ("recovery",), "Years": ("2020", "2021")},
        sets,
    )
    missing = {
        "Meetings": pd.Series([97.0, 99.0], index=[2, 3]),
        "craving": pd.Series([93.0, -1.0], index=[1, 4]),
        "start": pd.Series([1e15], index=[3]),
        "sex": pd.Series(["x"], index=[2], dtype=object),
        "housing": pd.Series(["refused"], index=[2], dtype=object),
    }
    return Dataset(frame, codebook, missing)
