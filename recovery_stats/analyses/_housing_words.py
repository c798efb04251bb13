"""What `collaborative_housing` says: estimand, checks, facts, conditions of its sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

from recovery_stats.analyses._housing_case import ARM, OUTCOME, Case, OutcomeAnswer, had
from recovery_stats.analyses._housing_mixed import mixed_checks
from recovery_stats.analyses._housing_rct import facts_of_trial, said_of_trial
from recovery_stats.analyses._wording import opening, short
from recovery_stats.core.cell import Cell, Count, Quantity, Ref, Share
from recovery_stats.core.check import Check
from recovery_stats.core.estimate import Estimand, Estimate
from recovery_stats.models.balance import ALIKE
from recovery_stats.models.comparison import Clusters, strata_fit, too_many_to_leave_out
from recovery_stats.models.level import Joined
from recovery_stats.models.risk import e_value, e_value_limit, number_needed

SOME_CLUSTERS, FEW_CLUSTERS = 40, 10
FEW_DF = (
    4.0  # below, a t interval with Satterthwaite df is not to be trusted (Pustejovsky & Tipton)
)
USUAL_RATIO = (0.5, 2.0)
FEW_EVENTS = 10  # of the rarer outcome, for each coefficient
SKEWED = 2.0
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


# --- checks ----------------------------------------------------------------------------------


def checks(case: Case) -> Iterator[Check]:
    """Every condition that was looked at, in the order in which a reader should worry."""
    yield _design_check(case)
    yield _size_check(case)
    yield from _balance_check(case)
    yield from _cluster_checks(case)
    if case.outcome:
        yield from _outcome_checks(case, case.outcome)
        if case.outcome.mixed:
            binary = case.outcome.reading.binary
            yield from mixed_checks(case.asked, case.outcome.mixed, binary=binary)
    if case.times:
        p = case.times.proportional_p
        yield Check(
            "proportional hazards", "caution" if p < 0.05 else "ok",
            ("Score test of Grambsch and Therneau for the arm: ", Quantity(p, "p"),
             ". Where hazards are not proportional the hazard ratio is an average over the "
             "follow-up; the difference in relapse-free days does not need it."),
            case.asked.arm,
        )  # fmt: skip


def _design_check(case: Case) -> Check:
    asked = case.asked
    if asked.design != "chosen":
        return Check("design", "ok", ("The study file says that chance decided the arm.",))
    adjusted = "only on the covariates named" if asked.adjust else "on nothing: none was named"
    made = "were made" if case.estimates else "could have been made"
    return Check(
        "design", "caution",
        (f"The arm was chosen, not drawn by lot. The groups {made} comparable {adjusted}; "
         "what was not measured may explain the difference or hide one.",),
        asked.arm,
    )  # fmt: skip


def _size_check(case: Case) -> Check:
    """How thin the smaller arm is, in people and in clusters."""
    small, n = case.smaller
    name = case.arms.whole(case.arm_name(small))
    parts: list[Cell] = [Count(n), " of ", Count(len(case.data)), f" people are in “{name}”"]
    clusters, word = case.clusters, case.asked.word
    if clusters.structure != "none":
        parts += [", in ", Count(clusters.by_arm[small], f"{word}s"), " of ",
                  Count(clusters.named, f"{word}s"), f" {word}s"]  # fmt: skip
    parts.append(". What can be learned hangs on the smaller arm.")
    return Check(
        "size of the smaller arm", "caution" if case.thin else "ok", tuple(parts),
        case.asked.arm,
    )  # fmt: skip


def _balance_check(case: Case) -> Iterator[Check]:
    known = [b for b in case.balance if not np.isnan(b.difference)]
    if not known:
        return
    worst = max(known, key=lambda b: abs(b.difference))
    chosen = case.asked.design == "chosen"
    tail = "." if chosen else ", which is chance where chance decided the arm."
    yield Check(
        "balance at baseline", "caution" if worst.imbalanced and chosen else "ok",
        ("Largest standardised difference: ", Quantity(worst.difference),
         f" ({worst.label}); alike means within ", Quantity(ALIKE), f" in either direction{tail}"),
        worst.name,
    )  # fmt: skip


def _cluster_checks(case: Case) -> Iterator[Check]:
    asked, clusters = case.asked, case.clusters
    if clusters.structure == "none":
        yield Check(
            "clusters", "caution",
            ("No house or site is named: people were taken to be independent, which makes "
             "intervals too short if residents of a house are alike.",),
        )  # fmt: skip
        return
    few, some = clusters.named < FEW_CLUSTERS, clusters.named < SOME_CLUSTERS
    stratified = case.outcome is not None and case.outcome.primary.stratified
    advice = ""
    if stratified:
        advice = " The arms are compared within strata; beyond these it is another matter."
    elif few:
        advice = " Under ten, every method is fragile; read the interval as the least there is."
    elif some:
        advice = " Few enough to need a small-sample correction."
    elif clusters.structure == "crossed" and not strata_fit(clusters, len(case.data)):
        advice = (
            f" A coefficient for each {asked.word} was not asked for: so many people and "
            f"{asked.word}s would take more memory than an ordinary computer has."
        )
    yield Check(
        "clusters", "caution" if few else "ok",
        (Count(clusters.named, f"{asked.word}s"), f" {asked.word}s among ", Count(len(case.data)),
         " people.", advice),
        asked.cluster or "",
    )  # fmt: skip
    if clusters.structure == "nested" and not clusters.partial and not clusters.shared:
        yield Check(
            "arms meet", "caution",
            (f"No {asked.word} holds both arms: whatever else differs between the {asked.word}s "
             "of the two arms is part of the difference.",),
            asked.cluster or "",
        )  # fmt: skip


def _outcome_checks(case: Case, outcome: OutcomeAnswer) -> Iterator[Check]:
    asked, primary = case.asked, case.primary
    if not np.isnan(outcome.primary.ratio):
        low, high = USUAL_RATIO
        usual = low <= outcome.primary.ratio <= high and outcome.primary.basis != "people"
        tail = (
            ". The error by cluster was the smaller one, as few clusters make it by chance; the "
            "interval that ignores clusters is wider and is the one reported."
            if outcome.primary.basis == "people"
            else "."
        )
        yield Check(
            "cluster error ratio", "ok" if usual else "caution",
            ("Error by cluster over that of independent people: ",
             Quantity(outcome.primary.ratio, "ratio"), tail),
            asked.cluster or "",
        )  # fmt: skip
    yield Check(
        "degrees of freedom", "caution" if primary.df < FEW_DF else "ok",
        ("The primary interval has ", Ref(primary.name, "df"), " degrees of freedom."),
    )  # fmt: skip
    yield from outcome.trial.checks if outcome.trial else ()
    yield from outcome.moves.checks
    yield _missing_check(case, outcome)
    if outcome.chosen:
        yield from outcome.chosen.checks
    yield from (_rare_check(case, j) for j in outcome.joined)
    y = outcome.data.frame[OUTCOME].to_numpy(float)
    if outcome.reading.binary:
        rarer = int(min(y.sum(), len(y) - y.sum()))
        per = rarer / (2 + len(asked.adjust))
        yield Check(
            "people for each coefficient", "caution" if per < FEW_EVENTS else "ok",
            (Count(rarer), " people had the rarer outcome, about ", Quantity(per, "whole"),
             " for each coefficient."),
        )  # fmt: skip
    else:
        skewness = float(np.mean((y - y.mean()) ** 3) / y.std() ** 3)
        yield Check(
            "shape of the outcome", "caution" if abs(skewness) > SKEWED else "ok",
            ("Skewness ", Quantity(skewness), ". The difference in means holds whatever the "
             "shape; its interval needs more people where the outcome is skewed."),
            asked.outcome or "",
        )  # fmt: skip


def _rare_check(case: Case, joined: Joined) -> Check:
    label = case.data.label(joined.column)
    return Check(
        "rare level", "caution",
        (f"{opening(label)}: “{joined.level_label}” is held by ", Count(joined.people),
         " people, of whom everybody or nobody had the outcome, so that it can have no "
         f"coefficient. In the models it counts as “{joined.into_label}”, the most frequent level; "
         "nobody is left out, and tables show it apart."),
        joined.column,
    )  # fmt: skip


def _missing_check(case: Case, outcome: OutcomeAnswer) -> Check:
    frame = outcome.eligible.frame
    empty = frame[OUTCOME].isna().groupby(frame[ARM])
    n, share = empty.sum(), empty.mean()
    apart = abs(float(share[1.0] - share[0.0])) > 0.05
    return Check(
        "missing outcomes", "caution" if apart or float(share.max()) > 0.2 else "ok",
        (f"Missing in “{case.arms.counted}”: ", Share(int(n[1.0]), int(empty.size()[1.0])),
         f"; in “{case.arms.other}”: ", Share(int(n[0.0]), int(empty.size()[0.0])),
         ". Complete cases are unbiased when being missing depends only on arm and covariates."),
        case.asked.outcome or "",
    )  # fmt: skip
