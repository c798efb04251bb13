"""Something secondary that has no answer: it is told with its reason, and the report stands.

The words of an error may hold small counts, so a reason is one of a few sentences without any, or
what is left of its words without numbers.
"""

from __future__ import annotations

import re

from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset

CONSTANT = "everybody who has a value has the same one"
NO_ANSWER = "the model has no answer on these data"


def why(data: Dataset, column: str) -> str:
    """Why what was asked of `column` has no estimate, in words."""
    return CONSTANT if data.frame[column].nunique() < 2 else NO_ANSWER


def without_numbers(message: str) -> str:
    """The clauses of a message that hold no number: a report tells counts in cells. "" of none."""
    clauses = re.split(r"(?<=[.:,;]) ", message)
    told = " ".join(c for c in clauses if not re.search(r"\d", c)).rstrip(" :,;.")
    return f"{told}." if told else ""


def caution(name: str, what: str, reason: str) -> Check:
    """The check that tells of it: `what` was asked for."""
    return Check(name, "caution", (f"{what} was asked for and has no estimate: {reason}.",))
