"""What is examined about a residual structure, beside the checks of every mixed model."""

from __future__ import annotations

from collections.abc import Iterator

from recovery_stats.core.cell import Count, Quantity
from recovery_stats.core.check import Check
from recovery_stats.engines.lmm_residual import ResidualFit
from recovery_stats.engines.residual import Unstructured
from recovery_stats.models.mixed_check import FEW_GROUPS
from recovery_stats.models.residual_structure import Structure

FEW_PAIRS = 10


def examine_structure(structure: Structure, fit: ResidualFit) -> Iterator[Check]:
    """People, pairs of waves, and a correlation that has nothing left to say."""
    few = structure.persons < FEW_GROUPS
    yield Check(
        "groups",
        "caution" if few else "ok",
        (
            f"{structure.people} has ",
            Quantity(float(structure.persons), "whole"),
            " levels: the residual covariance is poorly known; use Kenward–Roger." if few
            else " levels.",
        ),
        structure.people,
    )  # fmt: skip
    if fit.at_limit:
        yield Check(
            "residual structure",
            "caution",
            ("The correlation in time is estimated as zero; its parameter is left out of the "
             "degrees of freedom.",),
            structure.request.kind,
        )  # fmt: skip
    if isinstance(structure.residual, Unstructured):
        least = int(structure.pairs.min())
        thin = least < FEW_PAIRS
        yield Check(
            "residual structure",
            "caution" if thin else "ok",
            (
                "The pair of waves seen together least often is seen in ",
                Count(least, "people"),
                ": its covariance is poorly known; compare a structure with fewer parameters."
                if thin
                else ".",
            ),
            structure.request.kind,
        )
