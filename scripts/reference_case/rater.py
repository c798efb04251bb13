"""Agreement of raters in the vocabulary of the reference cases."""

from __future__ import annotations

from recovery_stats.models.rater_icc import rater_icc

from .case import Case, Values

KEYS = {
    "icc": "estimate", "F": "statistic", "df1": "num_df", "df2": "den_df", "p": "p_value",
    "lo": "conf_low", "hi": "conf_high",
}  # fmt: skip


def agreement(case: Case) -> Values:
    """A row a target: its name first, then a column for each judge."""
    found = rater_icc(case.frame, list(case.frame.columns[1:])).tidy()
    return {
        f"{key}[{row['term']}]": row[column]
        for _, row in found.iterrows()
        for key, column in KEYS.items()
    }
