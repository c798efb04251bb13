"""What is left on each day of the protection of earlier meetings, one day at a time.

A meeting acts from the day after it. With H the half-life in days and lag = 1, 2, … days since,

    last        2^(-lag/H) of the last meeting
    sum         the sum of 2^(-lag/H) over all meetings
    saturating  1 - the product of 1 - 2^(-lag/H) over all meetings

The first two need only what was left the day before; the third needs every recent meeting.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Kernel = Literal["last", "sum", "saturating"]
FADED = 40  # half-lives after which less than 1e-12 of a meeting is left


class Protection:
    """`left` (shape): protection on the day after the last `meet`; 0 before any meeting."""

    def __init__(self, kernel: Kernel, half_life_days: float, shape: tuple[int, ...]) -> None:
        self.kernel = kernel
        self.left = np.zeros(shape)
        self._decay = 2 ** (-1 / half_life_days)
        lag = np.arange(1, int(np.ceil(FADED * half_life_days)) + 1)
        self._log_lost = np.log1p(-(2.0 ** (-lag / half_life_days)))
        self._recent = np.zeros((len(lag), *shape)) if kernel == "saturating" else np.zeros(0)
        self._newest = 0

    def meet(self, met: NDArray[np.bool_]) -> None:
        """Let those of `met` (any shape that spreads over that of `left`) attend today."""
        if self.kernel == "last":
            self.left = np.where(met, 1.0, self.left) * self._decay
        elif self.kernel == "sum":
            self.left = (self.left + met) * self._decay
        else:
            self._newest = (self._newest - 1) % len(self._recent)
            self._recent[self._newest] = met
            by_place = np.roll(self._log_lost, self._newest)
            self.left = -np.expm1(np.tensordot(by_place, self._recent, 1))

    def copy_from(self, who: NDArray[np.int64], others: NDArray[np.int64]) -> None:
        """Give `who` the meetings of `others`; shape (n,) only."""
        self.left[who] = self.left[others]
        if self.kernel == "saturating":
            self._recent[:, who] = self._recent[:, others]
