"""What differs between kinds of houses: `house_moderators(people, houses, outcome=..., by=[...])`.

found = rs.house_moderators(people, houses, outcome="used", arm="arm", house="house_id",
                            by=["h_type", "h_size", "h_dens"], cross_level=["severity"])
found.tidy()      the difference between the arms at each level, and slopes of severity
found.tests()     whether they differ: F, df, p, Holm's p over the family, CR2 beside it
found.checks()    houses behind each, what was refused, what cannot be concluded
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recovery_stats.core.cell import Cell, Count, Quantity
from recovery_stats.core.check import Check
from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset, as_dataset
from recovery_stats.errors import NotEstimable, UsageError
from recovery_stats.models.comparison import clusters_of
from recovery_stats.models.house_join import (
    Characteristic,
    described,
    join_houses,
    read_characteristic,
    read_person_covariate,
)
from recovery_stats.models.house_moderation import (
    ARM,
    FEWEST_DF,
    FEWEST_HOUSES,
    OUTCOME,
    Rows,
    Tested,
    TooFewHouses,
    effect_by_house,
    slope_by_house,
)
from recovery_stats.models.multiplicity import adjust_p
from recovery_stats.models.outcome import read_arms, read_outcome

MOSTLY = 0.5  # share of the reference arm with a house from which both arms live in houses
FEW_DF = 10  # degrees of freedom between houses below which a test is a caution
PLACE = "place|"


@dataclass(frozen=True, slots=True)
class Moderator:
    """One question of the family: of the arms' difference, or of a covariate's slope.

    across: the covariate's label where its slope is compared, else "".
    """

    by: str
    label: str
    across: str
    column: str
    found: Tested


@dataclass(frozen=True, slots=True)
class Refused:
    """A characteristic that was not asked of these houses, and why."""

    by: str
    label: str
    across: str
    why: NotEstimable = field(repr=False)


@dataclass(frozen=True, slots=True)
class HouseModerators:
    """All that were declared; Holm's p holds over those that could be asked.

    unknown: people whose house is in no row of the table, or none.
    """

    asked: tuple[Moderator, ...]
    refused: tuple[Refused, ...]
    one_arm: bool
    unknown: int
    level: float

    def __repr__(self) -> str:
        names = ", ".join(m.by for m in self.asked)
        return f"<HouseModerators: {names}; {len(self.refused)} refused>"

    @property
    def holm(self) -> tuple[float, ...]:
        return tuple(adjust_p([m.found.p for m in self.asked], "holm").tolist())

    def tidy(self) -> pd.DataFrame:
        """by, across, level, estimate, std_error, df, p_value, conf_low, conf_high, n."""
        rows = [
            {"by": m.by, "across": m.column, "level": e.label, "estimate": e.value,
             "std_error": e.se, "df": e.df, "p_value": e.p, "conf_low": e.low,
             "conf_high": e.high, "n": e.n}
            for m in self.asked for e in m.found.effects
        ]  # fmt: skip
        return pd.DataFrame(rows)

    def tests(self) -> pd.DataFrame:
        """by, across, statistic (F), df, p, Holm's p, p by CR2, houses, slope and its limits."""
        rows = []
        for m, holm in zip(self.asked, self.holm, strict=True):
            t = m.found
            ends = (t.slope.value, t.slope.low, t.slope.high) if t.slope else (np.nan,) * 3
            rows.append((m.by, m.column, t.statistic, t.num_df, t.den_df, t.p, holm, t.robust_p,
                         t.houses, *ends, t.method))  # fmt: skip
        names = ["by", "across", "statistic", "num_df", "den_df", "p_value", "p_holm", "p_cr2",
                 "houses", "slope", "conf_low", "conf_high", "method"]  # fmt: skip
        return pd.DataFrame(rows, columns=names)

    def checks(self) -> tuple[Check, ...]:
        """Houses behind each test, refusals, people without a known house, what is not random."""
        found = [
            Check(
                "houses for a characteristic", "caution" if m.found.between_df < FEW_DF else "ok",
                (f"{_asked_of(m)}: ", Count(m.found.houses, "houses"), " houses leave ",
                 Quantity(m.found.between_df, "df"), " degrees of freedom between houses."),
                m.by,
            )
            for m in self.asked
        ]  # fmt: skip
        found += [
            Check("houses for a characteristic", "caution", refusal(r), r.by) for r in self.refused
        ]
        if self.unknown:
            found.append(Check("house known", "caution", (
                Count(self.unknown), " people have no house with a row in the table of houses and "
                "are not asked about kinds of houses.",
            )))  # fmt: skip
        found.append(Check("houses are not alike by chance", "caution", (
            "Nobody drew the size, type or rules of a house by lot: what differs between kinds of "
            "houses may come from whatever else differs between them.",
        )))  # fmt: skip
        return tuple(found)


def _asked_of(m: Moderator | Refused) -> str:
    return f"{m.label}, for the slope of {m.across}" if m.across else m.label


def refusal(r: Refused) -> tuple[Cell, ...]:
    """Why a characteristic was not asked, with its numbers typed."""
    if not isinstance(r.why, TooFewHouses):
        return (f"{_asked_of(r)}: not asked. The model has no answer on these data.",)
    if r.why.level:
        return (f"{_asked_of(r)}: not asked. “{r.why.level}” has fewer than {FEWEST_HOUSES} houses"
                f"{r.why.where}, and one house cannot be told from its kind.",)  # fmt: skip
    return (f"{_asked_of(r)}: not asked. ", Count(r.why.houses, "houses"),
            f" houses {r.why.where} leave fewer than {FEWEST_DF} degrees of freedom between "
            "houses.")  # fmt: skip


def house_moderators(
    people: Dataset | pd.DataFrame,
    houses: Dataset | pd.DataFrame,
    *,
    outcome: str,
    arm: str,
    house: str,
    by: Sequence[str],
    cross_level: Sequence[str] = (),
    adjust: Sequence[str] = (),
    houses_key: str | None = None,
    reference: str | None = None,
    outcome_level: str | None = None,
    level: float = 0.95,
) -> HouseModerators:
    """Whether the difference between two arms depends on characteristics of houses.

    people: one row a person; houses: one row a house, its identifier in `houses_key` (default:
    called as `house`). by: characteristics declared before the run, one model each, by level or,
    as a number, by slope. cross_level: persons' covariates (a number or two levels) whose slope
    among residents is compared between kinds of houses. Where fewer than half of the reference arm
    have a house, houses count in the compared arm alone and the others are people alone.
    A yes-no outcome is read as a difference in risk. Degrees of freedom are those of houses; a
    level needs two houses, a test four degrees of freedom between houses, else it is refused.
    Raises UsageError, DataError; NotEstimable where every characteristic was refused.
    Sources: as `recovery_stats.models.house_moderation`.
    """
    if not by:
        raise UsageError("Name the characteristics of houses in `by`.")
    table, homes = as_dataset(people), as_dataset(houses)
    table.require(outcome, arm, house, *adjust, *cross_level, table="persons")
    homes.require(*by, table="houses")
    arms, reading = read_arms(table, arm, reference), read_outcome(table, outcome, outcome_level)
    made = table.with_column(Variable(ARM), arms.values)
    made = made.with_column(Variable(OUTCOME, table.label(outcome)), reading.values)
    found = moderate(
        made, homes, house=house, key=houses_key or house, by=by, cross_level=cross_level,
        adjust=adjust, level=level,
    )  # fmt: skip
    if not found.asked:
        raise NotEstimable(" ".join(str(r.why) for r in found.refused))
    return found


def moderate(
    made: Dataset, homes: Dataset, *, house: str, key: str, by: Sequence[str],
    cross_level: Sequence[str], adjust: Sequence[str], level: float,
) -> HouseModerators:  # fmt: skip
    """The same for people whose arm and outcome are numbers already; refusals are not raised."""
    need = made.frame[[ARM, OUTCOME, *adjust]].notna().all(axis=1)
    data = made.with_frame(made.frame[need])
    at = join_houses(data, homes, house, key)
    arm = data.frame[ARM].to_numpy(dtype=float)
    one_arm = bool(np.mean(at[arm == 0] >= 0) < MOSTLY)
    used = (at >= 0) | (one_arm & (arm == 0))
    asked: list[Moderator] = []
    refused: list[Refused] = []
    for column in dict.fromkeys(by):
        label = homes.label(column)
        for person in (None, *dict.fromkeys(cross_level)):
            across = described(data, person) if person else ""
            try:
                tested = _answer(data, homes, at, column, person, adjust, one_arm, level)
            except NotEstimable as why:
                refused.append(Refused(column, label, across, why))
            else:
                asked.append(Moderator(column, label, across, person or "", tested))
    lost = int(np.sum(~used))
    return HouseModerators(tuple(asked), tuple(refused), one_arm, lost, level)


def _answer(
    data: Dataset, homes: Dataset, at: NDArray[np.intp], by: str, person: str | None,
    adjust: Sequence[str], one_arm: bool, level: float,
) -> Tested:  # fmt: skip
    """One model, on the people whose house has a value."""
    arm = data.frame[ARM].to_numpy(dtype=float)
    lives = (at >= 0) & ((arm == 1) | (not one_arm))
    here = np.where(lives, at, -1)
    found = read_characteristic(homes, by, here, np.unique(here[lives]))
    known = lives & ~np.isnan(found.values).any(axis=1)
    x = None if person is None else read_person_covariate(data, person)
    kept = known | (one_arm & (arm == 0)) if x is None else known & ~np.isnan(x)
    rows = _rows(data, here, kept, one_arm, [a for a in adjust if a != person], level)
    found = _of_rows(found, kept)
    return effect_by_house(rows, found) if x is None else slope_by_house(rows, found, x[kept])


def _rows(
    data: Dataset, here: NDArray[np.intp], kept: NDArray[np.bool_], one_arm: bool,
    adjust: list[str], level: float,
) -> Rows:  # fmt: skip
    placed = data.with_column(Variable(PLACE), np.where(here >= 0, here, np.nan).astype(float))
    subset = placed.with_frame(placed.frame[kept])
    clusters = clusters_of(subset, PLACE, subset.frame[ARM].to_numpy(dtype=float))
    return Rows(subset, clusters, one_arm, tuple(adjust), level)


def _of_rows(found: Characteristic, kept: NDArray[np.bool_]) -> Characteristic:
    return Characteristic(
        found.name, found.label, found.values[kept], found.points,
        None if found.level is None else found.level[kept],
    )  # fmt: skip
