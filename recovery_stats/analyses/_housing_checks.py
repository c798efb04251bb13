"""Every condition of a comparison of arms that `collaborative_housing` looks at."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from recovery_stats.analyses._housing_case import ARM, OUTCOME, Case, OutcomeAnswer
from recovery_stats.analyses._housing_mixed import mixed_checks
from recovery_stats.analyses._wording import opening
from recovery_stats.core.cell import Cell, Count, Quantity, Ref, Share
from recovery_stats.core.check import Check
from recovery_stats.models.balance import ALIKE
from recovery_stats.models.comparison import strata_fit
from recovery_stats.models.level import Joined

SOME_CLUSTERS, FEW_CLUSTERS = 40, 10
FEW_DF = (
    4.0  # below, a t interval with Satterthwaite df is not to be trusted (Pustejovsky & Tipton)
)
USUAL_RATIO = (0.5, 2.0)
FEW_EVENTS = 10  # of the rarer outcome, for each coefficient
SKEWED = 2.0


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
             "follow-up; the difference in days does not need it."),
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
