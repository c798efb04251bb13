"""Every count of a document together: small ones, complements, equal numbers, sums."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from recovery_stats.core.cell import Cell, Count, Hidden, Quantity, Share
from recovery_stats.core.document import CurveFigure, Document, Flow, LoveFigure, Table
from recovery_stats.core.study import Privacy
from recovery_stats.errors import DisclosureError
from recovery_stats.report.privacy.arm import nearly_an_arm
from recovery_stats.report.privacy.estimate import blur_estimates
from recovery_stats.report.privacy.mean import betrayed, withhold_means
from recovery_stats.report.privacy.nested import left_out
from recovery_stats.report.privacy.sums import flow_sums, runs, table_sums
from recovery_stats.report.privacy.suppress import Problem, Sum, protect, worked_out
from recovery_stats.report.privacy.value import Value, behind, is_small, said
from recovery_stats.report.privacy.visit import Place, cells, in_line, is_lost, map_cells

ROUNDS = 25


@dataclass(frozen=True, slots=True)
class _Counts:
    """The cells of a document that rest on counts, by place, and the sums they obey.

    Of a risk table only the start is among them: it is the size of the group.
    """

    cells: Mapping[Place, Cell]
    numbers: Mapping[Place, int]
    sums: tuple[Sum, ...]


@dataclass(frozen=True, slots=True)
class _Telling:
    """Numbers that give away a hidden one: plain counts with their unit, shares with their base.

    withheld: those that the flow no longer tells. within: those that its lines alone hide.
    """

    values: frozenset[Value]
    shares: frozenset[tuple[int, int]]
    withheld: frozenset[Value]
    within: frozenset[Value] = frozenset()


def withhold_counts(document: Document, withheld: frozenset[Value], privacy: Privacy) -> Document:
    """Hide until nothing changes; `withheld` are numbers that the flow no longer tells."""
    counts = _read(document)
    small = frozenset(p for p in counts.numbers if is_small(counts.cells[p], privacy))
    telling = _Telling(withheld, frozenset(), withheld)
    linked = _where(document, counts, telling) | _nearly_all(document, counts, privacy)
    linked |= nearly_an_arm(document, counts.cells, privacy.minimum)
    gone = [left for left in left_out(document) if left.secret(privacy.minimum)]
    few = small | {left.place for left in gone if left.n < privacy.minimum}
    problem = Problem(
        {**counts.numbers, **{left.place: left.n for left in gone}},
        counts.sums,
        privacy.minimum,
        few,
        (linked | {left.place for left in gone}) - few,
        betrayed=betrayed(document),
    )
    counts = replace(counts, sums=(*counts.sums, *(left.sum for left in gone)))
    for _ in range(ROUNDS):
        sums = counts.sums + _sums_known(document, counts, problem)
        problem = protect(replace(problem, sums=sums))
        telling = _telling(counts, problem, withheld)
        found = _where(document, counts, telling) - problem.small
        if found <= problem.linked:
            break
        problem = replace(problem, linked=problem.linked | found)
    _refuse(document, worked_out(problem) & problem.small)
    safe = _apply(document, counts, problem, telling)
    return withhold_means(document, safe, privacy)


def _refuse(document: Document, places: Iterable[Place]) -> None:
    """Raise DisclosureError where all that could be hidden is, and a small count still follows."""
    blocks = sorted({place[0] for place in places})
    names = [b.name for b in (document.blocks[i] for i in blocks) if isinstance(b, Table)]
    if blocks:
        raise DisclosureError(
            f"A small count can be worked out from the totals around it in {', '.join(names)}. "
            "Join its category to another, or leave the table out."
        )


def _read(document: Document) -> _Counts:
    found = {
        p: c
        for p, c in cells(document).items()
        if behind(c) is not None and not (isinstance(document.blocks[p[0]], CurveFigure) and p[2])
    }
    sums: list[Sum] = []
    for b, block in enumerate(document.blocks):
        if isinstance(block, Table):
            sums += table_sums(block, b)
        elif isinstance(block, Flow):
            sums += flow_sums(block, b)
    numbers = {p: n for p, c in found.items() if (n := behind(c)) is not None}
    known = tuple(s for s in sums if s.parts and all(p in numbers for p in s.places))
    return _Counts(found, numbers, known)


def _nearly_all(document: Document, counts: _Counts, privacy: Privacy) -> frozenset[Place]:
    """Counts a few short of a step of the flow: the difference tells how many are missing."""
    steps = {
        (cell.n, cell.unit)
        for block in document.blocks
        if isinstance(block, Flow)
        for cell in (*(kept for _, kept, _ in block.steps), *block.people)
        if isinstance(cell, Count)
    }

    def short(value: Value) -> bool:
        gaps = (n - value[0] for n, unit in steps if unit == value[1] and 2 * value[0] > n)
        return value not in steps and any(0 < gap < privacy.minimum for gap in gaps)

    values = ((p, said(c)) for p, c in counts.cells.items() if isinstance(c, Count))
    return frozenset(p for p, value in values if value and short(value))


def _sums_known(document: Document, counts: _Counts, problem: Problem) -> tuple[Sum, ...]:
    """Rows and runs of tables with something hidden in them whose sum is printed elsewhere."""
    printed: dict[int, set[Place]] = {}  # a share prints its base too: count over percentage
    for place, cell in counts.cells.items():
        if place not in problem.hidden and (value := said(cell)):
            for number in {value[0], cell.of} if isinstance(cell, Share) else {value[0]}:
                printed.setdefault(number, set()).add(place)
    wholes = {s.parts: s.whole for s in counts.sums}
    found = []
    for b, block in enumerate(document.blocks):
        for places in runs(block, b) if isinstance(block, Table) else ():
            known = len(places) > 1 and all(p in counts.numbers for p in places)
            if not known or problem.hidden.isdisjoint(places):
                continue
            total = sum(counts.numbers[p] for p in places)
            elsewhere = printed.get(total, set()) - {wholes.get(places)}
            if elsewhere:
                printed_at = tuple(sorted(p for p in elsewhere if p is not None))
                found.append(Sum(places, total=total, printed=printed_at))
    return tuple(found)


def _telling(counts: _Counts, problem: Problem, withheld: frozenset[Value]) -> _Telling:
    """Hidden numbers that are not small, and complements: a reader could subtract them."""
    hidden = [c for p, c in counts.cells.items() if p in problem.hidden]
    shares = {s for c in hidden if isinstance(c, Share) for s in ((c.n, c.of), (c.of - c.n, c.of))}
    beside = _beside(counts, problem.hidden)
    plain = {v for c in hidden if isinstance(c, Count) and (v := said(c))}
    outside = {said(c) for p, c in counts.cells.items() if p in problem.hidden and not in_line(p)}
    values = plain | {(n, "people") for n, _ in shares} | withheld
    large = frozenset(v for v in values if v[0] >= problem.minimum)
    within = frozenset(plain - outside)
    return _Telling(large, frozenset(shares | beside), withheld - plain, within)


def _beside(counts: _Counts, hidden: frozenset[Place]) -> set[tuple[int, int]]:
    """A hidden count as a share of another of its row, and the share that it leaves."""
    rows: dict[Place, list[int]] = {}
    plain = {p: c.n for p, c in counts.cells.items() if isinstance(c, Count)}
    for (b, i, _), n in plain.items():
        rows.setdefault((b, i, 0), []).append(n)
    pairs = ((plain[p], m) for p in hidden if p in plain for m in rows[(*p[:2], 0)])
    return {s for n, m in pairs if 0 < n < m for s in ((n, m), (m - n, m))}


def _where(document: Document, counts: _Counts, telling: _Telling) -> frozenset[Place]:
    """The places that print a number that must not stand there.

    A share is the same number only on the same base: equal counts of other people are chance.
    The flow was made safe by itself, what it or an arm lost at a step is no number of a table, and
    it yields only to what tables hide; its lines yield to each other too.
    """

    def tells(place: Place, cell: Cell) -> bool:
        if isinstance(cell, Share):
            return (cell.n, cell.of) in telling.shares
        if isinstance(document.blocks[place[0]], Flow):
            apart = telling.withheld if in_line(place) else telling.withheld | telling.within
            return not is_lost(place) and said(cell) in telling.values - apart
        return said(cell) in telling.values

    return frozenset(p for p, c in counts.cells.items() if tells(p, c))


# --- printing what is left ---------------------------------------------------------------


def _apply(document: Document, counts: _Counts, problem: Problem, telling: _Telling) -> Document:
    rows = {row for p in problem.hidden for row in _rows_told(document, p)}
    tests = {p: x for p, c in cells(document).items() if (x := _test(c)) is not None}
    secret = {abs(x) for p, x in tests.items() if p[:2] in rows} - {0.0, 1.0}
    short = nearly_an_arm(document, counts.cells, problem.minimum, bases=True)

    def change(place: Place, cell: Cell) -> Cell:
        if place in problem.hidden:
            bounded = place in problem.small - problem.unbounded and _below(cell, problem.minimum)
            return Hidden(problem.minimum if bounded else 0)
        if place in tests and (place[:2] in rows or _same(tests[place], secret)):
            return Hidden(0)
        if isinstance(cell, Share) and (
            not telling.values.isdisjoint({(cell.of, "people"), (cell.of, "events")})
            or place in short
            or _base_hidden(document, place, problem.hidden)
        ):
            return _percent(cell)
        return cell

    safe = map_cells(document, change)
    was, left = cells(document), cells(safe)
    secret_bases = {(c.n, c.of) for p, c in was.items() if isinstance(c, Share) and left[p] != c}
    safe = blur_estimates(
        safe, secret_bases, {(c.n, c.of) for c in was.values() if isinstance(c, Share)}
    )
    blocks = tuple(
        _without_points(b, secret) if isinstance(b, LoveFigure) else b for b in safe.blocks
    )
    return replace(safe, blocks=blocks)


def _rows_told(document: Document, place: Place) -> Iterator[tuple[int, int]]:
    """The row of a count, and the head above it: one test there is of all categories together."""
    b, i, _ = place
    block = document.blocks[b]
    if isinstance(block, Table) and i < len(block.rows):
        yield b, i
        head, _, what = block.rows[i].key.rpartition(".")
        if what not in ("missing", "outside"):
            yield from ((b, k) for k, row in enumerate(block.rows) if row.key == head)


def _same(x: float, secret: set[float]) -> bool:
    return any(abs(abs(x) - s) <= 1e-9 for s in secret)


def _percent(share: Share) -> Quantity | Hidden:
    """A share to the percent; of some, never as none or as all."""
    told = round(share.n / share.of, 2)
    if told in (0.0, 1.0) and share.n not in (0, share.of):
        return Hidden(0)
    return Quantity(told, "whole_percent")


def _base_hidden(document: Document, place: Place, hidden: frozenset[Place]) -> bool:
    """Whether a share is of those observed, of a characteristic whose missing are withheld.

    Count over percentage is its base, and all people less the base are those missing.
    """
    b, i, j = place
    block = document.blocks[b]
    if not isinstance(block, Table):
        return False
    of, _, what = block.rows[i].key.rpartition(".")
    lacking = (f"{of}.missing", f"{of}.outside")
    rows = (k for k, row in enumerate(block.rows) if row.key in lacking)
    beside = (k for k, column in enumerate(block.columns) if column.key == "missing" and k != j)
    return what not in ("missing", "outside") and (
        any((b, k, j) in hidden for k in rows) or any((b, i, k) in hidden for k in beside)
    )


def _below(cell: Cell, minimum: int) -> bool:
    """Whether "< minimum" would be true of the number the cell prints; a mean prints another."""
    return isinstance(cell, Count | Share) and cell.n < minimum


def _test(cell: Cell) -> float | None:
    """A standardised difference, p value or ratio: beside counts it can be solved for them."""
    tells = isinstance(cell, Quantity) and cell.style in ("plain", "p", "ratio", "percent")
    return cell.value if isinstance(cell, Quantity) and tells else None


def _without_points(figure: LoveFigure, secret: set[float]) -> LoveFigure:
    """A love plot without the covariates whose difference the table withholds."""
    nan = float("nan")
    kept = [not _same(x, secret) for x in figure.before]
    before = tuple(x if keep else nan for x, keep in zip(figure.before, kept, strict=True))
    after = tuple(x if keep else nan for x, keep in zip(figure.after, kept, strict=False))
    return replace(figure, before=before, after=after)
