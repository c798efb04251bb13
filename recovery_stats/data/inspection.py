"""What a table holds, as a document: codebook, counts, missing reasons, keys, odd codes.

No smallest or largest value, no identifier and no free text enters it. Counts are typed cells,
so that disclosure control hides the small ones; levels that no codebook declares are named only
from the smallest count that may be shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from recovery_stats.core import progress
from recovery_stats.core.cell import Cell, Count
from recovery_stats.core.check import Check
from recovery_stats.core.codebook import MissingRule, Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.document import (
    Block,
    Checks,
    Column,
    Document,
    Heading,
    Paragraph,
    Provenance,
    Row,
    Table,
    Total,
)
from recovery_stats.core.study import Privacy
from recovery_stats.data.distribution import Split, distribution
from recovery_stats.data.suspicion import suspicious
from recovery_stats.errors import rows_phrase

SHOWN_LABELS = 12
MOST_WAVES = 24
STEP = "columns searched for missing values"


def inspect(
    dataset: Dataset,
    *,
    name: str,
    key: Sequence[str] = (),
    person: str | None = None,
    wave: str | None = None,
    by: str | None = None,
    privacy: Privacy = Privacy(),  # noqa: B008 (frozen)
) -> Document:
    """Describe `dataset`, called `name` in headings.

    key: the columns that should tell rows apart (default: person and wave). by: a column whose
    levels split the counts. Raises DataError for a column that does not exist.
    """
    named = [c for c in (*key, person, wave, by) if c is not None]
    dataset.require(*named, table=name)
    key = tuple(key) or tuple(c for c in (person, wave) if c is not None)
    hidden = {c for c in (*key, person) if c not in (None, wave)}
    split = Split.of(dataset, by, privacy.minimum)
    blocks: list[Block] = [
        Paragraph(_opening(dataset, name, person)),
        Checks(tuple(_checks(dataset, key))),
        Heading("Codebook"),
        codebook_table(dataset),
        Heading("Values"),
        distribution(dataset, split, identifiers=hidden, minimum=privacy.minimum),
    ]
    if any(dataset.frame[c].isna().any() for c in dataset.frame.columns):
        blocks += [Heading("Missing values"), missing_table(dataset, wave)]
    if person is not None:
        blocks += [Heading("Waves a person"), waves_table(dataset, person)]
    blocks.append(_provenance(dataset))
    return Document("inspect", f"What {name} holds", "", tuple(blocks))


def _opening(dataset: Dataset, name: str, person: str | None) -> tuple[Cell, ...]:
    parts: list[Cell] = [f"{name} has ", Count(len(dataset), "rows"), " rows"]
    if person is not None:
        people = Count(int(dataset.frame[person].nunique()), "people")
        parts += [" of ", people, " people"]
    label = dataset.codebook.label
    return (*parts, f", in {dataset.frame.shape[1]} columns.", f" {label}" if label else "")


def _provenance(dataset: Dataset) -> Provenance:
    book = dataset.codebook
    pairs = [("file", dataset.source.name), ("sha256", dataset.source.sha256)]
    pairs += [("encoding", book.encoding), ("weight variable", book.weight or "none")]
    pairs += [("note", line) for line in book.documents]
    pairs += [(name, "; ".join(values)) for name, values in book.attributes.items()]
    pairs += [(f"set {s.name}", f"{s.label}: {', '.join(s.variables)}") for s in book.sets]
    return Provenance(tuple(pairs))


# --- codebook ----------------------------------------------------------------------------

CODEBOOK_COLUMNS = (
    Column("label", "Label"),
    Column("measure", "Level"),
    Column("format", "Format"),
    Column("values", "Value labels"),
    Column("missing", "Declared missing"),
    Column("role", "Role"),
)


def codebook_table(dataset: Dataset) -> Table:
    """What the codebook says of every column."""
    rows = tuple(_codebook_row(dataset.variable(str(c))) for c in dataset.frame.columns)
    return Table("codebook", "Codebook", CODEBOOK_COLUMNS, rows, stub="Column")


def _codebook_row(v: Variable) -> Row:
    labels = [f"{v.level(c) if c not in v.values else _code(c)} = {t}" for c, t in v.values.items()]
    more = f"; and {len(labels) - SHOWN_LABELS} more" if len(labels) > SHOWN_LABELS else ""
    shown = "; ".join(labels[:SHOWN_LABELS]) + more
    return Row(v.name, v.name, (v.label, v.measure, v.spss_format, shown, _rule(v.missing), v.role))


def _code(code: float | str) -> str:
    return code if isinstance(code, str) else f"{code:g}"


def _rule(rule: MissingRule) -> str:
    parts = [_code(c) for c in rule.codes]
    if rule.low is not None and rule.high is not None:
        low = "lowest" if rule.low == float("-inf") else _code(rule.low)
        high = "highest" if rule.high == float("inf") else _code(rule.high)
        parts.append(f"{low} to {high}")
    return ", ".join(parts)


# --- missing -----------------------------------------------------------------------------


def missing_table(dataset: Dataset, wave: str | None) -> Table:
    """Empty cells by column and reason, in all and by wave."""
    waves = _waves(dataset, wave)
    parts = {key: dataset.with_frame(rows) for key, _, rows in waves}
    groups = {"all": dataset, **parts}
    rows, totals = [], []
    names = list(map(str, dataset.frame.columns))
    for number, column in enumerate(names):
        progress.tell(STEP, number, len(names))
        reasons = list(dataset.reasons(column))
        if not reasons:
            continue
        counts = {k: d.reasons(column) for k, d in groups.items()}
        sums = tuple(Count(sum(c.values()), "rows") for c in counts.values())
        rows.append(Row(column, dataset.label(column), sums))
        keys = [f"{column}.{reason}" for reason in reasons]
        for row_key, reason in zip(keys, reasons, strict=True):
            cells = tuple(Count(c.get(reason, 0), "rows") for c in counts.values())
            rows.append(Row(row_key, reason, cells, depth=1))
        totals.append(Total(column, tuple(keys)))
    columns = (Column("all", "All"), *(Column(k, label, "Wave") for k, label, _ in waves))
    if waves:
        totals.append(Total("all", tuple(k for k, _, _ in waves), "columns"))
    caption = "Missing values by reason" + (" and wave" if waves else "")
    return Table("missing", caption, columns, tuple(rows), totals=tuple(totals), stub="Column")


def _waves(dataset: Dataset, wave: str | None) -> list[tuple[str, str, Any]]:
    """Key, label and rows of every wave, rows of no known wave last."""
    if wave is None or dataset.frame[wave].nunique() > MOST_WAVES:
        return []
    values = dataset.frame[wave]
    level = dataset.variable(wave).level
    found = [
        (f"wave.{_code(w)}", level(w), dataset.frame[values == w])
        for w in sorted(values.dropna().unique())
    ]
    if values.isna().any():
        found.append(("wave.none", "no wave", dataset.frame[values.isna()]))
    return found


def waves_table(dataset: Dataset, person: str) -> Table:
    """How many people have one row, two rows, …"""
    of_person = dataset.frame[person].dropna().value_counts()
    people = of_person.value_counts().sort_index()
    rows = [Row(f"rows.{n}", str(n), (Count(int(k), "people"),)) for n, k in people.items()]
    parts = tuple(r.key for r in rows)
    rows.append(Row("people", "People", (Count(len(of_person), "people"),)))
    columns = (Column("people", "People"),)
    caption = "People by their number of rows"
    return Table(
        "waves", caption, columns, tuple(rows), totals=(Total("people", parts),), stub="Rows"
    )


# --- checks ------------------------------------------------------------------------------


def _checks(dataset: Dataset, key: Sequence[str]) -> Iterator[Check]:
    if key:
        yield from _key_checks(dataset, key)
    for column, code, count in suspicious(dataset, skip=key):
        yield Check(
            "suspicious code",
            "caution",
            (
                f"{dataset.label(column)}: {code:g} stands alone far outside the other values in ",
                Count(count, "rows"),
                " rows; if it means missing, declare it.",
            ),
            column,
        )
    yield from _impossible_dates(dataset)
    if dataset.weight:
        said = f"The file is weighted by {dataset.weight!r}; nothing here applies the weight."
        yield Check("weight", "caution", (said,), dataset.weight)


def _key_checks(dataset: Dataset, key: Sequence[str]) -> Iterator[Check]:
    about = ", ".join(key)
    columns = dataset.frame[list(key)]
    absent = columns.isna().any(axis=1)
    if absent.any():
        where = f" rows have no {about}: {rows_phrase(list(columns.index[absent]))}."
        yield Check("key", "fail", (Count(int(absent.sum()), "rows"), where), about)
    repeated = columns.duplicated() & ~absent
    if repeated.any():
        where = rows_phrase(list(columns.index[repeated]))
        where = f" rows repeat the {about} of a row above: {where}."
        yield Check("key", "fail", (Count(int(repeated.sum()), "rows"), where), about)
    if not absent.any() and not repeated.any():
        yield Check("key", "ok", (f"Every row has its own {about}.",), about)


def _impossible_dates(dataset: Dataset) -> Iterator[Check]:
    for column in map(str, dataset.missing):
        n = dataset.reasons(column).get("impossible date", 0)
        if n:
            parts = (
                f"{dataset.label(column)}: ",
                Count(n, "rows"),
                " rows hold an impossible date.",
            )
            yield Check("dates", "caution", parts, column)
