"""Columns of Word tables: as wide as the page together, and no number broken in two."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recovery_stats.report.docx_width import LETTER, MARGIN_CM, SIZES, TEXT_CM, columns

WORDS = st.text(st.sampled_from("abcdef  "), min_size=1, max_size=60)
NUMBERS = st.text(st.sampled_from("0123456789.,[]−"), min_size=1, max_size=18)


def room(width_cm: float, size: float) -> float:
    """Letters that fit on one line of a cell."""
    return (width_cm - MARGIN_CM) / (LETTER * size)


@given(st.lists(WORDS, min_size=2, max_size=4), st.lists(NUMBERS, min_size=1, max_size=9))
def test_columns_fill_the_page_and_keep_numbers_whole(labels: list[str], cells: list[str]) -> None:
    texts = [labels, *(["n", cell] for cell in cells)]
    size, widths = columns(texts, [False] * len(texts), len(cells))
    assert sum(widths) == pytest.approx(TEXT_CM)
    needed = [max(len(w) for text in labels for w in [*text.split(), ""]), *map(len, cells)]
    fits = sum(n * LETTER * size + MARGIN_CM for n in needed) <= TEXT_CM
    if fits:
        rooms = [room(w, size) for w in widths]
        assert all(have > n - 0.01 for have, n in zip(rooms, needed, strict=True))
    else:
        assert size == SIZES[-1]


def test_a_column_of_sentences_takes_what_numbers_leave() -> None:
    sentence = "Of people alike in arm and covariates, those without an outcome had twice the odds."
    texts = [["Row", "One"], ["Difference", "−0.043 [−0.172, 0.086]"], ["It assumes", sentence]]
    _, (label, number, told) = columns(texts, [False, False, True], 2)
    assert told > number > label


def test_a_bold_heading_stays_on_one_line() -> None:
    texts = [["", "Relationship satisfaction"], ["Observed", "1,545"], ["Refused and lost", "14"]]
    size, widths = columns([*texts, *[["Not asked or form lost", "0"]] * 4], [False] * 7, 6)
    assert room(widths[1], size) >= 4.61 / 0.56 - 0.01  # ems of the word in bold Arial
