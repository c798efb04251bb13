"""The self-test of an installation: nothing missed, every engine asked, what a miss looks like."""

from __future__ import annotations

import json
import re
import sys
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from recovery_stats.cli import recovery_stats, selftest
from recovery_stats.cli.selftest import question
from recovery_stats.cli.selftest.question import Known, Question, asked

ENGINES = Path(selftest.__file__).parents[2] / "engines"
# What no question reaches, and why not.
NOT_ASKED: dict[str, str] = {}


@pytest.fixture(scope="module")
def found() -> tuple[tuple[selftest.Trial, ...], set[str]]:
    """The trials, and the modules of engines/ of which a function ran."""
    ran: set[str] = set()

    def note(frame: FrameType, event: str, _: Any) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.parent == ENGINES and frame.f_code.co_name != "<module>":
            ran.add(path.stem)

    for path in ENGINES.glob("*.py"):  # a class body that runs at import is no question asked
        import_module(f"recovery_stats.engines.{path.stem}")
    question.table.cache_clear()
    before = sys.getprofile()
    sys.setprofile(note)
    try:
        return selftest.run_all(), ran
    finally:
        sys.setprofile(before)


def test_nothing_is_missed(found: Any) -> None:
    assert [f"{t.name}: {t.found} {t.fault}" for t in found[0] if not t.passed] == []
    assert len({t.name for t in found[0]}) == len(found[0])


def test_what_is_not_asked_is_known(found: Any) -> None:
    here = {path.stem for path in ENGINES.glob("*.py")} - {"__init__"}
    assert here - found[1] == set(NOT_ASKED)
    assert all(NOT_ASKED.values())


def test_every_stored_value_is_used_and_says_where_it_is_from() -> None:
    stored = question._stored()
    known = [q.known for q in selftest.QUESTIONS]
    values = {k.value for k in known}
    assert [key for key, s in stored.items() if s["value"] not in values] == []
    assert all(k.source for k in known)
    assert all(re.match(r"R \d", s["source"]) for s in stored.values())


def test_tolerances_are_no_wider_than_they_say() -> None:
    wide = [q for q in selftest.QUESTIONS if q.known.tolerance > 1e-4]
    assert all("Monte Carlo" in q.known.source for q in wide)
    assert {q.engine for q in wide} == {
        "impute", "impute_multilevel", "impute_smc", "lmm_bootstrap", "multiplier",
        "turnbull_bootstrap",
    }  # fmt: skip


def test_a_wrong_answer_and_a_fault_are_missed() -> None:
    right = Known(2.0, 1e-8, "paper")
    near = asked(Question("e", "near", right, lambda: 2.0 + 1e-7))
    broken = asked(Question("e", "broken", right, lambda: 1 / 0))
    unknown = asked(Question("e", "nan", right, lambda: float("nan")))
    assert not near.passed
    assert not broken.passed
    assert not unknown.passed
    assert broken.fault.startswith("ZeroDivisionError")


def test_the_seal_changes_with_a_reference_value(monkeypatch: pytest.MonkeyPatch) -> None:
    before = selftest.seal()
    assert re.fullmatch("[0-9a-f]{64}", before)
    assert selftest.seal() == before
    one = selftest.QUESTIONS[0]
    other = Question(one.engine, one.name, Known(0.5, 1e-8, one.known.source), one.ask)
    monkeypatch.setattr(selftest, "QUESTIONS", (other, *selftest.QUESTIONS[1:]))
    assert selftest.seal() != before


def test_the_command_ends_with_7_and_valid_json_when_an_engine_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = Question("e", "wrong", Known(1.0, 1e-8, "paper"), lambda: float("nan"))
    monkeypatch.setattr(selftest, "QUESTIONS", (wrong,))
    assert recovery_stats.main(["doctor", "--json"], standalone_mode=False) == 7
    facts = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert facts["self_test"]["passed"] == 0
    assert facts["tests"][0]["found"] is None
    assert recovery_stats.main(["doctor"], standalone_mode=False) == 7
    assert "FAILED  no number, expected 1" in capsys.readouterr().out
