"""The reporting checklist of a document: STROBE, or CONSORT where chance decided the groups.

The items stand in checklists.toml, in our words. Each names what could meet it; the composer
turns that into the sections in which it stands, and what is nowhere is left to the author. An
analysis takes part by the names it gives its tables and headings.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeGuard

from recovery_stats.core.cell import Cell, Sections
from recovery_stats.core.document import (
    Block,
    Bullets,
    Checks,
    Column,
    EstimandBox,
    Flow,
    Heading,
    Paragraph,
    Provenance,
    Row,
    Table,
)
from recovery_stats.report.reference import citation
from recovery_stats.report.words import SUMMARY

NAME = "checklist"
DRAWN, CLUSTERS_DRAWN = "randomised", "houses_randomised"
COLUMNS = (Column("where", "Where in this report"), Column("author", "Left to the author"))
ALL = "all of it"
BY_GROUP, RECEIVED = "flow_by_group", "received"  # of a flow: arms stand in it; who took theirs
_BUILT_IN = {EstimandBox: "estimand", Checks: "checks", Provenance: "provenance"}


@dataclass(frozen=True, slots=True)
class Item:
    """One item: number and what it asks for; `where` it may be met; what the author must add.

    beside: what belongs to it once something of `where` stands, and meets nothing alone. settles:
    what leaves nothing to the author where it stands. section: the heading of the guideline that
    begins with it.
    """

    number: str
    label: str
    where: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    author: str = ""
    settles: str = ""
    section: str = ""


@dataclass(frozen=True, slots=True)
class Guideline:
    """A reporting guideline. before, after: the sentence around its citation."""

    key: str
    name: str
    items: tuple[Item, ...]
    cites: tuple[str, ...]
    before: str
    after: str
    caption: str = ""
    section: str = ""


@cache
def library() -> Mapping[str, Guideline]:
    """Every guideline there is, by its key: strobe, consort, cluster."""
    text = (Path(__file__).parent / "checklists.toml").read_text(encoding="utf-8")
    return MappingProxyType({k: _guideline(k, v) for k, v in tomllib.loads(text).items()})


def _guideline(key: str, entry: dict[str, object]) -> Guideline:
    given = entry.pop("items")
    assert isinstance(given, list)
    items = tuple(map(_item, given))
    cites = tuple(map(str, entry.pop("cites")))  # type: ignore[call-overload]
    return Guideline(key=key, items=items, cites=cites, **entry)  # type: ignore[arg-type]


def _item(given: Mapping[str, Any]) -> Item:
    lists = {name: tuple(given.get(name, ())) for name in ("where", "beside")}
    return Item(**{**given, **lists})


def drawn(said: frozenset[str]) -> bool:
    """Whether chance decided the groups, of people or of houses."""
    return bool({DRAWN, CLUSTERS_DRAWN} & said)


def guidelines(said: frozenset[str]) -> tuple[Guideline, ...]:
    """What applies to a result: by how people came into its groups."""
    found = library()
    if CLUSTERS_DRAWN in said:
        return found["consort"], found["cluster"]
    return (found["consort"],) if DRAWN in said else (found["strobe"],)


def cites(said: frozenset[str]) -> list[str]:
    """The keys of the references that the checklist of a result cites."""
    return [key for guideline in guidelines(said) for key in guideline.cites]


def blocks(said: frozenset[str]) -> list[Block]:
    """What introduces the checklist, and the checklist with its sections still open."""
    chosen = guidelines(said)
    words: list[Cell] = []
    for g in chosen:
        words += [g.before, " ".join(citation(f"citep {key}") for key in g.cites), g.after]
    rows = [row for g in chosen for row in _rows(g)]
    return [
        Paragraph(tuple(words)),
        Table(NAME, chosen[0].caption, COLUMNS, tuple(rows), stub="Item"),
    ]


def _rows(guideline: Guideline) -> Iterable[Row]:
    if guideline.section:
        yield Row(guideline.key, guideline.section)
    for item in guideline.items:
        key = f"{guideline.key} {item.number}"
        if item.section:
            yield Row(f"{key} section", item.section)
        yield Row(key, f"{item.number}. {item.label}", (Sections(()), ALL), depth=1)


def resolved(document: Sequence[Block]) -> tuple[Block, ...]:
    """The blocks with what items name turned into the sections in which it stands."""
    places = _places(document)
    return tuple(
        replace(block, rows=tuple(_met(row, places) for row in block.rows))
        if _is_checklist(block)
        else block
        for block in document
    )


def _is_checklist(block: Block) -> TypeGuard[Table]:
    return isinstance(block, Table) and block.name == NAME


def _met(row: Row, places: Mapping[str, str]) -> Row:
    guideline, _, number = row.key.partition(" ")
    known = {item.number: item for item in library()[guideline].items}
    if number not in known:
        return row
    item = known[number]
    met = [name for name in item.where if name in places]
    named = [*met, *(name for name in item.beside if met and name in places)]
    found = tuple(dict.fromkeys(places[name] for name in named))
    left = "" if item.settles in places else item.author
    return replace(row, cells=(Sections(found), left if found else ALL))


def _places(document: Sequence[Block]) -> dict[str, str]:
    """The heading under which each named thing first stands."""
    found: dict[str, str] = {}
    heading = SUMMARY
    for block in document:
        if isinstance(block, Heading):
            heading = block.text
            found.setdefault(heading, heading)
        elif not _is_checklist(block):
            for name in _names(block):
                found.setdefault(name, heading)
    return found


def _names(block: Block) -> tuple[str, ...]:
    """What items may call a block by."""
    if isinstance(block, Paragraph | Bullets):
        return (block.role,)
    if isinstance(block, Flow):
        return tuple(name for name, there in _of_flow(block) if there)
    return (_BUILT_IN.get(type(block)) or str(getattr(block, "name", "")),)


def _of_flow(flow: Flow) -> Iterator[tuple[str, bool]]:
    yield "flow", True
    yield BY_GROUP, bool(flow.arms)
    yield RECEIVED, any(flow.within[flow.allocation : flow.allocation + 1])
