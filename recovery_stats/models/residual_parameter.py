"""The parameters of a residual structure in the user's units, with standard errors, and by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from recovery_stats.engines.linalg import Array
from recovery_stats.engines.lmm_df import Information
from recovery_stats.engines.lmm_residual import ResidualFit
from recovery_stats.engines.lmm_residual_df import residual_variance
from recovery_stats.engines.residual import Cells, Separable, Unstructured
from recovery_stats.errors import UsageError, unknown
from recovery_stats.models.residual_structure import Structure, named

LONGEST = 200  # waves up to which a covariance matrix is written out


@dataclass(frozen=True, slots=True)
class Parameter:
    """kind: variance, covariance, correlation, or range (of car1, in units of time)."""

    kind: str
    term_1: str
    term_2: str
    estimate: float
    std_error: float
    covariance: float
    correlation: float


def parameter_rows(structure: Structure, fit: ResidualFit, info: Information) -> list[Parameter]:
    """Every parameter; standard errors from the observed information, by the delta method."""
    return _rows(structure, fit, residual_variance(fit, info))


def parameter_values(structure: Structure, fit: ResidualFit) -> list[tuple[str, float]]:
    """Name and estimate of every parameter: `variance(1)`, `covariance(1,2)`, `range`."""
    rows = _rows(structure, fit, np.zeros((fit.eta.size + 1,) * 2))
    return [(_name(row), row.estimate) for row in rows]


def _name(row: Parameter) -> str:
    if row.kind == "covariance":
        return f"covariance({row.term_1},{row.term_2})"
    term = row.term_1 if row.kind == "variance" else row.term_2
    return f"{row.kind}({term})" if term else row.kind


def _rows(structure: Structure, fit: ResidualFit, variance: Array) -> list[Parameter]:
    """variance: of eta and log s2."""
    if isinstance(structure.residual, Unstructured):
        return list(_entries(structure, fit, variance))
    assert isinstance(structure.residual, Separable)
    return list(_separable(structure, structure.residual, fit, variance))


def _separable(
    structure: Structure, residual: Separable, fit: ResidualFit, variance: Array
) -> Iterator[Parameter]:
    J = residual.natural_jacobian(fit.eta)
    errors = np.sqrt(np.maximum(np.diag(J @ variance @ J.T), 0.0))
    log_sd, numbers = residual.split(fit.eta)
    for j, level in enumerate(structure.levels):
        value = float(fit.sigma2 * np.exp(2.0 * log_sd[j]))
        yield Parameter("variance", level, level, value, value * float(errors[j]), value, 1.0)
    at = residual.levels
    for g, group in enumerate(structure.groups):
        rho = residual.correlation.natural(numbers[g])[0]
        for m, value in enumerate(rho.tolist()):
            yield from _correlation(structure, group, m, value, float(errors[at]))
            at += 1


def _correlation(
    structure: Structure, group: str, m: int, rho: float, error: float
) -> Iterator[Parameter]:
    family = structure.request.family
    if family == "car1":
        reach = rho * structure.scale
        one = float(np.exp(-1.0 / reach))
        slope = one / reach**2 * structure.scale
        name = named([group, "one unit of time"])
        yield Parameter("correlation", "correlation", name, one, error * slope, np.nan, one)
        yield Parameter("range", "range", group, reach, error * structure.scale, np.nan, np.nan)
        return
    what = {
        "cs": "any two waves",
        "ar1": "one step" if not structure.step else f"{structure.step:g} apart",
        "toeplitz": f"{m + 1} steps",
        "ante": " and ".join(structure.waves[m : m + 2]),
        "free": " and ".join(_pair(structure.waves, m)),
    }[str(family)]
    name = named([group, what])
    yield Parameter("correlation", "correlation", name, rho, error, np.nan, rho)


def _pair(waves: tuple[str, ...], m: int) -> tuple[str, str]:
    """The waves of the m-th correlation of a lower triangle by rows."""
    every = [(b, a) for i, a in enumerate(waves) for b in waves[:i]]
    return every[m] if m < len(every) else ("", "")


def _entries(structure: Structure, fit: ResidualFit, variance: Array) -> Iterator[Parameter]:
    for g, group in enumerate(structure.groups):
        R, steps = structure.residual.matrix(fit.eta, _one_person(structure, g, None))
        slopes = fit.sigma2 * np.concatenate([steps[:, 0], R])
        S = fit.sigma2 * R[0]
        names = [named([group, w]) for w in structure.waves]
        for i, a in enumerate(names):
            for j, b in enumerate(names[: i + 1]):
                error = float(np.sqrt(slopes[:, i, j] @ variance @ slopes[:, i, j]))
                size = float(np.sqrt(S[i, i] * S[j, j]))
                value = float(S[i, j])
                kind = "variance" if i == j else "covariance"
                yield Parameter(kind, b, a, value, error, value, 1.0 if i == j else value / size)


def _one_person(structure: Structure, group: int, level: int | None) -> Cells:
    """One person with every wave; level: of a variance that does not differ by wave."""
    rows = structure.rows
    if structure.request.family == "car1":
        place = np.unique(rows.time)
        wave = np.zeros(len(place), dtype=np.intp)
    else:
        wave = np.arange(len(structure.waves))
        place = wave.astype(float)
    own = np.full(len(wave), 0 if level is None else level)
    if structure.request.by_wave and isinstance(structure.residual, Separable):
        seen = dict(zip(zip(rows.group.tolist(), rows.wave.tolist(), strict=True),
                        rows.level.tolist(), strict=True))  # fmt: skip
        own = np.array([seen.get((group, w), 0) for w in wave.tolist()])
    same = np.ones((1, len(wave), len(wave)))
    if structure.request.family == "independent":
        same = np.eye(len(wave))[None]
    return Cells(
        wave[None], own[None].astype(np.intp), np.full((1, len(wave)), group), place[None], same
    )


def covariance_table(
    structure: Structure, fit: ResidualFit, group: str | None, correlation: bool
) -> pd.DataFrame:
    """The residual covariance of one person who has every wave."""
    g, level = _chosen(structure, group)
    cells = _one_person(structure, g, level)
    if cells.wave.shape[1] > LONGEST:
        raise UsageError(
            f"There are {cells.wave.shape[1]} different times; residual_parameters() has the "
            "structure in a few numbers."
        )
    S = fit.sigma2 * structure.residual.matrix(fit.eta, cells)[0][0]
    if correlation:
        sd = np.sqrt(np.diag(S))
        S = S / np.outer(sd, sd)
    names: list[object] = list(structure.waves)
    if structure.request.family == "car1":
        names = [float(t) for t in np.round(cells.time[0] * structure.scale, 10)]
    return pd.DataFrame(S, index=names, columns=names)


def _chosen(structure: Structure, group: str | None) -> tuple[int, int]:
    """Number of the group and of the variance level that `group` names."""
    names = structure.groups if structure.request.groups else structure.levels
    free = len(names) > 1 and not (structure.request.by_wave and not structure.request.groups)
    if not free:
        if group is not None:
            raise UsageError("The residual structure is the same for everybody; leave out group=.")
        return 0, 0
    if group is None:
        group = names[0]
    if group not in names:
        raise UsageError(unknown("group of the residual structure", group, names))
    at = names.index(group)
    return (at, at) if structure.request.groups else (0, at)
