"""Groups of attendance: the bounds that make them, and the column that tells them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset

GROUP = "meeting group"

# Bounds of meetings a week that make the groups the literature speaks of.
Bounds = tuple[tuple[float, str], ...]
GROUPS: Bounds = ((0.0, "Less than 1"), (1.0, "1 or 2"), (3.0, "3 or 4"), (5.0, "5 or more"))
LANDMARK_GROUPS: Bounds = (*GROUPS[:2], (3.0, "3 or more"))
COUNTS: Bounds = (
    (0.0, "None"), (1.0, "1"), (2.0, "2"), (3.0, "3 or 4"), (5.0, "5 or more"),
)  # fmt: skip
REFERENCE_GROUP = "1"


def grouped(
    data: Dataset, column: str, groups: Bounds = GROUPS, first: str | None = None
) -> Dataset | None:
    """`with_groups`, of those whose attendance is known."""
    return with_groups(
        data.with_frame(data.frame[data.frame[column].notna()]), column, groups, first
    )


def with_groups(
    data: Dataset, column: str, groups: Bounds = GROUPS, first: str | None = None
) -> Dataset | None:
    """Add the attendance group, in order of attendance but `first` first; None with one group."""
    bounds, labels = [low for low, _ in groups[1:]], [label for _, label in groups]
    codes = np.where(data.frame[column].notna(), np.digitize(data.frame[column], bounds), -1)
    seen: Sequence[str] = [labels[i] for i in np.unique(codes) if i >= 0]
    if len(seen) < 2:
        return None
    order = sorted(seen, key=lambda label: (label != first, labels.index(label)))
    values = pd.Categorical([labels[c] if c >= 0 else None for c in codes], categories=order)
    return data.with_column(Variable(GROUP, "Attended a week"), values)
