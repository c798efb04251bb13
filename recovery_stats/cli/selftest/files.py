"""Questions of files and scales: SPSS read twice, endpoints of patterns, scores."""

from __future__ import annotations

import math

from recovery_stats.cli.selftest.question import Question, paper


def _cells_apart() -> float:
    """A small SPSS file with text, gaps and codes: our reader against pyreadstat."""
    import tempfile
    from pathlib import Path

    import pandas as pd

    from recovery_stats.core.codebook import Codebook, MissingRule, Variable
    from recovery_stats.core.dataset import Dataset
    from recovery_stats.data.sav import write_spss
    from recovery_stats.data.sav_crosscheck import compare

    frame = pd.DataFrame({"x": [1.5, float("nan"), -1e9], "s": ["a", "", "Ä"]}, index=[1, 2, 3])
    text = Variable("s", kind="string", width=4)
    book = Codebook({"x": Variable("x", missing=MissingRule((-99.0,))), "s": text})
    data = Dataset(frame, book, {"x": pd.Series([-99.0], index=[2])})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "small.sav"
        write_spss(data, path)
        found = compare(path)
    return math.nan if found.fault else float(sum(map(len, found.differing.values())))


def _endpoint(pattern: str, name: str) -> float:
    from recovery_stats.data.endpoints import endpoint

    return float(endpoint([pattern], name).iloc[0])


def _longest() -> float:
    from recovery_stats.data.endpoint.piece import VISITS
    from recovery_stats.data.endpoints import endpoint

    return float(endpoint(["++---+--oo"], VISITS.longest_run("-")).iloc[0])


def _score() -> float:
    """Seven answers of 4, two of them of items that count backwards: mean (5·4 + 2·2)/7."""
    import pandas as pd

    from recovery_stats.study.scoring import score

    data = pd.DataFrame({f"ras{i}": [4.0, 5.0] for i in range(1, 8)})
    return float(score(data, "RAS").frame["ras_mean"].iloc[0])


QUESTIONS: tuple[Question, ...] = (
    Question("sav", "SPSS file, two readers: cells that differ", paper(0.0,
             "pyreadstat reads the same file"), _cells_apart),
    Question("endpoints", "Longest abstinence ++---+--oo", paper(3.0, "counted on paper"),
             _longest),
    Question("endpoints", "Three weeks abstinent ++---+--oo", paper(1.0, "three on end"),
             lambda: _endpoint("++---+--oo", "Ab_kosten_1993")),
    Question("scores", "Relationship Assessment Scale: mean", paper(24 / 7,
             "(5·4 + 2·(6 - 4))/7"), _score),
)  # fmt: skip
