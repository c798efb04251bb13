"""Estimates that are a summary of few people, or that give back a hidden share.

An estimate of a model may be shown although few had the event: it is not a count. A raw
proportion is one, and a plain difference or ratio of two shares gives back the second when the
first is printed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from recovery_stats.core.cell import Cell, Hidden, Share, Shown
from recovery_stats.core.document import Block, Document, ForestFigure
from recovery_stats.core.estimate import Estimate
from recovery_stats.core.study import Privacy
from recovery_stats.report.digits import rounded
from recovery_stats.report.privacy.value import is_small
from recovery_stats.report.privacy.visit import Place, cells, map_cells

SAME = 1e-9

Pair = tuple[int, int]  # n, of


def withhold_estimates(document: Document, privacy: Privacy) -> Document:
    """Hide them in sentences, tables, forests and the list of estimates."""
    found = cells(document).values()
    shares = {(c.n, c.of) for c in found if isinstance(c, Share) and c.of}
    secret = {s for s in shares if is_small(Share(*s), privacy)}
    withheld = {
        e.name
        for e in estimates(document)
        if _is_raw_summary(e, privacy) or _is_contrast(e, secret, shares)
    }

    def change(_: Place, cell: Cell) -> Cell:
        told = isinstance(cell, Shown) and cell.part != "label" and cell.estimate.name in withheld
        return Hidden(0) if told else cell

    blocks = tuple(_without(b, withheld) for b in map_cells(document, change).blocks)
    kept = tuple(e for e in document.estimates if e.name not in withheld)
    return replace(document, blocks=blocks, estimates=kept)


def blur_estimates(document: Document, secret: set[Pair], shares: set[Pair]) -> Document:
    """Estimates that are a secret share, or the contrast of one with another, at two decimals.

    At full precision a share is a fraction whose denominator is the number of people, and so are
    its error and its limits. secret: shares whose base is withheld, of all `shares`.
    """

    def blurred(e: Estimate) -> Estimate:
        own = any(of and _same(e.value, n / of) for n, of in secret)
        if not own and not _is_contrast(e, secret, shares):
            return e
        value, low, high, se = (rounded(x, 2) for x in (e.value, e.low, e.high, e.se))
        return replace(e, value=value, low=low, high=high, se=se, p=rounded(e.p, 3))

    def change(_: Place, cell: Cell) -> Cell:
        return replace(cell, estimate=blurred(cell.estimate)) if isinstance(cell, Shown) else cell

    def block(block: Block) -> Block:
        if not isinstance(block, ForestFigure):
            return block
        rows = (
            replace(r, estimate=blurred(r.estimate)) if isinstance(r, Shown) else r
            for r in block.rows
        )
        return replace(block, rows=tuple(rows))

    if not secret:
        return document
    blocks = tuple(map(block, map_cells(document, change).blocks))
    return replace(document, blocks=blocks, estimates=tuple(map(blurred, document.estimates)))


def estimates(document: Document) -> Iterator[Estimate]:
    yield from document.estimates
    yield from (c.estimate for c in cells(document).values() if isinstance(c, Shown))
    for block in document.blocks:
        if isinstance(block, ForestFigure):
            yield from (row.estimate for row in block.rows if isinstance(row, Shown))


def _is_raw_summary(e: Estimate, privacy: Privacy) -> bool:
    """A description of few people or events, or a proportion that is a small count.

    The `n` of a model's estimate may be its number of clusters, which is nobody's secret.
    """
    few = any(n is not None and 0 < n < privacy.minimum for n in (e.n, e.events))
    if e.level == "descriptive" and few:
        return True
    raw = raw_share(e)
    return raw is not None and is_small(Share(*raw), privacy)


def raw_share(e: Estimate) -> Pair | None:
    """The whole number of people, of how many, whose share `e` is; None where it is no such."""
    if e.scale != "probability" or not e.n:
        return None
    people = e.value * e.n
    return (round(people), e.n) if abs(people - round(people)) < SAME * e.n else None


def _is_contrast(e: Estimate, secret: set[Pair], shares: set[Pair]) -> bool:
    """Whether `e` is the difference or ratio of two printed shares, one of them secret.

    What is without error is a reference, as the 1 of a group against itself.
    """
    if e.scale not in ("difference", "ratio") or e.low == e.value == e.high:
        return False
    pairs = ((a, b) for a in secret for b in shares if a != b)
    return any(_matches(e, a[0] / a[1], b[0] / b[1]) for a, b in pairs)


def _matches(e: Estimate, p: float, q: float) -> bool:
    if e.scale == "difference":
        return _same(abs(e.value), abs(p - q)) or _same(abs(e.value), 100 * abs(p - q))
    ordered = ((p, q), (q, p))
    ratios = [a / b for a, b in ordered if b]
    odds = [a * (1 - b) / (b * (1 - a)) for a, b in ordered if b * (1 - a)]
    return any(_same(e.value, x) for x in (*ratios, *odds))


def _same(a: float, b: float) -> bool:
    return abs(a - b) <= SAME * max(abs(a), abs(b))


def _without(block: Block, withheld: set[str]) -> Block:
    """A forest without the withheld estimates, its group heads moved up."""
    if not isinstance(block, ForestFigure):
        return block
    gone = [isinstance(r, Shown) and r.estimate.name in withheld for r in block.rows]
    rows = tuple(row for row, out in zip(block.rows, gone, strict=True) if not out)
    groups = tuple((i - sum(gone[:i]), text) for i, text in block.groups)
    return replace(block, rows=rows, groups=groups)
