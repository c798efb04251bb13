"""Reporting checklists: every item of the statements, links that lead somewhere, the right one."""

from __future__ import annotations

import re
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pytest

from recovery_stats import analyses
from recovery_stats.core.cell import Cell, Sections
from recovery_stats.core.dataset import Detail, Step
from recovery_stats.core.document import Document, Paragraph, Table
from recovery_stats.core.study import PROFILES
from recovery_stats.report import checklist, render
from recovery_stats.report.compose import BUILT_IN, compose
from recovery_stats.report.disclose import disclose
from recovery_stats.report.numbers import sentence
from recovery_stats.report.template import (
    ROLES,
    Place,
    TemplateHeading,
    parse,
)
from tests.report import example

TEMPLATES = {n: analyses.template(n) for n in analyses.names()}
REPORTS = sorted((Path(__file__).parents[2] / "reports").glob("*.html"))

# von Elm et al. 2007, Table 1 (cohort studies); Hopewell et al. 2025, Table 1.
STROBE = (
    "1a 1b 2 3 4 5 6a 6b 7 8 9 10 11 12a 12b 12c 12d 12e 13a 13b 13c 14a 14b 14c 15 16a 16b 16c "
    "17 18 19 20 21 22"
)
CONSORT = (
    "1a 1b 2 3 4 5a 5b 6 7 8 9 10 11 12a 12b 13 14 15 16a 16b 17a 17b 18 19 20a 20b 21a 21b 21c "
    "21d 22a 22b 23a 23b 24a 24b 25 26 27 28 29 30"
)
WORDS = "# T\n\n[question] Q?\n\n## Participants\n\n[[table_one]]\n\n## L\n\n[[checklist]]"


def composed(said: frozenset[str] = frozenset()) -> Document:
    return compose(example.result(said=said), "T", WORDS)


def table_of(document: Document) -> Table:
    (found,) = (b for b in document.blocks if isinstance(b, Table) and b.name == checklist.NAME)
    return found


@pytest.mark.parametrize(("key", "numbers"), [("strobe", STROBE), ("consort", CONSORT)])
def test_every_item_stands_in_order(key: str, numbers: str) -> None:
    assert [item.number for item in checklist.library()[key].items] == numbers.split()


def test_what_items_name_exists_in_a_template() -> None:
    pieces = [piece for text in TEMPLATES.values() for piece in parse(text)]
    places = {piece.name for piece in pieces if isinstance(piece, Place)}
    headings = {piece.text for piece in pieces if isinstance(piece, TemplateHeading)}
    known = {*places, *headings, *BUILT_IN, *ROLES, checklist.BY_GROUP, checklist.RECEIVED}
    items = [i for g in checklist.library().values() for i in g.items]
    named = {n for i in items for n in (*i.where, *i.beside, i.settles) if n}
    assert named <= known


@pytest.mark.parametrize("name", [n for n, text in TEMPLATES.items() if n != "multiverse"])
def test_every_analysis_has_its_checklist(name: str) -> None:
    assert "[[checklist]]" in TEMPLATES[name]


def test_items_lead_to_the_sections_and_the_rest_is_the_authors() -> None:
    cells = {row.key: row.cells for row in table_of(composed()).rows}
    assert cells["strobe 14a"] == (Sections(("Participants",)), "")
    assert cells["strobe 1b"] == (Sections(("Summary",)), "")
    assert cells["strobe 22"] == (Sections(()), checklist.ALL)
    page = render(composed(), "html").decode()
    assert '<a href="#s-participants">Participants</a>' in page
    assert "[Participants](#participants)" in render(composed(), "md").decode()


def test_items_lead_to_bookmarks_of_the_word_file() -> None:
    with ZipFile(BytesIO(render(composed(), "docx"))) as file:
        text = file.read("word/document.xml").decode()
    marks = re.findall(r'<w:bookmarkStart [^>]*w:name="([^"]+)"', text)
    links = re.findall(r'<w:hyperlink w:anchor="([^"]+)".*?<w:t[^>]*>([^<]+)<', text)
    assert len(marks) == len(set(marks))
    assert {"Participants", "Summary"} <= {words for _, words in links}
    assert {mark for mark, _ in links} <= set(marks)
    assert all(re.fullmatch(r"[^\W\d]\w{0,39}", mark) for mark in marks)
    (mark,) = {mark for mark, words in links if words == "Participants"}
    heading = text.split(f'w:name="{mark}"')[1]
    assert heading.partition("</w:p>")[0].count(">Participants<") == 1


@pytest.mark.parametrize(
    ("said", "caption", "cited"),
    [
        ((), "STROBE", ("von_elm_2007",)),
        (("randomised",), "CONSORT 2025", ("hopewell_2025",)),
        (("houses_randomised",), "CONSORT 2025", ("hopewell_2025", "campbell_2012")),
    ],
)
def test_the_design_decides(said: tuple[str, ...], caption: str, cited: tuple[str, ...]) -> None:
    document = composed(frozenset(said))
    assert table_of(document).caption.startswith(caption)
    assert document.references == cited
    keys = [row.key for row in table_of(document).rows]
    assert ("cluster 17a" in keys) == ("houses_randomised" in said)
    (words,) = (b for b in document.blocks if isinstance(b, Paragraph) and b.role == "text")
    assert ("cluster trials" in sentence(words.parts)) == ("houses_randomised" in said)


@pytest.mark.parametrize("path", REPORTS, ids=lambda p: p.stem)
def test_links_within_a_report_lead_somewhere(path: Path) -> None:
    page = path.read_text(encoding="utf-8")
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(ids)


# --- what is met where -------------------------------------------------------------------------


def trial_steps(*details: Detail) -> tuple[Step, ...]:
    arms = (("House", 150), ("Usual", 150))
    return (
        Step("In the file", 320, "people"),
        Step("Randomised", 300, "people", None, arms, details),
    )


def flow_items(
    steps: tuple[Step, ...], *said: str, minimum: int = 11
) -> dict[str, tuple[Cell, ...]]:
    result = example.result(
        said=frozenset(said), flow=steps, facts={}, tables={}, figures={}, checks=()
    )
    document = compose(result, "T", "# T\n\n## Participants\n\n[[flow]]\n\n## L\n\n[[checklist]]")
    safe = disclose(document, replace(PROFILES["cms"], minimum=minimum))
    return {row.key: row.cells for row in table_of(safe).rows}


def test_who_was_treated_as_intended_is_left_to_the_author_unless_the_flow_tells_it() -> None:
    here = Sections(("Participants",))
    without = flow_items(trial_steps(), "randomised")
    assert without["consort 22a"] == (here, "numbers treated as intended")
    assert without["consort 24a"] == (Sections(()), checklist.ALL)
    details = (Detail("Moved in: yes", 240, (140, 100)), Detail("Moved in: no", 60, (10, 50)))
    many = (Detail("Moved in: yes", 200, (100, 100)), Detail("Moved in: no", 100, (50, 50)))
    told = flow_items(trial_steps(*many), "randomised")
    assert told["consort 22a"] == (here, "")
    assert told["consort 24a"] == (here, "who delivered them, and how truly")
    shown = flow_items(trial_steps(*details), "randomised", minimum=2)
    assert shown["consort 22a"] == (here, "")


def test_what_was_withheld_meets_nothing() -> None:
    arms = (("House", 150), ("Usual", 5))
    lines = (Detail("Moved in: yes", 110, (108, 2)), Detail("Moved in: no", 45, (42, 3)))
    steps = (
        Step("In the file", 155, "people"),
        Step("Randomised", 155, "people", None, arms, lines),
    )
    assert flow_items(steps, "randomised")["consort 22a"][1] == "numbers treated as intended"
    assert flow_items(steps, "randomised", minimum=1)["consort 22a"][1] == ""


def test_provenance_alone_is_no_other_analysis() -> None:
    words = "# T\n\n{}## Provenance\n\n[[provenance]]\n\n## L\n\n[[checklist]]"
    result = example.result(said=frozenset({"randomised"}))
    pairs = (("Seed", "1"),)
    for text, found in (
        ("", ()),
        ("## Sensitivity\n\n[[sensitivity]]\n\n", ("Sensitivity", "Provenance")),
    ):
        tables = {"sensitivity": replace(example.table_one(), name="sensitivity")}
        more = replace(result, tables=dict(result.tables) | tables)
        document = compose(more, "T", words.format(text), provenance=pairs)
        cells = {row.key: row.cells for row in table_of(document).rows}
        assert cells["consort 28"][0] == Sections(found)
        assert cells["consort 21d"][0] == Sections(found)
