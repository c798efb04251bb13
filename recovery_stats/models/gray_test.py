"""Gray's test of cumulative incidence from a formula, within strata."""

from __future__ import annotations

import numpy as np
import pandas as pd

from recovery_stats.core.dataset import Dataset
from recovery_stats.engines.curves import LifeTable
from recovery_stats.models.cause import code_causes, name_causes
from recovery_stats.models.formula import Formula
from recovery_stats.models.incidence import GrayTest, compare_causes
from recovery_stats.models.life_table import count_table, group_columns, only_times, read_groups
from recovery_stats.models.observation import Mask, Observation, observe


def gray_test(formula: Formula | str, data: pd.DataFrame | Dataset, rho: float = 0) -> GrayTest:
    """Test that groups share the incidence of each cause: `Surv(time, cause) ~ group + strata(x)`.

    Within strata groups are compared among their own people, and the differences are summed.
    rho: weights (1 - F)^rho, so that above 0 early differences count more.
    Raises NotEstimable with one group, no event, or late entries.
    """
    what, data = "gray_test", code_causes(formula, data)
    seen = observe(
        only_times(formula, what, strata=True),
        data,
        what=what,
        complete=group_columns(formula, what, with_strata=False),
        competing=True,
    )
    groups = read_groups(formula, what, data, seen, with_strata=False)
    J = int(seen.cause.max(initial=0))
    seen.refuse_no_event("no incidence can be compared")
    stratum = np.zeros(len(seen), np.intp) if seen.strata is None else seen.strata
    tables = [
        [_count(seen, (stratum == s) & (groups.codes == g), J) for g in range(groups.size)]
        for s in range(int(stratum.max()) + 1)
    ]
    tests = compare_causes(tables, J, rho)
    censored = float(np.count_nonzero(seen.cause == 0))
    return GrayTest(groups.name, groups.levels, name_causes(formula, data, J), tests, censored)


def _count(seen: Observation, rows: Mask, causes: int) -> LifeTable:
    """The table of a group within a stratum, where it may have nobody."""
    if rows.any():
        return count_table(seen, rows, causes)
    none, nobody = np.zeros(0), np.zeros(0, np.int64)
    return LifeTable(none, none, np.zeros((causes, 0)), none, nobody, nobody, none, nobody, 0)
