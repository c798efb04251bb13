"""A fault of the study file or of the data: where it stands, what it is, how to cure it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from recovery_stats.core.study import Protocol
from recovery_stats.errors import DataError, UsageError

MOST_LISTED = 100


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault.

    line: in the study file, 0 where none is to blame. where: the section or the table, as
    "[roles.persons] time". message: what is wrong, with names, row numbers and counts, never a
    person's identifier or value. cure: what to do about it. role, column: of the column whose
    values are at fault. analysis: the number of the one analysis that has this fault. exit_code: 4
    where the data are sound but hold no answer (one group, a constant outcome).
    """

    line: int
    where: str
    message: str
    cure: str = ""
    role: str = field(default="", compare=False)
    column: str = field(default="", compare=False)
    analysis: int | None = field(default=None, compare=False)
    exit_code: int = field(default=DataError.exit_code, compare=False)

    def text(self, file: str = "study.toml") -> str:
        """The whole on one line: 'study.toml:12: [roles.persons] time: … cure'."""
        place = f"{file}:{self.line}: " if self.line else (f"{file}: " if file else "")
        where = f"{self.where}: " if self.where else ""
        return f"{place}{where}{self.message}{' ' + self.cure if self.cure else ''}"


class ProtocolError(UsageError):
    """The study file is wrong; `problems` has every fault found in it.

    sound: what could be read of it all the same, None where nothing could. doubtful: the lines
    of the analyses whose options may not be as they were meant.
    """

    def __init__(
        self,
        problems: Sequence[Problem],
        file: str = "study.toml",
        sound: Protocol | None = None,
        doubtful: frozenset[int] = frozenset(),
    ) -> None:
        self.problems = tuple(problems)
        self.file = file
        self.sound = sound
        self.doubtful = doubtful
        super().__init__(listed(problems, file))


class StudyDataError(DataError):
    """The data of a study are wrong; `problems` has every fault found in them.

    exit_code: as its problems say, that of wrong data where they disagree.
    """

    def __init__(self, problems: Sequence[Problem], file: str = "") -> None:
        self.problems = tuple(problems)
        self.file = file
        self.exit_code = min((p.exit_code for p in problems), default=DataError.exit_code)
        super().__init__(listed(problems, file))


def listed(problems: Sequence[Problem], file: str) -> str:
    """One fault as one line; several under a heading that counts them."""
    lines = [p.text(file) for p in problems[:MOST_LISTED]]
    if len(problems) == 1:
        return lines[0]
    left = len(problems) - len(lines)
    more = [f"  … and {left} more"] if left else []
    return "\n".join([f"{len(problems)} problems:", *(f"  {line}" for line in lines), *more])
