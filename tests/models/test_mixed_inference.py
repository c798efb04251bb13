"""Inference about a linear mixed model through its public face, against R."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recovery_stats.errors import UsageError
from recovery_stats.models.mixed import lmm
from tests.tolerance import CONVERGED, SPLINE

HERE = Path(__file__).parent
R = json.loads((HERE / "mixed_inference.json").read_text())
DATA = pd.DataFrame(json.loads((HERE / "mixed.json").read_text())["data"])


def in_ours(term: str) -> str:
    """`cor_wave.(Intercept)|person` is our `cor(Intercept,wave|person)`."""
    found = re.fullmatch(r"(sd|cor)_(.*)\|(.*)", term.replace("(Intercept)", "Intercept"))
    if not found:
        return term.replace("(Intercept)", "Intercept")
    effects = ",".join(reversed(found[2].split(".")))
    return f"{found[1]}({effects}|{found[3]})"


@pytest.mark.parametrize("theirs", R["profile"], ids=lambda t: t["formula"])
def test_profile_limits_are_those_of_lme4(theirs: dict[str, list[float]]) -> None:
    fit = lmm(str(theirs["formula"]), DATA)
    ours = fit.confint(method="profile").set_index("term")
    names = [in_ours(t) for t in theirs["term"]]  # type: ignore[arg-type]
    assert set(names) == set(ours.index)
    assert list(ours.columns) == ["estimate", "conf_low", "conf_high"]
    assert ours.loc[names, "conf_low"].to_numpy() == pytest.approx(theirs["low"], rel=SPLINE)
    assert ours.loc[names, "conf_high"].to_numpy() == pytest.approx(theirs["high"], rel=SPLINE)


def test_profile_of_a_reml_fit_is_that_of_ml() -> None:
    formula = "y ~ wave + (1 + wave | person)"
    reml, ml = (lmm(formula, DATA, reml=r).confint("profile", level=0.9) for r in (True, False))
    numbers = ["estimate", "conf_low", "conf_high"]
    assert np.allclose(reml[numbers], ml[numbers], rtol=CONVERGED, atol=0)


def test_likelihood_and_robust_errors_do_not_mix() -> None:
    fit = lmm("y ~ wave + (1 | person)", DATA, cluster="house")
    with pytest.raises(UsageError, match="leave out cluster"):
        fit.confint("profile")
