"""Bad input through the command line: every entry of the shared catalogue, and our own list.

Always: an exit code that is allowed, no traceback, nothing executed, the input unchanged, no
partial output, and messages that name table, column, row and count, never a person's value.
"""

from __future__ import annotations

import errno
import gzip
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pandas as pd
import pytest

from recovery_stats.cli import recovery_stats
from recovery_stats.cli.ending import ended

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "badinput"
CATALOGUE: list[dict[str, Any]] = (
    json.loads((SHARED / "catalogue.json").read_text(encoding="utf-8")) if SHARED.is_dir() else []
)
ENTRIES = {entry["id"]: entry for entry in CATALOGUE}
needs_catalogue = pytest.mark.skipif(
    not CATALOGUE, reason="the catalogue is not beside the project"
)

SATISFACTION = {
    "outcome": "--outcome",
    "id": "--person",
    "time": "--wave",
    "predictor": "--satisfaction",
    "cluster": "--cluster",
    "covariates": "--adjust",
    "random_slope": "--random-slope",
    "family": "--family",
}
MEETINGS = {
    "id": "--person",
    "time": "--time",
    "event": "--event",
    "group": "--frequency",
    "entry": "--entry",
    "weights": "--weights",
    "entry_date": "--entry-date",
    "exit_date": "--exit-date",
}
OPTIONS = {"lmm": SATISFACTION, "glmm": SATISFACTION, "km": MEETINGS, "cox": MEETINGS}
COMMANDS = {
    "lmm": "relationship_satisfaction",
    "glmm": "relationship_satisfaction",
    "km": "meeting_frequency",
    "cox": "meeting_frequency",
}
QUICK = ("-o", "out", "--format", "html,md", "--no-sensitivity")


@dataclass(frozen=True)
class Run:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return self.out + self.err


@pytest.fixture(autouse=True)
def _surroundings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: Any) -> Iterator[None]:
    """Files of provoked faults go where pytest cleans up; signals stay as they were."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path_factory.mktemp("faults")))
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: Any, capfd: Any) -> Callable[..., Run]:
    """Run the command line in this process, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    for name in [n for n in os.environ if n.startswith("RECOVERY_STATS_")]:
        monkeypatch.delenv(name)

    def run(*words: str) -> Run:
        capfd.readouterr()
        code = ended(lambda: recovery_stats.main(list(words), standalone_mode=False))
        return Run(code, *capfd.readouterr())

    return run


def spawned(folder: Path, *words: str, **options: Any) -> subprocess.Popen[str]:
    """The command as a user starts it."""
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    return subprocess.Popen(
        [sys.executable, "-m", "recovery_stats", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=surroundings,
        **options,
    )


def finished(process: subprocess.Popen[str]) -> Run:
    with process:
        out, err = process.communicate(timeout=120)
    return Run(process.returncode, out, err)


def states(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def prepared(entry: Mapping[str, Any], folder: Path) -> str:
    """Copy the files of an entry; return the file to name."""
    if (SHARED / entry["id"]).is_dir():
        shutil.copytree(SHARED / entry["id"], folder, dirs_exist_ok=True)
    file = str(entry["files"][0])
    if entry["id"] == "A11_gzip_bomb":
        # members of one gzip file follow each other: 600 MB in no time
        (folder / file).write_bytes(gzip.compress(b"1\n" * 3_000_000) * 100)
    if entry["id"] == "A12_missing_file":
        return "studdy.csv"
    if entry["id"] == "A13_directory":
        (folder / file).mkdir()
    return file


def command(entry: Mapping[str, Any], file: str) -> list[str]:
    """The command line of an entry: its analysis, its roles as options."""
    roles = dict(entry["roles"])
    if entry["analysis"] == "descr":
        by = ["--by", roles["by"]] if "by" in roles else []
        return ["inspect", *by, "--", file]
    if entry["id"] == "C09_old_dates":
        roles["group"] = "arm"  # the command needs attendance, the entry names none
    if entry["analysis"] == "glmm":
        roles.setdefault("family", "binomial")
    flags = OPTIONS[entry["analysis"]]
    words = ["analyze", COMMANDS[entry["analysis"]], "--data", file, *QUICK]
    for role, columns in roles.items():
        for column in columns if isinstance(columns, list) else [columns]:
            words += [flags[role], column]
    return words


def private_values(folder: Path) -> set[str]:
    """Cells of the text files that only a person's row holds: long numbers and decimals."""
    cells: set[str] = set()
    for path in (p for p in folder.glob("*.csv") if p.is_file()):
        text = path.read_bytes().decode("latin-1")
        cells |= set(re.findall(r"(?<![\w.])(\d+\.\d+|\d{6,}|\d+ days|I am patient \d+)", text))
    return cells


def told_nothing_private(run: Run, folder: Path) -> None:
    words = set(re.findall(r"\d+\.\d+|\d{6,}|\d+ days|I am patient \d+", run.said))
    assert not words & private_values(folder), "a person's value stands in a message"


def held(run: Run, folder: Path, before: Mapping[str, str]) -> None:
    """What must hold however a command ended."""
    assert "Traceback" not in run.said
    assert not list(folder.rglob("PWNED_MARKER"))
    after = states(folder)
    assert {name: after.get(name) for name in before} == before, "the input was changed"
    assert not [n for n in after if n.endswith(".part") or Path(n).name.startswith(".")]
    written = {n for n in after if n not in before}
    if run.code not in (0, 7):
        assert not written, "a refused run left something behind"
        told_nothing_private(run, folder)
    elif written:
        assert {"out/manifest.json"} < written


IN_PROCESS = [
    name
    for name, e in ENTRIES.items()
    if e["analysis"] != "config" and not e["env"] and e["id"] != "A15_leading_dash_name"
]


@needs_catalogue
@pytest.mark.parametrize("name", IN_PROCESS)
def test_entry(name: str, tmp_path: Path, cli: Callable[..., Run]) -> None:
    entry = ENTRIES[name]
    file = prepared(entry, tmp_path)
    before = states(tmp_path)
    run = cli(*command(entry, file))
    held(run, tmp_path, before)
    assert run.code in entry["exit"], run.err
    if run.code:
        assert all(word in run.err for word in entry["must_name"]), run.err
        assert len(run.err) < 3000


# --- what some entries say beyond their exit code --------------------------------------------


def rows_of(folder: Path, name: str) -> dict[tuple[str, str], Any]:
    rows = json.loads((folder / "out" / f"{name}.results.json").read_text(encoding="utf-8"))
    return {(r["variable"], r["level"]): r["value"] for r in rows if r["group"] == "flow"}


@needs_catalogue
@pytest.mark.parametrize(
    "name", [n for n, e in ENTRIES.items() if {"n_used", "n_groups"} & set(e["facts"])]
)
def test_the_right_rows_and_people_are_used(
    name: str, tmp_path: Path, cli: Callable[..., Run]
) -> None:
    entry = ENTRIES[name]
    assert cli(*command(entry, prepared(entry, tmp_path))).code == 0
    flow = rows_of(tmp_path, "relationship_satisfaction")
    last = {level: value for (_, level), value in sorted(flow.items())}
    facts = entry["facts"]
    assert last["kept"] == facts.get("n_used", last["kept"])
    assert last["people"] == facts.get("n_groups", last["people"])


@needs_catalogue
@pytest.mark.parametrize("name", [n for n, e in ENTRIES.items() if "n_rows" in e["facts"]])
def test_all_rows_are_read(name: str, tmp_path: Path, cli: Callable[..., Run]) -> None:
    entry = ENTRIES[name]
    run = cli(*command(entry, prepared(entry, tmp_path)))
    assert f"{entry['facts']['n_rows']} rows" in run.out
    assert "\ufeff" not in run.out


class _Page(HTMLParser):
    """Everything in a page that could run."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.live: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        if tag in ("script", "iframe", "object", "embed", "img", "form") or any(
            n.startswith("on") for n in names
        ):
            self.live.append(tag)


@needs_catalogue
@pytest.mark.parametrize(
    "name", [n for n, e in ENTRIES.items() if e["category"] == "report" or n == "C06_html_labels"]
)
def test_labels_stay_text(name: str, tmp_path: Path, cli: Callable[..., Run]) -> None:
    entry = ENTRIES[name]
    assert cli(*command(entry, prepared(entry, tmp_path))).code == 0
    page = (tmp_path / "out" / "meeting_frequency.html").read_text(encoding="utf-8")
    assert not _Page(page).live
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", page)
    drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert drawings
    for drawing in drawings:
        ET.fromstring(drawing)  # noqa: S314 (our own)


def inspected(cli: Callable[..., Run], name: str, folder: Path) -> Run:
    run = cli(*command(ENTRIES[name], prepared(ENTRIES[name], folder)))
    assert run.code == 0
    return run


@needs_catalogue
def test_nobody_over_89_is_told_by_age(tmp_path: Path, cli: Callable[..., Run]) -> None:
    out = inspected(cli, "J05_age_over_89", tmp_path).out
    assert "90+" in out
    assert not re.search(r"\b10[01]\b", out)


@needs_catalogue
def test_free_text_is_not_told(tmp_path: Path, cli: Callable[..., Run]) -> None:
    assert "patient" not in inspected(cli, "J06_free_text", tmp_path).out


@needs_catalogue
def test_no_small_count_is_told(tmp_path: Path, cli: Callable[..., Run]) -> None:
    prepared(ENTRIES["J02_complementary"], tmp_path)
    run = cli("inspect", "t.csv", "--by", "arm", "--json")
    counts = [r["value"] for r in json.loads(run.out) if r["statistic"] == "count"]
    assert counts
    assert not [n for n in counts if n is not None and 0 < n < 11]


@needs_catalogue
def test_a_promise_of_billions_is_refused_at_once(tmp_path: Path, cli: Callable[..., Run]) -> None:
    entry = ENTRIES["A06_sav_huge_header"]
    file = prepared(entry, tmp_path)
    tracemalloc.start()
    began = time.monotonic()
    run = cli(*command(entry, file))
    took, (_, peak) = time.monotonic() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert run.code == 3
    assert took < 2
    assert peak < 500e6


@needs_catalogue
def test_order_of_rows_does_not_matter(tmp_path: Path, cli: Callable[..., Run]) -> None:
    entry = ENTRIES["D11_unsorted"]
    file = prepared(entry, tmp_path)
    cli(*command(entry, file))
    pd.read_csv(tmp_path / file).sort_values(["id", "wave"]).to_csv("sorted.csv", index=False)
    cli(*command(entry, "sorted.csv"), "-o", "again")
    pair = [
        json.loads(Path(folder, "relationship_satisfaction.results.json").read_bytes())
        for folder in ("out", "again")
    ]
    for one, other in zip(*pair, strict=True):
        if isinstance(one["value"], float):
            assert one["value"] == pytest.approx(other["value"], rel=1e-6, abs=1e-8), one
        else:
            assert one == other


# --- study files -----------------------------------------------------------------------------

STUDY = """\
schema = 1
[tables.waves]
file = "t.csv"
key = ["id", "wave"]
[roles.waves]
person = "id"
wave = "wave"
satisfaction = "meetings"
[[analysis]]
kind = "relationship_satisfaction"
outcome = "satisfaction"
"""
BY_HOUSE = """\
schema = 1
[tables.persons]
file = "t.csv"
[tables.waves]
file = "t.csv"
[roles.persons]
person = "id"
time = "days"
event = "relapse"
frequency = "house"
[[analysis]]
kind = "meeting_frequency"
reference = "H99"
"""
CODE = "__import__('os').system('touch PWNED_MARKER')"
OURS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "G02_unknown_key": (STUDY.replace("outcome =", "outcom ="), ("outcom", "outcome")),
    "G03_unknown_variable": (
        STUDY.replace('"satisfaction"\n', '"satisfation"\n'),
        ("satisfation", "satisfaction"),
    ),
    "G05_out_of_range": (STUDY + "level = 95\n", ("level", "between 0 and 1")),
    "G07_formula_code": (STUDY + f'formula = "y ~ wave + {CODE}"\n', ("formula",)),
    "G07b_formula_braces": (STUDY + f'formula = "y ~ {{{CODE}}} + I({CODE})"\n', ("formula",)),
    "G07c_query_code": (STUDY.replace("key", f'where = "@pd.{CODE}"\nkey'), ("where",)),
    "G11_bad_seed": (STUDY + "seed = -1\n", ("seed",)),
    "G13_no_analyses": (STUDY[: STUDY.index("[[")], ("analysis",)),
    "G14_bad_reference_level": (BY_HOUSE, ("H99", "H1")),
}


@needs_catalogue
@pytest.mark.parametrize("name", [n for n, e in ENTRIES.items() if e["analysis"] == "config"])
@pytest.mark.parametrize("verb", ["validate", "run"])
def test_study_file(name: str, verb: str, tmp_path: Path, cli: Callable[..., Run]) -> None:
    entry = ENTRIES[name]
    prepared(entry, tmp_path)
    text, named = OURS[name]
    (tmp_path / "study.toml").write_text(text, encoding="utf-8")
    before = states(tmp_path)
    run = cli(verb, "study.toml", *(("-o", "out") if verb == "run" else ()))
    held(run, tmp_path, before)
    assert run.code in entry["exit"], run.said
    assert all(word in run.said for word in named), run.said


@needs_catalogue
@pytest.mark.parametrize(
    "text",
    [
        STUDY.replace('outcome = "satisfaction"', f'outcome = "{CODE}"'),
        STUDY.replace("key", f'where = [["meetings", "==", "{CODE}"]]\nkey'),
        STUDY.replace('person = "id"', f'person = "{CODE}"'),
        STUDY.replace('"t.csv"', f'"{CODE}"'),
        STUDY.replace("[roles", f'[derive.waves]\nx = {{ cross = ["{CODE}", "id"] }}\n[roles'),
    ],
)
def test_no_word_of_a_study_file_runs(text: str, tmp_path: Path, cli: Callable[..., Run]) -> None:
    prepared(ENTRIES["G02_unknown_key"], tmp_path)
    (tmp_path / "study.toml").write_text(text, encoding="utf-8")
    before = states(tmp_path)
    run = cli("run", "study.toml", "-o", "out")
    held(run, tmp_path, before)
    assert run.code in (2, 3), run.said


# --- situations ------------------------------------------------------------------------------


@pytest.fixture
def ready(tmp_path: Path) -> list[str]:
    """A folder with good data, and the command that answers from it."""
    if not CATALOGUE:
        pytest.skip("the catalogue is not beside the project")
    entry = ENTRIES["I03_out_exists"]
    return command(entry, prepared(entry, tmp_path))


def test_read_only_folder(tmp_path: Path, ready: list[str]) -> None:
    if os.geteuid() == 0:
        _read_only_as_nobody(ready, tmp_path)
        return
    (tmp_path / "out").mkdir(mode=0o500)
    run = finished(spawned(tmp_path, *ready))
    assert run.code == 5
    assert "out" in run.err


def _read_only_as_nobody(ready: list[str], folder: Path) -> None:
    """Root may write anywhere, so somebody else tries."""
    place = Path(tempfile.mkdtemp(dir=os.environ.get("TMPDIR", "/tmp")))  # noqa: S108
    try:
        shutil.copy(folder / "t.csv", place)
        (place / "out").mkdir(mode=0o755)
        place.chmod(0o755)
        try:
            run = finished(spawned(place, *ready, user=65534, env={"HOME": str(place)}))
        except PermissionError:
            pytest.skip("nobody but root may run this Python")
        assert run.code == 5, run.err
        assert "out" in run.err
        assert not list((place / "out").iterdir())
    finally:
        shutil.rmtree(place)


def test_full_disk(
    tmp_path: Path, ready: list[str], cli: Callable[..., Run], monkeypatch: Any
) -> None:
    assert cli(*ready).code == 0
    before = states(tmp_path)

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    run = cli(*ready, "--force")
    assert run.code == 5
    assert "full" in run.err
    assert states(tmp_path) == before


def test_folder_with_something_in_it(
    tmp_path: Path, ready: list[str], cli: Callable[..., Run]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "meeting_frequency.html").write_text("mine")
    before = states(tmp_path)
    run = cli(*ready)
    assert run.code == 5
    assert "--force" in run.err
    assert states(tmp_path) == before
    assert cli(*ready, "--force").code == 0


def test_two_runs_at_once(tmp_path: Path, ready: list[str]) -> None:
    pair = [spawned(tmp_path, *ready) for _ in range(2)]
    runs = [finished(process) for process in pair]
    assert {r.code for r in runs} <= {0, 5}
    assert 0 in {r.code for r in runs}
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_bytes())
    for file, was in manifest["analyses"]["meeting_frequency"]["files"].items():
        assert sha256((tmp_path / "out" / file).read_bytes()).hexdigest() == was


@pytest.mark.skipif(sys.platform == "win32", reason="no limits there")
def test_little_memory(tmp_path: Path, ready: list[str]) -> None:
    import resource

    limit = 1 << 30

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    run = finished(spawned(tmp_path, *ready, preexec_fn=limited, env={"OPENBLAS_NUM_THREADS": "1"}))
    assert run.code in (0, 5), run.err
    assert "Traceback" not in run.said
    assert run.code == 0 or "emory" in run.err


def test_surroundings_and_folder_leave_the_bytes_alone(tmp_path: Path, ready: list[str]) -> None:
    odd = {"PYTHONHASHSEED": "1", "TZ": "Pacific/Kiritimati", "OMP_NUM_THREADS": "2"}
    elsewhere = tmp_path / "deep" / "er"
    elsewhere.mkdir(parents=True)
    away = ["../../t.csv" if w == "t.csv" else w for w in ready]
    runs = [
        finished(spawned(tmp_path, *ready)),
        finished(spawned(tmp_path, *ready, "-o", "odd", env=odd)),
        finished(spawned(elsewhere, *away)),
    ]
    assert [r.code for r in runs] == [0, 0, 0]
    plain, *others = (
        {p.name: p.read_bytes() for p in folder.glob("meeting_frequency.*")}
        for folder in (tmp_path / "out", tmp_path / "odd", elsewhere / "out")
    )
    assert len(plain) == 3
    assert others == [plain, plain]


def test_no_network(
    tmp_path: Path, ready: list[str], cli: Callable[..., Run], monkeypatch: Any
) -> None:
    def refused(*args: Any, **named: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "socket", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    assert cli(*ready).code == 0


@needs_catalogue
def test_a_file_whose_name_looks_like_an_option(tmp_path: Path, cli: Callable[..., Run]) -> None:
    prepared(ENTRIES["A15_leading_dash_name"], tmp_path)
    assert cli("inspect", "--", "-rf.csv").code == 0
    assert cli("inspect", "-rf.csv").code == 2
    assert (tmp_path / "-rf.csv").is_file()


# --- our own list, without the catalogue -----------------------------------------------------


def cohort(**changed: list[Any]) -> pd.DataFrame:
    """Forty people at four houses, in three groups."""
    n = range(40)
    columns: dict[str, Any] = {
        "pid": [f"P{1000 + i}" for i in n],
        "house": [f"H{i % 4}" for i in n],
        "days": [20 + 7 * i % 97 for i in n],
        "relapse": [int(i % 3 != 0) for i in n],
        "group": [("none", "weekly", "daily")[i % 3 if i % 7 else 0] for i in n],
        "age": [20 + i for i in n],
    }
    return pd.DataFrame({**columns, **changed})


def long(**changed: list[Any]) -> pd.DataFrame:
    """Thirty people at three waves in five houses."""
    rows = [(i, w) for i in range(30) for w in range(3)]
    columns: dict[str, Any] = {
        "pid": [f"P{1000 + i}" for i, _ in rows],
        "wave": [w for _, w in rows],
        "house": [f"H{i % 5}" for i, _ in rows],
        "craving": [10 + (i * 7 + w * 3) % 11 - w for i, w in rows],
        "ras": [20 + (i * 5 + w * 2) % 13 for i, w in rows],
    }
    return pd.DataFrame({**columns, **changed})


TIME = ("--time", "days", "--event", "relapse", "--frequency", "group")
WAVES = ("--outcome", "craving", "--satisfaction", "ras")
N = 40


@pytest.mark.parametrize(
    ("frame", "words", "code", "named"),
    [
        (cohort(days=[-4, *[30] * (N - 1)]), TIME, 3, ("'persons'", "'days'", "row 1", "egative")),
        (cohort(relapse=[2, *[1, 0, 1] * 13]), TIME, 3, ("'relapse'", "row 1")),
        (cohort(relapse=[None] * N), TIME, 3, ("'relapse'", "All 40 values are missing")),
        (cohort(relapse=[0] * N), TIME, 4, ("'relapse'", "no relapse", "40 people")),
        (cohort(group=["none"] * N), TIME, 4, ("'group'", "Constant")),
        (
            cohort(relapse=[0 if i % 3 == 1 and i % 7 else 1 for i in range(N)]),
            TIME,
            4,
            ("'group'", "'weekly'"),
        ),
        (
            cohort(pid=["P1000", "P1000", *(f"P{i}" for i in range(38))]),
            TIME,
            3,
            ("row 2", "'days'"),
        ),
        (cohort(), (*TIME, "--reference", "dayly"), 2, ("dayly", "daily")),
        (cohort(), (*TIME, "--adjust", "agee"), 3, ("agee", "Did you mean 'age'")),
        (cohort(), (*TIME, "--level", "95"), 2, ("level", "between 0 and 1")),
        (cohort(), (*TIME, "--frequncy", "x"), 2, ("--frequncy", "--frequency")),
        (
            cohort(start=["2020-01-01"] * N, stop=["2020-01-10"] * N),
            (*TIME, "--entry-date", "start", "--exit-date", "stop"),
            3,
            ("'days'", "after the end of observation"),
        ),
    ],
    ids=lambda value: None,
)
def test_people(
    frame: pd.DataFrame,
    words: tuple[str, ...],
    code: int,
    named: tuple[str, ...],
    tmp_path: Path,
    cli: Callable[..., Run],
) -> None:
    frame.to_csv(tmp_path / "t.csv", index=False)
    before = states(tmp_path)
    run = cli("analyze", "meeting_frequency", "--data", "t.csv", *QUICK, *words)
    assert run.code == code, run.said
    assert all(word in run.err for word in named), run.err
    assert not re.search(r"P\d{3,}", run.err), "a person's identifier stands in a message"
    held(run, tmp_path, before)


@pytest.mark.parametrize(
    ("frame", "words", "code", "named"),
    [
        (pd.concat([long(), long()[:2]]), WAVES, 3, ("'waves'", "pid, wave", "rows 91 and 92")),
        (long(craving=[None] * 90), WAVES, 3, ("'craving'", "All 90 values are missing")),
        (long(craving=[3] * 90), WAVES, 4, ("'craving'", "Constant")),
        (long(house=["H"] * 90), (*WAVES, "--cluster", "house"), 4, ("'house'", "One cluster")),
        (long()[::3], WAVES, 4, ("'ras'", "never changes within a person")),
        (
            long(house=[f"H{i}" for i in range(90)]),
            (*WAVES, "--cluster", "house"),
            4,
            ("'house'", "as many levels as there are rows", "Take its random term out"),
        ),
        (
            long(craving=[i // 3 for i in range(90)]),
            WAVES,
            4,
            ("'craving'", "one value within every level of 'pid'", "take the random term out"),
        ),
        (
            long(craving=[41 + 2 * ((i * 5 + w * 2) % 13) for i in range(30) for w in range(3)]),
            WAVES,
            4,
            ("'craving'", "exact combination of the predictors", "Leave out"),
        ),
        (
            long(craving=["inf", *[1, 2, 3] * 29, 1, 2]),
            WAVES,
            3,
            ("'craving'", "row 1", "Correct the cells"),
        ),
        (long(), ("--outcome", "cravng", "--satisfaction", "ras"), 3, ("cravng", "'craving'")),
        (long(), ("--satisfaction", "ras"), 2, ("--outcome COLUMN", "Outcome at each wave")),
    ],
    ids=lambda value: None,
)
def test_waves(
    frame: pd.DataFrame,
    words: tuple[str, ...],
    code: int,
    named: tuple[str, ...],
    tmp_path: Path,
    cli: Callable[..., Run],
) -> None:
    frame.to_csv(tmp_path / "t.csv", index=False)
    before = states(tmp_path)
    run = cli("analyze", "relationship_satisfaction", "--data", "t.csv", *QUICK, *words)
    assert run.code == code, run.said
    assert all(word in run.err for word in named), run.err
    assert not re.search(r"P\d{3,}", run.err), "a person's identifier stands in a message"
    held(run, tmp_path, before)


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        (("validate", "studdy.toml"), 2, ("studdy.toml", "study.toml")),
        (("validate", "there/study.toml"), 2, ("there",)),
        (("validate", "."), 2, ("folder", "study.toml")),
        (("run", "studdy.toml"), 2, ("study.toml",)),
        (("run", "study.toml", "meting_frequency"), 2, ("meeting_frequency",)),
        (("rn",), 2, ("run",)),
        (("inspect", "nowhere/t.csv"), 3, ("nowhere", "does not exist")),
        (("inspect", "t.csv", "--by", "hose"), 3, ("'house'",)),
        (("inspect", "t.csv", "--privacy", "cmss"), 2, ("'cms'",)),
        (("init", "tt.csv", "-o", "new.toml"), 3, ("'t.csv'",)),
        (("init", "t.csv"), 5, ("study.toml", "--force")),
        (("synth", "plane", "-o", "s"), 2, ("'plain'",)),
        (("synth", "plain", "--persons", "3", "-o", "s"), 2, ("20 to 1000000",)),
        (("check", "study.toml"), 2, ("reports", "recovery-stats run")),
        (("explain", "relaps"), 2, ("relapse",)),
        (("analyze", "meeting_frequency"), 2, ("--data",)),
        (("analyze", "meeting_freqency"), 2, ("'meeting_frequency'",)),
        (("run", "study.toml", "--format", "htm"), 2, ("'html'",)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) and value else None,
)
def test_words_of_the_command_line(
    words: tuple[str, ...],
    code: int,
    named: tuple[str, ...],
    tmp_path: Path,
    cli: Callable[..., Run],
) -> None:
    cohort().to_csv(tmp_path / "t.csv", index=False)
    text = BY_HOUSE.replace('"id"', '"pid"').replace('reference = "H99"\n', "")
    (tmp_path / "study.toml").write_text(text.replace('[tables.waves]\nfile = "t.csv"\n', ""))
    before = states(tmp_path)
    run = cli(*words)
    assert run.code == code, run.said
    assert all(word in run.err for word in named), run.err
    held(run, tmp_path, before)


def test_html_in_labels(tmp_path: Path, cli: Callable[..., Run]) -> None:
    evil = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>']
    cohort(group=[evil[i % 2] for i in range(N)]).to_csv(tmp_path / "t.csv", index=False)
    run = cli("analyze", "meeting_frequency", "--data", "t.csv", *QUICK, *TIME)
    assert run.code == 0, run.err
    page = (tmp_path / "out" / "meeting_frequency.html").read_text(encoding="utf-8")
    assert not _Page(page).live
    assert "&lt;script&gt;" in page


def test_ctrl_c_in_code_run_from_text_is_answered_by_the_exit_code(tmp_path: Path) -> None:
    """`python -m` would end itself by the signal, -2 to whoever waits for it."""
    (tmp_path / "pressed.py").write_text(
        "import sys\nfrom recovery_stats.cli.ending import ended\n"
        "sys.exit(ended(lambda: exec('raise KeyboardInterrupt')))\n"
    )
    command = [sys.executable, "-m", "pressed"]
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, cwd=tmp_path, env=surroundings, capture_output=True, check=False)
    assert run.returncode == 130, run.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX there")
def test_ctrl_c_leaves_finished_reports_whole(tmp_path: Path) -> None:
    cohort().to_csv(tmp_path / "t.csv", index=False)
    text = BY_HOUSE.replace('"id"', '"pid"').replace('reference = "H99"\n', "")
    text = text.replace('[tables.waves]\nfile = "t.csv"\n', "").replace("[[analysis]]", "", 1)
    one = '[[analysis]]\nkind = "meeting_frequency"\nname = "{}"\n'
    text = text.replace('\nkind = "meeting_frequency"\n', "\n")
    names = [f"n{i}" for i in range(40)]
    (tmp_path / "study.toml").write_text(text + "".join(one.format(n) for n in names))
    process = spawned(tmp_path, "run", "study.toml", "-o", "out")
    manifest = tmp_path / "out" / "manifest.json"
    while not manifest.is_file() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    run = finished(process)
    assert run.code == 130, run.err
    assert "Traceback" not in run.said
    entries = json.loads(manifest.read_bytes())["analyses"]
    assert 0 < len(entries) < len(names)
    for entry in entries.values():
        for file, was in entry["files"].items():
            assert sha256((tmp_path / "out" / file).read_bytes()).hexdigest() == was
    assert not [p for p in (tmp_path / "out").iterdir() if p.name.startswith(".")]
