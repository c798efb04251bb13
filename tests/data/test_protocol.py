"""study.toml: what is accepted, what is refused, and that every fault is told with its line."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from recovery_stats.core.study import Protocol
from recovery_stats.data.protocol import OptionSpec, Problem, ProtocolError, read_protocol
from recovery_stats.data.toml_position import TooDeep, positions
from recovery_stats.errors import UsageError

SECONDS = 5.0  # a hostile file of 1 MB takes under a second; a quadratic reader takes hours

KINDS = {
    "relationship_satisfaction": {
        o.name: o
        for o in (
            OptionSpec("outcome", column=True, table="waves", role="outcome"),
            OptionSpec("satisfaction", column=True, table="waves", role="satisfaction"),
            OptionSpec("slopes", many=True, column=True, table="waves", role="random_slope"),
            OptionSpec("adjust", many=True, column=True, table="persons", role="adjust"),
            OptionSpec("family", choices=("gaussian", "poisson")),
            OptionSpec("reference"),
            OptionSpec("horizon", int),
            OptionSpec("half_life", float),
            OptionSpec("robust", bool),
            OptionSpec("level", float),
            OptionSpec("seed", int),
        )
    }
}

GOOD = """\
schema = 1
[study]
title = "A study"
population = "adults after treatment"
[tables.persons]
file = "persons.sav"
key = ["pid"]
where = [["ruling", "==", 1], ["arm", "!=", "none"]]
weight = "none"
event_code = 2
[tables.waves]
file = "waves.sav"
key = ["pid", "wave"]
[roles.persons]
person = "pid"
adjust = ["age", "sex"]
[roles.waves]
random_slope = "x"
outcome = "pacs"
[missing]
structural = [-97]
[missing.codes.persons]
income = [-9]
"*" = [-8]
[privacy]
profile = "opensafely"
minimum = 12
[[analysis]]
kind = "relationship_satisfaction"
name = "craving"
reference = 0
horizon = 90
[report]
level = 0.9
seed = 7
formats = ["html"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("persons.sav", "waves.sav"):
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def read(folder: Path, text: str | bytes) -> Protocol:
    path = folder / "study.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_protocol(path, analyses=KINDS)


def faults(folder: Path, text: str | bytes) -> tuple[Problem, ...]:
    with pytest.raises(ProtocolError) as caught:
        read(folder, text)
    assert caught.value.exit_code == 2
    return caught.value.problems


def the_fault(folder: Path, old: str, new: str) -> str:
    """The only fault of GOOD with one line changed; it must name that line."""
    assert old in GOOD
    problems = faults(folder, GOOD.replace(old, new))
    assert len(problems) == 1, problems
    text = problems[0].text()
    assert f"study.toml:{GOOD[: GOOD.index(old)].count(chr(10)) + 1}: " in text
    return text


def test_every_part_of_a_good_file_is_read(folder: Path) -> None:
    found = read(folder, GOOD)
    persons = found.tables["persons"]
    assert persons.key == ("pid",)
    assert persons.where == (("ruling", "==", 1), ("arm", "!=", "none"))
    assert persons.options == {"weight": "none", "event_code": 2}
    assert persons.roles == {"person": "pid", "adjust": ("age", "sex")}
    assert persons.missing == {"income": (-9,), "*": (-8,)}
    assert found.tables["waves"].roles["random_slope"] == "x"
    assert found.structural == (-97.0,)
    assert (found.privacy.profile, found.privacy.minimum, found.privacy.round_to) == (
        "opensafely", 12, 5,
    )  # fmt: skip
    analysis = found.analyses[0]
    assert (analysis.kind, analysis.name) == ("relationship_satisfaction", "craving")
    assert analysis.options == {"reference": 0, "horizon": 90}
    assert (found.level, found.seed, found.formats) == (0.9, 7, ("html",))
    assert found.lines["roles.persons.person"] == 15
    assert found.lines["analysis.0.reference"] == analysis.line + 3
    assert len(found.sha256) == 64
    assert found.file == "study.toml"


def test_defaults_need_little(folder: Path) -> None:
    text = '[tables.persons]\nfile="persons.sav"\n[[analysis]]\nkind="relationship_satisfaction"\n'
    found = read(folder, "﻿" + text)
    assert found.analyses[0].name == "relationship_satisfaction"
    assert (found.level, found.seed, found.privacy.minimum) == (0.95, 1, 11)
    assert found.tables["persons"].roles == {}


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("schema = 1", "schema = 2", "schema = 1"),
        ("schema = 1", 'schema = "1"', "schema = 1"),
        ('title = "A study"', 'titel = "A study"', "Did you mean 'title'"),
        ('title = "A study"', "title = 3", "text in quotes"),
        ('file = "persons.sav"', 'file = "person.sav"', "Did you mean 'persons.sav'"),
        ('file = "persons.sav"', 'file = "../persons.sav"', "--allow-outside"),
        ('file = "persons.sav"', 'file = "/etc/passwd"', "--allow-outside"),
        ('file = "persons.sav"', 'file = "."', "is a folder"),
        ('file = "persons.sav"', 'file = "a\\u0000b"', "not the name of a file"),
        ('file = "persons.sav"', 'file = "data\\\\p.sav"', "by / rather than"),
        ('key = ["pid"]', "key = [1]", "text in quotes"),
        ('weight = "none"', 'weight = "freq"', "frequency"),
        ('["arm", "!=", "none"]', '["arm", "is", "none"]', "operator"),
        ('person = "pid"', 'persn = "pid"', "Did you mean 'person'"),
        ('person = "pid"', 'person = ["pid", "id"]', "one column"),
        ('person = "pid"', 'person = ""', "empty"),
        ('person = "pid"', "person = []", "one column"),
        ('adjust = ["age", "sex"]', "adjust = []", "one column or more"),
        ("structural = [-97]", 'structural = ["-97"]', "number"),
        ("income = [-9]", "income = [true]", "number or text"),
        ('profile = "opensafely"', 'profile = "opensafly"', "Did you mean 'opensafely'"),
        ("minimum = 12", "minimum = 0", "1 or more"),
        ("minimum = 12", "minimum = true", "whole number"),
        ('name = "craving"', 'name = "../craving"', "Letters"),
        ('name = "craving"', 'outcom = "pacs"', "Did you mean 'outcome'"),
        ("horizon = 90", 'horizon = "90"', "whole number"),
        ("horizon = 90", "robust = 1", "true or false"),
        ("horizon = 90", 'family = "poison"', "Did you mean 'poisson'"),
        ("horizon = 90", "level = 95", "between 0 and 1"),
        ("horizon = 90", "seed = -1", "seed: Must be 0 or more"),
        ("horizon = 90", "half_life = inf", "number"),
        ("level = 0.9", "level = nan", "number"),
        ("level = 0.9", "level = 1", "between 0 and 1"),
        ("level = 0.9", "conf_level = 95", "conf_level"),
        ("seed = 7", "seed = -1", "seed"),
        ("seed = 7", "seed = 1.5", "whole number"),
        ('formats = ["html"]', 'formats = ["htm"]', "Did you mean 'html'"),
    ],
)  # fmt: skip
def test_one_fault_is_told_with_its_line_and_cure(
    folder: Path, old: str, new: str, named: str
) -> None:
    assert named in the_fault(folder, old, new)


def test_every_fault_is_told_at_once_in_the_order_of_the_file(folder: Path) -> None:
    text = GOOD.replace("schema = 1", "schema = 9").replace("seed = 7", "seed = -1")
    text = text.replace("[privacy]", "[privcy]").replace('kind = "relationship', 'kind = "relation')
    problems = faults(folder, text)
    lines = [p.line for p in problems]
    assert len(problems) == 4
    assert lines == sorted(lines)
    assert 0 not in lines


@pytest.mark.parametrize(
    "code",
    [
        "formula = \"y ~ x + __import__('os').system('touch PWNED_MARKER')\"",
        "formula = \"y ~ {__import__('os').system('touch PWNED_MARKER')}\"",
        "filter = \"@pd.compat.os.system('touch PWNED_MARKER') == 0\"",
    ],
)
def test_code_is_refused_and_never_run(
    folder: Path, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    faults(folder, GOOD.replace("horizon = 90", code))
    faults(folder, GOOD.replace('weight = "none"', code))
    faults(folder, GOOD.replace("where = [[", "where = 'x' #"))
    assert not (folder / "PWNED_MARKER").exists()


def test_derived_columns_are_read_and_their_faults_told(folder: Path) -> None:
    derive = '[derive.persons]\ncluster = { cross = ["trial", "site"], label = "Place" }\n'
    (column,) = read(folder, derive + GOOD.replace("schema = 1\n", "")).tables["persons"].derive
    assert (column.name, column.columns, column.label) == ("cluster", ("trial", "site"), "Place")
    for odd in ("endpoint = []", "endpoint = 3", "cross = {}", "cross = [1, 2]", 'cross = ["a"]'):
        assert faults(folder, GOOD + f"[derive.persons]\nx = {{ {odd} }}\n")
    (problem,) = faults(folder, GOOD + '[derive.persons]\nx = { crss = ["a", "b"] }\n')[:1]
    assert problem.line == GOOD.count("\n") + 2
    assert "cross" in problem.text()


def test_one_bracket_is_told_together_with_what_is_in_it(folder: Path) -> None:
    text = GOOD.replace("[[analysis]]", "[analysis]").replace("horizon", "horizn")
    told = [p.text() for p in faults(folder, text)]
    assert "[[analysis]] in two brackets" in told[0]
    assert "Did you mean 'horizon'" in told[1]


def test_no_analysis_and_no_table_are_faults(folder: Path) -> None:
    told = " ".join(p.text() for p in faults(folder, "schema = 1\n"))
    assert "No analysis given" in told
    assert "relationship_satisfaction" in told
    assert "No table given" in told


def test_two_analyses_of_one_name(folder: Path) -> None:
    again = '[[analysis]]\nkind = "relationship_satisfaction"\nname = "Craving"\n'
    problems = faults(folder, GOOD + again)
    assert ["Two analyses" in p.message for p in problems] == [True]


def test_outcome_among_the_covariates(folder: Path) -> None:
    text = GOOD.replace("horizon = 90", 'adjust = ["pacs"]')
    assert "'pacs'" in faults(folder, text)[0].message
    text = GOOD.replace('["age", "sex"]', '["age", "pacs"]')
    assert "'pacs'" in faults(folder, text)[0].message


def test_a_file_outside_when_allowed(folder: Path) -> None:
    inner = folder / "inner"
    inner.mkdir()
    text = '[tables.persons]\nfile="../persons.sav"\n'
    text += '[[analysis]]\nkind="relationship_satisfaction"\n'
    (inner / "study.toml").write_text(text)
    found = read_protocol(inner / "study.toml", analyses=KINDS, allow_outside=True)
    assert found.tables["persons"].file == "../persons.sav"
    own_leave = text.replace("[[analysis]]", "allow_outside = true\n[[analysis]]")
    (inner / "study.toml").write_text(own_leave)
    with pytest.raises(ProtocolError, match="cannot allow this itself"):
        read_protocol(inner / "study.toml", analyses=KINDS, allow_outside=True)


def test_a_link_out_of_the_folder_is_outside(folder: Path) -> None:
    inner = folder / "inner"
    inner.mkdir()
    try:
        (inner / "persons.sav").symlink_to(folder / "persons.sav")
    except OSError:
        pytest.skip("links need rights here")
    text = '[tables.persons]\nfile="persons.sav"\n[[analysis]]\nkind="relationship_satisfaction"\n'
    assert "outside" in faults(inner, text)[0].message


def test_a_missing_study_file_names_a_near_one(folder: Path) -> None:
    read(folder, GOOD)
    with pytest.raises(UsageError, match=r"Did you mean 'study\.toml'"):
        read_protocol(folder / "studdy.toml", analyses=KINDS)
    with pytest.raises(UsageError, match="folder"):
        read_protocol(folder, analyses=KINDS)
    with pytest.raises(UsageError, match="no folder"):
        read_protocol(folder / "nowhere" / "study.toml", analyses=KINDS)


@pytest.mark.parametrize(
    ("text", "line", "named"),
    [
        (b"schema = 1\n\0", 2, "null byte"),
        (b"schema = 1\n\xff", 2, "UTF-8"),
        (b"schema = 1\nschema = 2\n", 2, "TOML"),
        (b"a = [\n1,\n", 2, "TOML"),
        (b"schema = 1\n[study\n", 2, "column"),
        (b"title = A study\n", 1, "quotes"),
        (b"a = " + b"[" * 40 + b"]" * 40, 1, "32 levels"),
        (b"#" * 1_000_001, 0, "larger"),
        (b"seed = 1" + b"0" * 5000, 0, "digits"),
    ],
)
def test_what_is_not_toml(folder: Path, text: bytes, line: int, named: str) -> None:
    (problem,) = faults(folder, text)
    assert problem.line == line
    assert named in problem.text()
    assert len(problem.text()) < 500


@pytest.mark.parametrize(
    "text",
    [
        b"a." * 450_000 + b"b = 1",
        b"[" * 900_000,
        b"a = " + b"[" * 900_000,
        b"a = " + b"{a = " * 150_000,
        b"[[analysis]]\n" * 70_000,
        b'"\\"' * 300_000,
        b'\\"""' * 220_000,
        b"a = 0." + b"9" * 900_000,
        b"".join(b"[a.b.c.e%d]\n" % i for i in range(50_000)),
    ],
    ids=["dots", "brackets", "arrays", "inline", "analyses", "quotes", "long", "digits", "tables"],
)
def test_hostile_files_are_refused_in_bounded_time(folder: Path, text: bytes) -> None:
    begun = time.perf_counter()
    problems = faults(folder, text)
    assert time.perf_counter() - begun < SECONDS
    assert len(str(ProtocolError(problems))) < 100_000


def test_names_with_control_characters_reach_no_terminal(folder: Path) -> None:
    told = faults(folder, GOOD.replace("horizon = 90", '"\\u001b[31m\\nx" = 1'))[0].text()
    assert "\x1b" not in told
    assert "\n" not in told


def test_positions_of_keys() -> None:
    text = 'a = 1\n[b]\n"c d".e = """\n[x]\n"""\nf = [\n1, # ]\n2]\ng = {h = 1, i = {j = 2}}\n'
    text += "[[k]]\nl = '''\n'''\n[[k]]\nm.n = 1\n[k.o]\np = 1\n"
    assert positions(text) == {
        ("a",): 1, ("b",): 2, ("b", "c d", "e"): 3, ("b", "f"): 6, ("b", "g"): 9,
        ("b", "g", "h"): 9, ("b", "g", "i"): 9, ("b", "g", "i", "j"): 9, ("k",): 10,
        ("k", 0): 10, ("k", 0, "l"): 11, ("k", 1): 13, ("k", 1, "m", "n"): 14,
        ("k", 1, "o"): 15, ("k", 1, "o", "p"): 16,
    }  # fmt: skip
    assert positions(text.replace("\n", "\r\n")) == positions(text)
    with pytest.raises(TooDeep):
        positions("x = 1\na = " + "[" * 33)
