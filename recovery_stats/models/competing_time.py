"""Fine and Gray's model with change over time: effects of x by log(t), by t or in steps, and
covariates with a course of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from scipy.stats import norm

from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset
from recovery_stats.engines import finegray_time as engine
from recovery_stats.errors import UsageError, unknown
from recovery_stats.models.argument import read_numbers
from recovery_stats.models.columns import Array, Columns, IntArray
from recovery_stats.models.competing import FineGrayFit
from recovery_stats.models.external import External, begin_of, courses
from recovery_stats.models.observation import Observation, naming_columns

Change = str | Sequence[float]
FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "log": np.log,
    "linear": np.asarray,
    "sqrt": np.sqrt,
}
WORDS = {"log": "log(t)", "linear": "t", "sqrt": "sqrt(t)"}


def fit_varying(
    seen: Observation,
    varying: Mapping[str, Change],
    external: Mapping[str, External],
    cause: int,
    causes: tuple[str, ...],
    censoring: IntArray | None,
) -> VaryingFineGrayFit:
    """Fit with the terms of `varying` changing over time and `external` courses: fine_gray()."""
    design = seen.design
    columns: list[int] = []
    words: list[str] = []
    changes: list[tuple[str, float]] = []
    for term, change in varying.items():
        if term not in design.terms:
            raise UsageError(unknown("term", term, design.terms))
        for step in _steps(change):
            here = design.columns_of(term)
            columns += here
            words += [f"{design.names[j]}:{_word(step)}" for j in here]
            changes += [step] * len(here)
    time = np.unique(seen.stop[seen.cause == cause])
    if time[:1].tolist() == [0.0] and any(name == "log" for name, _ in changes):
        raise UsageError("Events at time 0 have no logarithm; use 'sqrt', or days as steps.")
    g = np.array([_value(step, time) for step in changes]).reshape(len(changes), len(time))
    added = tuple(external)
    for name in added:
        if name in (*design.names, *words):
            raise UsageError(f"external[{name!r}] has the name of a term; give it another.")
    assert seen.source is not None
    paths = courses(external, seen.source, seen.places, time)
    wide = replace(
        design,
        names=(*design.names, *words, *added),
        labels=(*design.labels, *words, *added),
        terms=(*design.terms, *added),
        assign=(
            *design.assign,
            *(design.assign[j] for j in columns),
            *range(len(design.terms), len(design.terms) + len(added)),
        ),
    )
    seen = replace(seen, design=wide)
    with naming_columns(seen):
        fit = engine.fit(
            seen.X, seen.stop, seen.cause, np.array(columns, dtype=int), g, time, paths, of=cause,
            weights=seen.weights, offset=seen.offset, cluster=seen.cluster, censoring=censoring,
        )  # fmt: skip
    return VaryingFineGrayFit(seen, fit, causes, cause, censoring, fit, tuple(changes), external)


def _steps(change: Change) -> list[tuple[str, float]]:
    """A named function, or one step for each day after which the effect is another."""
    if isinstance(change, str):
        if change not in FUNCTIONS:
            raise UsageError(unknown("function of time", change, FUNCTIONS))
        return [(change, 0.0)]
    days = read_numbers(change, "Steps of an effect in time").tolist()
    if not days or sorted(set(days)) != days or days[0] <= 0:
        raise UsageError("Steps of an effect are days above 0 in rising order, such as (28, 84).")
    return [("step", d) for d in days]


def _word(step: tuple[str, float]) -> str:
    return WORDS.get(step[0], f"t>{step[1]:g}")


def _value(step: tuple[str, float], time: Array) -> Array:
    name, day = step
    return (time > day).astype(float) if name == "step" else FUNCTIONS[name](time)


@dataclass(frozen=True)
class VaryingFineGrayFit(FineGrayFit):
    """A Fine-Gray model whose ratios or covariates change with time. `x` is the log ratio where
    g(t) is 0, `x:log(t)` (`x:t`, `x:t>28`) its change per unit of that function.

    external: the covariates with courses of their own, the last coefficients.
    """

    varying: engine.VaryingFit = field(repr=False)
    changes: tuple[tuple[str, float], ...]
    external: Mapping[str, External] = field(repr=False)

    def ratio_at(
        self, term: str, times: Sequence[float], *, level: float = 0.95, exponentiate: bool = True
    ) -> pd.DataFrame:
        """time, estimate, std_error (of the log), limits of a coefficient's ratio at each time."""
        p = len(self.terms) - len(self.changes) - len(self.external)
        if term not in self.terms[:p]:
            raise UsageError(unknown("coefficient", term, self.terms[:p]))
        at, j = np.asarray(times, float), self.terms.index(term)
        C = np.zeros((len(at), len(self.terms)))
        C[:, j] = 1.0
        for m, step in enumerate(self.changes):
            if self.varying.columns[m] == j:
                C[:, p + m] = _value(step, at)
        value = C @ self.beta
        se = np.sqrt(((C @ self.engine.covariance) * C).sum(axis=1))
        half = norm.isf((1 - level) / 2) * se
        turn = np.exp if exponentiate else np.asarray
        return pd.DataFrame(
            {
                "time": at,
                "estimate": turn(value),
                "std_error": se,
                "conf_low": turn(value - half),
                "conf_high": turn(value + half),
            }
        )

    def predict(self, new_data: pd.DataFrame | Dataset) -> pd.Series[float]:
        """Refused: the hazard ratio is another at every time; see ratio_at() and incidence()."""
        raise UsageError("With effects that change, ask for ratio_at(term, times) or incidence().")

    def _cumulative(
        self, X: Array, at: Array, offset: Array, new_data: pd.DataFrame | Dataset
    ) -> tuple[Array, Array]:
        everyone = np.arange(len(X))
        paths = courses(self.external, new_data, everyone, self.varying.problem.time)
        return engine.cumulative_hazard(self.varying, X, at, offset, paths)

    def _checks(self) -> Iterator[Check]:
        yield from super()._checks()
        seen = self.observation
        for name, course in self.external.items():
            if not isinstance(course, str):
                continue
            assert seen.source is not None
            begins = begin_of(Columns.of(seen.source), course, seen.places)
            cut = bool((begins < np.inf).any()) and not bool(
                (begins > seen.stop)[begins < np.inf].any()
            )
            yield Check(
                f"course of {name}",
                "caution" if cut else "ok",
                (
                    f"{name} never begins after its person's observation ends: was it followed "
                    "only while the person was? Then it is no external covariate, and a Cox model "
                    "of the cause is the model for it."
                    if cut
                    else f"{name} is known beyond the end of people's observation, as an external "
                    "covariate is.",
                ),
            )

    def probability_of_any(self) -> Array | None:
        """Not given: the other causes' models would need changes of their own."""
        return None
