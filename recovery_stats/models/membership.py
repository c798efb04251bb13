"""Residents of several houses: `multiple_membership("y ~ arm", people, memberships, ...)`.

    lived = rs.membership_weights(stays, person="pid", house="house_id", start="in", stop="out")
    fit = rs.multiple_membership("used ~ arm + severity", people, lived, person="pid",
                                 group="house_id")
    fit.tidy(); fit.variance_components(); fit.glance()

A resident's outcome has the effects of all houses lived in, weighted by the share of days in each;
people without a stay have none (a partially nested design). Where everybody lived in one house it
is the mixed model of that house.
Source: Browne, Goldstein & Rasbash 2001.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from recovery_stats.core.cell import Count
from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset, as_dataset
from recovery_stats.core.estimate import Estimate, Level
from recovery_stats.engines import lmm_df
from recovery_stats.engines import membership as engine
from recovery_stats.engines.linalg import Array
from recovery_stats.errors import DataError, NotEstimable, UsageError, unknown
from recovery_stats.models import margins
from recovery_stats.models.design import Design, Outcome, build_design
from recovery_stats.models.follow_up import read_spells
from recovery_stats.models.formula import parse
from recovery_stats.models.kept import Kept
from recovery_stats.models.margins import Combination
from recovery_stats.models.mixed import estimable
from recovery_stats.models.risk import estimate

Share = Literal["stays", "follow-up"]
Method = Literal["kenward-roger", "satterthwaite"]
WEIGHT = "weight"


def membership_weights(
    stays: Dataset | pd.DataFrame,
    *,
    person: str,
    house: str,
    start: str,
    stop: str,
    first_day: float = 0.0,
    last_day: float | None = None,
    of: Share = "stays",
) -> pd.DataFrame:
    """The share of days each person spent in each house: person, house, `weight`, one row each.

    Days in (start, stop] between first_day and last_day count (default: the last day of any stay);
    a stay that has not ended lasts until then. of: "stays": shares of the days in any house, which
    add up to one; "follow-up": shares of all days from first to last.
    Raises DataError for a stay without a beginning or that ends before it, or without a house.
    """
    if of not in ("stays", "follow-up"):
        raise UsageError(unknown("kind of share", of, ("stays", "follow-up")))
    table = as_dataset(stays)
    table.require(person, house, start, stop, table="stays")
    first, last = read_spells(table, person, start, stop)
    if table.frame[[person, house]].isna().any(axis=None):
        n = int(table.frame[[person, house]].isna().any(axis=1).sum())
        raise DataError(f"Table 'stays' has {n} rows without {person!r} or {house!r}.")
    known = np.concatenate([first, last[np.isfinite(last)]])
    end = float(known.max(initial=first_day)) if last_day is None else float(last_day)
    days = np.minimum(last, end) - np.maximum(first, first_day)
    counted = table.frame[[person, house]].assign(**{WEIGHT: days})[days > 0]
    found = counted.groupby([person, house], sort=True, as_index=False)[WEIGHT].sum()
    whole = end - first_day
    if of == "stays":
        return found.assign(weight=found[WEIGHT] / found.groupby(person)[WEIGHT].transform("sum"))
    return found.assign(weight=found[WEIGHT] / whole)


def first_house(
    stays: Dataset | pd.DataFrame, *, person: str, house: str, start: str
) -> pd.Series[float]:
    """The house of each person's first stay, by person; of two on one day, the earlier row's."""
    table = as_dataset(stays)
    table.require(person, house, start, table="stays")
    known = table.frame.dropna(subset=[person, house, start])
    ordered = known.sort_values(start, kind="stable")
    return ordered.groupby(person)[house].first()


@dataclass(frozen=True)
class MembershipModel(Kept):
    """A fitted model of multiple membership; see `multiple_membership`.

    names (J,): the groups; members: people with a group; movers: those with several.
    """

    design: Design = field(repr=False)
    kept_columns: tuple[int, ...] = field(repr=False)
    engine: engine.MembershipFit = field(repr=False)
    data: pd.DataFrame | Dataset = field(repr=False)
    df: Method
    group: str
    names: tuple[object, ...] = field(repr=False)
    members: int
    movers: int

    @property
    def method(self) -> str:
        """How it was estimated, for tables."""
        words = {"satterthwaite": "Satterthwaite df", "kenward-roger": "Kenward–Roger"}[self.df]
        return f"multiple-membership mixed model, REML, {words}"

    def combine(self, L: Array) -> Combination:
        """Estimates, standard errors and degrees of freedom of L @ coefficients."""
        info, V = self.engine.information, self.engine.covariance
        if self.df == "kenward-roger":
            V, df = lmm_df.adjusted_covariance(info), lmm_df.kenward_roger(info, L)
        else:
            df = lmm_df.satterthwaite(info, L)
        return Combination(L @ self.engine.beta, np.sqrt(np.einsum("ki,ij,kj->k", L, V, L)), df)

    def tidy(self, level: float = 0.95) -> pd.DataFrame:
        """One row per coefficient."""
        found = self.combine(np.eye(len(self.terms)))
        return pd.DataFrame({"term": list(self.terms), **found.table(level)})

    def estimate(
        self, weights: Mapping[str, float], *, name: str, label: str, level: float = 0.95,
        rank: Level = "secondary", n: int | None = None,
    ) -> Estimate:  # fmt: skip
        """A linear combination of coefficients, by term name, as an Estimate."""
        found = self.combine(margins.row_of(self.terms, weights)[None])
        value, se, df = (float(v[0]) for v in (found.estimate, found.std_error, found.df))
        return estimate(
            name, label, value, se, df, level=level, rank=rank, method=self.method,
            n=len(self.X) if n is None else n,
        )  # fmt: skip

    def variance_components(self) -> pd.DataFrame:
        """Variance between groups (of somebody who has one alone) and residual: group, variance."""
        return pd.DataFrame(
            {"group": [self.group, "Residual"],
             "variance": [self.engine.tau2, self.engine.sigma2]}
        )  # fmt: skip

    def random_effects(self) -> pd.DataFrame:
        """The predicted effect of each group: level, estimate."""
        return pd.DataFrame({"level": list(self.names), "estimate": self.engine.effects})

    def glance(self) -> pd.DataFrame:
        """The fit in one row; n_groups: groups that somebody belongs to."""
        e = self.engine
        return pd.DataFrame(
            {"n_obs": [len(self.X)], "n_groups": [len(self.names)], "n_members": [self.members],
             "n_movers": [self.movers], "log_likelihood": [e.log_likelihood],
             "sigma": [float(np.sqrt(e.sigma2))], "singular": [e.singular]}
        )  # fmt: skip

    def checks(self) -> tuple[Check, ...]:
        """Movers, and a variance at its boundary."""
        found = [Check("moves", "ok", (
            Count(self.movers), " of ", Count(self.members), " residents lived in several "
            f"levels of {self.group}.",
        ), self.group)]  # fmt: skip
        if self.engine.singular:
            found.append(Check("singular", "caution", (
                f"The variance between levels of {self.group} is estimated as exactly zero.",
            ), self.group))  # fmt: skip
        return tuple(found)

    def __repr__(self) -> str:
        return f"<MembershipModel: {len(self.X)} rows, {len(self.names)} levels of {self.group!r}>"


def multiple_membership(
    formula: str,
    data: pd.DataFrame | Dataset,
    memberships: pd.DataFrame,
    *,
    person: str,
    group: str,
    weight: str = WEIGHT,
    df: Method = "kenward-roger",
) -> MembershipModel:
    """Fit a linear mixed model in which a row has several groups, with weights, by REML.

    formula: fixed effects, as "y ~ x". memberships: one row a person and group, as
    `membership_weights` makes them; weights of 0 or more, as a rule adding up to one. A row of
    `data` whose person has no membership belongs to no group.
    Raises UsageError, DataError; NotEstimable where fewer than two groups have people.
    Checked: R lme4 with Zt replaced, dense likelihood (tests/models/membership.R).
    """
    if df not in ("kenward-roger", "satterthwaite"):
        raise UsageError(
            unknown("kind of degrees of freedom", df, ("kenward-roger", "satterthwaite"))
        )
    asked = parse(formula)
    if asked.random:
        raise UsageError(
            "multiple_membership takes its groups from `memberships`: leave (1 | …) out."
        )
    table = as_dataset(data)
    table.require(person)
    design = build_design(asked, table)
    response = design.response
    if not isinstance(response, Outcome):
        raise UsageError("A linear mixed model needs one numeric column on the left of '~'.")
    kept, _ = estimable(design, asked, ())
    W, names, links = _matrix(table.frame[person][design.kept], memberships, person, group, weight)
    if len(names) < 2:
        raise NotEstimable(
            f"{len(names)} level of {group!r} has people: what one does cannot be told apart."
        )
    found = engine.fit(design.X[:, kept], response.y, W)
    return MembershipModel(
        design, tuple(kept), found, table, df, group, names, int(np.sum(links > 0)),
        int(np.sum(links > 1)),
    )  # fmt: skip


def _matrix(
    people: pd.Series, memberships: pd.DataFrame, person: str, group: str, weight: str
) -> tuple[csr_array, tuple[object, ...], Array]:  # fmt: skip
    """W (n, J), the names of its columns, and how many groups each row has."""
    as_dataset(memberships).require(person, group, weight, table="memberships")
    values = memberships[weight].to_numpy(dtype=float)
    if not (values >= 0).all():
        raise DataError(f"Weights in {weight!r} must be numbers of 0 or more.")
    rows = pd.DataFrame({"row": np.arange(len(people)), person: people.to_numpy()})
    joined = rows.merge(memberships[values > 0], on=person, how="inner")
    names = np.unique(joined[group])
    at = np.searchsorted(names, joined[group])
    W = csr_array(
        (joined[weight].to_numpy(dtype=float), (joined["row"].to_numpy(), at)),
        shape=(len(people), len(names)),
    )
    pairs = joined[["row", group]].drop_duplicates()["row"].to_numpy()
    return W, tuple(names.tolist()), np.bincount(pairs, minlength=len(people)).astype(float)
