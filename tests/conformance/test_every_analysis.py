"""What every analysis must hold, found by name: a new one is examined without a word here."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from recovery_stats import analyses
from recovery_stats.core.cell import Cell, Count, Share
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.document import CaterpillarFigure, Checks, Table
from recovery_stats.core.result import Result
from recovery_stats.core.study import PROFILES, Privacy, Study
from recovery_stats.data.synthetic import synthetic_study
from recovery_stats.errors import RecoveryError
from recovery_stats.report import FORMATS
from recovery_stats.report.privacy.estimate import raw_share
from recovery_stats.report.privacy.plain import FROM_ROUNDED
from recovery_stats.report.template import (
    Hole,
    Place,
    TemplateList,
    TemplateParagraph,
    parse,
)
from recovery_stats.study import workflow
from recovery_stats.study.binding import Option, bind, options_of
from tests.tolerance import ROW_ORDER

ROOT = Path(__file__).resolve().parents[2]
PERSONS = 300
NAMES = analyses.names()
EVERY = pytest.mark.parametrize("name", NAMES)
NOT_PEOPLE = {"sites", "houses", "clusters", "groups", "waves"}  # how many there are is no secret
BUILT_IN = {"flow", "checks", "estimand", "provenance"}


@cache
def study(seed: int = 1) -> Study:
    return synthetic_study("plain", persons=PERSONS, seed=seed)


@cache
def result(name: str, seed: int = 1) -> Result:
    return workflow.answer(name, study(seed), **declared(name))


def declared(name: str) -> dict[str, Any]:
    """The options of the analysis in the study file; few bootstrap draws, where it has any."""
    spec = next(s for s in study().protocol.analyses if s.kind == name)
    has = {o.name for o in options_of(analyses.get(name).question)}
    return {**spec.options, **({"replicates": 20} if "replicates" in has else {})}


@cache
def report(name: str, seed: int = 1) -> Any:
    return workflow.report(result(name, seed))


def columns(name: str) -> list[tuple[Option, str]]:
    """The options that name one column, with the column that the study gives them."""
    question = bind(analyses.get(name), study(), {})
    options = [o for o in options_of(type(question)) if o.column and not o.many]
    return [(o, c) for o in options if (c := getattr(question, o.name)) is not None]


# --- the question ------------------------------------------------------------------------


@EVERY
def test_no_option_has_the_name_of_a_table(name: str) -> None:
    """On the command line both are flags."""
    analysis = analyses.get(name)
    options = {o.name for o in options_of(analysis.question)}
    assert not options & {*analysis.tables, "data", "privacy"}


@EVERY
def test_the_question_is_frozen_and_every_option_explained(name: str) -> None:
    question = bind(analyses.get(name), study(), {})
    assert dataclasses.is_dataclass(question)
    options = options_of(type(question))
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(question, options[0].name, None)
    for option in options:
        assert option.help.endswith("."), option.name
        assert not option.column or option.table in analyses.get(name).tables, option.name
        assert option.default is None or option.many or isinstance(option.default, option.type)
    assert len({o.flag for o in options}) == len(options)
    assert hash(question) == hash(bind(analyses.get(name), study(), {}))


@EVERY
def test_tables_and_title_are_explained(name: str) -> None:
    analysis = analyses.get(name)
    assert analysis.title
    assert analysis.tables
    assert all(text.endswith(".") for text in analysis.tables.values())


@EVERY
def test_a_column_that_is_not_there_is_named_with_the_nearest(name: str) -> None:
    for option, column in columns(name):
        with pytest.raises(RecoveryError, match=f"{column}x.*Did you mean {column!r}") as caught:
            workflow.answer(name, study(), **{option.name: f"{column}x"})
        assert caught.value.exit_code in (2, 3)


# --- the result --------------------------------------------------------------------------


@EVERY
def test_the_result_is_named_and_complete(name: str) -> None:
    found = result(name)
    assert found.analysis == name
    for attribute, text in dataclasses.asdict(found.estimand).items():
        assert text.strip(), f"the estimand has no {attribute}"
    names = [e.name for e in found.estimates]
    assert names
    assert len(set(names)) == len(names)
    refused = {c.name for c in found.checks if c.verdict == "fail"} & {"primary estimand"}
    assert refused or {e.level for e in found.estimates} & {"primary"}
    assert found.checks
    assert found.flow
    assert found.figures
    assert found.synthetic


@EVERY
def test_estimates_are_possible_numbers(name: str) -> None:
    for e in result(name).estimates:
        ends = (e.low, e.value, e.high)
        if all(map(math.isfinite, ends)) and not e.name.casefold().startswith("nnt"):
            assert e.low <= e.value <= e.high, e
        assert math.isnan(e.p) or 0 <= e.p <= 1, e
        assert math.isnan(e.se) or e.se >= 0, e
        assert not e.df <= 0, e
        assert e.label, e
        assert e.method, e
        if e.scale == "ratio":
            assert math.isnan(e.value) or e.value > 0, e
        if e.scale == "probability":
            assert math.isnan(e.value) or 0 <= e.value <= 1, e


@EVERY
def test_the_flow_only_loses(name: str) -> None:
    last: dict[str, int] = {}
    for step in result(name).flow:
        assert step.reason
        assert 0 <= step.kept <= last.get(step.unit, step.kept), step
        last[step.unit] = step.kept


@EVERY
def test_the_tables_that_were_read_stay_as_they_were(name: str) -> None:
    made = study()
    before = {table: data.frame.copy(deep=True) for table, data in made.tables.items()}
    workflow.answer(name, made, sensitivity=False)
    for table, frame in before.items():
        pd.testing.assert_frame_equal(made[table].frame, frame)


@EVERY
def test_the_order_of_rows_does_not_matter(name: str) -> None:
    made, generator = study(), np.random.default_rng(7)
    shuffled = {t: _shuffled(data, generator) for t, data in made.tables.items()}
    other = workflow.answer(name, replace(made, tables=shuffled), **declared(name))
    found = result(name)
    assert [e.name for e in other.estimates] == [e.name for e in found.estimates]
    for one, two in zip(found.estimates, other.estimates, strict=True):
        for part in ("value", "low", "high", "se", "p"):
            expected = pytest.approx(getattr(one, part), rel=ROW_ORDER, abs=ROW_ORDER, nan_ok=True)
            assert getattr(two, part) == expected, (one.name, part)
    assert [(c.name, c.verdict) for c in other.checks] == [
        (c.name, c.verdict) for c in found.checks
    ]


def _verdicts(found: Result) -> list[tuple[str, str]]:
    return [(c.name, c.verdict) for c in found.checks]


def _shuffled(data: Dataset, generator: np.random.Generator) -> Dataset:
    """The same cells in another order of rows, numbered anew as a file would be."""
    order = generator.permutation(len(data))
    old = data.frame.index[order]
    number = pd.Series(data.frame.index, index=old)
    frame = data.frame.iloc[order]
    frame.index = data.frame.index
    missing = {}
    for column, codes in data.missing.items():
        moved = codes.copy()
        moved.index = number.reindex(codes.index).to_numpy()
        missing[column] = moved.sort_index()
    return replace(data, frame=frame, missing=missing)


# --- the report --------------------------------------------------------------------------


@EVERY
def test_the_template_uses_every_table_figure_and_fact(name: str) -> None:
    found = result(name)
    pieces = parse(analyses.get(name).template)
    places = {piece.name for piece in pieces if isinstance(piece, Place)}
    assert {*found.tables, *found.figures} <= places, "a table or figure that no report shows"
    assert places - BUILT_IN - {p.name for p in pieces if isinstance(p, Place) and p.optional}
    told = {word for hole in _holes(pieces) for word in (hole, hole.partition(".")[0])}
    unused = set(found.facts) - told
    assert not unused, f"facts that no sentence tells: {sorted(unused)}"


def _holes(pieces: Any) -> Iterator[str]:
    for piece in pieces:
        if isinstance(piece, TemplateList):
            yield from _holes(piece.items)
        elif isinstance(piece, TemplateParagraph):
            yield from (word.name for word in piece.words if isinstance(word, Hole))


@EVERY
def test_the_report_is_quickly_made(name: str) -> None:
    found = result(name)
    began = time.perf_counter()
    workflow.render(workflow.report(found), name, ("html", "md"))
    assert time.perf_counter() - began < 5  # guards against a search without end, not for speed


@EVERY
def test_no_number_hides_in_words(name: str) -> None:
    """A word with digits that changes with the data is a number that nobody rounds or hides."""
    one, two = _texts(result(name)), _texts(result(name, 2))
    hidden = {
        place: (one[place], two[place])
        for place in one.keys() & two.keys()
        if one[place] != two[place] and re.search(r"\d", one[place] + two[place])
    }
    assert not hidden


Texts = Iterator[tuple[tuple[str, ...], str]]


def _texts(found: Result) -> dict[tuple[str, ...], str]:
    return dict([*_in_tables(found), *_in_words(found)])


def _in_tables(found: Result) -> Texts:
    for table in found.tables.values():
        for i, note in enumerate((table.caption, *table.notes)):
            yield (table.name, "note", str(i)), note
        for row in table.rows:
            yield (table.name, row.key, "label"), row.label
            for column, cell in zip(table.columns, row.cells, strict=False):
                if isinstance(cell, str):
                    yield (table.name, row.key, column.key), cell


def _in_words(found: Result) -> Texts:
    yield from ((("fact", k), v) for k, v in found.facts.items() if isinstance(v, str))
    for check in found.checks:
        plain = [part for part in check.parts if isinstance(part, str)]
        yield ("check", check.name, check.about), " ".join(plain)
    for figure in found.figures.values():
        for i, note in enumerate((figure.caption, *figure.notes)):
            yield (figure.name, "note", str(i)), note
    for attribute, text in dataclasses.asdict(found.estimand).items():
        yield ("estimand", attribute), text
    for estimate in found.estimates:
        yield ("estimate", estimate.name, "label"), estimate.label
        yield ("estimate", estimate.name, "method"), estimate.method


@EVERY
def test_no_small_count_is_printed(name: str) -> None:
    minimum = 10**6
    found = result(name)
    strict = replace(found, protocol=replace(found.protocol, privacy=Privacy(minimum=minimum)))
    document = workflow.report(strict)
    counts = [c for c in _cells(document) if isinstance(c, Count | Share) and c.n]
    places = {c.n for c in counts if isinstance(c, Count) and c.unit in NOT_PEOPLE}
    assert not [c for c in counts if isinstance(c, Share) or c.unit not in NOT_PEOPLE]
    files = workflow.render(document, name, ("md",))
    rows = json.loads(files[workflow.file_name(name, "json")])
    told = [r for r in rows if r["statistic"] == "count" and r["value"] not in (None, 0)]
    assert not [r for r in told if float(r["value"]) < minimum and r["value"] not in places]
    assert not re.search(rf"\b{PERSONS}\b", files[workflow.file_name(name, "md")].decode())


@EVERY
def test_counts_that_are_rounded_do_not_come_back_from_digits(name: str) -> None:
    """No number has more digits than a page, but those that are made of the rounded counts."""
    found = result(name)
    safely = replace(found, protocol=replace(found.protocol, privacy=PROFILES["opensafely"]))
    document = workflow.report(safely)
    of_counts = {b.name for b in document.blocks if isinstance(b, CaterpillarFigure)}
    rows = json.loads(workflow.render(document, name, ())[workflow.file_name(name, "json")])
    told = [
        r for r in rows
        if isinstance(r["value"], float) and r["level"] != "x" and r["group"] not in of_counts
        and r["statistic"] not in ("proportion", "statistic")
        and not r["method"].endswith(FROM_ROUNDED)
    ]  # fmt: skip
    assert told
    assert not [r for r in told if float(f"{r['value']:.6g}") != r["value"]]
    true = {e.value for e in found.estimates if (n := raw_share(e)) and any(k % 5 for k in n)}
    groups = (b for b in workflow.report(found).blocks if isinstance(b, CaterpillarFigure))
    true |= {value for figure in groups for value in figure.value}
    values = {r["value"] for r in rows if isinstance(r["value"], float)}
    assert not true & values - {k / n for n in range(5, 200, 5) for k in range(0, n, 5)}


def _cells(document: Any) -> Iterator[Cell]:
    for block in document.blocks:
        if isinstance(block, Table):
            yield from (cell for row in block.rows for cell in row.cells)
        elif isinstance(block, Checks):
            yield from (part for check in block.checks for part in check.parts)


@EVERY
def test_results_are_sorted_and_know_no_place_or_time(name: str) -> None:
    content = workflow.render(report(name), name, ())[workflow.file_name(name, "json")].decode()
    rows = json.loads(content)
    places = [
        tuple(str(r[k]) for k in ("analysis", "group", "variable", "level", "statistic"))
        for r in rows
    ]
    assert places == sorted(places)
    assert not re.search(
        r"(/home/|/tmp/|/Users/|[A-Z]:\\\\|\d\d:\d\d:\d\d|20\d\d-\d\d-\d\d)", content
    )


SCRIPT = """
import hashlib, sys, warnings
from recovery_stats.data.synthetic import synthetic_study
from recovery_stats.study import workflow
study = synthetic_study("plain", persons=300, seed=1)
for name in sys.argv[1].split(","):
    document = workflow.report(workflow.answer(name, study))
    for file, content in workflow.render(document, name, sys.argv[2].split(",")).items():
        print(file, hashlib.sha256(content).hexdigest())
"""


def test_every_format_is_the_same_in_every_process() -> None:
    words = [w for w in FORMATS if w not in ("pdf", "docx")]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, ",".join(NAMES), ",".join(words)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT), "TZ": zone},
        )
        for seed, zone in (("1", "UTC"), ("4711", "Pacific/Kiritimati"))
    ]
    one, two = (process.communicate()[0].decode().split("\n") for process in processes)
    assert [p.returncode for p in processes] == [0, 0]
    assert len(one) == len(NAMES) * len(words) + 1
    assert one == two
