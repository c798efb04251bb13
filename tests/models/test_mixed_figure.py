"""The panel of a mixed model: its points against brute force, its bands against a wrong model."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.core.check import Check
from recovery_stats.core.document import LineFigure
from recovery_stats.models.mixed_figure import diagnostic_figure, shown_in
from recovery_stats.report.figure_data import alt_text


def waves(people: int, rows: int, noise: str = "normal") -> pd.DataFrame:
    draw = np.random.default_rng(7)
    who = np.repeat(np.arange(people), rows)
    drawn = draw.exponential(size=who.size) - 1 if noise == "skewed" else draw.normal(size=who.size)
    x = draw.normal(size=who.size)
    y = 1 + 0.5 * x + draw.normal(size=people)[who] + drawn
    return pd.DataFrame({"y": y, "x": x, "person": who})


def outside(panel: LineFigure) -> int:
    """Points outside their band."""
    (points,), wanted = panel.series, panel.expected
    assert wanted is not None
    found = zip(points.y, wanted.low, wanted.high, strict=True)
    return sum(not low <= y <= high for y, low, high in found)


def test_every_point_is_the_mean_of_its_bin() -> None:
    data = waves(90, 3)
    fit = rs.lmm("y ~ x + (1 | person)", data)
    figure = diagnostic_figure(fit, data["person"].to_numpy())
    assert figure is not None
    along, scores, spread, effects = figure.panels
    order = np.argsort(fit.fitted(random=False).to_numpy())
    left = fit.residuals("studentised").to_numpy()
    sizes = np.bincount(np.arange(270) * 13 // 270)
    parts = np.split(order, np.cumsum(sizes)[:-1])
    assert along.series[0].y == pytest.approx([left[p].mean() for p in parts])
    assert along.series[0].n_at == tuple(data["person"][p].nunique() for p in parts)
    half = np.array([2 * left[p].std(ddof=1) / np.sqrt(p.size) for p in parts])
    assert np.array(along.series[0].high) - along.series[0].y == pytest.approx(half)
    assert spread.series[0].y == pytest.approx([np.sqrt(abs(left[p])).mean() for p in parts])
    ends = np.split(np.sort(left), np.cumsum(sizes)[:-1])
    assert scores.series[0].y == pytest.approx([e.mean() for e in ends])
    assert effects.series[0].n_at == (23, 22, 23, 22)
    assert outside(scores) == 0
    assert "13 of 13 points lie where they should" in alt_text(figure)


def test_skewed_residuals_leave_their_band() -> None:
    fit = rs.lmm("y ~ x + (1 | person)", waves(90, 3, "skewed"))
    figure = diagnostic_figure(fit)
    assert figure is not None
    assert outside(figure.panels[1]) > 6


def test_few_rows_have_no_panel_and_a_generalised_model_has_one() -> None:
    assert diagnostic_figure(rs.lmm("y ~ x + (1 | person)", waves(20, 3))) is None
    data = waves(60, 3)
    data["y"] = (data["y"] > 1).astype(float)
    figure = diagnostic_figure(rs.glmm("y ~ x + (1 | person)", data, family="binomial"))
    assert figure is not None
    assert [p.caption for p in figure.panels] == ["Residuals along the fit"]
    checks = (Check("normal residuals", "ok", ()), Check("singular", "ok", ()))
    assert [c.figures for c in shown_in(checks, (figure,))] == [("diagnostics",), ()]
