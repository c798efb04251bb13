"""The template grammar: holes, markers, places, sections."""

from __future__ import annotations

import pytest

from recovery_stats.core.cell import Ref, Share, Shown
from recovery_stats.core.document import (
    Bullets,
    Checks,
    CurveFigure,
    Document,
    EstimandBox,
    Flow,
    ForestFigure,
    Heading,
    Paragraph,
    Provenance,
    Table,
)
from recovery_stats.errors import UsageError
from recovery_stats.report.compose import compose
from recovery_stats.report.privacy.visit import cells
from tests.report import example


def composed(template: str, **changes: object) -> Document:
    return compose(example.result(**changes), "Title", template)


def texts(document: Document) -> list[str]:
    return [b.text for b in document.blocks if isinstance(b, Heading)]


def test_the_example_has_every_block_and_no_open_reference() -> None:
    document = compose(example.result(), "T", example.TEMPLATE, provenance=(("Seed", "1"),))
    kinds = {type(block) for block in document.blocks}
    assert {Heading, Paragraph, Bullets, Table, Flow, Checks, EstimandBox, Provenance} <= kinds
    assert not any(isinstance(cell, Ref) for cell in cells(document).values())
    forests = [b for b in document.blocks if isinstance(b, ForestFigure)]
    assert all(isinstance(row, Shown) for forest in forests for row in forest.rows)
    assert document.badge == "SYNTHETIC"


def test_holes_take_facts_estimates_and_parts_and_braces_escape() -> None:
    (paragraph,) = composed("# T\n\nA {{b}} {events}, {hr.p} and {hr}").blocks
    assert isinstance(paragraph, Paragraph)
    hr = example.result()["hr"]
    expected = ("A ", "{", "b", "}", " ", Share(341, 812), ", ", Shown(hr, "p"), " and ", Shown(hr))
    assert paragraph.parts == expected


@pytest.mark.parametrize(
    ("template", "nearest"),
    [
        ("{evnts}", "events"),
        ("{hr.intervall}", "interval"),
        ("{hr_sit.p}", "hr_site"),
        ("[[tabel_one]]", "table_one"),
        ("[anwser] words", "answer"),
    ],
)
def test_unknown_names_raise_with_the_nearest(template: str, nearest: str) -> None:
    with pytest.raises(UsageError, match=f"Did you mean '{nearest}'"):
        composed(f"# T\n\n{template}")


def test_markers_set_role_and_condition() -> None:
    document = composed(
        "# T\n\n[answer if diary unless gone] yes\n\n[warning if never] no\n\n[sure unless diary] x"
    )
    assert [(b.role, b.parts) for b in document.blocks if isinstance(b, Paragraph)] == [
        ("answer", ("yes",))
    ]


def test_brackets_that_are_no_marker_stay() -> None:
    (paragraph,) = composed("# T\n\n[0.61, 0.85] is an interval").blocks
    assert isinstance(paragraph, Paragraph)
    assert paragraph.parts == ("[0.61, 0.85] is an interval",)


def test_a_heading_not_said_takes_its_section_along() -> None:
    document = composed("# T\n\n## [if never] A\n\nx\n\n### B\n\ny\n\n## [if diary] C\n\nz")
    assert texts(document) == ["C"]
    assert [b.parts for b in document.blocks if isinstance(b, Paragraph)] == [("z",)]


def test_sections_left_empty_are_dropped() -> None:
    document = composed("# T\n\n## A\n\n[[absent?]]\n\n### A1\n\n[if never] x\n\n## B\n\ny")
    assert texts(document) == ["B"]


def test_lists_keep_the_items_that_are_said_and_join_wrapped_lines() -> None:
    document = composed("# T\n\n[limits]\n- one\n  more {n}\n- [if never] two\n- [if diary] three")
    (bullets,) = document.blocks
    assert isinstance(bullets, Bullets)
    assert bullets.role == "limits"
    assert [item[0] for item in bullets.items] == ["one more ", "three"]


def test_headings_and_places_need_no_blank_lines() -> None:
    document = composed("# T\n## A\ntext\n[[table_one]]\nmore")
    assert [type(b) for b in document.blocks] == [Heading, Paragraph, Table, Paragraph]


def test_flow_counts_what_each_step_lost() -> None:
    (flow,) = composed("# T\n\n[[flow]]").blocks
    assert isinstance(flow, Flow)
    assert [getattr(lost, "n", None) for _, _, lost in flow.steps] == [None, 12, 3, 13]


def test_the_risk_table_counts_those_at_risk_just_before_each_time() -> None:
    (figure,) = composed("# T\n\n[[survival]]").blocks
    assert isinstance(figure, CurveFigure)
    series = figure.series[0]
    slow = [
        sum(1 for _ in range(1))
        and next(n for x, n in zip(series.x, series.n_at, strict=True) if x >= t)
        for t in figure.risk_times
    ]
    assert [cell.n for cell in figure.risk[0]] == slow  # type: ignore[union-attr]
