"""What a housing study declares beyond its primary difference, and nothing that it did not."""

import numpy as np
import pytest

from recovery_stats import analyses
from recovery_stats.analyses.collaborative_housing import Question, answer
from recovery_stats.core.document import Heading
from recovery_stats.errors import UsageError
from recovery_stats.models.evidence import bayes_factor
from recovery_stats.report.compose import compose
from tests.analyses.test_collaborative_housing import study

ASKED = {"person": "pid", "arm": "arm", "cluster": "house", "adjust": ("sev",)}


def test_nothing_undeclared_is_told():
    found = answer(Question(outcome="used", **ASKED), study())
    assert not {"subgroups", "equivalence", "bayes"} & set(found.tables)
    assert "declared" not in found.said


def test_subgroups_margin_and_bayes():
    rng = np.random.default_rng(1)
    data = study(sex=np.where(rng.random(240) < 0.5, "man", "woman"), ace=rng.poisson(3, 240) * 1.0)
    found = answer(
        Question(
            outcome="income", subgroup=("sex", "ace"), margin=500.0,
            margin_reason="what a room costs", expected=100.0, better="higher", **ASKED,
        ),
        data,
    )  # fmt: skip
    named = {e.name: e for e in found.estimates}
    assert {"subgroup[sex,0]", "subgroup[sex,1]", "subgroup[ace,2]"} <= set(named)
    assert {"subgroups", "interactions", "equivalence", "bayes"} <= set(found.tables)
    # the effects of both sexes straddle that of all
    ends = sorted(named[f"subgroup[sex,{i}]"].value for i in (0, 1))
    assert ends[0] - 1 <= named["mean_difference"].value <= ends[1] + 1
    verdict = {r.key: r.cells[0] for r in found.tables["equivalence"].rows}["verdict"]
    assert str(verdict).startswith("Shown")
    printed = [r.cells[1].value for r in found.tables["bayes"].rows]
    assert printed == bayes_factor(named["mean_difference"], 100.0)["bf10"].tolist()
    analysis = analyses.get("collaborative_housing")
    page = compose(found, analysis.title, analysis.template)
    headings = [b.text for b in page.blocks if isinstance(b, Heading)]
    assert "Declared beforehand" in headings


def test_a_margin_needs_its_reason():
    with pytest.raises(UsageError, match="reason"):
        answer(Question(outcome="income", margin=100.0, **ASKED), study())
