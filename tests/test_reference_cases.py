"""Reference cases: what recovery_stats answers to them, in digits of agreement with R.

The cases stand beside the project (`../shared/reference`), each with the R code that made it;
the tests of reading, naming and comparing need none of them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ROOT / "scripts"
FOLDER = ROOT.parent / "shared" / "reference"
CASES = sorted(FOLDER.glob("*.json"))

sys.path.insert(0, str(SCRIPTS))
try:
    from reference_case.agreement import (
        Compared,
        agrees_with_itself,
        compare,
        scale_of,
        tolerance_of,
    )
    from reference_case.answer import answer
    from reference_case.case import causes_of, event_of, read_case
    from reference_case.linear import spelled_out
    from reference_case.naming import Names, number
finally:
    sys.path.remove(str(SCRIPTS))

# The least share of a topic's keys that must be given: leaving out is no way to agree.
COVERAGE = {
    "lmm": 0.97,
    "glmm": 1.0,
    "gee": 1.0,
    "glm": 1.0,
    "rates": 1.0,
    "cox": 0.92,
    "km": 1.0,
    "mmrm": 1.0,
    "numerics": 1.0,
    "robust": 1.0,
    "effectsize": 0.93,
    "mediation": 1.0,
    "causal": 1.0,
    "competing": 0.8,
    "logrank": 1.0,
    "frailty": 1.0,
    "concordance": 1.0,
}

with_cases = pytest.mark.skipif(not CASES, reason="the reference cases are not beside the project")


@pytest.mark.parametrize("path", CASES, ids=lambda p: p.stem)
def test_no_value_is_outside_its_tolerance(path: Path) -> None:
    outside = [f"{c.key}: {c.ours} against {c.reference}" for c in compare(path).outside]
    assert outside == []


@with_cases
def test_what_we_have_is_not_left_out() -> None:
    given: defaultdict[str, int] = defaultdict(int)
    asked: defaultdict[str, int] = defaultdict(int)
    for found in map(compare, CASES):
        given[found.topic] += len(found.compared)
        asked[found.topic] += len(found.compared) + len(found.left_out)
    short = {t: given[t] / asked[t] for t, least in COVERAGE.items() if given[t] < least * asked[t]}
    assert short == {}


@with_cases
@pytest.mark.parametrize("name", ["lmm_sleep_rs_reml", "cox_veteran_zph", "km_uis_relapse"])
def test_the_values_of_a_case_are_not_read(name: str, tmp_path: Path) -> None:
    raw = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    del raw["values"], raw["tol"]
    blind = _write(tmp_path, raw, (FOLDER / f"{name}.csv").read_text(encoding="utf-8"))
    assert answer(blind).values == answer(FOLDER / f"{name}.json").values


def _write(folder: Path, raw: dict[str, Any], table: str) -> Path:
    path = folder / "case.json"
    path.write_text(json.dumps({**raw, "data": "case.csv"}), encoding="utf-8")
    (folder / "case.csv").write_text(table, encoding="utf-8")
    return path


def _run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, SCRIPTS / "reference.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


class TestTheScript:
    TABLE = "time,status,sex\n" + "".join(
        f"{t},{1 + t % 2},{s}\n" for t in range(1, 9) for s in "ab"
    )

    def test_prints_values_as_json(self, tmp_path: Path) -> None:
        model = {"type": "cox", "formula": "Surv(time, status) ~ sex", "ties": "breslow"}
        raw = {"name": "x", "topic": "cox", "model": model, "factors": {"sex": ["b", "a"]}}
        found = _run(_write(tmp_path, raw, self.TABLE))
        assert (found.returncode, found.stderr) == (0, "")
        values = json.loads(found.stdout)["values"]
        assert values["beta[sexa]"] == pytest.approx(0, abs=1e-12)
        assert values["nevent"] == 8

    def test_a_topic_not_offered_gives_no_values_and_says_why(self, tmp_path: Path) -> None:
        found = _run(_write(tmp_path, {"topic": "sem", "model": {"type": "sem"}}, self.TABLE))
        assert (found.returncode, json.loads(found.stdout)) == (0, {"values": {}})
        assert "'sem' are not offered" in found.stderr

    def test_a_case_that_does_not_say_enough(self, tmp_path: Path) -> None:
        found = answer(_write(tmp_path, {"topic": "km", "model": {"type": "km"}}, self.TABLE))
        assert (found.values, found.note) == ({}, "the case has no 'time'")

    def test_a_part_refused_leaves_the_rest(self, tmp_path: Path) -> None:
        """Exact ties have no test of proportional hazards."""
        model = {"type": "cox", "formula": "Surv(time, status) ~ sex", "ties": "exact"}
        values = answer(_write(tmp_path, {"topic": "cox", "model": model}, self.TABLE)).values
        assert values["nevent"] == 8
        assert not any(key.startswith("zph") for key in values)

    def test_a_refusal_is_no_crash(self, tmp_path: Path) -> None:
        model = {"type": "lmm", "formula": "time ~ sex + (1 | nobody)"}
        found = _run(_write(tmp_path, {"topic": "lmm", "model": model}, self.TABLE))
        assert (found.returncode, json.loads(found.stdout)) == (0, {"values": {}})
        assert "refused: No column named 'nobody'" in found.stderr


class TestReading:
    def test_levels_keep_their_order_and_text_that_looks_like_numbers(self, tmp_path: Path) -> None:
        raw = {"model": {"formula": "y ~ g"}, "factors": {"g": ["10", "9", "NA"]}}
        case = read_case(_write(tmp_path, raw, '"g","y"\n"9",1\n"NA",\n"10",3\n'))
        assert case.frame["g"].tolist() == ["9", "NA", "10"]
        assert case.frame["g"].cat.categories.tolist() == ["10", "9", "NA"]
        assert case.frame["y"].isna().tolist() == [False, True, False]

    def test_factor_in_the_formula(self, tmp_path: Path) -> None:
        raw = {"model": {"formula": "y ~ factor(g) + as.factor(h)"}, "factors": []}
        case = read_case(_write(tmp_path, raw, "g,h,y\n1,1,1\n2,2,2\n"))
        assert case.formula == "y ~ g + h"
        assert Names(case.formula, case.wrapped).term("g[T.2]") == "factor(g)2"

    def test_a_subset(self, tmp_path: Path) -> None:
        raw = {"model": {"subset": "g < 3"}}
        assert len(read_case(_write(tmp_path, raw, "g\n1\n2\n3\n\n4\n")).frame) == 2

    @pytest.mark.parametrize(
        ("text", "codes", "event"),
        [
            ("status == 2", (1, 2), "status == 2"),
            ("CENSOR (1 = relapse)", (0, 1), "CENSOR"),
            ("ev (2 = death)", (0, 1, 2), "ev == 2"),
            ("status", (1, 2), "status == 2"),
            ("d.ied", (0, 1), "d.ied"),
            ("end == 'dead'", ("alive", "dead"), "end == 'dead'"),
        ],
    )
    def test_events(self, text: str, codes: tuple[Any, ...], event: str) -> None:
        columns = ("status", "CENSOR", "ev", "d.ied", "end")
        assert event_of(text, pd.DataFrame(dict.fromkeys(columns, codes))) == event

    def test_alive_and_dead_as_1_and_2_inside_a_formula(self, tmp_path: Path) -> None:
        raw = {"model": {"formula": "Surv(start, stop, died) ~ x + strata(s)"}}
        case = read_case(_write(tmp_path, raw, "start,stop,died,x,s\n0,1,1,0,1\n0,2,2,1,1\n"))
        assert case.formula == "Surv(start, stop, died == 2) ~ x + strata(s)"

    @pytest.mark.parametrize(
        ("formula", "full"),
        [
            ("y ~ x + ... + x^3", "y ~ x + I(x^2) + I(x^3)"),
            ("y ~ x1 + ... + x3", "y ~ x1 + x2 + x3"),
            ("y ~ .", "y ~ `a b` + c"),
            ("y ~ 0 + x", "y ~ 0 + x"),
        ],
    )
    def test_shortened_formulas(self, formula: str, full: str) -> None:
        assert spelled_out(formula, ["y", "a b", "c"]) == full

    def test_causes(self) -> None:
        found = causes_of("ev: 0 censored, 1 progression, 2 death")
        assert found == {1: "progression", 2: "death"}


class TestNaming:
    @pytest.mark.parametrize(
        ("formula", "ours", "theirs"),
        [
            ("y ~ x", "Intercept", "(Intercept)"),
            ("y ~ rx", "rx[T.Lev+5FU]", "rxLev+5FU"),
            ("y ~ a * b", "a[T.2]:b", "a2:b"),
            ("y ~ b + a + a:b", "a[T.2]:b", "b:a2"),
            ("y ~ 0 + f", "f[a]", "fa"),
            ("y ~ f", "f[T.a:b]", "fa:b"),
            ("y ~ I(x^2)", "I(x^2)", "I(x^2)"),
            ("y ~ age.c + age", "age:age.c", "age.c:age"),
        ],
    )
    def test_terms(self, formula: str, ours: str, theirs: str) -> None:
        assert Names(formula).term(ours) == theirs

    def test_nested_groups_are_named_from_the_inside(self) -> None:
        names = Names("y ~ x + (1 | site / person) + (1 | a:b)")
        assert [names.group(g) for g in ("site", "site:person", "a:b")] == [
            "site",
            "person:site",
            "a:b",
        ]
        assert names.level("site:person", "3:17") == "17:3"
        assert names.level("a:b", "3:17") == "3:17"

    def test_numbers_as_r_pastes_them(self) -> None:
        assert [number(v) for v in (30.0, 0.1, 1e5, 201.5)] == ["30", "0.1", "100000", "201.5"]


class TestComparing:
    def test_the_longest_kind_of_tolerance_counts(self) -> None:
        tol = {"se": 1e-6, "se_robust": 1e-3, "prof": 1e-2}
        assert tolerance_of("se_robust[x]", tol) == 1e-3
        assert tolerance_of("se[x]", tol) == 1e-6
        assert tolerance_of("aic", tol) == 1e-2

    def test_scales(self) -> None:
        values = {
            "var[g|a]": 4.0, "var[g|b]": 9.0, "cov[g|a,b]": 0.1, "p_satt[x]": 1e-20,
            "zph.p[x]": 0.5,
            "var[h|a]": 0.0, "sigma2": 25.0, "ranef[h|1|a]": 0.0, "p": 1e-9, "prof.lo[x]": 1e-9,
        }  # fmt: skip
        expected = {
            "cov[g|a,b]": 6.0, "p_satt[x]": 1e-3, "zph.p[x]": 0.5, "var[h|a]": 25.0,
            "ranef[h|1|a]": 5.0, "p": 1e-3, "prof.lo[x]": 1e-9,
        }  # fmt: skip
        assert {k: scale_of(k, values) for k in expected} == pytest.approx(expected)

    def test_a_p_that_is_not_the_p_of_its_z_is_not_compared(self) -> None:
        values = {
            "z[x]": 2.0,
            "p[x]": 0.0455002638963584,
            "a.z[x]": 2.0,
            "a.p[x]": 0.0456,
            "p": 0.3,
        }
        kept = [k for k in values if agrees_with_itself(k, values)]
        assert kept == ["z[x]", "p[x]", "a.z[x]", "p"]

    @pytest.mark.parametrize(
        ("ours", "reference", "within"),
        [(1.0, 1.1, True), (1.0, 1.3, False), (None, None, True), (None, 1.0, False)],
    )
    def test_within(self, ours: float | None, reference: float | None, within: bool) -> None:
        assert Compared("c", "t", "k", ours, reference, 1.0, 0.2).within is within
