"""Follow-up against R: survfit(Surv(s, t, 1 - e) ~ 1) of survival, and the sum of the days.

d <- data.frame(
  t = c(30, 45, 61, 70, 88, 100, 120, 130, 150, 150, 160, 168, 168, 168),
  e = c(1, 0, 1, 1, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0),
  s = c(0, 0, 5, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0))
survfit(Surv(t, 1 - e) ~ 1, d)         # median 160
survfit(Surv(s, t, 1 - e) ~ 1, d)      # median 160
survfit(Surv(t, 1 - e) ~ 1, d[d$t < 90, ])  # median 88
sum(d$t - d$s) / 365.25                # 4.361396, of 1,593 days
"""

import pandas as pd
import pytest

from recovery_stats.analyses._follow_up import follow_up_table
from recovery_stats.core.cell import Count, Hidden, Quantity
from recovery_stats.core.codebook import Codebook
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.document import Document
from recovery_stats.core.study import PROFILES
from recovery_stats.report.disclose import disclose
from tests.tolerance import CLOSED_FORM

DAYS = pd.DataFrame(
    {
        "t": [30.0, 45, 61, 70, 88, 100, 120, 130, 150, 150, 160, 168, 168, 168],
        "e": [1.0, 0, 1, 1, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0],
        "s": [0.0, 0, 5, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0],
    }
)


def cells(frame, *columns, **more):
    table = follow_up_table(Dataset(frame, Codebook()), *columns, **more)
    return {row.key: row.cells[0] for row in table.rows}


def test_total_and_median_are_those_of_r():
    found = cells(DAYS, "t", "e", "s")
    assert found["people"] == Count(14)
    assert found["years"].value == pytest.approx(1593 / 365.25, rel=CLOSED_FORM)
    assert found["median"] == Quantity(23.0, "whole", n=9)  # 160 days
    assert cells(DAYS[DAYS["t"] < 90], "t", "e")["median"] == Quantity(13.0, "whole", n=2)


def test_a_median_that_nobody_reaches_is_said_in_words():
    assert cells(DAYS.assign(e=1.0), "t", "e")["median"] == "not reached"


def test_few_who_leave_and_the_total_beside_a_small_group_are_withheld():
    table = follow_up_table(Dataset(DAYS, Codebook()), "t", "e", sizes=(11, 3))
    (safe,) = disclose(Document("a", "T", "REAL", (table,)), PROFILES["cms"]).blocks
    told = {row.key: row.cells[0] for row in safe.rows}
    assert isinstance(told["years"], Hidden)
    assert isinstance(told["median"], Hidden)
