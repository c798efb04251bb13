"""Houses that open during the study: a synthetic truth, what the report says, what it refuses."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from recovery_stats import analyses
from recovery_stats.analyses.collaborative_housing import Question, answer
from recovery_stats.core.codebook import Codebook, Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.result import Result
from recovery_stats.core.study import Protocol, Study, TableSpec
from recovery_stats.errors import DataError, NotEstimable, UsageError
from recovery_stats.models.staggered import difference_in_differences
from recovery_stats.report.compose import compose
from recovery_stats.report.markdown import render
from tests.tolerance import MONTE_CARLO_SES


def study(
    sites: int = 60,
    seed: int = 0,
    effect: float = -4.0,
    *,
    binary: bool = False,
    slope: float = 0.8,
    **columns: object,
) -> Study:
    """Ten people a site, six waves; houses open at wave 2, 3 or 4, or never.

    Days used fall with time, faster (by `slope`) in people of low severity, who live where houses
    open. The effect grows by half of itself each wave after the first.
    """
    r = np.random.default_rng(seed)
    opened = r.permutation(np.resize([np.nan, 2.0, 3.0, 4.0], sites))
    site = np.repeat(np.arange(sites), 10)
    n = site.size
    severity = r.normal(size=n) - 0.5 * np.isfinite(opened[site])
    persons = pd.DataFrame(
        {"pid": np.arange(1.0, n + 1), "site": site + 1.0, "severity": severity,
         "opened": opened[site]}
    ).assign(**columns)  # fmt: skip
    own, shared = r.normal(0, 3, n), r.normal(0, 0.8, (sites, 6))
    rows = []
    for t in range(6):
        since = t - opened[site]
        grown = np.where(since >= 0, effect * (1 + 0.5 * np.where(since >= 0, since, 0)), 0)
        used = 20 + own - 0.5 * t + slope * severity * t + shared[site, t] + grown
        used = used + r.normal(0, 3, n)
        if binary:
            used = (used > 18).astype(float)
        rows.append(pd.DataFrame({"pid": persons["pid"], "wave": float(t), "used": used}))
    waves = pd.concat(rows, ignore_index=True)
    told = {"used": Variable("used", "Days used", {0.0: "No", 1.0: "Yes"} if binary else {},
                             measure="nominal" if binary else "scale")}  # fmt: skip
    roles = {
        "persons": {"person": "pid", "site": "site", "opened": "opened"},
        "waves": {"person": "pid", "repeated_at": "wave", "repeated": "used"},
    }
    tables = {name: TableSpec(name, roles=found) for name, found in roles.items()}
    return Study(
        {"persons": Dataset(persons.set_axis(pd.RangeIndex(1, n + 1))),
         "waves": Dataset(waves.set_axis(pd.RangeIndex(1, 6 * n + 1)), Codebook(told))},
        Protocol(tables=tables),
    )  # fmt: skip


def ask(data: Study, **options: object) -> Result:
    given = {"person": "pid", "opened": "opened", "repeated": "used", "wave": "wave",
             "adjust": ("severity",)} | options  # fmt: skip
    return answer(Question(**given), data)  # type: ignore[arg-type]


def text(result: Result) -> str:
    analysis = analyses.get("collaborative_housing")
    document = compose(result, analysis.title, analysis.template)
    return render(document).decode()


def truth(result: Result) -> float:
    """The mean over groups, by size, of -4, -4 * 1.25, … : waves since the start averaged."""
    sizes = {g: result[f"opened_{g}"].n or 0 for g in (2, 3, 4)}
    means = {g: np.mean([-4.0 * (1 + 0.5 * k) for k in range(6 - g)]) for g in sizes}
    return float(np.average(list(means.values()), weights=list(sizes.values())))


def errors(name: str, *, slope: float, adjust: tuple[str, ...] = ("severity",)) -> np.ndarray:
    """Distance of an estimate from the truth in twenty studies."""
    found = [ask(study(seed=seed, slope=slope), adjust=adjust) for seed in range(20)]
    return np.array([result[name].value - truth(result) for result in found])


def test_the_known_effect_is_found() -> None:
    """Twenty studies: within 4 Monte Carlo errors; without severity far out."""
    right = errors("opening_effect", slope=0.8)
    spread = right.std(ddof=1) / np.sqrt(20)
    assert abs(right.mean()) < MONTE_CARLO_SES * spread
    assert errors("opening_effect", slope=0.8, adjust=()).mean() < -8 * spread


def test_the_two_way_estimate_misses_an_effect_that_grows() -> None:
    """Trends are parallel here, and still it is too near zero: later effects weigh less."""
    right, plain = (errors(name, slope=0.0) for name in ("opening_effect", "two_way"))
    spread = right.std(ddof=1) / np.sqrt(20)
    assert abs(right.mean()) < MONTE_CARLO_SES * spread
    assert plain.mean() > 8 * spread


def test_it_is_the_public_function_on_the_joined_tables() -> None:
    data = study()
    result = ask(data)
    joined = data["waves"].frame.merge(data["persons"].frame, on="pid")
    fit = difference_in_differences(
        "used", joined, unit="pid", time="wave", first="opened", adjust=["severity"], cluster="site"
    )
    found = fit.overall()
    assert result["opening_effect"].value == pytest.approx(found.value)
    assert result["opening_effect"].se == pytest.approx(found.se)


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("effect", [-4.0, 0.0, 4.0])
@pytest.mark.parametrize("adjust", [(), ("severity",)])
def test_the_report_is_whole(binary: bool, effect: float, adjust: tuple[str, ...]) -> None:
    result = ask(study(effect=effect, binary=binary), adjust=adjust)
    assert [e.name for e in result.estimates if e.level == "primary"] == ["opening_effect"]
    assert {"openings", "event_times", "trend_bounds"} <= set(result.tables)
    assert ("table_one" in result.tables) == bool(adjust)
    said = {"lower", "higher", "not_shown"} & result.said
    assert len(said) == 1
    if effect and adjust:
        assert said == {"lower" if effect < 0 else "higher"}
    text(result)


def test_an_arm_beside_the_opening_asks_about_the_arm_unless_told() -> None:
    data = study(arm=lambda d: d["pid"] % 2)
    with pytest.raises(UsageError, match="--outcome"):
        ask(data, arm="arm")
    assert "opening_effect" in [e.name for e in ask(data, arm="arm", design="openings").estimates]


def test_open_from_the_first_wave_on_is_told() -> None:
    data = study(opened=lambda d: d["opened"].where(d["site"] > 3, 0.0))
    result = ask(data)
    assert "open_always" in result.said
    assert result.flow[-1].kept == 570
    persons = data["persons"].frame
    opened = int((persons["opened"] > 0).sum())
    assert result.flow[-1].arms == (("No house opened", 570 - opened), ("A house opened", opened))
    assert f"| {570 - opened} |" in text(result)


def test_refusals() -> None:
    with pytest.raises(UsageError, match="--opened"):
        ask(study(), opened=None, design="openings")
    with pytest.raises(UsageError, match="--wave"):
        ask(study(), wave=None)
    with pytest.raises(DataError, match=r"opened_x.*Did you mean 'opened'"):
        ask(study(), opened="opened_x")
    with pytest.raises(NotEstimable, match="No unit begins"):
        ask(study(opened=np.nan))
