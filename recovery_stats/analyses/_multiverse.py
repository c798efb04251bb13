"""What many answers to one question make together: a specification curve, shares, failures.

It knows only what each specification brought back; how they were answered, the study knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from recovery_stats.analyses._multiverse_tables import multiverse_figures, multiverse_tables
from recovery_stats.analyses._specification import Specification, panels_of
from recovery_stats.core.cell import Cell, Count, Quantity
from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Source
from recovery_stats.core.estimate import Estimand, Estimate
from recovery_stats.core.result import Result

UNIT = "specifications"


def answer(
    specifications: Sequence[Specification],
    *,
    of: str,
    title: str,
    sources: tuple[Source, ...] = (),
    synthetic: bool = False,
) -> Result:
    """One Result of all specifications; those without an estimate are listed with the reason."""
    told = [s for s in specifications if s.turned is not None]
    estimand = _estimand(told)
    figures = {f.name: f for f in multiverse_figures(told)}
    failed = [s for s in specifications if s.estimate is None]
    return Result(
        analysis="multiverse",
        estimand=estimand,
        estimates=tuple(_estimate(s) for s in told),
        checks=tuple(_checks(specifications, failed)),
        facts=_facts(specifications, told, of, title, estimand),
        said=frozenset(_said(told, failed)),
        tables={t.name: t for t in multiverse_tables(told, failed)},
        figures=figures,
        sources=sources,
        synthetic=synthetic,
    )


def _estimate(s: Specification) -> Estimate:
    assert s.turned is not None
    return replace(s.turned, name=s.name, label=_label(s), level="sensitivity")


def _label(s: Specification) -> str:
    return f"{s.endpoint} ({s.kind.lower()}; missed screens {s.missing})"


def _estimand(told: Sequence[Specification]) -> Estimand:
    first = next((s.estimand for s in told if s.estimand), Estimand("", "", "", "", ""))
    return replace(
        first,
        endpoint="each of the definitions below in turn, over the same screens",
        summary="the primary estimate of the analysis under each definition",
    )


def _facts(
    everything: Sequence[Specification],
    told: Sequence[Specification],
    of: str,
    title: str,
    estimand: Estimand,
) -> dict[str, Cell]:
    more, less = ([s for s in told if s.side == side] for side in (1, -1))
    facts: dict[str, Cell] = {
        "of": of,
        "title": title,
        "treatment": estimand.treatment,
        "specifications": Count(len(everything), UNIT),
        "estimated": Count(len(told), UNIT),
        "definitions": Quantity(len({s.endpoint for s in everything}), "whole"),
        "distinct": Quantity(_distinct(told), "whole"),
        "failed": Count(len(everything) - len(told), UNIT),
    }
    for name, some in (("more", more), ("less", less)):
        clear = sum(s.clear for s in some)
        facts[name] = Quantity(len(some), "whole")
        facts[f"{name}_share"] = Quantity(len(some) / max(len(told), 1), "percent")
        facts[f"{name}_clear"] = Quantity(clear, "whole")
        facts[f"{name}_clear_share"] = Quantity(clear / max(len(told), 1), "percent")
    return facts


def _distinct(told: Sequence[Specification]) -> int:
    """How many different estimates there are: some definitions say the same in other words."""
    found = {
        (s.estimate.scale, s.turned.value, s.turned.low) for s in told if s.estimate and s.turned
    }
    return len(found)


def _said(told: Sequence[Specification], failed: Sequence[Specification]) -> Iterable[str]:
    sides = {s.side for s in told}
    clear = {s.side for s in told if s.clear}
    if not told:
        yield "nothing"
    elif sides <= {1} or sides <= {-1}:
        yield "one_side"
    else:
        yield "both_sides"
    if clear == {1, -1}:
        yield "contradict"
    if failed:
        yield "failures"
    yield from (f"panel_{i}" for i, _ in enumerate(panels_of(told), 1))


def _checks(
    everything: Sequence[Specification], failed: Sequence[Specification]
) -> Iterable[Check]:
    """What to know before a share of specifications is quoted."""
    yield Check(
        "specifications estimated",
        "caution" if failed else "ok",
        (
            Quantity(len(everything) - len(failed), "whole"),
            " of ",
            Count(len(everything), UNIT),
            " specifications have an estimate",
            "; the others are listed with the reason." if failed else ".",
        ),
    )
