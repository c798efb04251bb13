"""Multiple imputation by chained equations: `impute(data, m=20, seed=1)`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from recovery_stats.core.dataset import Dataset
from recovery_stats.core.worker import end_with_parent
from recovery_stats.engines import impute as engine
from recovery_stats.errors import ConvergenceError, UsageError
from recovery_stats.models.imputation_column import NotApplicable
from recovery_stats.models.imputation_plan import make_plan
from recovery_stats.models.imputation_request import Imputation, Request
from recovery_stats.models.imputed import Imputed
from recovery_stats.models.pool import PooledFit

__all__ = ["Imputed", "PooledFit", "impute"]

Progress = Callable[[int, int], None]
NOT_APPLICABLE = (-97.0,)
SWEEPS, COMPATIBLE_SWEEPS = 10, 30


def impute(
    data: pd.DataFrame | Dataset,
    m: int = 20,
    *,
    seed: int,
    methods: Mapping[str, str] | None = None,
    predictors: Mapping[str, Sequence[str]] | None = None,
    exclude: str | Sequence[str] = (),
    interactions: str | Sequence[str] = (),
    passive: Mapping[str, str] | None = None,
    scores: Mapping[str, str] | None = None,
    survival: str | None = None,
    substantive: str | None = None,
    cluster: str | Sequence[str] = (),
    slopes: str | Sequence[str] = (),
    constant: str | Sequence[str] = (),
    cluster_means: bool = True,
    heterogeneous: bool = True,
    delta: Mapping[str, Any] | None = None,
    not_applicable: NotApplicable = NOT_APPLICABLE,
    sweeps: int | None = None,
    donors: int = 5,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Imputed:
    """Complete a table m times by chained equations.

    Every column with missing values is imputed from all others: numbers by predictive mean
    matching, yes/no by logistic regression, ordinal factors by proportional odds, nominal ones by
    a multinomial model. Columns keep their types; the Imputed result iterates over the tables.

    methods: column to "pmm", "normal", "logistic", "ordered", "multinomial", "poisson",
      "negative-binomial" or "none". Within clusters ordered columns and
      counts are matched, categories drawn from probit models. donors: of the matching.
    predictors: column to the only columns that predict it. exclude: columns that neither
      predict nor are imputed (identifiers).
    interactions: products such as "arm:age" that predict what they are not made from.
    passive: columns computed from others, {"bmi": "weight / height^2"}. scores: the same for a
      scale, {"ras": "(ras1 + ras2 + 6 - ras3) / 3"}: its items are imputed from each other and
      from the scores of other scales, everything else from the score. To impute at score level
      exclude the items.
    survival: "Surv(time, event)": event and cumulative hazard predict, and are not imputed.
    substantive: the analysis, as a formula; its covariates are drawn so that it holds, with their
      products, powers, splines, random slopes and `x_within + x_between` splits. The response
      tells the model: Surv(time, event) Cox's, random terms the linear mixed model, two values
      logistic regression, else linear regression. Covariates that are numbers are drawn from
      normal models here. Sources as in engines.impute_smc.
    cluster: the column of clusters, or several from the outermost to the innermost (or
      "site/person"): random intercepts, and `slopes` that vary over the innermost; residual
      variances of every innermost cluster its own where `heterogeneous`. Columns constant within
      clusters are imputed once a cluster; `constant` names them where data cannot show it (a
      baseline held in one row of each person). cluster_means: means over clusters predict as well.
    delta: column to a shift of what is imputed, for values not missing at random: a number, one
      for each row, or an expression ("-2 * arm"). Numbers move by it, log odds of yes/no and
      ordered columns, logs of Poisson and negative binomial means. A matched value (pmm, and
      counts within clusters) is that of its donor, moved; nothing is cut to a range. Shifted
      values are what other columns are then imputed from, so that a delta is given all the
      others (van Buuren 2018, section 9.2; Tompsett et al. 2018): where columns predict each
      other their means end further apart than by it. Of visits in their order, each shifted from
      what those before it tell (Carpenter & Kenward 2013, ch. 10), name the earlier visits alone
      in predictors=. A matched column follows shifted predictors as far as its own observed
      values go, "normal" beyond. Checked: closed forms of both (tests/models/test_imputation.py).
    not_applicable: codes of missing reasons (Dataset) whose cells are never imputed, or for each
      column a mask of its rows.
    sweeps: over all columns, in each table; 10, or 30 with a substantive model.
    seed: the same seed gives the same tables, whatever m and jobs. jobs: processes.
    progress(done, m) is called after each table.
    Raises UsageError; DataError (nothing observed, a constant column, nothing missing);
    NotEstimable (more predictors than rows); messages name the column and the cure.
    """
    if sweeps is None:
        sweeps = SWEEPS if substantive is None else COMPATIBLE_SWEEPS
    _check(m, sweeps, donors, jobs, seed)
    asked = Request(
        dict(methods or {}), dict(predictors or {}), _listed(exclude), _listed(interactions),
        dict(passive or {}), dict(scores or {}), survival, substantive,
        _clusters(cluster), _listed(slopes), _listed(constant),
        cluster_means, heterogeneous, dict(delta or {}), not_applicable, sweeps, donors,
    )  # fmt: skip
    made = make_plan(data, asked)
    chains = run_chains(made, seed, 0, m, jobs, progress)
    return Imputed(data, made, seed, tuple(chains), partial(run_chains, made, seed))


def run_chains(
    made: Imputation, seed: int, first: int, count: int, jobs: int = 1,
    progress: Progress | None = None,
) -> list[engine.Chain]:  # fmt: skip
    """Imputations first, first + 1, …, in processes of their own where jobs are more than one."""
    run, seeds = partial(engine.run, made.plan), engine.seeds(seed, first, count)
    try:
        if jobs == 1:
            return _collected(map(run, seeds), count, progress)
        with ProcessPoolExecutor(min(jobs, count), initializer=end_with_parent) as pool:
            return _collected(pool.map(run, seeds, chunksize=1), count, progress)
    except ConvergenceError as failed:
        raise ConvergenceError(
            f"{failed} Name fewer predictors for it (predictors=), merge sparse levels, or choose "
            'another method (methods={column: "pmm"}).'
        ) from failed


def _collected(
    chains: Iterable[engine.Chain], count: int, progress: Progress | None
) -> list[engine.Chain]:
    done = []
    for chain in chains:
        done.append(chain)
        if progress is not None:
            progress(len(done), count)
    return done


def _check(m: int, sweeps: int, donors: int, jobs: int, seed: int) -> None:
    least = {
        "m": (m, 1), "sweeps": (sweeps, 1), "donors": (donors, 1), "jobs": (jobs, 1),
        "seed": (seed, 0),
    }  # fmt: skip
    for name, (value, low) in least.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < low:
            raise UsageError(f"{name}= is a whole number from {low}, not {value!r}.")


def _listed(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _clusters(names: str | Sequence[str]) -> tuple[str, ...]:
    """Outermost first: "site/person" as in a random term."""
    return tuple(p.strip() for name in _listed(names) for p in name.split("/"))
