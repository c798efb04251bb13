"""Rules for missed visits that can take the place of the published ones."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from recovery_stats.data.endpoint.pattern import MISSED, NEGATIVE, NO_VISIT, POSITIVE, Codes

PUBLISHED = "published"
MISSING_RULES: Mapping[str, str] = {
    PUBLISHED: "as published",
    "positive": "missed visits are positive",
    "negative": "missed visits are negative",
    "ignored": "missed visits are left out, as if not scheduled",
    "carried": "the last result is carried forward; before the first one missed visits stay missed",
}
_BECOMES = {"positive": POSITIVE, "negative": NEGATIVE, "ignored": NO_VISIT}


def with_missing(codes: Codes, rule: str) -> Codes:
    """Codes with the missed visits read by `rule`."""
    if rule in _BECOMES:
        return np.where(codes == MISSED, np.uint8(_BECOMES[rule]), codes)
    return _carried_forward(codes) if rule == "carried" else codes


def _carried_forward(codes: Codes) -> Codes:
    found = codes.copy()
    latest = np.full(len(codes), MISSED, dtype=codes.dtype)
    for place in range(codes.shape[1]):
        missed = codes[:, place] == MISSED
        found[missed, place] = latest[missed]
        seen = ~missed & (codes[:, place] != NO_VISIT)
        latest[seen] = codes[seen, place]
    return found
