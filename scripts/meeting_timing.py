"""A part of scripts/meeting_recovery.py: the work whose duration is promised, one process each."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pandas as pd
from meeting_study import ASKED, DIARY, blocks, draw

from recovery_stats.core.dataset import Dataset
from recovery_stats.engines.kernel_cox import profile
from recovery_stats.models.kernel import GRID, KernelFit, kernel_cox
from recovery_stats.models.strategy import sustained

PEOPLE, DAYS, MEETINGS, EVENTS = 4_000, 730, 200_000, 2_500


@cache
def person_days() -> tuple[Dataset, Dataset]:
    """Everyone at risk on every day, events on most days, and a diary."""
    rng = np.random.default_rng(1)
    person = np.repeat(np.arange(PEOPLE), DAYS)
    day = np.tile(np.arange(1, DAYS + 1), PEOPLE)
    event = np.zeros(len(person))
    event[rng.choice(len(person), EVENTS, replace=False)] = 1.0
    rows = pd.DataFrame(
        {"person": person, "start": day - 1.0, "stop": day * 1.0, "event": event,
         "sev_z": rng.standard_normal(PEOPLE)[person]}
    )  # fmt: skip
    diary = pd.DataFrame(
        {"pid": rng.integers(PEOPLE, size=MEETINGS), "mday": rng.integers(DAYS, size=MEETINGS)}
    )
    return Dataset(rows), Dataset(diary)


@cache
def kernel_fit() -> KernelFit:
    rows, diary = person_days()
    return kernel_cox("Surv(start, stop, event) ~ sev_z", rows, meetings=diary, **DIARY)


def kernel_profile() -> object:
    fit = kernel_fit()
    return profile(fit.days, fit.kernel.at, GRID)


@cache
def trial() -> object:
    return blocks(draw("feedback", 1000, 1))


def strategy_draws() -> object:
    return sustained(trial(), ASKED, replicates=500, least=0.0)


# title, limit in seconds, what is made beforehand, the work
WORK: tuple[tuple[str, int, Callable[[], object], Callable[[], object]], ...] = (
    ("Kernel profile over 13 half-lives and its interval: 4,000 people, 730 days, 200,000 meetings",
     5, kernel_fit, kernel_profile),
    ("The same with reading 2.9 million rows and the test of no effect", 10,
     lambda: (person_days(), kernel_fit.cache_clear()), kernel_fit),
    ("Strategies: 1,000 people, 500 bootstrap draws", 120, trial, strategy_draws),
)  # fmt: skip
