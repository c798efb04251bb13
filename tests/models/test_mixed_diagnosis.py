"""Every check of a mixed model fires on data made to break its assumption, and not on good data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from recovery_stats.core.check import Check
from recovery_stats.models.mixed import MixedFit, lmm
from tests.models.test_mixed import waves


def cautions(fit: MixedFit) -> set[tuple[str, str]]:
    return {(c.name, c.about) for c in fit.checks() if c.verdict != "ok"}


def found(fit: MixedFit, name: str) -> list[Check]:
    return [c for c in fit.checks() if c.name == name]


def test_good_data_pass() -> None:
    data = waves(people=240)
    fit = lmm("y ~ t + x + arm + (1 + t | person)", data)
    assert cautions(fit) == set()
    names = {c.name for c in fit.checks()}
    assert names == {
        "singular", "groups", "groups for the method", "influential groups", "normal residuals",
        "normal random effects", "constant spread",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("houses", "options", "bad"),
    [
        (39, {"df": "normal"}, True),
        (40, {"df": "normal"}, False),
        (6, {"df": "satterthwaite"}, False),
        (5, {"df": "satterthwaite"}, True),
        (5, {"df": "kenward-roger"}, True),
        (30, {"cluster": "house"}, False),
        (4, {"cluster": "house"}, True),
    ],
)
def test_groups_for_the_method(houses: int, options: dict[str, str], bad: bool) -> None:
    data = waves(people=120).assign(house=lambda d: d.person % houses)
    fit = lmm("y ~ t + (1 | house)", data, **options)  # type: ignore[arg-type]
    (check,) = found(fit, "groups for the method")
    assert (check.verdict == "caution") == bad
    assert check.about == "house"


def test_a_house_that_carries_the_answer() -> None:
    data = waves(people=120)
    odd = (data.house == 3) & (data.t > 2)
    fit = lmm("y ~ t + (1 | house)", data.assign(y=data.y + 40 * odd))
    assert ("influential groups", "house") in cautions(fit)
    text = [p for c in found(fit, "influential groups") for p in c.parts if isinstance(p, str)]
    assert "3" not in "".join(text)  # the house is not named


def test_skewed_residuals_and_effects() -> None:
    data = waves(people=200)
    rng = np.random.default_rng(2)
    tail = rng.lognormal(sigma=1.2, size=200)
    heavy = data.assign(y=data.t + 3 * tail[data.person] + rng.normal(size=1000))
    assert ("normal random effects", "intercept effects of person") in cautions(
        lmm("y ~ t + (1 | person)", heavy)
    )
    skewed = data.assign(y=data.y + rng.lognormal(sigma=1.5, size=1000))
    assert ("normal residuals", "residuals") in cautions(lmm("y ~ t + (1 | person)", skewed))


def test_effects_of_very_unequal_groups_are_judged_in_their_own_units() -> None:
    """Shrinkage mixes many near-zero effects with a few large ones: heavy tails that are not."""
    rng = np.random.default_rng(4)
    sizes = np.where(np.arange(400) % 10 == 0, 60, 1)
    g = np.repeat(np.arange(400), sizes)
    y = 0.5 * rng.normal(size=400)[g] + 2 * rng.normal(size=g.size)
    fit = lmm("y ~ 1 + (1 | g)", pd.DataFrame({"y": y, "g": g}))
    raw = fit.engine.effects[0][:, 0]
    z = (raw - raw.mean()) / raw.std()
    assert (z**4).mean() - 3 > 3
    assert ("normal random effects", "intercept effects of g") not in cautions(fit)


def test_spread_that_grows_or_differs_between_arms() -> None:
    data = waves(people=120)
    rng = np.random.default_rng(5)
    growing = data.assign(y=10 * data.t + (0.2 + data.t) * rng.normal(size=600))
    assert ("constant spread", "residuals") in cautions(lmm("y ~ t + (1 | person)", growing))
    wide = 1.0 + 3.0 * (data.arm == "house")
    unequal = data.assign(y=data.t + wide * rng.normal(size=600))
    assert ("constant spread", "arm") in cautions(lmm("y ~ t + arm + (1 | person)", unequal))
    assert ("constant spread", "arm") not in cautions(lmm("y ~ t + arm + (1 | person)", data))


def test_ten_groups_are_skewed_by_chance() -> None:
    """Of fits to good data with ten groups, hardly any is called skewed."""
    called = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        g = np.repeat(np.arange(10), 5)
        y = rng.normal(size=10)[g] + 0.5 * rng.normal(size=50)
        fit = lmm("y ~ 1 + (1 | g)", pd.DataFrame({"y": y, "g": g}))
        called += any(name.startswith("normal") for name, _ in cautions(fit))
    assert called <= 2
