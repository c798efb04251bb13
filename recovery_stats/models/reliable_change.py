"""Has a person changed by more than the scale's noise, and into the range of people without it?

Jacobson and Truax: a change is reliable where it exceeds what two measurements of an unchanged
person would differ by; it is clinically significant where it also crosses from the range of those
in treatment to that of others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy.stats import norm

from recovery_stats.core.cell import Quantity, Share
from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset, as_dataset
from recovery_stats.errors import DataError, NotEstimable, UsageError

Better = Literal["higher", "lower"]
CATEGORIES = ("recovered", "improved", "unchanged", "deteriorated")
LOW_RELIABILITY = 0.7
WIDTHS = 2.0  # standard deviations of cut-offs a and b


@dataclass(frozen=True, slots=True)
class Norm:
    """Mean and standard deviation of a group of people."""

    mean: float
    sd: float


@dataclass(frozen=True, slots=True)
class ReliableChange:
    """Every person's change against the noise of the scale.

    people: before, after, change, index (change in standard errors of a difference) and category,
    for those measured twice, indexed as the data; group where one was asked for. sem: standard
    error of measurement; smallest: the least change that is reliable; cutoff: where the range of
    others begins, None where none was asked for.
    """

    people: pd.DataFrame
    sem: float
    smallest: float
    cutoff: float | None
    better: Better
    reliability: float
    level: float
    lost: int

    def __repr__(self) -> str:
        return (
            f"<ReliableChange of {len(self.people)} people: {self.smallest:.4g} or more is "
            f"reliable at {self.level:.0%}>"
        )

    def summary(self) -> pd.DataFrame:
        """How many people and what share of them each category holds, by group."""
        groups = (
            self.people["group"] if "group" in self.people else pd.Series("all", self.people.index)
        )
        shown = CATEGORIES if self.cutoff is not None else CATEGORIES[1:]
        rows = []
        for group, categories in self.people["category"].groupby(groups, sort=True):
            n = len(categories)
            for category in shown:
                count = int((categories == category).sum())
                low, high = _wilson(count, n, self.level)
                rows.append((group, category, count, n, count / n, low, high))
        names = ["group", "category", "people", "of", "share", "conf_low", "conf_high"]
        return pd.DataFrame(rows, columns=names)

    def checks(self) -> tuple[Check, ...]:
        """What to know before people are called recovered."""
        return tuple(_checks(self))


def reliable_change(
    data: Dataset | pd.DataFrame,
    before: str,
    after: str,
    *,
    reliability: float,
    better: Better,
    sd: float | None = None,
    cutoff: float | Literal["a", "b", "c"] | None = None,
    norm_group: tuple[float, float] | None = None,
    patients: tuple[float, float] | None = None,
    group: str | None = None,
    level: float = 0.95,
) -> ReliableChange:
    """Reliable change index and clinically significant change (Jacobson & Truax 1991).

    before, after: columns of one person's scores. reliability: test-retest reliability of the
    scale (or alpha) in people like these, between 0 and 1. better: which way is recovery. sd:
    standard deviation of the scale (default: of `before`). cutoff: a number (one published for
    the scale), or "a" two standard deviations beyond the patients' mean, "b" within two of the
    mean of `norm_group`, "c" where both are as likely. norm_group, patients: (mean, sd); patients
    default to `before`. group: a column to count by.

    index = (after - before) / (sqrt(2) sd sqrt(1 - reliability)); reliable beyond the normal
    quantile of `level`. Raises UsageError, DataError, or NotEstimable where scores never vary.
    Source: Jacobson & Truax 1991, J Consult Clin Psychol 59:12. Checked: on paper; simulation.
    """
    table = as_dataset(data)
    table.require(before, after, *((group,) if group else ()))
    _refuse_wrong(reliability, better, level, cutoff, norm_group)
    scores = table.frame[[before, after]]
    _refuse_text(scores)
    both = scores.notna().all(axis=1)
    people = pd.DataFrame({"before": scores.loc[both, before], "after": scores.loc[both, after]})
    spread = float(scores[before].std()) if sd is None else sd
    if not spread > 0:
        raise NotEstimable(f"Scores of {before!r} do not vary; give the scale's sd.")
    sem = spread * np.sqrt(1 - reliability)
    of_patients = Norm(*patients) if patients else Norm(float(scores[before].mean()), spread)
    edge = _edge(cutoff, better, of_patients, Norm(*norm_group) if norm_group else None)
    critical = float(norm.isf((1 - level) / 2))
    people["change"] = people["after"] - people["before"]
    people["index"] = people["change"] / (np.sqrt(2) * sem)
    people["category"] = _category(people, better, critical, edge)
    if group:
        people["group"] = table.frame.loc[both, group].map(table.variable(group).level)
    return ReliableChange(
        people, float(sem), float(critical * np.sqrt(2) * sem), edge, better, reliability, level,
        int((~both).sum()),
    )  # fmt: skip


def _refuse_wrong(
    reliability: float,
    better: str,
    level: float,
    cutoff: float | str | None,
    norm_group: tuple[float, float] | None,
) -> None:
    if not 0 < reliability < 1:
        raise UsageError(f"reliability lies between 0 and 1, not {reliability:g}.")
    if better not in ("higher", "lower"):
        raise UsageError(f"better is 'higher' or 'lower', not {better!r}.")
    if not 0 < level < 1:
        raise UsageError(f"level lies between 0 and 1, not {level:g}. 0.95 is usual.")
    if isinstance(cutoff, str) and cutoff not in ("a", "b", "c"):
        raise UsageError(f"cutoff is a number, or 'a', 'b' or 'c', not {cutoff!r}.")
    if cutoff in ("b", "c") and norm_group is None:
        raise UsageError(
            f"Cut-off {cutoff!r} needs norm_group = (mean, sd) of people without the problem; "
            "cut-off 'a' does without."
        )


def _refuse_text(scores: pd.DataFrame) -> None:
    text = [str(c) for c in scores if not pd.api.types.is_numeric_dtype(scores[c])]
    if text:
        raise DataError(f"Column {text[0]!r} is text; change is of numbers.")


def _edge(
    cutoff: float | str | None, better: Better, patients: Norm, others: Norm | None
) -> float | None:
    """Where the range of others begins."""
    if cutoff is None or not isinstance(cutoff, str):
        return None if cutoff is None else float(cutoff)
    way = 1 if better == "higher" else -1
    if cutoff == "a":
        return patients.mean + way * WIDTHS * patients.sd
    if others is None:  # refused before
        return None
    if cutoff == "b":
        return others.mean - way * WIDTHS * others.sd
    return (others.sd * patients.mean + patients.sd * others.mean) / (others.sd + patients.sd)


def _category(
    people: pd.DataFrame, better: Better, critical: float, edge: float | None
) -> pd.Categorical:
    way = 1 if better == "higher" else -1
    index = way * people["index"]
    found = np.where(index > critical, "improved", "unchanged").astype(object)
    found[(index < -critical).to_numpy()] = "deteriorated"
    if edge is not None:
        crossed = (way * people["before"] < way * edge) & (way * people["after"] >= way * edge)
        found[(crossed & (index > critical)).to_numpy()] = "recovered"
    return pd.Categorical(found, categories=CATEGORIES)


def _wilson(count: int, n: int, level: float) -> tuple[float, float]:
    z = float(norm.isf((1 - level) / 2))
    share, shrink = count / n, 1 + z**2 / n
    middle = (share + z**2 / (2 * n)) / shrink
    reach = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / shrink
    return max(middle - reach, 0.0), min(middle + reach, 1.0)


def _checks(found: ReliableChange) -> Iterator[Check]:
    people = found.people
    noise = Quantity((1 - found.level) / 2, "percent")
    words = (
        "A person who did not change at all is called improved with chance ", noise,
        ", and deteriorated as often; people chosen for high scores fall back without any help.",
    )  # fmt: skip
    yield Check("chance of a false change", "ok", words)
    low = found.reliability < LOW_RELIABILITY
    size: tuple[str | Quantity, ...] = (
        "The least change that is reliable is ",
        Quantity(found.smallest),
    )
    end = " points, which few will show on so noisy a scale." if low else " points."
    yield Check("size of a reliable change", "caution" if low else "ok", (*size, end))
    if found.cutoff is not None and len(people):
        way = 1 if found.better == "higher" else -1
        there = int((way * people["before"] >= way * found.cutoff).sum())
        many = there > 0.2 * len(people)
        parts = (
            Share(there, len(people)),
            " of the people stood on the other side of the cut-off from the start: they can "
            "improve, but not recover.",
        )
        yield Check("recovered at the start", "caution" if many else "ok", parts)
    if found.lost:
        lost = Share(found.lost, found.lost + len(people))
        words_lost = (lost, " of the people were not measured twice and are in no category.")
        yield Check("measured once", "caution", words_lost)
