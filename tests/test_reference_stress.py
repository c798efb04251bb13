"""Numbers under stress: the same answer from rows in another order, other names, units, threads.

The whole catalogue: `python scripts/stress.py ../shared/reference`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.cli.selftest.question import table
from tests.tolerance import CLOSED_FORM, CONVERGED

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
try:
    import stress
finally:
    sys.path.remove(str(ROOT / "scripts"))

FOLDER = ROOT.parent / "shared" / "reference"
CASES = {path.stem: path for path in sorted(FOLDER.glob("*.json"))}
# These take a second or more; the script has them.
SLOW = ("lmm_sleep_rs_ml_profile", "lmm_scale", "lmm_carrots", "lmm_sleep_uncorr", "anova_nonparam")
QUICK = [name for name in CASES if not name.startswith(SLOW)]


@pytest.mark.parametrize("how", stress.WAYS)
@pytest.mark.parametrize("name", QUICK)
def test_nothing_moves(name: str, how: str) -> None:
    found = stress.moved(CASES[name], how)
    if found is None:
        pytest.skip("does not apply to this case")
    assert [f"{m.key}: {m.before} then {m.after}" for m in found] == []


@pytest.mark.skipif(not CASES, reason="the reference cases are not beside the project")
def test_what_must_move_is_seen_to_move() -> None:
    """A changed outcome is noticed: the comparison can fail."""
    path = CASES["cox_lung_strata"]

    def shifted(raw: dict[str, Any], path: Path) -> stress.Values:
        frame = stress._table(raw, path)
        frame.loc[:9, "age"] = "70"
        return stress._again(raw, frame)

    stress.WAYS["shifted"] = shifted
    try:
        assert "beta[age]" in {m.key for m in stress.moved(path, "shifted") or []}
    finally:
        del stress.WAYS["shifted"]


# --- every row twice with half a weight ---------------------------------------------------------


def _first(found: pd.DataFrame) -> list[float]:
    return found[["estimate", "std_error"]].to_numpy(float).ravel().tolist()


FITS: dict[str, Callable[[pd.DataFrame, Any], pd.DataFrame]] = {
    "cox": lambda d, w: rs.cox(
        "Surv(days, cause == 1) ~ x + arm", d, ties="breslow", weights=w, cluster="id"
    ).tidy(),
    "aft": lambda d, w: rs.aft(
        "Surv(days, cause == 1) ~ x + arm", d, weights=w, cluster="id"
    ).tidy(),
    "glm": lambda d, w: rs.glm(
        "treated ~ x", d, family="binomial", weights=w, cluster="id"
    ).tidy(),
    "kaplan_meier": lambda d, w: rs.kaplan_meier(
        "Surv(days, cause == 1) ~ 1", d, weights=w, cluster="id"
    ).at([10, 30]),
    "compare_arms": lambda d, w: rs.compare_arms(
        d, "y", "arm", weights=w, cluster="id", reference="usual"
    ).tidy()[:1],
}  # fmt: skip


@pytest.mark.parametrize("name", FITS)
def test_every_row_twice_with_half_a_weight(name: str) -> None:
    """People are the clusters, so that the errors must stay too."""
    once = table("people").assign(w=1.0)
    twice = pd.concat([once, once], ignore_index=True).assign(w=0.5)
    np.testing.assert_allclose(
        _first(FITS[name](twice, "w")), _first(FITS[name](once, "w")), rtol=CONVERGED
    )


def test_curves_of_causes_with_every_row_twice() -> None:
    once = table("people").assign(w=1.0)
    twice = pd.concat([once, once], ignore_index=True).assign(w=0.5)
    found = [
        rs.cumulative_incidence("Surv(days, cause) ~ 1", d, weights="w").at([30])["estimate"]
        for d in (once, twice)
    ]
    np.testing.assert_allclose(*found, rtol=CLOSED_FORM)
