"""What `collaborative_housing` says: estimand, facts, conditions of its sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from recovery_stats.analyses._housing_case import OUTCOME, Case, OutcomeAnswer, had
from recovery_stats.analyses._housing_checks import FEW_CLUSTERS, SOME_CLUSTERS
from recovery_stats.analyses._housing_rct import facts_of_trial, said_of_trial
from recovery_stats.analyses._wording import short
from recovery_stats.core.cell import Cell, Count, Quantity, Share
from recovery_stats.core.estimate import Estimand, Estimate
from recovery_stats.models.comparison import Clusters, too_many_to_leave_out
from recovery_stats.models.risk import e_value, e_value_limit, number_needed

ONE_DECIMAL: Literal["days"] = "days"  # how a number of people needed is printed


def estimand(case: Case, population: str) -> Estimand:
    """The five attributes, as sentences."""
    asked, arms = case.asked, case.arms
    how = {
        "chosen": "as people came to it (chosen, not drawn by lot)",
        "randomised": "as randomised, whatever happened after",
        "houses-randomised": "as the house was randomised, whatever happened after",
    }[asked.design]
    adjusted = "adjusted for baseline covariates" if asked.adjust else "not adjusted"
    reading = case.people.reading
    if reading:
        endpoint = case.data.label(OUTCOME)
        if had(endpoint, reading) != short(endpoint):
            endpoint += f" ({reading.counted})"
        if reading.binary:
            summary = f"difference in risk, standardised over the people analysed, {adjusted}"
        else:
            summary = f"difference in means, {adjusted}"
    else:
        assert asked.time is not None
        endpoint = case.data.label(asked.time)
        summary = f"hazard ratio, {adjusted}"
    beyond = (
        "People to whom the outcome cannot apply, as after death, are left out and counted in the "
        "flow (while alive)."
        if reading
        else "Death, loss and the end of the study end the follow-up (censored)."
    )
    return Estimand(
        population=population,
        treatment=f"{arms.whole(arms.counted)} against {arms.other}, {how}",
        endpoint=endpoint,
        intercurrent="Moving in or out, eviction and change of house are part of what is compared "
        f"(treatment policy). {beyond}",
        summary=summary,
    )


# --- conditions ------------------------------------------------------------------------------


def said(case: Case) -> Iterator[str]:
    """Names that switch sentences of the report on."""
    named = case.named
    yield from said_before(case)
    yield _direction(case.primary)
    yield "adjusted" if case.asked.adjust else "unadjusted"
    yield from _said_of_outcome(case, case.outcome) if case.outcome else ("times_only",)
    present = {
        "timed": case.times is not None,
        "missing_both": {"missing_yes", "missing_no"} <= set(named),
    }
    yield from (name for name, holds in present.items() if holds)
    yield from (
        n for n in ("in_house", "stayed_six_months", "left_out_low", "mixed", "gee") if n in named
    )


def said_before(case: Case) -> Iterator[str]:
    """What is known of the question and the groups before any effect."""
    reading = case.people.reading
    yield case.asked.design.replace("-", "_")
    yield f"asks_{'times' if reading is None else 'binary' if reading.binary else 'number'}"
    yield from _said_of_clusters(case.clusters)
    present = {
        "imbalanced": any(b.imbalanced for b in case.balance),
        "notes": bool(case.asked.notes),
        "undescribed": not case.asked.described,
        "thin": case.thin,
        "thin_clusters": case.thin and case.clusters.by_arm[case.smaller[0]] > 0,
    }
    yield from (name for name, holds in present.items() if holds)


def _said_of_outcome(case: Case, outcome: OutcomeAnswer) -> Iterator[str]:
    yield f"by_{outcome.primary.basis}"
    present = {
        "stratified": outcome.primary.stratified,
        "absorbed": outcome.primary.absorbed,
        "left_out_skipped": case.asked.sensitivity
        and too_many_to_leave_out(case.clusters, len(case.data)),
        "lost": bool(_lost(outcome)),
        "alike": outcome.alike is not None,
        "weighted": outcome.chosen is not None and bool(outcome.chosen.estimates),
        "weights": outcome.chosen is not None and bool(outcome.chosen.figures),
    }
    yield from (name for name, holds in present.items() if holds)
    yield from said_of_trial(outcome.trial)
    yield from outcome.moves.said
    if not outcome.reading.binary:
        yield "number"
        return
    yield "binary"
    crosses = number_needed(case.named["risk_difference"]).crosses
    yield "nnt_infinite" if crosses else "nnt"


def _direction(primary: Estimate) -> str:
    null = 1.0 if primary.scale == "ratio" else 0.0
    if primary.low > null:
        return "higher"
    return "lower" if primary.high < null else "not_shown"


def _said_of_clusters(clusters: Clusters) -> Iterator[str]:
    yield clusters.structure if clusters.structure != "none" else "no_clusters"
    if clusters.structure == "none":
        return
    yield "clustered"
    if clusters.partial:
        yield "partial"
    if sum(clusters.alone):
        yield "without"
    if 0 < clusters.shared < clusters.named:
        yield "shared_some"
    if clusters.named < SOME_CLUSTERS:
        yield "few"
    if clusters.named < FEW_CLUSTERS:
        yield "very_few"


# --- facts -----------------------------------------------------------------------------------


def facts(case: Case) -> dict[str, Cell]:
    """Typed numbers and names for the holes of the template."""
    asked, arms, clusters = case.asked, case.arms, case.clusters
    small, few = case.smaller
    found: dict[str, Cell] = {
        "usual": arms.other,
        "compared": arms.counted,
        "whole_compared": arms.whole(arms.counted),
        "small_arm": case.arm_name(small),
        "small": Count(few),
        "small_clusters": Count(clusters.by_arm[small], f"{asked.word}s"),
        "people": Count(len(case.data)),
        "house": asked.word,
        "houses": f"{asked.word}s",
        "clusters": Count(clusters.named, f"{asked.word}s"),
        "alone": Count(sum(clusters.alone)),
        "housed": Count(int(clusters.real.sum())),
        "shared": Count(clusters.shared, f"{asked.word}s"),
        "notes": " ".join(asked.notes),
        "confidence": Quantity(100 * asked.level, "df"),
    }
    if case.outcome:
        found |= _outcome_facts(case, case.outcome)
    if case.times:
        found["horizon"] = Quantity(case.times.horizon, "days")
        found["resident"] = Count(case.times.resident)
        found["long_stay"] = Count(case.times.long_stay)
    return found


def _outcome_facts(case: Case, outcome: OutcomeAnswer) -> dict[str, Cell]:
    found: dict[str, Cell] = {
        **asked_of(case),
        "lost": Share(_lost(outcome), len(outcome.eligible)),
        **facts_of_trial(outcome.trial),
    }
    if outcome.alike:
        alike = outcome.alike
        found |= {
            "icc": Quantity(alike.icc), "icc_low": Quantity(alike.low),
            "icc_high": Quantity(alike.high),
            "design_effect": Quantity(alike.design_effect, "ratio"),
        }  # fmt: skip
    if outcome.reading.binary:
        needed = number_needed(case.named["risk_difference"])
        ratio = case.named["risk_ratio"]
        found |= {
            "nnt": Quantity(needed.value, ONE_DECIMAL),
            "nnt_low": Quantity(needed.low, ONE_DECIMAL),
            "nnt_high": Quantity(needed.high, ONE_DECIMAL),
            "nnt_other": Quantity(needed.other, ONE_DECIMAL),
            "e_value": Quantity(e_value(ratio.value), "ratio"),
            "e_value_limit": Quantity(e_value_limit(ratio), "ratio"),
        }  # fmt: skip
    return found


def asked_of(case: Case) -> dict[str, Cell]:
    """What the outcome is called; nothing for times to relapse alone."""
    reading = case.people.reading
    if reading is None:
        return {}
    label = case.data.label(OUTCOME)
    return {"outcome": short(label), "had": had(label, reading)}


def _lost(outcome: OutcomeAnswer) -> int:
    """People to whom the outcome applies and who have none."""
    return int(outcome.eligible.frame[OUTCOME].isna().sum())
