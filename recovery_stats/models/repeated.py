"""Repeated-measures analysis of variance of columns side by side, one row a person.

For complete, balanced measures; `rs.lmm` takes people with gaps and unequal times. The F tests
within people assume sphericity; their p by Greenhouse and Geisser, and by Huynh and Feldt, do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from recovery_stats.core.cell import Count, Quantity
from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset, as_dataset
from recovery_stats.engines.repeated import FTest, Sphericity, repeated
from recovery_stats.errors import UsageError
from recovery_stats.models.design import build_design

LOW_EPSILON = 0.75  # below, Greenhouse and Geisser; from it on, Huynh and Feldt (Girden 1992)


@dataclass(frozen=True, slots=True)
class RepeatedAnova:
    """F tests by term: those between people, then those of the measures."""

    within: str
    tests: tuple[tuple[str, FTest], ...]
    sphericity: Sphericity
    n: int
    measures: int
    lost: int

    def __repr__(self) -> str:
        return f"<RepeatedAnova: {self.n} people, {self.measures} measures of {self.within}>"

    def tidy(self, level: float = 0.95) -> pd.DataFrame:
        """term, statistic, num_df, den_df, p_value, p_gg, p_hf, partial_eta2, one row a term."""
        return pd.DataFrame([
            {
                "term": term, "statistic": t.statistic, "num_df": t.num_df, "den_df": t.den_df,
                "p_value": t.p, "p_gg": t.gg_p, "p_hf": t.hf_p,
                "partial_eta2": t.statistic * t.num_df / (t.statistic * t.num_df + t.den_df),
            }
            for term, t in self.tests
        ])  # fmt: skip

    def glance(self) -> pd.DataFrame:
        """People, measures, both epsilons and Mauchly's test in one row."""
        ball = self.sphericity
        return pd.DataFrame([{
            "n_obs": self.n, "n_measures": self.measures, "epsilon_gg": ball.gg,
            "epsilon_hf": ball.hf, "mauchly": ball.mauchly, "mauchly_p": ball.mauchly_p,
        }])  # fmt: skip

    def checks(self) -> tuple[Check, ...]:
        """How far from sphericity, which p to read, and who was left out."""
        ball = self.sphericity
        which = (
            "read the p of Greenhouse and Geisser"
            if ball.gg < LOW_EPSILON
            else "read the p of Huynh and Feldt"
        )
        found = [Check(
            "sphericity", "caution" if ball.gg < LOW_EPSILON else "ok",
            ("Greenhouse and Geisser's epsilon is ", Quantity(ball.gg),
             f" (1: differences between measures vary alike): {which}. Mauchly's test, ",
             Quantity(ball.mauchly_p, "p"), ", misses departures in few people and finds trifles "
             "in many."),
        )]  # fmt: skip
        if self.lost:
            found.append(Check(
                "incomplete people", "caution",
                (Count(self.lost), " people lack a measure and are left out altogether; a mixed "
                 "model keeps them."),
            ))  # fmt: skip
        return tuple(found)


def repeated_anova(
    data: Dataset | pd.DataFrame,
    measures: Sequence[str],
    between: str = "1",
    *,
    within: str = "measure",
) -> RepeatedAnova:
    """Type III tests of terms between people, of the measures, and of their interactions.

    measures: two columns or more, one row a person. between: the right side of a formula
    ("arm", "arm * site"). within: what the measures are of ("wave"). People without every
    measure are left out. Raises UsageError, DataError, or NotEstimable with too few people.
    Checked: R's car (reference case rm_anova_gg_hf); with two measures, the paired t test.
    """
    if len(measures) < 2:
        raise UsageError("A repeated-measures analysis needs two measures or more.")
    table = as_dataset(data)
    table.require(*measures)
    whole = table.frame[list(measures)].notna().all(axis=1)
    design = build_design(f"~ {between}", table.with_frame(table.frame[whole]))
    rows = table.with_frame(table.frame[whole][design.kept])
    Y = rows.frame[list(measures)].to_numpy(float)
    X = design.recipe.matrix(rows, sum_to_zero=True)
    assign = np.asarray(design.recipe.assign)
    names = [str(coded.term) for coded in design.recipe.coded]
    columns = [np.flatnonzero(assign == t).tolist() for t in range(len(names))]
    of_people, of_measures, ball = repeated(Y, X, columns)
    tests = [(n, t) for n, t in zip(names, of_people, strict=True)]
    for name, test in zip(names, of_measures, strict=True):
        tests.append((within if name in ("1", "Intercept") else f"{name}:{within}", test))
    return RepeatedAnova(
        within, tuple(tests), ball, len(Y), len(measures), len(table.frame) - len(Y)
    )
