"""Do raters agree? `rater_icc(data, ("interviewer_1", "interviewer_2"))`, Shrout and Fleiss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from recovery_stats.core.cell import Count
from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset, as_dataset
from recovery_stats.engines import rater_icc as engine
from recovery_stats.engines.linalg import Array
from recovery_stats.errors import DataError, NotEstimable

FEW = 30  # targets
SAME = 1e-12  # a share of the variance that is only rounding
FORMS = (
    ("ICC1", engine.one_way, "each target has raters of its own"),
    ("ICC2", engine.random, "raters drawn from many, absolute agreement"),
    ("ICC3", engine.fixed, "these raters only, consistency"),
)


@dataclass(frozen=True, slots=True)
class RaterIcc:
    """Ratings y (n, k) of n targets by the same k raters; see `rater_icc`."""

    raters: tuple[str, ...]
    y: Array = field(repr=False)
    left_out: int

    def tidy(self, level: float = 0.95) -> pd.DataFrame:
        """term, estimate, conf_low, conf_high, statistic, num_df, den_df, p_value, form.

        ICC1, ICC2, ICC3 of one rater; ICC1k, ICC2k, ICC3k of the mean of all of them.
        """
        return pd.DataFrame([
            {"term": term, "estimate": r.icc, "conf_low": r.low, "conf_high": r.high,
             "statistic": r.F, "num_df": r.num_df, "den_df": r.den_df, "p_value": r.p,
             "form": form}
            for term, r, form in self._rows(level)
        ])  # fmt: skip

    def _rows(self, level: float) -> Iterator[tuple[str, engine.Correlation, str]]:
        s = engine.squares(self.y)
        single = [(term, find(s, level), form) for term, find, form in FORMS]
        yield from ((term, r, f"{form}; one rater") for term, r, form in single)
        for term, r, form in single:
            yield f"{term}k", engine.of_mean(r, s.k), f"{form}; mean of {s.k} raters"

    def glance(self) -> pd.DataFrame:
        """Targets, raters, targets left out, and the mean squares."""
        s = engine.squares(self.y)
        return pd.DataFrame([{
            "n_obs": s.n, "raters": s.k, "left_out": self.left_out, "ms_targets": s.targets,
            "ms_raters": s.judges, "ms_rest": s.rest, "ms_within": s.within,
        }])  # fmt: skip

    def checks(self) -> tuple[Check, ...]:
        """How many targets there are, and how many lack a rating."""
        n = len(self.y)
        few = "; the limits are wide" if n < FEW else ""
        parts = (Count(n), f" were rated by all {len(self.raters)} raters{few}. ",
                 Count(self.left_out), " without some rating were left out.")  # fmt: skip
        worse = n < FEW or self.left_out > 0.1 * (n + self.left_out)
        return (Check("targets rated", "caution" if worse else "ok", parts),)

    def __repr__(self) -> str:
        return f"<RaterIcc: {len(self.y)} targets, {len(self.raters)} raters>"


def rater_icc(data: pd.DataFrame | Dataset, raters: Sequence[str]) -> RaterIcc:
    """Agreement of raters about a number: a row a target, a column a rater (or an occasion).

    Targets without every rating are left out and counted. For the likeness of people within a
    house see `icc`. Raises NotEstimable with fewer than two raters or two complete targets,
    or where ratings do not vary or raters agree to the last digit (F is infinite).
    Source: Shrout & Fleiss 1979, Psychol Bull 86:420. Checked: psych::ICC, their table 4.
    """
    table, names = as_dataset(data), tuple(dict.fromkeys(raters))
    if len(names) < 2:
        raise NotEstimable(f"Agreement takes two raters or more; {len(names)} column is named.")
    table.require(*names)
    text = [c for c in names if not pd.api.types.is_numeric_dtype(table.frame[c])]
    if text:
        raise DataError(f"Column {text[0]!r} is text; ratings are numbers.")
    y = table.frame[list(names)].to_numpy(float)
    whole = np.isfinite(y).all(axis=1)
    _can_be_told(y[whole], len(y))
    return RaterIcc(names, y[whole], int(np.sum(~whole)))


def _can_be_told(y: Array, rows: int) -> None:
    """NotEstimable where a mean square that divides is zero."""
    if len(y) < 2:
        raise NotEstimable(
            f"{len(y)} of {rows} rows have every rating; agreement takes two or more."
        )
    s = engine.squares(y)
    if s.rest <= SAME * max(s.targets, s.judges) or s.targets <= SAME * max(s.judges, s.rest):
        raise NotEstimable(
            "Ratings that do not differ between targets, or that differ between raters by a "
            "constant at most, leave no error to judge them by: the correlation is 0 or 1 and "
            "has no interval."
        )
