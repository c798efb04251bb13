"""The stop rule of a study whose arms were chosen: unlike groups are described, never compared.

Balance after weighting is looked at before any outcome. Where a covariate still differs by more
than the study file allows, or no weights exist, the report holds the groups, their balance, the
overlap of their propensities and the sentence that the rule stopped it: no effect is computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from recovery_stats.analyses import _housing_tables as pages
from recovery_stats.analyses import _housing_words as words
from recovery_stats.analyses._housing_case import ARM, Analysed, Asked, Case
from recovery_stats.analyses._housing_checks import checks
from recovery_stats.analyses._housing_chosen import TARGETS, balance_part, no_overlap, weigh
from recovery_stats.analyses._part import Part
from recovery_stats.analyses._refusal import safely
from recovery_stats.core.cell import Cell, Quantity
from recovery_stats.core.check import Check
from recovery_stats.core.result import Result
from recovery_stats.core.study import Study
from recovery_stats.errors import NotEstimable, UsageError
from recovery_stats.models.balance import balance
from recovery_stats.models.comparison import Clusters, clusters_of
from recovery_stats.models.outcome import Reading
from recovery_stats.models.propensity import NoOverlap

RULE = "stop rule"


@dataclass(frozen=True, slots=True)
class Look:
    """What weighting left of the differences between the groups.

    labels, after: the columns and their weighted differences in standard deviations; none where no
    weights exist. part: what is shown of it.
    """

    labels: tuple[str, ...]
    after: tuple[float, ...]
    part: Part

    def over(self, limit: float) -> int:
        return sum(abs(a) > limit for a in self.after)


def stop(asked: Asked, people: Analysed, arms: Reading, study: Study) -> Result | None:
    """The report without an effect, where the rule holds; None where the effect may be shown.

    Raises UsageError where there is nothing to be balanced.
    """
    if asked.balance_stop <= 0 or asked.design != "chosen":
        return None
    if not asked.adjust:
        raise UsageError(
            f"balance_stop = {asked.balance_stop:g} asks for balance of covariates, and none is "
            "named: give --adjust COLUMN (in the study file: adjust), or leave balance_stop out."
        )
    clusters = clusters_of(people.data, asked.cluster, people.data.frame[ARM].to_numpy(float))
    look = _look(asked, people, clusters)
    if look.after and not look.over(asked.balance_stop):
        return None
    return _described(asked, people, arms, study, clusters, look)


def _look(asked: Asked, people: Analysed, clusters: Clusters) -> Look:
    """Balance by the declared weights of the persons, or by the propensity."""
    if asked.weights:
        rows = balance(people.data, asked.adjust, ARM, weights=asked.weights)
        return Look(tuple(b.label for b in rows), tuple(b.after for b in rows), Part())
    try:
        main = weigh(asked, people.data, clusters)
    except NoOverlap as none:
        return Look((), (), Part(checks=(no_overlap(none),)))
    except NotEstimable as error:
        return Look((), (), Part(checks=(Check("positivity", "caution", (safely(error),)),)))
    found = main.balance()
    after = tuple(found["smd_after"].astype(float))
    return Look(tuple(found["label"].astype(str)), after, balance_part(asked, people.data, main))


def _described(
    asked: Asked, people: Analysed, arms: Reading, study: Study, clusters: Clusters, look: Look
) -> Result:
    rows = balance(people.eligible, asked.adjust, ARM, weights=asked.weights)
    case = Case(asked, people, arms, rows, None, None, clusters)
    tables = {t.name: t for t in (*pages.tables(case), *look.part.tables)}
    return Result(
        analysis="collaborative_housing",
        estimand=words.estimand(case, study.protocol.population),
        estimates=(),
        checks=(_check(asked, look), *checks(case), *look.part.checks),
        flow=case.flow,
        facts=words.facts(case) | words.asked_of(case) | _facts(asked, look),
        said=frozenset((*words.said_before(case), *_said(look))),
        tables=tables,
        figures={f.name: f for f in (*pages.figures(case, tables), *look.part.figures)},
        sources=(study["persons"].source,),
        synthetic=study.protocol.synthetic,
    )


def _said(look: Look) -> Iterator[str]:
    yield "stopped"
    yield "stopped_by_balance" if look.after else "stopped_by_overlap"
    if look.part.figures:
        yield "weights"


def _facts(asked: Asked, look: Look) -> dict[str, Cell]:
    """How many columns differ by how much; the worst by name."""
    found: dict[str, Cell] = {
        "stop_limit": Quantity(asked.balance_stop),
        "stop_target": f"by “{asked.weights}”" if asked.weights
        else f"to the target “{TARGETS[asked.weighting]}”",
    }  # fmt: skip
    if look.after:
        worst = int(np.nanargmax(np.abs(look.after)))
        found |= {
            "stop_over": Quantity(float(look.over(asked.balance_stop)), "whole"),
            "stop_columns": Quantity(float(len(look.after)), "whole"),
            "stop_worst": look.labels[worst],
            "stop_most": Quantity(abs(look.after[worst])),
        }
    return found


def _check(asked: Asked, look: Look) -> Check:
    """The rule as a failed check: the report is written and has no primary answer."""
    told = _facts(asked, look)
    cure = (
        " The effect is not shown because the rule stopped it: no outcome was compared. Change the "
        "covariates' form, or the people asked about, before the outcome is looked at."
    )
    if not look.after:
        why: tuple[Cell, ...] = (
            "The study's stop rule asks for balance within ", told["stop_limit"],
            " standard deviations after weighting, and no weights exist: some propensity is 0 or "
            "1, or a covariate is determined by others.",
        )  # fmt: skip
    else:
        why = (
            f"After weighting {told['stop_target']}, ", told["stop_over"], " of ",
            told["stop_columns"], " columns differ between the groups by more than the ",
            told["stop_limit"], " standard deviations that the study's stop rule allows, "
            f"{told['stop_worst']} by ", told["stop_most"], ".",
        )  # fmt: skip
    return Check(RULE, "fail", (*why, cure), asked.arm)
