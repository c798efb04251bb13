"""How wide the columns of a Word table are, and how large its type: no number breaks in two."""

from __future__ import annotations

import math
from collections.abc import Sequence

TEXT_CM = 16.6  # the width of the page between its margins
SIZES = (9.0, 8.0, 7.0, 6.5)  # points; the first at which every word and number fits
WIDE, WIDEST = 6, 9  # columns from which the type is smaller whatever fits
LETTER = 0.56 * 2.54 / 72  # centimetres that a letter takes, in each point of its size
BOLD = 1.1  # letters of a heading, of those below it
MARGIN_CM = 0.24  # on both sides of a cell together
BROAD = 30  # characters a column of words asks for at most
BROADER = 50  # where it holds sentences


def columns(
    texts: Sequence[Sequence[str]], prose: Sequence[bool], numbers: int
) -> tuple[float, list[float]]:
    """The type size in points, and the width of each column in centimetres.

    texts: for each column its heading and cells. prose: whether it holds words, which may break
    between lines. numbers: how many columns stand beside the one of labels.
    """
    least = [_least(column) for column in texts]
    wish = [_wish(column, words) for column, words in zip(texts, prose, strict=True)]
    first = 0 if numbers < WIDE else 1 if numbers < WIDEST else 2
    size = next((s for s in SIZES[first:] if _sum(least, s) <= TEXT_CM), SIZES[-1])
    low, high = ([_cm(n, size) for n in counts] for counts in (least, wish))
    high = [max(pair) for pair in zip(low, high, strict=True)]
    if sum(low) >= TEXT_CM or sum(high) <= TEXT_CM:
        whole = sum(high) if sum(high) <= TEXT_CM else sum(low)
        return size, [TEXT_CM * w / whole for w in (high if whole == sum(high) else low)]
    share = (TEXT_CM - sum(low)) / (sum(high) - sum(low))
    return size, [a + share * (b - a) for a, b in zip(low, high, strict=True)]


def _least(column: Sequence[str]) -> int:
    """Letters that must stand on one line: the longest word, or the longest number."""
    head, *cells = column
    numbers = [text for text in cells if len(text) <= BROAD and any(c.isdigit() for c in text)]
    parts = [word for text in cells for word in text.split()]
    heads = (math.ceil(BOLD * len(word)) for word in head.split())
    return max([*heads, *map(len, [*parts, *numbers])], default=1)


def _wish(column: Sequence[str], words: bool) -> int:
    longest = max(map(len, column), default=1)
    return min(longest, BROADER if words else BROAD)


def _sum(letters: Sequence[int], size: float) -> float:
    return sum(_cm(n, size) for n in letters)


def _cm(letters: int, size: float) -> float:
    return letters * LETTER * size + MARGIN_CM
