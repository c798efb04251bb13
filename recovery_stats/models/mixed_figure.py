"""The residuals and random effects of a mixed model, drawn without showing any single one.

    from recovery_stats.models.mixed_figure import diagnostic_figure

Every point is a mean of a bin of neighbours. Residuals stand along the predictions of the fixed
effects alone: with those of the random effects they go by shrinkage, even under the right model.
Sources: Gelman & Hill 2007, ch. 5 (binned residuals); Lange & Ryan 1989 (random effects in units
of their own spread). Checked: tests/models/test_mixed_figure.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import gamma

from recovery_stats.core.check import Check
from recovery_stats.core.document import Figure, LineFigure, Series
from recovery_stats.core.panel import PanelFigure
from recovery_stats.engines import normal_score
from recovery_stats.engines.linalg import Array, IntArray
from recovery_stats.models.generalised_fit import GlmmFit
from recovery_stats.models.mixed_fit import MixedFit
from recovery_stats.models.mixed_residual import ResidualMixedFit

FEWEST_BINS = 4
MOST_PANELS = 6
BAND = 0.95
FITTED = "Predicted by the fixed effects"
ROOT_SIZE = float(2**0.25 * gamma(0.75) / np.sqrt(np.pi))  # mean of √|z|, z standard normal
SHOWN = frozenset(
    {"normal residuals", "normal random effects", "constant spread", "overdispersion"}
)
NOTE = (
    "Each point is the mean of neighbouring values, bars two standard errors; no single value is "
    "drawn. Dashed lines and grey bands: where a normal sample would lie 19 times in 20."
)


def diagnostic_figure(
    fit: MixedFit | GlmmFit,
    people: Array | None = None,
    called: Callable[[str, str], str] = "{} of {}".format,
    *,
    name: str = "diagnostics",
    caption: str = "Diagnostics of the mixed model",
) -> PanelFigure | None:
    """Residuals along the fit, their normal scores and spread, normal scores of random effects.

    people (n,): whose each row is; a row each where it is not told. called: the words for an
    effect (its name, its factor). None where the rows are too few for bins. A generalised model
    has no normal residuals: its panel is the first alone.
    """
    rows = np.arange(fit.n_obs) if people is None else np.unique(people, return_inverse=True)[1]
    found = [*_of_rows(fit, rows), *_of_effects(fit, called)][:MOST_PANELS]
    return PanelFigure(name, caption, tuple(found), (NOTE,)) if found else None


def shown_in(checks: Iterable[Check], figures: Iterable[Figure]) -> Iterator[Check]:
    """The checks, with the panel among `figures` in those that it shows."""
    panels = tuple(f.name for f in figures if isinstance(f, PanelFigure))
    for check in checks:
        yield replace(check, figures=panels) if check.name in SHOWN else check


def _of_rows(fit: MixedFit | GlmmFit, people: IntArray) -> Iterator[LineFigure]:
    bins = normal_score.bins_of(fit.n_obs)
    if bins < FEWEST_BINS:
        return
    x, left = _predicted(fit), _standardised(fit)
    bin_of = normal_score.bins_along(x, bins)
    yield _panel(
        "Residuals along the fit", FITTED, "Mean residual, SD",
        _means(x, left, bin_of, people), horizontal=0.0,
    )  # fmt: skip
    if isinstance(fit, GlmmFit):
        return
    yield _scores("Normal scores of residuals", left, people)
    yield _panel(
        "Spread along the fit", FITTED, "Mean √|residual|",
        _means(x, np.sqrt(np.abs(left)), bin_of, people), horizontal=ROOT_SIZE,
    )  # fmt: skip


def _predicted(fit: MixedFit | GlmmFit) -> Array:
    """The predictor of each row by the fixed effects alone, on the scale of the link."""
    if isinstance(fit, GlmmFit):
        return np.asarray(fit.predict(random=False, type="link"), float)
    return np.asarray(fit.fitted(random=False), float)


def _standardised(fit: MixedFit | GlmmFit) -> Array:
    """Residuals of standard deviation 1 under the model."""
    if isinstance(fit, GlmmFit):
        kind = "quantile" if fit.family == "ordinal" else "pearson"
        return np.asarray(fit.residuals(kind), float)
    kind = "normalised" if isinstance(fit, ResidualMixedFit) else "studentised"
    return np.asarray(fit.residuals(kind), float)


def _of_effects(fit: MixedFit | GlmmFit, called: Callable[[str, str], str]) -> Iterator[LineFigure]:
    if isinstance(fit, GlmmFit):
        return
    parts = zip(
        fit.factors, fit.engine.psi, fit.engine.effects, fit.engine.effect_variance, strict=True
    )
    for factor, psi, effects, error in parts:
        for j, name in enumerate(factor.effects):
            own = psi[j, j] - error[:, j, j]  # variance of what is predicted
            seen = own > 1e-8 * psi[j, j]
            if psi[j, j] > 0 and normal_score.bins_of(int(seen.sum())) >= FEWEST_BINS:
                z = effects[seen, j] / np.sqrt(own[seen])
                yield _scores(f"Normal scores: {called(name, factor.name)}", z, np.arange(z.size))


def _panel(
    caption: str, x_label: str, y_label: str, series: Series, *,
    horizontal: float | None = None, expected: Series | None = None,
) -> LineFigure:  # fmt: skip
    return LineFigure(
        "", caption, x_label, y_label, (series,), horizontal=horizontal, points=True,
        joined=False, expected=expected,
    )  # fmt: skip


def _means(x: Array, y: Array, bin_of: IntArray, people: IntArray) -> Series:
    """The mean of y in each bin along x with two standard errors, and its people."""
    n = np.bincount(bin_of)
    middle, mean = (np.bincount(bin_of, v) / n for v in (x, y))
    spread = np.bincount(bin_of, (y - mean[bin_of]) ** 2) / np.maximum(n - 1, 1)
    half = 2 * np.sqrt(spread / n)
    low, high = mean - half, mean + half
    return _series("Mean", middle, mean, low, high, _people(bin_of, people))


def _scores(caption: str, values: Array, people: IntArray) -> LineFigure:
    """Means of bins of the sorted values over those of a normal sample."""
    bin_of = normal_score.bins_in_order(values, normal_score.bins_of(values.size))
    n = np.bincount(bin_of)
    mean, error = normal_score.expected(n)
    half = normal_score.two_sided(error, BAND)
    found = _series("Mean", mean, np.bincount(bin_of, values) / n, (), (), _people(bin_of, people))
    wanted = _series("Normal", mean, mean, mean - half, mean + half, ())
    return _panel(caption, "Expected of a normal sample", "Mean, SD", found, expected=wanted)


def _people(bin_of: IntArray, people: IntArray) -> IntArray:
    """How many people have a value in each bin."""
    pairs = np.unique(np.column_stack([bin_of, people]), axis=0)
    return np.bincount(pairs[:, 0])


def _series(name: str, *numbers: Any) -> Series:
    x, y, low, high, n = (tuple(np.asarray(v).tolist()) for v in numbers)
    return Series(name, x, y, low, high, n)
