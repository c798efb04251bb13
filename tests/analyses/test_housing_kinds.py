"""Outcomes by their kind, secondary outcomes together, cost against benefit."""

import numpy as np
import pytest

from recovery_stats import analyses
from recovery_stats.core.document import Heading
from recovery_stats.errors import DataError, UsageError
from recovery_stats.report.compose import compose
from tests.analyses.test_collaborative_housing import ask, study
from tests.tolerance import CLOSED_FORM

arm_of = (np.arange(240) % 24 < 12).astype(float)
PLAIN = {"adjust": (), "sensitivity": False}


def draw(seed=1):
    """A trial of 240 people with outcomes of every kind."""
    rng = np.random.default_rng(seed)
    return study(
        visits=rng.negative_binomial(2, 0.3 + 0.2 * arm_of) * 1.0,
        days=rng.binomial(30, 0.3 + 0.1 * arm_of) * 1.0,
        seen=np.full(240, 30.0),
        money=rng.gamma(0.8, 1000 + 300 * arm_of),
        months=rng.uniform(0, 4, 240) + arm_of,
    )


def named(result):
    return {e.name: e for e in result.estimates}


def headings(result):
    analysis = analyses.get("collaborative_housing")
    return [
        b.text for b in compose(result, analysis.title, analysis.template).blocks
        if isinstance(b, Heading)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("column", "kind", "more"),
    [("visits", "count", {}), ("days", "days", {"out_of": 30.0}), ("money", "money", {})],
)
def test_without_covariates_the_ratio_is_that_of_the_means(column, kind, more):
    data = draw()
    found = named(ask(data, outcome=column, outcome_kind=kind, **PLAIN, **more))
    y = data["persons"].frame[column].to_numpy()
    compared, usual = y[arm_of == 1].mean(), y[arm_of == 0].mean()
    assert found[f"{kind}_mean_ratio"].value == pytest.approx(compared / usual, rel=CLOSED_FORM)
    assert found[f"{kind}_mean_difference"].value == pytest.approx(compared - usual, rel=1e-8)
    primary = [e for e in found.values() if e.level == "primary"]
    assert [e.name for e in primary] == ["mean_difference"]


def test_the_error_of_a_ratio_of_rates_follows_from_the_variances_of_the_arms():
    """HC2 of two means: log ratio's variance is the sum of s2 / (n m2) of the arms."""
    data = draw()
    e = named(ask(data, outcome="visits", outcome_kind="count", cluster=None, **PLAIN))
    y = data["persons"].frame["visits"].to_numpy()
    parts = [y[arm_of == a].var(ddof=1) / (120 * y[arm_of == a].mean() ** 2) for a in (0, 1)]
    assert e["count_mean_ratio"].se == pytest.approx(np.sqrt(sum(parts)), rel=1e-6)


def test_days_out_of_a_column_are_the_same_as_out_of_a_number():
    data = draw()
    one = named(ask(data, outcome="days", outcome_kind="days", out_of=30.0))
    own = named(ask(data, outcome="days", outcome_kind="days", trials="seen"))
    for name in ("mean_difference", "days_mean_difference"):
        assert own[name].value * 30 == pytest.approx(one[name].value, rel=1e-9)
        assert own[name].se * 30 == pytest.approx(one[name].se, rel=1e-9)
    assert own["days_mean_ratio"].high == pytest.approx(one["days_mean_ratio"].high, rel=1e-9)


def test_the_beta_binomial_stands_beside_the_fractional_model():
    """Drawn without house effects as 0.3 and 0.4: an odds ratio of 1.56, within or across."""
    e = named(ask(draw(), outcome="days", outcome_kind="days", out_of=30.0))["days_odds_ratio"]
    truth = (0.4 / 0.6) / (0.3 / 0.7)
    assert abs(np.log(e.value / truth)) < 3 * e.se
    assert e.low < truth < e.high
    own = named(ask(draw(), outcome="days", outcome_kind="days", trials="seen"))
    assert "days_odds_ratio" not in own


def test_money_has_the_bootstrap_beside_the_gamma_model():
    result = ask(draw(), outcome="money", outcome_kind="money")
    found = named(result)
    boot = found["money_mean_difference_bootstrap"]
    assert boot.value == pytest.approx(found["mean_difference"].value, rel=1e-8)
    assert 0.6 < boot.se / found["mean_difference"].se < 1.4
    assert {"zeros", "error of the bootstrap"} <= {c.name for c in result.checks}


def test_what_a_kind_cannot_be_is_refused():
    with pytest.raises(UsageError, match="out_of"):
        ask(draw(), outcome="days", outcome_kind="days")
    with pytest.raises(DataError, match="whole numbers"):
        ask(draw(), outcome="money", outcome_kind="count")
    with pytest.raises(DataError, match="outside 0 to 7"):
        ask(draw(), outcome="days", outcome_kind="days", out_of=7.0)
    with pytest.raises(DataError, match="two levels"):
        ask(draw(), outcome="money", outcome_kind="yes-no")


def test_secondary_outcomes_are_one_family():
    result = ask(draw(), outcome="used", secondary=("income", "visits", "money"))
    p = [named(result)[f"secondary[{c}]"].p for c in ("income", "visits", "money")]
    printed = [row.cells[3].value for row in result.tables["secondary_outcomes"].rows]
    order = np.argsort(p)
    expected, highest = np.empty(3), 0.0
    for step, at in enumerate(order):
        highest = expected[at] = max(highest, min(1.0, (3 - step) * p[at]))
    assert printed == pytest.approx(expected.tolist())
    assert "Declared beforehand" in headings(result)
    with pytest.raises(UsageError, match="one place"):
        ask(draw(), outcome="used", secondary=("used",))


def test_cost_against_benefit():
    data = draw()
    result = ask(data, outcome="used", cost="money", benefit="months", willingness=1500.0)
    found, frame = named(result), data["persons"].frame
    cost, benefit = (
        frame[c][arm_of == 1].mean() - frame[c][arm_of == 0].mean() for c in ("money", "months")
    )
    for times in (0.0, 0.5, 1.0, 2.0):
        net = found[f"net_benefit[{times:g}]"]
        assert net.value == pytest.approx(times * 1500 * benefit - cost)
        assert net.low < net.value < net.high
    curve = result.figures["acceptability"].series[0]
    assert (curve.x[0], curve.x[-1], len(curve.x)) == (0.0, 3000.0, 41)
    points = [row.cells[1].value for row in result.tables["acceptability_points"].rows]
    assert points == list(curve.y[::5])
    corners = [row.cells[0].value for row in result.tables["cost_corners"].rows]
    assert sum(corners) == pytest.approx(1.0)
    assert "Cost and benefit" in headings(result)


def test_cost_needs_its_benefit_and_the_worth_of_a_unit():
    with pytest.raises(UsageError, match="go together"):
        ask(draw(), outcome="used", cost="money")
