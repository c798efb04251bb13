"""Attacks on the flow of a trial: nothing of a few people in an arm may come back.

The attacker has every printed cell of the flow and of the tables beside it, the sums that steps,
arms and lines obey, and the rule itself; integer programs give the least and the largest value of
each small number.
"""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from itertools import combinations, pairwise
from zipfile import ZipFile

import numpy as np
import pytest
from matplotlib.figure import Figure as Canvas
from matplotlib.text import Text
from PIL import Image
from scipy.optimize import Bounds, LinearConstraint, milp

from recovery_stats.core.cell import Cell, Count, Hidden, Share
from recovery_stats.core.dataset import Detail, Step
from recovery_stats.core.document import Column, Document, Flow, Paragraph, Row, Table
from recovery_stats.core.study import PROFILES
from recovery_stats.report import figures, render
from recovery_stats.report.compose import compose
from recovery_stats.report.disclose import disclose
from recovery_stats.report.privacy.flow import safe_flow
from tests.report import example

CMS = PROFILES["cms"]
LEAST_POSSIBLE = 3
ARMS = ("House", "Usual", "Waiting list")
LOSSES = (0, 0, 2, 5, 9, 10, 11, 14, 40)


def flow_of(steps: tuple[Step, ...]) -> Flow:
    result = example.result(flow=steps, facts={}, tables={}, figures={}, checks=())
    (flow,) = compose(result, "T", "# T\n\n[[flow]]").blocks
    assert isinstance(flow, Flow)
    return flow


def trial(draw: random.Random) -> tuple[Step, ...]:
    """A file, the draw of two or three arms, three steps that lose some of each, and why."""
    names = ARMS[: draw.choice([2, 2, 3])]
    sizes = [draw.choice([60, 150, 152, 200]) for _ in names]
    before = sum(sizes) + draw.choice(LOSSES)
    taken = [n - draw.choice((4, 30)) for n in sizes]
    lines = (
        Detail("moved in", sum(taken), tuple(taken)),
        Detail(
            "not", sum(sizes) - sum(taken), tuple(n - t for n, t in zip(sizes, taken, strict=True))
        ),
    )
    steps = [Step("file", before, "people"), step_of("drawn", names, sizes, lines)]
    for k in range(3):
        lost = [min(draw.choice(LOSSES), n - 12) for n in sizes]
        sizes = [n - gone for n, gone in zip(sizes, lost, strict=True)]
        some = [draw.randint(0, gone) for gone in lost]
        rest = [gone - one for gone, one in zip(lost, some, strict=True)]
        lines = tuple(Detail(w, sum(d), tuple(d)) for w, d in (("died", some), ("moved", rest)))
        steps.append(step_of(f"step {k}", names, sizes, lines))
    return tuple(steps)


def step_of(
    reason: str, names: tuple[str, ...], sizes: list[int], lines: tuple[Detail, ...] = ()
) -> Step:
    arms = tuple(zip(names, sizes, strict=True))
    return Step(reason, sum(sizes), "people", None, arms, lines)


def beside(draw: random.Random, steps: tuple[Step, ...]) -> Table:
    """People of each arm as Table 1 has them, and shares on bases near them."""
    step = draw.choice(steps[1:])
    sizes = [n for _, n in step.arms]
    columns = tuple(Column(name, name) for name, _ in step.arms)
    short = [n - draw.choice((0, 3, 15)) for n in sizes]
    rows = (
        Row("n", "People", tuple(map(Count, sizes))),
        Row("seen", "Seen", tuple(map(Count, short))),
        Row("x", "Outcome", tuple(Share(n // 2, n) for n in short)),
    )
    return Table("t", step.reason, columns, rows)


@dataclass(slots=True)
class Attacker:
    """Unknown whole numbers by name, and what is known of sums of them."""

    names: dict[tuple[object, ...], int] = field(default_factory=dict)
    rules: list[tuple[dict[int, float], float, float]] = field(default_factory=list)

    def unknown(self, *name: object) -> int:
        return self.names.setdefault(name, len(self.names))

    def know(self, terms: dict[int, float], low: float, high: float | None = None) -> None:
        self.rules.append((terms, low, low if high is None else high))

    def values(self, terms: dict[int, float]) -> float:
        """How many values a sum of unknowns may have."""
        ends = [self._extreme(terms, sign) for sign in (1, -1)]
        return ends[1] - ends[0] + 1

    def _extreme(self, terms: dict[int, float], sign: int) -> float:
        rows = np.zeros((len(self.rules), len(self.names)))
        for row, (rule, _, _) in zip(rows, self.rules, strict=True):
            row[list(rule)] = list(rule.values())
        low, high = zip(*((a, b) for _, a, b in self.rules), strict=True)
        goal = np.zeros(len(self.names))
        goal[list(terms)] = [sign * x for x in terms.values()]
        found = milp(
            goal,
            constraints=[LinearConstraint(rows, low, high)],
            bounds=Bounds(0, np.inf),
            integrality=np.ones(goal.size),
        )
        return sign * round(found.fun) if found.fun is not None else -sign * np.inf


def told(attacker: Attacker, terms: dict[int, float], cell: Cell) -> None:
    if isinstance(cell, Count):
        attacker.know(terms, cell.n)
    elif isinstance(cell, Hidden) and cell.below:
        attacker.know(terms, 1, cell.below - 1)


def attacked(steps: tuple[Step, ...], flow: Flow, table: Table) -> Attacker:
    """What holds of the true numbers of every step, printed or not."""
    mind = Attacker()
    for i in range(1, len(steps)):
        arms = [_size(mind, i, a) for a in range(len(flow.arms))]
        mind.know({mind.unknown("all", i): -1, **dict.fromkeys(arms, 1)}, 0)
        mind.know(_loss(mind, i - 1, i, None), 0, np.inf)
        for a in range(len(arms)) if i > 1 else ():
            mind.know(_loss(mind, i - 1, i, a), 0, np.inf)
    places = _places(steps, flow)
    for at, i in enumerate(places):
        _read_step(mind, flow, at, i, places[at - 1] if at else None)
        _read_lines(mind, flow, at, i)
    step = next(i for i, s in enumerate(steps) if s.reason == table.caption)
    for a, cell in enumerate(table.rows[0].cells):
        told(mind, {_size(mind, step, a): 1}, cell)
    return mind


def _places(steps: tuple[Step, ...], flow: Flow) -> list[int]:
    """The step behind each printed box: the last of those told together."""
    reasons = [s.reason for s in steps]
    return [reasons.index(label.split("; ")[-1]) for label, _, _ in flow.steps]


def _size(mind: Attacker, i: int, a: int | None) -> int:
    """The unknown of how many remained: of everybody, or of arm `a`."""
    return mind.unknown("all", i) if a is None else mind.unknown("arm", i, a)


def _loss(mind: Attacker, i: int, j: int, a: int | None) -> dict[int, float]:
    return {_size(mind, i, a): 1.0, _size(mind, j, a): -1.0}


def _read_step(mind: Attacker, flow: Flow, at: int, i: int, was: int | None) -> None:
    pairs = [(None, *flow.steps[at][1:]), *((a, *p) for a, p in enumerate(flow.by_arm[at]))]
    for a, left, gone in pairs:
        told(mind, {_size(mind, i, a): 1}, left)
        if was or (was == 0 and a is None):
            told(mind, _loss(mind, was, i, a), gone)


def _read_lines(mind: Attacker, flow: Flow, at: int, i: int) -> None:
    """Lines make up what remained at allocation, what was lost later; their arms make them up."""
    lines = flow.within[at]
    for c in range(len(flow.arms) + 1) if lines else ():
        parts = [mind.unknown("line", i, k, c) for k in range(len(lines))]
        for part, line in zip(parts, lines, strict=True):
            told(mind, {part: 1}, line.cells[c])
        a = c - 1 if c else None
        whole = {_size(mind, i, a): 1.0} if i == 1 else _loss(mind, i - 1, i, a)
        mind.know({**whole, **dict.fromkeys(parts, -1)}, 0)
    for k in range(len(lines)):
        first, *rest = (mind.unknown("line", i, k, c) for c in range(len(flow.arms) + 1))
        mind.know({first: -1, **dict.fromkeys(rest, 1)}, 0)


def small_numbers(
    mind: Attacker, steps: tuple[Step, ...], flow: Flow
) -> Iterator[dict[int, float]]:
    """Every loss of an arm between two steps and every printed line that is of a few people."""
    for i, j in combinations(range(1, len(steps)), 2):
        for a in range(len(flow.arms)):
            if 0 < steps[i].arms[a][1] - steps[j].arms[a][1] < CMS.minimum:
                yield _loss(mind, i, j, a)
    for i, lines in zip(_places(steps, flow), flow.within, strict=True):
        for k in range(len(lines)):
            for c, n in enumerate((steps[i].details[k].n, *steps[i].details[k].arms)):
                if 0 < n < CMS.minimum:
                    yield {mind.unknown("line", i, k, c): 1.0}


@pytest.mark.parametrize("seed", range(20))
def test_no_small_number_of_an_arm_can_be_worked_out(seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311
    steps = trial(draw)
    table = beside(draw, steps)
    flow, left = disclose(Document("a", "T", "REAL", (flow_of(steps), table)), CMS).blocks
    assert isinstance(flow, Flow)
    assert isinstance(left, Table)
    mind = attacked(steps, flow, left)
    for terms in small_numbers(mind, steps, flow):
        assert mind.values(terms) >= LEAST_POSSIBLE


@pytest.mark.parametrize("seed", range(20))
def test_numbers_of_an_arm_elsewhere_are_not_a_few_from_those_of_the_flow(seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311
    steps = trial(draw)
    said = Paragraph(tuple(Count(n) for s in steps[1:] for _, n in s.arms))
    blocks = (flow_of(steps), beside(draw, steps), said)
    flow, left, words = disclose(Document("a", "T", "REAL", blocks), CMS).blocks
    assert isinstance(flow, Flow)
    assert isinstance(left, Table)
    assert isinstance(words, Paragraph)
    spoken = {c.n for c in words.parts if isinstance(c, Count)}
    for a in range(len(flow.arms)):
        sizes = {c.n for arms in flow.by_arm if arms and isinstance(c := arms[a][0], Count)}
        cells = (row.cells[a] for row in left.rows)
        found = {
            c.of if isinstance(c, Share) else c.n for c in cells if isinstance(c, Count | Share)
        }
        assert not [n for n in found for size in sizes if 0 < abs(size - n) < CMS.minimum]
        own = {s.arms[a][1] for s in steps[1:]} - sizes
        others = {n for s in steps[1:] for b, (_, n) in enumerate(s.arms) if b != a}
        assert not (own - others) & spoken


@pytest.mark.parametrize("seed", range(20))
def test_the_flow_is_safe_by_itself(seed: int) -> None:
    """Before any other cell is hidden: printed sizes of an arm differ by none or by many."""
    steps = trial(random.Random(seed))  # noqa: S311
    flow = safe_flow(flow_of(steps), CMS.minimum).flow
    for a in range(len(flow.arms)):
        sizes = [c.n for arms in flow.by_arm if arms and isinstance(c := arms[a][0], Count)]
        assert all(x == y or x - y >= CMS.minimum for x, y in pairwise(sizes))
        lost = [c.n for arms in flow.by_arm if arms and isinstance(c := arms[a][1], Count)]
        assert not [n for n in lost if 0 < n < CMS.minimum]


STEPS = (
    Step("file", 4031, "people"),
    step_of("drawn", ARMS[:2], [2007, 2011]),
    step_of("seen", ARMS[:2], [1998, 1873], (Detail("died", 147, (9, 138)),)),
)


@pytest.mark.parametrize("form", ["html", "md", "txt", "tex", "json", "csv", "docx", "figures"])
def test_a_small_loss_of_one_arm_is_in_no_file(form: str) -> None:
    """147 lost, 9 of one arm: neither arm's loss nor both of its sizes are in the bytes."""
    safe = disclose(Document("a", "T", "REAL", (flow_of(STEPS),)), CMS)
    content = render(safe, form)
    if form in ("csv", "docx", "figures"):
        with ZipFile(BytesIO(content)) as file:
            wanted = [
                n for n in file.namelist() if "document.xml" in n or n.endswith((".csv", ".svg"))
            ]
            text = " ".join(file.read(n).decode() for n in wanted)
    else:
        text = content.decode()
    text = re.sub(r"<style>.*?</style>", " ", text, flags=re.DOTALL)
    numbers = {n.replace(",", "") for n in re.findall(r"\d[\d,]*", re.sub(r"<[^>]*>", " ", text))}
    assert "4018" in numbers
    assert ("147" in numbers) is (form != "figures")  # a drawing has the losses of arms alone
    assert not {"9", "138"} & numbers
    assert not {"2007", "1998"} <= numbers
    assert not {"2011", "1873"} <= numbers


def numbers_in(text: str) -> set[str]:
    return {n.replace(",", "") for n in re.findall(r"\d[\d,]*", text)}


def test_the_flow_is_one_drawing_in_every_form(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the attack finds in the .svg is all that a .png or a .pdf could tell."""
    drawn: list[Canvas] = []
    draw = figures.draw

    def seen(figure: Flow, *given: float) -> Canvas:
        drawn.append(draw(figure, *given))
        return drawn[-1]

    monkeypatch.setattr(figures, "draw", seen)
    safe = disclose(Document("a", "T", "REAL", (flow_of(STEPS),)), CMS)
    with ZipFile(BytesIO(render(safe, "figures"))) as file:
        files = {n.rpartition(".")[2]: file.read(n) for n in file.namelist()}
    assert set(files) == {"svg", "png", "pdf"}
    told = [[t.get_text() for t in canvas.findobj(Text) if t.get_text()] for canvas in drawn]
    assert len(told) == len(files)
    assert told[0]
    assert told.count(told[0]) == len(told)
    numbers = numbers_in(" ".join(told[0]))
    assert "4018" in numbers
    assert not {"9", "138", "147"} & numbers
    words = re.sub(r"<style>.*?</style>|<[^>]*>", " ", files["svg"].decode(), flags=re.DOTALL)
    assert numbers_in(words) == numbers
    with Image.open(BytesIO(files["png"])) as picture:
        assert set(picture.info) <= {"dpi"}
    assert not re.findall(rb"/(Title|Subject|Keywords|Author|CreationDate)", files["pdf"])


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="pdftotext is not here")
def test_a_small_loss_of_one_arm_is_not_in_the_pdf_of_the_drawing() -> None:
    (safe,) = disclose(Document("a", "T", "REAL", (flow_of(STEPS),)), CMS).blocks
    assert isinstance(safe, Flow)
    command = ["pdftotext", "-", "-"]
    done = subprocess.run(
        command, input=figures.encoded(safe, ".pdf"), capture_output=True, check=True
    )
    numbers = numbers_in(done.stdout.decode())
    assert "4018" in numbers
    assert not {"9", "138", "147"} & numbers


def test_all_of_it_is_told_where_nothing_is_withheld() -> None:
    flow = flow_of(STEPS)
    (safe,) = disclose(Document("a", "T", "REAL", (flow,)), PROFILES["none"]).blocks
    assert safe == flow
    assert flow.by_arm[-1] == ((Count(1998), Count(9)), (Count(1873), Count(138)))
    assert flow.within[-1][0].cells == (Count(147), Count(9), Count(138))


def test_the_arms_stay_at_the_step_that_tables_tell() -> None:
    """Table 1 has 2,007 and 2,011: those stay, and the arms of the last step go."""
    rows = (Row("n", "People", (Count(2007), Count(2011))),)
    table = Table("t", "c", (Column("a", "House"), Column("b", "Usual")), rows)
    flow, kept = disclose(Document("a", "T", "REAL", (flow_of(STEPS), table)), CMS).blocks
    assert isinstance(flow, Flow)
    assert kept == table
    assert [arm[0] for arm in flow.by_arm[1]] == [Count(2007), Count(2011)]
    assert [arm[0] for arm in flow.by_arm[2]] == [Hidden(0), Hidden(0)]
