"""Log odds and probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np


def logistic(log_odds: Any) -> Any:
    """Probability from log odds; any shape."""
    return 1 / (1 + np.exp(-np.asarray(log_odds, dtype=float)))
