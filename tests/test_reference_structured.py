"""Cases with structured residuals in the words that R users would choose, against nlme."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.tolerance import INVARIANCE, R_DIGITS

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
from reference_case.answer import answer  # noqa: E402

FROM_R = json.loads((ROOT / "tests" / "models" / "mixed_residual.json").read_text())
GLS = {"type": "gls", "formula": "y ~ wave * arm + x", "REML": True}
WORDS: dict[str, tuple[str, dict[str, Any]]] = {
    "plain words": ("ar1", {"covariance": "AR(1) within person over wave"}),
    "R code": ("ar1", {"correlation": "corAR1(form = ~ wave | person)"}),
    "maximum likelihood": ("ar1ml", {"correlation": "corAR1(form = ~wave | person)",
                                     "REML": False}),
    "continuous": ("car1", {"covariance": "continuous AR(1) within person in time"}),
    "continuous in R": ("car1", {"correlation": "corCAR1(form = ~time | person)"}),
    "compound": ("cs", {"covariance": "compound symmetry within person"}),
    "by wave": ("csh", {"correlation": "corCompSymm(form = ~1 | person)",
                        "weights": "varIdent(form = ~ 1 | wave)"}),
    "heterogeneous": ("arh", {"covariance": "heterogeneous AR(1) within person over wave"}),
    "by arm": ("sex", {"covariance": "AR(1) within person over wave, variances by arm"}),
    "by arm in R": ("sex", {"correlation": "corAR1(form = ~wave | person)",
                            "weights": "varIdent(form = ~1 | arm)"}),
    "variances": ("het", {"weights": "varIdent(form = ~1 | arm)"}),
    "unstructured": ("us", {"type": "mmrm", "covariance": "unstructured within person by wave"}),
    "mmrm": ("us", {"type": "mmrm", "covariance": "us(wave | person)"}),
    "unstructured in R": ("us", {"correlation": "corSymm(form = ~index | person)",
                                 "weights": "varIdent(form = ~1 | wave)"}),
    "random intercept": ("both", {"type": "lme", "random": "~ 1 | person",
                                  "correlation": "corAR1(form = ~wave | person)"}),
    "random term": ("both", {"type": "lmm", "formula": "y ~ wave * arm + x + (1 | person)",
                             "correlation": "AR(1) within person over wave"}),
    "nested": ("above", {"type": "lme", "random": "~ 1 | site/person",
                         "weights": "varIdent(form = ~1 | arm)"}),
}  # fmt: skip
TERMS = ["(Intercept)", "wave", "armusual", "x", "wave:armusual"]


@pytest.mark.parametrize("name", WORDS)
def test_the_words_of_a_case(name: str, tmp_path: Path) -> None:
    which, model = WORDS[name]
    theirs = FROM_R[which]
    pd.DataFrame(FROM_R["data"]).to_csv(tmp_path / "case.csv", index=False)
    case = {
        "name": name, "topic": "mmrm", "data": "case.csv", "model": GLS | model,
        "factors": {"arm": ["house", "usual"]}, "values": {},
    }  # fmt: skip
    (tmp_path / "case.json").write_text(json.dumps(case))
    found = answer(tmp_path / "case.json")
    values = found.values
    assert values, found.note
    rough = R_DIGITS if "sd" in theirs else INVARIANCE
    assert values["loglik"] == pytest.approx(theirs["loglik"], abs=1e-6)
    assert values["sigma"] == pytest.approx(theirs["sigma"], rel=rough)
    for term, estimate, error in zip(TERMS, theirs["estimate"], theirs["std_error"], strict=True):
        assert values[f"beta[{term}]"] == pytest.approx(estimate, rel=rough)
        assert values[f"se[{term}]"] == pytest.approx(error, rel=rough)
    if which not in ("us", "het", "above", "csh"):
        assert "rho" in values
