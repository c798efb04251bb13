"""Document to a zip with every figure as SVG (text stays text), PNG and PDF."""

from __future__ import annotations

from collections.abc import Iterator

from recovery_stats.core.document import Document, Figure, Flow
from recovery_stats.report import figures, words
from recovery_stats.report.archive import member_name, zipped


def render(document: Document) -> bytes:
    """The zip; the same document gives the same bytes."""
    return zipped(_members(document))


def _members(document: Document) -> Iterator[tuple[str, bytes]]:
    """Each figure in each form, in the order of the report."""
    numbers = words.numbering(document)
    for i, block in enumerate(document.blocks):
        if isinstance(block, Flow):
            yield from ((f"flow{e}", figures.encoded(block, e)) for e in figures.ENDINGS)
        elif isinstance(block, Figure):
            for ending in figures.ENDINGS:
                name = member_name("figure", numbers[i], block.name, ending)
                yield name, figures.encoded(block, ending)
