"""The missing-data panel of a report on arms: earlier visits, and people who left a trial."""

import numpy as np
import pytest

from recovery_stats.analyses import _missing_panel
from recovery_stats.errors import ConvergenceError, UsageError
from recovery_stats.models import missing_imputed, missing_reference
from recovery_stats.report import render
from tests.analyses.test_collaborative_housing import ask, names, study, words

EARLIER = ("three", "six")
SITES = {"cluster": "site", "outcome": "income", "earlier": EARLIER}


def trial(n=240, seed=6, lost=0.3):
    """Income at three visits; people leave after the first or the second for good."""
    rng = np.random.default_rng(seed)
    base = study(n)["persons"].frame
    three = base["income"].to_numpy() + rng.normal(0, 100, n)
    six = 0.5 * three + 500 + rng.normal(0, 100, n)
    gone = rng.random(n)
    return study(
        n, site=np.arange(n) % 5 + 1.0, three=three, six=np.where(gone < lost / 2, np.nan, six),
        income=np.where(gone < lost, np.nan, 0.5 * six + 500 + rng.normal(0, 100, n)),
    )  # fmt: skip


def rows(result):
    return {r.key: r for r in result.tables["missing_panel"].rows}


def page(result):
    return render(words(result), "md").decode()


@pytest.fixture(scope="module")
def drawn():
    return ask(trial(), design="randomised", **SITES)


def test_a_trial_tells_what_became_of_people_who_left(drawn):
    own = [n for n in names(drawn) if n.split("[")[-1].startswith(("j2r", "cr_", "cir"))]
    assert len(own) == 6
    assert "missing[j2r_rubin]" in rows(drawn)
    assert "J2R, Rubin’s (information-anchored)" in page(drawn).replace("'", "’")
    assert "Jump to reference: who left the compared arm" in page(drawn)
    assert "takes the assumption for knowledge" in page(drawn)


def test_earlier_visits_bring_the_mixed_model_and_the_last_value(drawn):
    assert {"missing[repeated]", "missing[carried]"} <= set(names(drawn))
    plain = ask(trial(), design="randomised", **SITES | {"earlier": ()})
    assert not {"missing[repeated]", "missing[carried]"} & set(names(plain))
    assert [n for n in names(plain) if "cir_" in n] == []


@pytest.mark.parametrize(
    ("design", "cluster", "why"),
    [
        ("chosen", "site", "not drawn into the arms"),
        ("houses-randomised", "house", "not drawn into the arms one by one"),
    ],
)
def test_elsewhere_the_panel_says_why_not(design, cluster, why):
    result = ask(trial(), design=design, **SITES | {"cluster": cluster})
    row = rows(result)["none[Jump to reference, copy reference]"]
    assert row.cells[0] == "does not apply"
    assert why in row.cells[2]


def test_an_earlier_visit_is_no_covariate():
    with pytest.raises(UsageError, match="'six' is an earlier visit"):
        ask(trial(), design="randomised", **SITES | {"adjust": ("six",)})


def fails(*_, **__):
    raise ConvergenceError("The chains did not settle.")


def test_rows_whose_fit_fails_stand_in_the_report(monkeypatch):
    monkeypatch.setattr(missing_imputed, "impute", fails)
    monkeypatch.setattr(missing_reference, "answers", fails)
    result = ask(trial(), design="randomised", **SITES)
    told = {r.label: r.cells for r in result.tables["missing_panel"].rows}
    for label in ("Multiple imputation", "J2R, bootstrap (repeated sampling)"):
        assert told[label] == ("not estimable", None, "The chains did not settle.")
    assert not [n for n in names(result) if "imputed" in n or "j2r" in n]
    assert "not estimable" in page(result)


def test_a_screens_row_that_is_not_estimable_stands_in_the_report():
    """Nobody of the usual arm attended a screen: what they would have shown can only be assumed."""
    data = study()
    arm = data["persons"].frame["arm"].to_numpy()
    sent = np.where(arm == 1, np.arange(240) % 6, 0.0)
    counts = {"good": np.floor(sent / 2), "sent": sent, "due": np.full(240, 8.0)}
    asked = study(**counts, share=counts["good"] / 8)
    result = ask(asked, outcome="share", screens=("good", "sent", "due"))
    told = {r.label: r.cells for r in result.tables["screens_panel"].rows}
    why = "The model has no answer on these data."
    assert told["Attended screens only"] == ("not estimable", None, why)
    assert "screens[positive]" in names(result)
    assert "screens[observed]" not in [r.name for r in result.figures["screens_forest"].rows]
    assert why in page(result)


def test_a_panel_that_cannot_be_made_is_told_among_the_checks(monkeypatch):
    monkeypatch.setattr(_missing_panel, "panel", fails)
    assert "The chains did not settle." in page(ask(trial(), design="randomised", **SITES))
