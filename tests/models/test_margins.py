"""Adjusted means, comparisons and slopes against emmeans, with both kinds of df."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from recovery_stats.errors import UsageError
from recovery_stats.models.mixed import MixedFit, lmm
from recovery_stats.models.multiplicity import Family, critical_values, p_values
from tests.tolerance import R_DIGITS, WHOLE_DF

HERE = Path(__file__).parent
FROM_R = json.loads((HERE / "margins.json").read_text())
DATA = pd.DataFrame(json.loads((HERE / "mixed.json").read_text())["data"]).assign(
    site=FROM_R["site"]
)
FORMULA = "y ~ wave * arm * site + x + (1 + wave | person)"
KINDS = ("satterthwaite", "kenward-roger")
FITS = {df: lmm(FORMULA, DATA, df=df) for df in KINDS}  # type: ignore[arg-type]
COLUMNS = {
    "SE": "std_error", "df": "df", "p.value": "p_value", "lower.CL": "conf_low",
    "upper.CL": "conf_high",
}  # fmt: skip


def assert_agrees(
    ours: pd.DataFrame, theirs: dict[str, Any], value: str = "estimate", tol: float = R_DIGITS
) -> None:
    """Every column of emmeans' table, rows in the same order."""
    for name, column in {value: "estimate", **COLUMNS}.items():
        expected = np.array(theirs[name], dtype=float)
        loose = R_DIGITS if name in (value, "SE", "df") else tol
        floor = 1e-8 if name in (value, "SE", "df") else max(1e-8, tol)
        got = ours[column].to_numpy()
        assert got == pytest.approx(expected, rel=loose, abs=floor), name


def in_their_order(ours: pd.DataFrame, theirs: dict[str, Any], *keys: str) -> pd.DataFrame:
    return ours.set_index(list(keys)).loc[list(zip(*(theirs[k] for k in keys), strict=True))]


@pytest.mark.parametrize("df", KINDS)
def test_means_cells_and_slopes(df: str) -> None:
    fit, theirs = FITS[df], FROM_R[df]
    assert_agrees(fit.margins("arm"), theirs["means"], "emmean")
    cells = in_their_order(fit.margins(["arm", "site"]), theirs["cells"], "arm", "site")
    assert_agrees(cells, theirs["cells"], "emmean")
    at = fit.margins("arm", at={"wave": [0, 3], "site": "south"})
    assert_agrees(in_their_order(at, theirs["at"], "arm", "wave"), theirs["at"], "emmean")
    slopes = in_their_order(fit.slopes("wave", by=["arm", "site"]), theirs["trends"], "arm", "site")
    assert_agrees(slopes, theirs["trends"], "wave.trend")


@pytest.mark.parametrize("df", KINDS)
def test_means_weighted_by_how_often_levels_occur(df: str) -> None:
    fit = lmm("y ~ wave + arm + site + x + (1 | person)", DATA, df=df)  # type: ignore[arg-type]
    found = fit.margins("arm", weights="proportional")
    assert_agrees(found, FROM_R[df]["proportional"], "emmean")
    assert not np.allclose(found.estimate, fit.margins("arm").estimate)


@pytest.mark.parametrize("df", KINDS)
@pytest.mark.parametrize(
    ("adjust", "tol"),
    [("none", R_DIGITS), ("holm", R_DIGITS), ("bonferroni", R_DIGITS), ("sidak", R_DIGITS),
     ("tukey", R_DIGITS), ("mvt", WHOLE_DF)],
)  # fmt: skip
def test_pairs_with_every_adjustment(df: str, adjust: str, tol: float) -> None:
    found = FITS[df].pairwise("arm", adjust=adjust)
    assert list(found.contrast) == FROM_R[df][adjust]["contrast"]
    assert_agrees(found, FROM_R[df][adjust], tol=tol)


@pytest.mark.parametrize("df", KINDS)
def test_against_a_control_and_within_levels(df: str) -> None:
    fit, theirs = FITS[df], FROM_R[df]
    control = fit.pairwise("arm", adjust="dunnett", reference="usual")
    assert list(control.contrast) == theirs["dunnett"]["contrast"]
    assert_agrees(control, theirs["dunnett"], tol=WHOLE_DF)
    inside = fit.pairwise("arm", within="site", adjust="tukey")
    assert list(inside.site) == theirs["within"]["site"]
    assert list(inside.contrast) == theirs["within"]["contrast"]
    assert_agrees(inside, theirs["within"])
    slopes = fit.pairwise("arm", of="wave", adjust="tukey")
    assert_agrees(slopes, theirs["trend_pairs"])


@pytest.mark.parametrize("df", KINDS)
def test_pairs_of_all_cells(df: str) -> None:
    theirs = pd.DataFrame(FROM_R[df]["interaction"]).set_index("contrast")
    found = FITS[df].pairwise(["arm", "site"], adjust="tukey").set_index("contrast")
    assert len(found) == len(theirs) == 15
    for name, row in found.iterrows():
        turned = " - ".join(reversed(str(name).split(" - ")))
        sign, other = (1.0, name) if name in theirs.index else (-1.0, turned)
        assert row.estimate == pytest.approx(sign * theirs.estimate[other], rel=R_DIGITS, abs=1e-8)
        assert row.p_value == pytest.approx(theirs["p.value"][other], rel=R_DIGITS, abs=1e-8)


def test_one_comparison_needs_no_adjustment() -> None:
    plain = FITS["satterthwaite"].pairwise("site", adjust="none").drop(columns="contrast")
    for adjust in ("holm", "bonferroni", "sidak", "dunnett", "mvt"):
        found = FITS["satterthwaite"].pairwise("site", adjust=adjust, reference="north")
        assert np.abs(found[["estimate"]]).to_numpy() == pytest.approx(
            np.abs(plain[["estimate"]]).to_numpy()
        )
        assert found.p_value[0] == pytest.approx(plain.p_value[0], rel=1e-9), adjust
        width = found.conf_high - found.conf_low
        assert width[0] == pytest.approx((plain.conf_high - plain.conf_low)[0], rel=1e-9)


def test_tukey_of_two_means_is_the_t_test() -> None:
    found = FITS["satterthwaite"].pairwise("site", adjust="tukey")
    plain = FITS["satterthwaite"].pairwise("site", adjust="none")
    assert found.p_value[0] == pytest.approx(plain.p_value[0], rel=R_DIGITS)


def test_limits_and_p_values_say_the_same() -> None:
    """Where p is 0.05 the limit is zero, whatever the adjustment."""
    family = Family(np.full((3, 3), 0.5) + 0.5 * np.eye(3), 3)
    df = np.array([11.3, 11.3, 11.3])
    for adjust in ("bonferroni", "sidak", "tukey", "dunnett", "mvt"):
        edge = critical_values(df, 0.95, adjust, family)
        assert p_values(edge, df, adjust, family) == pytest.approx(np.full(3, 0.05), abs=1e-6)


def test_a_contrast_of_coefficients_can_be_adjusted() -> None:
    fit: MixedFit = FITS["satterthwaite"]
    asked = {"x": {"x": 1.0}, "wave": {"wave": 1.0}}
    plain, joint = fit.contrast(asked), fit.contrast(asked, adjust="mvt")
    assert (joint.p_value >= plain.p_value).all()
    assert (joint.conf_low < plain.conf_low).all()
    assert (joint.p_value <= fit.contrast(asked, adjust="bonferroni").p_value + 1e-5).all()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"by": "arm", "adjust": "tuckey"}, "Did you mean 'tukey'"),
        ({"by": "arm", "adjust": "tukey", "reference": "usual"}, "use 'dunnett'"),
        ({"by": "arm", "reference": "usul"}, "Did you mean 'usual'"),
        ({"by": "arn"}, "Did you mean 'arm'"),
        ({"by": "arm", "at": {"site": "nort"}}, "Did you mean 'north'"),
        ({"by": "x"}, "two levels or more"),
        ({"by": "arm", "weights": "equl"}, "Did you mean 'equal'"),
        ({"by": "arm", "of": "wav"}, "Did you mean 'wave'"),
    ],
)
def test_what_cannot_be_compared_is_refused(asked: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        FITS["satterthwaite"].pairwise(**asked)
