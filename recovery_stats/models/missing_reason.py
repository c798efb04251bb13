"""Why a cell is empty: the reasons of the codebook, as rows below a characteristic of Table 1."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from recovery_stats.core.cell import Count, Share
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.document import Row

REASON_DEPTH = 2  # of the reasons below the word missing


def missing_rows(column: str, parts: Sequence[Dataset]) -> Iterator[Row]:
    """Who lacks a value of `column` in each part: to whom it does not apply, who is missing, why.

    Shares are of all people of the part. Several reasons stand below those missing and add up to
    them; one alone stands beside the word. Nothing where nobody lacks a value.
    """
    found = [data.reasons(column) for data in parts]
    reasons = ordered(reason for each in found for reason in each)
    outside = [r for r in reasons if is_outside(r)]
    lost = [r for r in reasons if r not in outside]

    def shares(of: Sequence[str]) -> tuple[Share, ...]:
        counted = (sum(each.get(r, 0) for r in of) for each in found)
        return tuple(Share(n, len(data)) for n, data in zip(counted, parts, strict=True))

    if outside:
        yield Row(f"{column}.outside", "does not apply", shares(outside), 1)
    if not lost:
        return
    alone = len(lost) == 1 and lost[0] != "system-missing"
    label = f"missing: {lost[0]}" if alone else "missing"
    yield Row(f"{column}.missing", label, shares(lost), 1)
    for i, reason in enumerate(lost if len(lost) > 1 else (), 1):
        counts = tuple(Count(each.get(reason, 0)) for each in found)
        yield Row(f"{column}.missing.{i}", reason_label(reason), counts, REASON_DEPTH)


def is_outside(reason: str) -> bool:
    """Whether a reason says that the question does not apply, so that nothing is missing."""
    return "not applicable" in reason.casefold()


def ordered(reasons: Iterable[str]) -> list[str]:
    """Each reason once, in the order of words, cells without one last."""
    return sorted(set(reasons), key=lambda r: (r == "system-missing", r))


def reason_label(reason: str) -> str:
    """How a reason is named in a table."""
    return "No reason recorded" if reason == "system-missing" else reason
