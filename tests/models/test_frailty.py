"""Frailty terms from a formula: published facts, names, tables, and refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.errors import UsageError
from recovery_stats.models.survival import FrailtyFit
from tests.tolerance import CONVERGED, EXACT, PRINTED_6

STORED = json.loads(
    (Path(__file__).parents[1] / "engines" / "frailty.json").read_text(encoding="utf-8")
)
KIDNEY = "Surv(time, status) ~ age + sex + frailty(id)"


def kidney() -> pd.DataFrame:
    """McGilchrist & Aisbett 1991: times to infection at the catheter, two a patient."""
    return pd.DataFrame(STORED["kidney"]["data"]).assign(id=STORED["kidney"]["group"])


def fit(formula: str = KIDNEY, **options: Any) -> FrailtyFit:
    found = rs.cox(formula, kidney(), **options)
    assert isinstance(found, FrailtyFit)
    return found


def test_variances_of_litters_and_patients() -> None:
    rats = pd.DataFrame(STORED["rats"]["data"]).assign(litter=STORED["rats"]["group"])
    litters = rs.cox("Surv(time, status) ~ rx + frailty(litter)", rats)
    assert isinstance(litters, FrailtyFit)
    assert litters.beta[0] == pytest.approx(0.914336, abs=PRINTED_6)
    assert litters.theta == pytest.approx(0.499044, abs=2 * PRINTED_6)
    assert fit().theta == pytest.approx(0.407770, abs=PRINTED_6)


def test_tables_and_names() -> None:
    found = fit()
    assert found.terms == ("age", "sex")
    assert list(found.tidy()["term"]) == ["age", "sex"]
    row = found.glance().iloc[0]
    assert row["n_groups"] == 38
    assert row["aic"] == pytest.approx(6 - 2 * row["log_likelihood"])
    without = rs.cox("Surv(time, status) ~ age + sex", kidney()).glance().iloc[0]
    gain = 2 * (row["log_likelihood"] - without["log_likelihood"])
    assert row["frailty_lr"] == pytest.approx(gain, rel=CONVERGED)
    alone = fit("Surv(time, status) ~ 1 + frailty(id)")
    gain = 2 * (row["log_likelihood"] - alone.glance()["log_likelihood"][0])
    assert row["lr_statistic"] == pytest.approx(gain, rel=CONVERGED)
    components = found.variance_components()
    assert components["variance"][0] == found.theta
    assert components["conf_low"][0] < found.theta < components["conf_high"][0]
    effects = found.random_effects()
    assert list(effects) == ["group", "level", "term", "estimate", "std_error"]
    assert np.exp(effects["estimate"]).mean() == pytest.approx(1, rel=CONVERGED)
    assert {c.name: c.verdict for c in found.checks()}["frailty"] == "ok"
    assert "frailty of id" in repr(found)
    assert "gamma frailty of id" in found.estimate({"sex": 1.0}, name="s", label="s").method


def test_term_tests_refit_with_the_frailty() -> None:
    found = fit()
    table = found.anova(2).set_index("term")
    smaller = fit("Surv(time, status) ~ age + frailty(id)").glance()["log_likelihood"][0]
    gain = 2 * (found.glance()["log_likelihood"][0] - smaller)
    assert table.loc["sex", "statistic"] == pytest.approx(gain, rel=CONVERGED)
    wald = found.anova().set_index("term").loc["sex", "statistic"]
    assert wald == pytest.approx(found.tidy()["statistic"][1] ** 2, rel=EXACT)


def test_log_normal_by_any_of_its_names() -> None:
    formula = "Surv(time, status) ~ age + sex + frailty(id, distribution='{}')"
    found = [fit(formula.format(name)).theta for name in ("lognormal", "log-normal", "gaussian")]
    assert found == pytest.approx([found[0]] * 3, rel=EXACT)
    assert found[0] != pytest.approx(fit().theta, rel=0.01)


def test_rows_of_weight_0_leave_their_group() -> None:
    data = kidney().assign(w=1.0)
    data.loc[data["id"] == 7, "w"] = 0.0
    weighted = rs.cox(KIDNEY, data, weights="w")
    assert isinstance(weighted, FrailtyFit)
    assert "7" not in weighted.grouping.levels
    fewer = rs.cox(KIDNEY, data[data["w"] > 0])
    np.testing.assert_allclose(weighted.beta, fewer.beta, rtol=CONVERGED)


@pytest.mark.parametrize(
    ("formula", "options", "words"),
    [
        (KIDNEY, {"cluster": "id"}, "choose one"),
        (KIDNEY, {"weights": "half"}, "count rows only"),
        (KIDNEY.replace("(id)", "(id, distribution='gama')"), {}, "Did you mean 'gamma'"),
    ],
)
def test_what_is_refused(formula: str, options: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        rs.cox(formula, kidney().assign(half=0.5), **options)  # type: ignore[arg-type]


def houses() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    n = 480
    site, house = np.arange(n) // 60, np.arange(n) // 15 % 4
    omega = rng.normal(0, 0.6, 8)[site] + rng.normal(0, 0.5, 32)[np.arange(n) // 15]
    x = rng.normal(size=n)
    days = np.ceil(100 * rng.exponential(np.exp(-0.5 * x - omega)))
    return pd.DataFrame({"days": days, "relapse": 1, "x": x, "site": site, "house": house})


def test_houses_within_sites() -> None:
    d = houses()
    fit = rs.cox("Surv(days, relapse) ~ x + frailty(site/house)", d)
    parts = fit.variance_components()  # type: ignore[attr-defined]
    assert parts["group"].tolist() == ["site", "site:house"]
    assert (parts["conf_low"] < parts["variance"]).all()
    effects = fit.random_effects()  # type: ignore[attr-defined]
    assert effects.groupby("group").size().to_dict() == {"site": 8, "site:house": 32}
    row = fit.glance().iloc[0]
    alone = rs.cox('Surv(days, relapse) ~ x + frailty(site, distribution="lognormal")', d)
    gain = 2 * (row["log_likelihood"] - alone.glance()["log_likelihood"][0])
    assert row["inner_lr"] == pytest.approx(gain, rel=1e-6)
    assert row["n_groups"] == 32
    assert "log-normal frailties of site and site:house" in fit.method
    assert sum(c.name == "frailty" for c in fit.checks()) == 2
    assert "variances: site" in repr(fit)
    assert fit.anova(2)["statistic"][0] == pytest.approx(row["lr_statistic"], rel=1e-6)


def test_reml_by_name() -> None:
    d = houses()
    text = 'Surv(days, relapse) ~ x + frailty(site, distribution="lognormal", method="{}")'
    ml, reml = (rs.cox(text.format(m), d) for m in ("ml", "reml"))
    assert reml.theta != ml.theta  # type: ignore[attr-defined]
    assert "(REML)" in reml.method
    for wrong, words in (
        ('frailty(site, method="reml")', "log-normal kind"),
        ('frailty(site/house, distribution="gamma")', "log-normal kind"),
        ('frailty(site/house, method="reml")', "log-normal kind|maximum likelihood"),
        ('frailty(site, distribution="lognormal", method="em")', "way to estimate"),
    ):
        with pytest.raises(UsageError, match=words):
            rs.cox(f"Surv(days, relapse) ~ x + {wrong}", d)
