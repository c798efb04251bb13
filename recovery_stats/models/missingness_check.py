"""What missing values may do to an analysis: how many, in which arm, for good or not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from recovery_stats.core.cell import Quantity, Share
from recovery_stats.core.check import Check

if TYPE_CHECKING:
    from recovery_stats.models.missingness import Missing

APART = 0.05  # arms whose shares missing differ by more are told of
MUCH = 0.2


def checks(found: Missing) -> Iterator[Check]:
    """Those that the keys allow: arms and waves where there are some."""
    table = found.tidy()
    most = table.loc[table["share"].fillna(0).idxmax()]
    yield Check(
        "share missing",
        "caution" if most["share"] > MUCH else "ok",
        (
            "Most is missing of ", f"{most['label']}: ",
            Share(int(most["missing"]), int(most["cells"])), ".",
        ),
        str(most["variable"]),
    )  # fmt: skip
    if "arm" in found.keys:
        yield from _arm_check(found)
    if found.waves:
        yield _monotone_check(found)


def _arm_check(found: Missing) -> Iterator[Check]:
    shares = found.tidy(by="arm").pivot_table(index="variable", columns="arm", values="share")
    if shares.shape[1] < 2:
        return
    gap = shares.max(axis=1) - shares.min(axis=1)
    worst = str(gap.idxmax())
    parts = (
        "The shares missing of the arms differ by at most ", Quantity(float(gap.max()), "percent"),
        f" ({found.data.label(worst)}).",
    )  # fmt: skip
    yield Check("missing by arm", "caution" if gap.max() > APART else "ok", parts, worst)


def _monotone_check(found: Missing) -> Check:
    kinds = found.monotone()
    kinds = kinds[kinds["kind"] != "complete"].groupby("kind")["people"].sum()
    lost, back = int(kinds.get("monotone", 0)), int(kinds.get("intermittent", 0))
    parts = (
        "Of the gaps of a person in a variable, ", Share(lost, max(lost + back, 1)),
        " are for good; in the others the person came back.",
    )  # fmt: skip
    return Check("monotone patterns", "ok", parts)
