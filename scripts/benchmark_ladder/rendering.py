"""The reports of the demo study in every format, once their numbers exist."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

FORMATS = ("html", "md", "docx", "tex", "csv", "json", "txt")
RUNS = 3
MOST_SECONDS = 1.5
WORDS = (
    "CPU seconds of one rendering once the numbers of a report exist, the best of three, in a "
    "process that has loaded its libraries. The target is 1.5 s for each format; PDF, an extra, is "
    "set by WeasyPrint, has none, and is left out of the sum."
)


def seconds() -> list[tuple[str, str, float]]:
    """Report, format, and the CPU seconds of the best of three renderings; and all together."""
    from recovery_stats import analyses
    from recovery_stats.report import render
    from recovery_stats.study import workflow
    from recovery_stats.study.demo import demo_study

    study = demo_study()
    found = []
    for name in analyses.names():
        document = workflow.report(workflow.answer(name, study))
        render(document, "docx")  # what is loaded once is not counted
        times = [_best(partial(render, document, word)) for word in _here()]
        found += [(name, word, spent) for word, spent in zip(_here(), times, strict=True)]
        together = sum(times[: len(FORMATS)])
        found.append((name, "all but pdf", together))
    return found


def _here() -> Sequence[str]:
    from recovery_stats.errors import UsageError
    from recovery_stats.report import require

    try:
        require("pdf")
    except UsageError:
        return FORMATS
    return (*FORMATS, "pdf")


def _best(work: Callable[[], object]) -> float:
    spent = []
    for _ in range(RUNS):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return min(spent)


def markdown(found: Sequence[tuple[str, str, float]]) -> str:
    """One row a format, one column a report."""
    names = list(dict.fromkeys(name for name, _, _ in found))
    words = list(dict.fromkeys(word for _, word, _ in found))
    at = {(name, word): spent for name, word, spent in found}
    head = f"| format | {' | '.join(names)} |\n|---|{'---|' * len(names)}\n"
    lines = (f"| {w} | {' | '.join(f'{at[n, w]:.2f}' for n in names)} |\n" for w in words)
    return head + "".join(lines)
