"""Every check that a report can print is explained by `recovery-stats explain`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import recovery_stats as rs
from recovery_stats.analyses import names
from recovery_stats.cli.explain import find, words
from recovery_stats.core.study import Study

ROOT = Path(__file__).parent.parent
STUDY = ROOT / "synthetic_data" / "study.toml"
LAYERS = ("analyses", "models")


@pytest.mark.skipif(not STUDY.exists(), reason="the committed study is not here")
@pytest.mark.parametrize("analysis", names())
def test_the_checks_of_the_demo_are_explained(analysis: str) -> None:
    study = rs.read_study(STUDY)
    result = rs.answer(analysis, study)
    assert result.checks
    for check in result.checks:
        assert find(check.name).means
    # Items of a questionnaire are told by the names they have in the file.
    told = [c for c in result.checks if c.name != "item range"]
    text = " ".join(map(str, (p for c in told for p in (*c.parts, c.about))))
    assert not [name for name in _odd(study) if re.search(rf"\b{name}\b", text)]


def _odd(study: Study) -> set[str]:
    """Columns with a label and a name that no sentence would hold as a word."""
    return {"pid", "mday"} | {
        name
        for data in study.tables.values()
        for name in data.frame.columns
        if re.search(r"[_\d]", name) and data.label(name) != name
    }


def _names() -> Iterator[str]:
    """The first argument of every Check written out in an analysis or a model."""
    for path in sorted(p for layer in LAYERS for p in (ROOT / "recovery_stats" / layer).glob("*")):
        if path.suffix != ".py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            is_check = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Check"
            if is_check and node.args and isinstance(node.args[0], ast.Constant):
                yield str(node.args[0].value)


@pytest.mark.parametrize("name", sorted(set(_names())))
def test_every_check_in_the_code_is_explained(name: str) -> None:
    assert find(name).doubt


def test_what_a_word_points_to_exists() -> None:
    for word in words():
        for other in word.see:
            assert find(other)


def test_no_word_has_two_entries() -> None:
    spelled = [n.casefold() for word in words() for n in (word.name, *word.also)]
    assert len(set(spelled)) == len(spelled)
