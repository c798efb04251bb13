"""What was examined before believing the slope within people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from recovery_stats.analyses._satisfaction_family import suggestion
from recovery_stats.analyses._satisfaction_level import MeanLevel
from recovery_stats.analyses._satisfaction_model import WAVES_FOR_WITHIN_SLOPE, Fit, Model
from recovery_stats.analyses._satisfaction_rows import TIME, Waves
from recovery_stats.analyses._wording import opening, phrase, reworded
from recovery_stats.core.cell import Cell, Count, Quantity, Ref, Share
from recovery_stats.core.check import Check, Verdict
from recovery_stats.core.estimate import Estimate

FEW_CLUSTERS = 10
FEW_RESIDUAL_DF = 10
MUCH_MISSING = 0.2
PILED_UP = 0.15  # share of answers on one end of the scale from which a normal model misleads


def checks(model: Model, fit: Fit, waves: Waves, named: Mapping[str, Estimate]) -> Iterator[Check]:
    """Those of the question first, then those of the fit."""
    yield from _exogeneity(model, named)
    yield _missing(model, waves)
    yield _level(model, MeanLevel.of(model, fit))
    if model.law.linear:
        yield _scale_ends(model)
    yield from _recorded(model)
    yield from _known_once(model)
    yield _degrees_of_freedom(model, named)
    yield from _random_slopes(model)
    yield from _clusters(model)
    yield from _few_people(model)
    yield from _weighted(model)
    # Sizes of the groups are told above, as counts that disclosure control sees.
    asked, data = model.asked, model.data
    columns = [c for c in (model.cluster, *asked.adjust) if c]
    words = {asked.person: "person", **{c: phrase(data.label(c)) for c in columns}}
    yield from (reworded(c, words) for c in fit.checks() if c.name != "groups")


def _weighted(model: Model) -> Iterator[Check]:
    """Weights in a mixed model say how precise a row is, not whom it stands for."""
    if model.asked.weights and not model.law.linear:
        words = (
            "The weights multiply each row's part of the likelihood. Sampling weights make the "
            "ratios those of the weighted people, but the model's intervals are not design-based; "
            "the marginal row of the sensitivity table does not lean on them."
        )
        yield Check("weights", "caution", (words,), about=model.asked.weights)
    elif model.asked.weights:
        yield Check(
            "weights",
            "caution",
            (
                "The weights enter as precision of the rows. Sampling weights make the slopes "
                "those of the weighted people, but the model's intervals are not design-based; "
                "the robust row of the sensitivity table does not lean on them.",
            ),
            about=model.asked.weights,
        )


def _verdict(caution: bool) -> Verdict:
    return "caution" if caution else "ok"


def rejects(estimate: Estimate) -> bool:
    """Whether the interval of an estimate leaves out no difference."""
    return estimate.p < 1 - estimate.confidence


def _exogeneity(model: Model, named: Mapping[str, Estimate]) -> Iterator[Check]:
    lead = named.get("lead")
    if lead is None:
        words = "Could not be examined: too few people have two waves in a row."
        yield Check("strict exogeneity", "caution", (words,))
        return
    satisfaction = opening(model.data.label(model.asked.satisfaction))
    words = (
        f"{satisfaction} at the wave after goes with the outcome now: the outcome may change what "
        "comes later. A person's mean holds later waves, so the slope within people then mixes "
        "both directions and is not to be read as an effect ("
        if rejects(lead)
        else f"{satisfaction} at the wave after: no sign that the outcome changes it, which is no "
        "proof that it does not ("
    )
    found = (Ref("lead", "interval"), ", ", Ref("lead", "p"), ").")
    yield Check("strict exogeneity", _verdict(rejects(lead)), (words, *found))


def _level(model: Model, level: MeanLevel) -> Check:
    """Whether the model's average is near that of the rows it was fitted to."""
    words = (
        "So far apart, the level is that of lines carried on over waves which people did not "
        "come to: the report tells differences, and no adjusted means."
        if level.far
        else "Near enough for adjusted means to be told."
    )
    return Check(
        "level of the outcome",
        _verdict(level.far),
        (
            "With covariates at their means the model puts the outcome at ",
            Quantity(level.fitted),
            "; the rows analysed average ",
            Quantity(level.observed),
            ", which is ",
            Quantity(level.gap),
            f" standard deviations away. {words}",
        ),
        model.asked.outcome,
    )


def _missing(model: Model, waves: Waves) -> Check:
    share = waves.lost / len(waves.applies)
    most = waves.scarcest(model.asked)
    often = f", most often {phrase(waves.read.label(most))}" if most else ""
    return Check(
        "missing values",
        _verdict(share > MUCH_MISSING),
        (
            Share(waves.lost, len(waves.applies)),
            f" of the waves to which the question applies lacked a value{often}. The model is "
            "right if, given what is observed, the loss does not depend on the missing value.",
        ),
        most or model.asked.outcome,
    )


def _ends(model: Model) -> tuple[Share, Share]:
    """Answers at the lowest and at the highest value."""
    values = model.data.frame[model.asked.outcome]
    low, high = (int((values == end).sum()) for end in (values.min(), values.max()))
    return Share(low, len(values)), Share(high, len(values))


def bounded(model: Model) -> bool:
    """Whether a normal model was given a whole number piled up on an end of its scale."""
    if not model.law.linear:
        return False
    values = model.data.frame[model.asked.outcome]
    return bool((values % 1 == 0).all()) and max(s.n / s.of for s in _ends(model)) >= PILED_UP


def _scale_ends(model: Model) -> Check:
    low, high = _ends(model)
    shares: tuple[Cell, ...] = (
        "Of the answers, ",
        low,
        " are the lowest value and ",
        high,
        " the highest. ",
    )
    words = (
        "So bounded a count is not normal about its mean: read the slope as an average tendency, "
        f"and look at the robust errors. A model for such an outcome: {_remedy(model)}."
        if bounded(model)
        else "Few enough for a model of its mean."
    )
    return Check("bounded outcome", _verdict(bounded(model)), (*shares, words), model.asked.outcome)


def _remedy(model: Model) -> str:
    name = model.asked.outcome
    return suggestion(model.data.frame[name], len(model.data.variable(name).values))


def _recorded(model: Model) -> Iterator[Check]:
    """An outcome that is 0 whenever the predictor is 0 may be unknown there, not 0."""
    frame = model.data.frame
    none = frame[model.asked.satisfaction] == 0
    if not none.any() or none.all():
        return
    zero = frame[model.asked.outcome] == 0
    if zero[none].mean() >= 0.95 > zero[~none].mean():
        yield Check(
            "zero where nothing was recorded",
            "caution",
            (
                "The outcome is 0 in ",
                Quantity(float(zero[none].mean()), "percent"),
                " of the waves at which the predictor is 0: is it unknown there? If so, leave "
                "those waves out with a `where` in the study file.",
            ),
            model.asked.outcome,
        )


def _known_once(model: Model) -> Iterator[Check]:
    """Covariates that never change within a person compare people only."""
    grouped = model.data.frame.groupby(model.asked.person)
    fixed = [c for c in model.asked.adjust if grouped[c].nunique().max() <= 1]
    if fixed:
        names = "; ".join(opening(model.data.label(c)) for c in fixed)
        words = (
            f"{names}: the same at every wave of a person, known once. Such a coefficient "
            "compares people with each other, never a person with themselves."
        )
        yield Check("known once a person", "ok", (words,))


def _degrees_of_freedom(model: Model, named: Mapping[str, Estimate]) -> Check:
    main = named["within"]
    if not model.law.linear:
        return _normal_reference(named)
    few = main.df < FEW_RESIDUAL_DF
    end = ": few, and the interval leans on normal errors." if few else "."
    words: tuple[Cell, ...] = ("The slope within people has ", Quantity(main.df, "df"))
    return Check("degrees of freedom", _verdict(few), (*words, " degrees of freedom" + end))


def _normal_reference(named: Mapping[str, Estimate]) -> Check:
    """No degrees of freedom are known for these models; the marginal model has its own."""
    words = (
        "Theory gives a generalised mixed model no degrees of freedom: its intervals are normal, "
        "and too short for few people."
    )
    beside = named.get("robust")
    if beside is None:
        return Check("degrees of freedom", "ok", (words,))
    few = beside.df < FEW_RESIDUAL_DF
    told = (" The marginal model beside it has ", Quantity(beside.df, "df"))
    return Check("degrees of freedom", _verdict(few), (words, *told, " degrees of freedom."))


def _random_slopes(model: Model) -> Iterator[Check]:
    """Say when the rows are too few for the slopes that the design calls for."""
    if not model.law.linear and not model.wished:
        words = (
            "The slope is the same for everyone: answers of this kind tell little of one person's "
            "own slope. Name columns in `random_slope` to let theirs vary; the marginal model of "
            "the sensitivity table does not need it."
        )
        yield Check("random slopes", "ok", (words,))
        return
    left_out = [c for c in model.wished if c not in model.slopes]
    if left_out:
        names = "; ".join(_slope_in_words(model, c) for c in left_out)
        yield Check(
            "random slopes",
            "caution",
            (
                Count(len(model.data), "rows"),
                " waves of ",
                Count(model.people),
                f" people are too few for every slope to vary between people; left out: {names}. "
                "If such a slope does vary, the interval that ignores it is too short: compare "
                "the robust errors, which do not need it.",
            ),
        )
    elif model.waves < WAVES_FOR_WITHIN_SLOPE:
        words = "Fewer than four waves cannot tell a slope of one's own from noise; it is shared."
        yield Check("random slopes", "ok", (words,))


def _slope_in_words(model: Model, column: str) -> str:
    if column == TIME:
        return "time"
    name = model.asked.satisfaction if column == model.asked.within else column
    return phrase(model.data.label(name))


def _few_people(model: Model) -> Iterator[Check]:
    if model.people < FEW_CLUSTERS:
        words = " people are too few to learn how people differ; intervals rest on normality."
        yield Check("people", "caution", (Count(model.people), words))


def _clusters(model: Model) -> Iterator[Check]:
    name = model.asked.cluster
    if name is None:
        return
    values = model.data.frame[name]
    if model.cluster is None:
        yield Check(
            "clusters",
            "caution",
            (
                f"Column {name!r} is empty in ",
                Count(int(values.isna().sum()), "rows"),
                " rows used; it was left out of the model rather than losing them.",
            ),
            name,
        )
        return
    few = values.nunique() < FEW_CLUSTERS
    words = (
        " clusters are too few to learn their variance. The slope within people compares each "
        "person with themselves and hardly depends on it; the slope between people does."
        if few
        else " clusters carry a variance of their own in the model."
    )
    yield Check("clusters", _verdict(few), (Count(values.nunique(), "clusters"), words), name)
