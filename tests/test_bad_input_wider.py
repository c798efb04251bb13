"""More bad input of every kind of the catalogue: one row a case, made here, run as a command.

Each row: the files of a folder, the command, the exit codes that are allowed and what the
message must name. What must hold in every case is `held` of the catalogue's own test.
"""

from __future__ import annotations

import gzip
import json
import os
import pickle
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pytest

from recovery_stats.core.dataset import Dataset
from recovery_stats.data.table import write_table
from tests.test_bad_input import (
    QUICK,
    TIME,
    WAVES,
    Run,
    _surroundings,
    cli,
    cohort,
    finished,
    held,
    long,
    spawned,
    states,
)

__all__ = ["_surroundings", "cli"]

SECONDS = 20  # far beyond any refusal, also on a busy machine
SEEN = ("inspect", "t.csv")
KM = ("analyze", "meeting_frequency", "--data", "t.csv", *QUICK, *TIME)
LMM = ("analyze", "relationship_satisfaction", "--data", "t.csv", *QUICK, *WAVES)
RUN = ("run", "study.toml", "-o", "out")
STUDY = """\
schema = 1
[tables.persons]
file = "t.csv"
[roles.persons]
person = "pid"
time = "days"
event = "relapse"
frequency = "group"
[[analysis]]
kind = "meeting_frequency"
"""


@dataclass(frozen=True)
class Case:
    """One bad input. `code`: the exit codes that are right."""

    name: str
    words: tuple[str, ...]
    code: tuple[int, ...]
    named: tuple[str, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)


def people(text: str | None = None, **changed: list[object]) -> bytes:
    return cohort(**changed).to_csv(index=False).encode() if text is None else text.encode()


def waves(**changed: list[object]) -> bytes:
    return long(**changed).to_csv(index=False).encode()


GOOD = people()
LINES = GOOD.decode().splitlines(keepends=True)
N = len(LINES) - 1


def spss(data: pd.DataFrame, ending: str = "sav") -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"x.{ending}"
        write_table(Dataset(data.set_index(pd.RangeIndex(1, len(data) + 1))), path)
        return path.read_bytes()


SAV = spss(cohort())
ZSAV = spss(cohort(), "zsav")
PARQUET = spss(cohort(), "parquet")


def file(name: str, content: bytes, code: tuple[int, ...], *named: str, at: str = "t.csv") -> Case:
    return Case(name, ("inspect", at), code, named, {at: content})


def patched(raw: bytes, at: int, number: int) -> bytes:
    return raw[:at] + struct.pack("<i", number) + raw[at + 4 :]


CONTAINERS = (
    file("sav cut in its header", SAV[:100], (3,), "t.sav", at="t.sav"),
    file("sav cut in its dictionary", SAV[:400], (3,), "t.sav", at="t.sav"),
    file("sav cut in its data", SAV[:-40], (3,), "t.sav", at="t.sav"),
    file("sav of one byte", SAV[:1], (3,), "t.sav", at="t.sav"),
    file("sav with signature only", SAV[:4], (3,), "t.sav", at="t.sav"),
    file("sav with zeros for data", SAV[:-200] + bytes(200), (0, 3), at="t.sav"),
    file("sav twice over", SAV + SAV, (0, 3), at="t.sav"),
    file("sav with a negative number of cases", patched(SAV, 80, -7), (3,), "t.sav", at="t.sav"),
    file("sav of cases by the million", patched(SAV, 80, 10**8), (3,), "t.sav", at="t.sav"),
    file("sav of another byte order", patched(SAV, 64, 1 << 25), (0, 3), at="t.sav"),
    file("sav of an unknown compression", patched(SAV, 72, 9), (3,), "t.sav", at="t.sav"),
    file("zsav cut in its data", ZSAV[:-60], (3,), "t.zsav", at="t.zsav"),
    file("zsav with a garbled block", ZSAV[:-90] + bytes(90), (3,), "t.zsav", at="t.zsav"),
    file("parquet cut short", PARQUET[:-30], (3,), "t.parquet", at="t.parquet"),
    file("parquet of its signature", b"PAR1PAR1", (3,), "t.parquet", at="t.parquet"),
    file(
        "parquet with zeros inside",
        PARQUET[:60] + bytes(99) + PARQUET[159:],
        (0, 3),
        at="t.parquet",
    ),
    file("a parquet file called csv", PARQUET, (3,), ".parquet"),
    file("a gzip file cut short", gzip.compress(GOOD)[:-20], (3,), "t.csv.gz", at="t.csv.gz"),
    file(
        "a gzip file with a wrong sum",
        gzip.compress(GOOD)[:-8] + bytes(8),
        (3,),
        "t.csv.gz",
        at="t.csv.gz",
    ),
    file("gzip of gzip", gzip.compress(gzip.compress(GOOD)), (3,), "t.csv.gz", at="t.csv.gz"),
    file("gzip of nothing", gzip.compress(b""), (3,), "t.csv.gz", at="t.csv.gz"),
    file("text called gz", GOOD, (0, 3), at="t.csv.gz"),
    file("a pickle called csv", pickle.dumps({"a": 1}), (3,), "t.csv"),
    file("a pickle called parquet", pickle.dumps({"a": 1}), (3,), "t.parquet", at="t.parquet"),
    file("a zip called csv", b"PK\x03\x04" + bytes(99), (3,), "t.csv"),
    file("an Excel file", b"PK\x03\x04" + bytes(99), (3,), "t.xlsx", at="t.xlsx"),
    file(
        "a portable file of its signature", b"\x20" * 456 + b"SPSSPORT", (3,), "t.por", at="t.por"
    ),
    file("no ending at all", GOOD, (0, 3), at="t"),
    file("an empty csv", b"", (3,), "empty"),
    file("blank lines only", b"\n\n\n\n", (3,), "t.csv"),
    file("a header and no row", LINES[0].encode(), (0, 3), at="t.csv"),
)
ENCODINGS = (
    file("UTF-16 with its mark", GOOD.decode().encode("utf-16"), (0, 3)),
    file("UTF-16 without a mark", GOOD.decode().encode("utf-16-le"), (3,), "t.csv"),
    file("UTF-32", GOOD.decode().encode("utf-32"), (0, 3)),
    file("Latin-1 umlauts", people(house=["Köln"] * N).decode().encode("latin-1"), (0, 3)),
    file("bytes of no encoding", GOOD.replace(b"H1", b"\xff\xfe"), (0, 3)),
    file("a cut UTF-8 character", GOOD.replace(b"H1", b"H\xc3"), (0, 3)),
    file("an overlong NUL", GOOD.replace(b"H1", b"H\xc0\x80"), (0, 3)),
    file("lone surrogates", GOOD.replace(b"H1", b"H\xed\xa0\x80"), (0, 3)),
    file("a NUL in the header", GOOD.replace(b"house", b"ho\0use", 1), (3,), "t.csv"),
    file("a NUL at the end", GOOD + b"\0", (3,), "t.csv"),
    file("two byte order marks", b"\xef\xbb\xbf" * 2 + GOOD, (0, 3)),
    file(
        "ends of lines of three systems",
        GOOD.replace(b"\n", b"\r\n", 9).replace(b"\n", b"\r", 3),
        (0, 3),
    ),
)
STRUCTURES = (
    file("a row with a cell too many", GOOD + b"P9,H1,3,1,none,40,77\n", (3,), "row 41"),
    file("a row with a cell too few", GOOD + b"P9,H1,3\n", (0, 3), at="t.csv"),
    file("two columns of one name", GOOD.replace(b"house", b"days", 1), (3,), "days"),
    file("names that differ by a blank", GOOD.replace(b"house", b" days", 1), (0, 3)),
    file("a column without a name", GOOD.replace(b"house", b"", 1), (0, 3)),
    file("a quote inside a cell", GOOD.replace(b"H1", b'H"1', 1), (0, 3)),
    file("a quote closed too late", GOOD.replace(b"H1", b'"H1', 1), (3,), "t.csv"),
    file("a cell of a megabyte", GOOD.replace(b"H1", b"H" * 10**6, 1), (0, 3)),
    file("a name of 100,000 letters", GOOD.replace(b"house", b"h" * 10**5, 1), (0, 3)),
    file(
        "1,000 columns",
        b",".join(b"v%d" % i for i in range(1000)) + b"\n" + b",".join([b"1"] * 1000),
        (0, 3),
    ),
    file("one line of commas", b"," * 5000 + b"\n", (3,), "t.csv"),
    file("a table of one cell", b"x\n", (0, 3)),
    file("the header repeated", GOOD + LINES[0].encode(), (0, 3)),
    Case(
        "the header repeated, analysed", KM, (3,), ("row 41",), {"t.csv": GOOD + LINES[0].encode()}
    ),
)


def changed(name: str, code: tuple[int, ...], *named: str, **columns: list[object]) -> Case:
    return Case(name, KM, code, named, {"t.csv": people(**columns)})


def first(value: object, column: str) -> list[object]:
    return [value, *cohort()[column][1:]]


VALUES = (
    changed("infinite days", (3,), "'days'", "row 1", days=first("inf", "days")),
    changed("minus infinity", (3,), "'days'", "row 1", days=first("-Infinity", "days")),
    changed("days of 1e308", (3, 4, 0), days=first("1e308", "days")),
    changed("days of 1e400", (3,), "'days'", "row 1", days=first("1e400", "days")),
    changed("days in hexadecimal", (3,), "'days'", "row 1", days=first("0x1F", "days")),
    changed("days with an underscore", (3,), "'days'", "row 1", days=first("1_000", "days")),
    changed("days with thousands", (3,), "'days'", "row 1", days=first("1,000", "days")),
    changed("days in Arabic digits", (0, 3), days=first("١٢", "days")),
    changed("days as a date", (3,), "'days'", days=["2020-01-01"] * N),
    changed("days as a sum", (3,), "'days'", "row 1", days=first("=1+1", "days")),
    changed("an Excel error", (3,), "'days'", "row 1", days=first("#REF!", "days")),
    changed("an event of a half", (3,), "'relapse'", "row 1", relapse=first(0.5, "relapse")),
    changed("an event of minus one", (3,), "'relapse'", "row 1", relapse=first(-1, "relapse")),
    changed("an event of 1e300", (3,), "'relapse'", "row 1", relapse=first("1e300", "relapse")),
    changed("events in words", (3,), "'relapse'", relapse=["yes", "no"] * (N // 2)),
    changed("all days missing", (3,), "'days'", days=[None] * N),
    changed("all days alike", (0, 3, 4), days=[30] * N),
    changed("days of zero", (0, 3, 4), days=[0] * N),
    changed("a group a person", (3, 4), "'group'", group=[f"g{i}" for i in range(N)]),
    changed("no group at all", (3, 4), "'group'", group=[None] * N),
    changed("no person at all", (3,), "'pid'", pid=[None] * N),
    changed("a person for all", (3,), pid=["P1"] * N),
)
HOSTILE: Mapping[str, str] = {
    "a link of JavaScript": "javascript:alert(1)",
    "a closed title": "</title><svg onload=alert(1)>",
    "a closed style": "</style><script>alert(1)</script>",
    "a comment that ends": "--><script>alert(1)</script><!--",
    "CDATA": "]]><script>alert(1)</script>",
    "an entity": "&lt;script&gt;&#60;script&#62;",
    "mathematics of matplotlib": "$\\frac{1}{0}$",
    "half of a formula": "$\\",
    "braces of a format": "{0.__class__}{x!r}%s%(a)d",
    "an escape of the terminal": "\x1b[2J\x1b]0;title\x07red",
    "right to left": "\u202egnp.exe\u202c\u2066",
    "zero width": "a\u200b\ufeffb",
    "an emoji of many": "👩‍👩‍👧‍👦🏳️‍🌈",
    "a table of Markdown": "| a | b |\n|---|---|\n[x](javascript:alert(1))",
    "a picture of Markdown": "![x](http://example.org/x.png)",
    "a command of a spreadsheet": "=cmd|' /C calc'!A0",
    "a hyperlink of a spreadsheet": '=HYPERLINK("http://example.org","x")',
    "ten thousand letters": "z" * 10_000,
    "quotes of every kind": "'\"`´’“",
    "backslashes": "\\\\server\\share\\n",
    "a blank": " x ",
    "code": "__import__('os').system('touch PWNED_MARKER')",
}
LABELS = tuple(
    Case(
        f"label: {name}",
        KM,
        (0, 3),
        (),
        {"t.csv": people(group=[(text, "other")[i % 2] for i in range(N)])},
    )
    for name, text in HOSTILE.items()
)
ROLES = (
    Case("time is the person", (*KM, "--time", "pid"), (3,), ("'pid'",), {"t.csv": GOOD}),
    Case("event is the time", (*KM, "--event", "days"), (2, 3), ("'days'",), {"t.csv": GOOD}),
    Case(
        "frequency is the event",
        (*KM, "--frequency", "relapse"),
        (2, 3, 4),
        ("'relapse'",),
        {"t.csv": GOOD},
    ),
    Case(
        "adjusting for the outcome",
        (*KM, "--adjust", "days"),
        (2, 3, 4),
        ("'days'",),
        {"t.csv": GOOD},
    ),
    Case(
        "adjusting for the person", (*KM, "--adjust", "pid"), (2, 3, 4), ("'pid'",), {"t.csv": GOOD}
    ),
    Case(
        "adjusting twice",
        (*KM, "--adjust", "age", "--adjust", "age"),
        (0, 2, 4),
        (),
        {"t.csv": GOOD},
    ),
    Case("weights of text", (*KM, "--weights", "house"), (2, 3), ("'house'",), {"t.csv": GOOD}),
    Case("a level of no number", (*KM, "--level", "nan"), (2,), ("level",), {"t.csv": GOOD}),
    Case("a level of zero", (*KM, "--level", "0"), (2,), ("level",), {"t.csv": GOOD}),
    Case("a seed beyond 64 bits", (*KM, "--seed", str(2**70)), (0, 2), (), {"t.csv": GOOD}),
    Case("a seed of words", (*KM, "--seed", "x"), (2,), ("seed",), {"t.csv": GOOD}),
    Case("wave is the outcome", (*LMM, "--wave", "craving"), (2, 3, 4), (), {"t.csv": waves()}),
    Case(
        "outcome is the predictor",
        (*LMM, "--outcome", "ras"),
        (2, 3),
        ("'ras'",),
        {"t.csv": waves()},
    ),
    Case(
        "outcome is the person", (*LMM, "--outcome", "pid"), (2, 3), ("'pid'",), {"t.csv": waves()}
    ),
    Case("cluster is the person", (*LMM, "--cluster", "pid"), (0, 2, 3, 4), (), {"t.csv": waves()}),
    Case(
        "counts with halves",
        (*LMM, "--family", "poisson"),
        (3,),
        ("'craving'",),
        {"t.csv": waves(craving=[i % 9 / 2 for i in range(90)])},
    ),
    Case(
        "binary with a two",
        (*LMM, "--family", "binomial"),
        (3,),
        ("'craving'",),
        {"t.csv": waves(craving=[i % 3 for i in range(90)])},
    ),
    Case(
        "an unknown family", (*LMM, "--family", "gausian"), (2,), ("gaussian",), {"t.csv": waves()}
    ),
)


def study(name: str, text: str | bytes, code: tuple[int, ...], *named: str) -> Case:
    raw = text.encode() if isinstance(text, str) else text
    return Case(f"study: {name}", RUN, code, named, {"study.toml": raw, "t.csv": GOOD})


STUDIES = (
    study("empty", "", (2,), "study.toml"),
    study("a NUL", STUDY.replace("pid", "p\0id"), (2,), "null byte"),
    study("Latin-1", STUDY.replace("pid", "pïd").encode("latin-1"), (2,), "UTF-8"),
    study("UTF-16", STUDY.encode("utf-16"), (2,), "study.toml"),
    study("deep lists", STUDY + "x = " + "[" * 5000 + "]" * 5000, (2,), "deep"),
    study("deep tables", STUDY + "x = " + "{a = " * 3000 + "1" + "}" * 3000, (2,), "deep"),
    study("deep names", STUDY + ".".join("a" * 3000) + " = 1\n", (2,), "study.toml"),
    study("a deep heading", STUDY + "[" + ".".join("a" * 3000) + "]\n", (2,), "study.toml"),
    study("a megabyte and more", STUDY + "#" * 1_100_000, (2,), "larger"),
    study(
        "a key twice",
        STUDY.replace('person = "pid"', 'person = "pid"\nperson = "house"'),
        (2,),
        "study.toml:6",
        "once",
    ),
    study("a section twice", STUDY + "[tables.persons]\n", (2,), "study.toml"),
    study("a number of 10,000 digits", STUDY + "seed = " + "9" * 10_000 + "\n", (2,), "study.toml"),
    study("a seed of nan", STUDY + "seed = nan\n", (2,), "seed"),
    study("a seed of true", STUDY + "seed = true\n", (2,), "seed"),
    study("a level of infinity", STUDY + "level = inf\n", (2,), "level"),
    study("a future schema", STUDY.replace("schema = 1", "schema = 99"), (2,), "schema"),
    study("no schema", STUDY.replace("schema = 1\n", ""), (0, 2)),
    study("a file above", STUDY.replace('"t.csv"', '"../t.csv"'), (2,), "outside"),
    study("an absolute file", STUDY.replace('"t.csv"', '"/etc/passwd"'), (2,), "outside"),
    study(
        "a file of the network", STUDY.replace('"t.csv"', '"//server/share/t.csv"'), (2,), "outside"
    ),
    study("a file by its address", STUDY.replace('"t.csv"', '"file:///etc/passwd"'), (2,), "file"),
    study("a file of Windows", STUDY.replace('"t.csv"', "'C:\\data\\t.csv'"), (2,), "file"),
    study("the folder itself", STUDY.replace('"t.csv"', '"."'), (2,), "folder"),
    study("a file of no name", STUDY.replace('"t.csv"', '""'), (2,), "file"),
    study("a file with a NUL", STUDY.replace('"t.csv"', '"t\\u0000.csv"'), (2,), "file"),
    study(
        "a name of 5,000 letters", STUDY.replace('"t.csv"', '"' + "t" * 5000 + '"'), (2,), "file"
    ),
    study(
        "round and round", STUDY.replace('"t.csv"', '"' + "../" * 900 + 'etc/passwd"'), (2,), "file"
    ),
    study(
        "a codebook above",
        STUDY.replace('"t.csv"', '"t.csv"\ncodebook = "../b.toml"'),
        (2,),
        "codebook",
    ),
    study(
        "a codebook elsewhere",
        STUDY.replace('"t.csv"', '"t.csv"\ncodebook = "/etc/passwd"'),
        (2,),
        "codebook",
    ),
    study(
        "leave given by itself",
        STUDY.replace('"t.csv"', '"/etc/passwd"\nallow_outside = true'),
        (2,),
        "allow_outside",
    ),
    study("an analysis named as a path", STUDY + 'name = "../../x"\n', (2,), "name"),
    study("an analysis named as the manifest", STUDY + 'name = "manifest"\n', (0, 2)),
    study(
        "two analyses of one name",
        STUDY + '[[analysis]]\nkind = "meeting_frequency"\n',
        (2,),
        "meeting_frequency",
    ),
    study("a kind of code", STUDY.replace('"meeting_frequency"', '"os.system"'), (2,), "os.system"),
    study("an event of a list", STUDY.replace('event = "relapse"', 'event = ["relapse"]'), (0, 2)),
    study("a role of a number", STUDY.replace('time = "days"', "time = 3"), (2,), "time"),
    study("a role of an empty name", STUDY.replace('time = "days"', 'time = ""'), (2, 3), "time"),
    study("a huge code", STUDY + f"[missing.codes]\nage = [{10**30}]\n", (0, 2)),
    study("a cap on privacy of minus one", STUDY + "[privacy]\nmin_cell = -1\n", (2,), "privacy"),
)

CASES = (*CONTAINERS, *ENCODINGS, *STRUCTURES, *VALUES, *LABELS, *ROLES, *STUDIES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_ends_well(case: Case, tmp_path: Path, cli: Callable[..., Run]) -> None:
    for name, content in case.files.items():
        (tmp_path / name).write_bytes(content)
    before = states(tmp_path)
    began = time.monotonic()
    run = cli(*case.words)
    assert run.code in case.code, (run.code, run.said[:1500])
    assert time.monotonic() - began < SECONDS
    held(run, tmp_path, before)
    if run.code:
        assert all(word in run.err for word in case.named), run.err[:1500]
        assert len(run.err) < 3000
        assert run.err.count("Error") < 2


posix = pytest.mark.skipif(sys.platform == "win32", reason="links and pipes of POSIX")


@posix
@pytest.mark.parametrize(
    ("to", "named"),
    [
        ("../elsewhere.csv", "outside"),
        ("/etc/passwd", "outside"),
        ("t.csv", "t.csv"),
        ("no", "t.csv"),
    ],
)
@pytest.mark.parametrize("verb", [("validate", "study.toml"), RUN], ids=["validate", "run"])
def test_links_out_of_the_folder(
    to: str, named: str, verb: tuple[str, ...], tmp_path: Path, cli: Callable[..., Run]
) -> None:
    """Links to a file above, to one of the system, to itself, to nothing."""
    (tmp_path / "elsewhere.csv").write_bytes(GOOD)
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "study.toml").write_text(STUDY)
    (inside / "t.csv").symlink_to(to)
    run = cli(verb[0], "inside/study.toml", *verb[2:])
    assert run.code == 2, run.said
    assert named in run.said
    assert "P10" not in run.said
    assert sorted(p.name for p in tmp_path.iterdir()) == ["elsewhere.csv", "inside"]


@posix
@pytest.mark.parametrize("ending", ["csv", "sav", "parquet", "csv.gz"])
def test_a_pipe_or_a_device_is_no_data_file(
    ending: str, tmp_path: Path, cli: Callable[..., Run]
) -> None:
    """Opening either would wait or read for ever."""
    os.mkfifo(tmp_path / f"pipe.{ending}")
    (tmp_path / f"zeros.{ending}").symlink_to("/dev/zero")
    for name in ("pipe", "zeros"):
        run = cli("inspect", f"{name}.{ending}")
        assert run.code == 3, run.said
        assert f"{name}.{ending}" in run.err
        assert "regular file" in run.err


@posix
@pytest.mark.skipif(sys.platform != "linux", reason="a small disk is mounted as on Linux")
def test_a_disk_that_really_fills(tmp_path: Path) -> None:
    """The earlier report stays whole, nothing half-written stays behind."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no small disk can be mounted here")
    try:
        (tmp_path / "t.csv").write_bytes(GOOD)
        (disk / "mine.txt").write_text("mine")
        run = finished(spawned(tmp_path, *KM, "-o", "disk", "--force"))
        assert run.code == 5, run.said
        assert "full" in run.err
        assert [p.name for p in disk.iterdir()] == ["mine.txt"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@posix
def test_killed_and_run_again(tmp_path: Path) -> None:
    """kill -9: finished reports are whole, the next run makes only the others, and says so."""
    (tmp_path / "t.csv").write_bytes(GOOD)
    head = STUDY[: STUDY.index("[[")]
    one = '[[analysis]]\nkind = "meeting_frequency"\nname = "n{}"\nsensitivity = false\n'
    (tmp_path / "study.toml").write_text(head + "".join(one.format(i) for i in range(8)))
    process = spawned(tmp_path, *RUN)
    manifest = tmp_path / "out" / "manifest.json"
    while not manifest.is_file() and process.poll() is None:
        time.sleep(0.02)
    process.kill()
    assert finished(process).code == -signal.SIGKILL
    before = states(tmp_path / "out")
    done = json.loads(manifest.read_bytes())["analyses"]
    assert 0 < len(done) < 8
    for entry in done.values():
        for name, was in entry["files"].items():
            assert before[name] == was
    run = finished(spawned(tmp_path, *RUN))
    assert run.code == 0, run.said
    after = states(tmp_path / "out")
    assert {n: after[n] for e in done.values() for n in e["files"]} == {
        n: before[n] for e in done.values() for n in e["files"]
    }
    assert len(json.loads(manifest.read_bytes())["analyses"]) == 8
    assert not [n for n in after if n.startswith(".")]
    assert {p.stat().st_mode & 0o777 for p in (tmp_path / "out").iterdir()} == {0o600}
