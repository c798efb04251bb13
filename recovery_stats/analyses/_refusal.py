"""Something secondary that has no answer: it is told with its reason, and the report stands.

The words of an error may hold small counts, names of columns, or noughts said in words ("nobody
has"), which some privacy rules withhold as they do small counts. So a reason is one of a few
sentences without any, or what is left of its words without them.
"""

from __future__ import annotations

import re

from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset
from recovery_stats.models.strategy import CURE, TooFewFollow

CONSTANT = "it varies too little among the people analysed"
NO_ANSWER = "the model has no answer on these data"
TOO_FEW = "Too few people keep to one of the strategies. "
NOUGHT = re.compile(
    r"\b(nobody|no one|none|nothing|never|everybody|everyone|neither)\b"
    r"|\bno (event|relapse|row|value|variation|person|people|column|level|wave|meeting|stay)s?\b",
    re.IGNORECASE,
)
KNOWN = (  # what messages say, and how a report says it
    ("no variation", "It varies too little among those at risk together."),
    ("No event was observed", "Too few events were observed."),
    ("has no relapse", "Too few relapses were observed."),
    ("is left: column", "Too little of it is known."),
)
NAMED = re.compile(r"'[^']*'")


def why(data: Dataset, column: str) -> str:
    """Why what was asked of `column` has no estimate, in words."""
    return CONSTANT if data.frame[column].nunique() < 2 else NO_ANSWER


def without_numbers(message: str) -> str:
    """The clauses of a message that hold no number: a report tells counts in cells. "" of none."""
    clauses = re.split(r"(?<=[.:,;]) ", message)
    told = " ".join(c for c in clauses if not re.search(r"\d", c)).rstrip(" :,;.")
    return f"{told}." if told else ""


def safely(error: Exception) -> str:
    """Why something could not be estimated, as any report may tell it: a sentence."""
    return TOO_FEW + CURE if isinstance(error, TooFewFollow) else safe_words(str(error))


def safe_words(message: str) -> str:
    """A message without the clauses that hold a number, a nought in words or a column's name."""
    if known := next((words for phrase, words in KNOWN if phrase in message), ""):
        return known
    told = [s for s in map(_safe, re.split(r"(?<=\.) ", message)) if s]
    return " ".join(s[:1].upper() + s[1:] for s in told or [f"{NO_ANSWER}."])


def _safe(sentence: str) -> str:
    """A sentence whose first clause may be told, without the clauses that may not."""
    clauses = re.split(r"(?<=[:,;]) ", sentence)
    if _tells(clauses[0]):
        return ""
    return without_numbers(" ".join(c for c in clauses if not _tells(c)))


def _tells(clause: str) -> bool:
    return bool(re.search(r"\d", clause) or NOUGHT.search(clause) or NAMED.search(clause))


def caution(name: str, what: str, reason: str) -> Check:
    """The check that tells of it: `what` was asked for."""
    return Check(name, "caution", (f"{what} was asked for and has no estimate: {reason}.",))
