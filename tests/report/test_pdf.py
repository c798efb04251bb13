"""PDF, where the extra is installed: tagged, described, safe, the same bytes; the cure elsewhere.

Text is read by pdftotext (poppler) where that is found.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from recovery_stats.cli import main
from recovery_stats.core.document import Column, Document, LineFigure, Paragraph, Row, Series, Table
from recovery_stats.core.study import PROFILES
from recovery_stats.errors import UsageError
from recovery_stats.report import render
from recovery_stats.report.compose import compose
from recovery_stats.report.disclose import disclose
from recovery_stats.report.pdf import printer
from tests.report import example
from tests.report.test_render import report

drawn = pytest.mark.skipif(not example.draws_pdf(), reason="recovery_stats[pdf] is not here")
read = pytest.mark.skipif(shutil.which("pdftotext") is None, reason="pdftotext is not here")


@pytest.fixture(scope="module")
def paper() -> bytes:
    return render(report(), "pdf")


def numbers(text: str) -> set[str]:
    return set(re.findall(r"\d[\d,.]*\d|\d", text))


def text_of(paper: bytes, *options: str) -> str:
    """What a reader who copies the pages gets."""
    command = ["pdftotext", *options, "-", "-"]
    return subprocess.run(command, input=paper, capture_output=True, check=True).stdout.decode()


def objects(paper: bytes) -> bytes:
    """The file with its streams unpacked."""
    streams = re.findall(rb"stream\n(.*?)\nendstream", paper, re.DOTALL)
    return b"\n".join([paper, *(_unpacked(stream) for stream in streams)])


def _unpacked(stream: bytes) -> bytes:
    try:
        return zlib.decompress(stream)
    except zlib.error:
        return b""


@drawn
def test_a_pdf_is_tagged_and_says_what_it_is(paper: bytes) -> None:
    assert paper.startswith(b"%PDF-1.7")
    paper = objects(paper)
    assert b'pdfuaid:part="1"' in paper
    assert b"/StructTreeRoot" in paper
    assert b"/Marked true" in paper
    assert b"/Lang (en)" in paper
    assert b"/DisplayDocTitle true" in paper
    assert b"/Title (A question <b>?</b> \\(synthetic data\\))" in paper
    structure = re.findall(rb"/S /(\w+)", paper)
    tables = sum(isinstance(b, Table) for b in report().blocks)
    assert structure.count(b"Figure") == 5
    assert structure.count(b"Table") == tables + 5  # the numbers of each figure
    assert structure.count(b"H1") == 1
    assert {b"H2", b"TH", b"TD", b"P", b"L", b"Caption"} <= set(structure)
    assert b"/Outlines" in paper


@drawn
def test_a_picture_is_read_out_by_its_numbers(paper: bytes) -> None:
    spoken = re.findall(rb"/Alt \(.{40,}?\)>>|/Alt <\w{80,}>", objects(paper))
    assert len(spoken) == 5


@drawn
def test_every_heading_of_a_table_says_what_it_heads() -> None:
    """So does that of the column in which the names of the rows stand: no cell names it."""
    columns = (Column("a", "First", "Both"), Column("b", "Second", "Both"))
    rows = (Row("h", "Head"), *(Row(f"r{i}", f"Row {i}", ("x", "y")) for i in range(3)))
    table = Table("t", "A table", columns, rows, stub="Label")
    paper = objects(render(Document("x", "T", "", (table,)), "pdf"))
    headings = re.findall(rb"/S /TH\b.*", paper)
    scopes = [re.findall(rb"/Scope /(\w+)", heading) for heading in headings]
    assert sorted(scopes) == [[b"Column"]] * 4 + [[b"Row"]] * 4


@drawn
def test_a_pdf_tells_no_time_and_reaches_nowhere(paper: bytes) -> None:
    paper = objects(paper)
    for word in (b"CreationDate", b"ModDate", b"/JavaScript", b"/Launch", b"/EmbeddedFiles"):
        assert word not in paper
    assert re.findall(rb"/URI \((?!https://doi\.org/)", paper) == []


@drawn
@read
def test_the_pages_hold_the_printed_cells(paper: bytes) -> None:
    text = " ".join(text_of(paper, "-layout").split())
    for printed in ("296 (36.5%)", "< 11", "0.84 [0.77, 0.92]", "p < .001", "1,204"):
        assert printed in text
    assert re.search(r"\b1 ?/ ?\d", text)  # the number of the page
    assert "SYNTHETIC DATA" in text


@drawn
@read
@pytest.mark.parametrize("profile", ["cms", "opensafely"])
def test_the_pages_print_no_number_that_the_web_page_does_not(profile: str) -> None:
    """So what disclosure control hid there is hidden here; the numbers of pages are their own."""
    safe = disclose(compose(example.result(), "T", example.TEMPLATE), PROFILES[profile])
    web = re.sub(r"<style>.*?</style>|<[^>]*>", " ", render(safe, "html").decode(), flags=re.S)
    pages = text_of(render(safe, "pdf"))
    own = {str(n) for n in range(1, pages.count("\f") + 1)}
    assert numbers(pages) - own <= numbers(web)
    assert len(numbers(pages)) > 100


@drawn
@read
def test_the_head_of_a_table_stands_on_each_of_its_pages() -> None:
    rows = tuple(Row(f"r{i}", f"Row {i}", (f"cell {i}",)) for i in range(150))
    table = Table("long", "A long table", (Column("a", "The heading"),), rows, stub="Label")
    pages = text_of(render(Document("x", "T", "", (table,)), "pdf")).split("\f")[:-1]
    assert len(pages) > 2
    assert [page.count("The heading") for page in pages] == [1] * len(pages)
    assert "A long table" in pages[0]
    assert "Row 0" in pages[0]


@drawn
@read
def test_hostile_labels_are_words_on_paper() -> None:
    evil = (
        example.HOSTILE + '</td><img src="file:///etc/passwd"><link rel=attachment '
        "href=file:///etc/passwd> url(http://x.test/) =cmd|'/c calc'!A1 @import"
    )
    line = LineFigure(evil, evil, evil, evil, (Series(evil, (0.0, 1.0), (1.0, 2.0)),))
    table = Table(evil, evil, (Column("a", evil, evil),), (Row("r", evil, (evil,)),), (evil,))
    paper = render(Document("x", evil, "REAL", (Paragraph((evil,)), table, line)), "pdf")
    for word in (b"/JavaScript", b"/Launch", b"/EmbeddedFiles", b"/URI", b"/GoToR", b"/Filespec"):
        assert word not in objects(paper)
    text = text_of(paper)
    assert "<script>alert('x')</script>" in text
    assert not set("\x00\x1b\u202e") & set(text)
    assert "root:" not in text


@drawn
def test_nothing_is_fetched_for_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the letters that travel with matplotlib are opened."""
    opened: list[str] = []
    urls = printer().urls
    fetch = urls.URLFetcher.fetch

    def told(self: object, url: str, *rest: object) -> object:
        opened.append(url)
        return fetch(self, url, *rest)

    monkeypatch.setattr(urls.URLFetcher, "fetch", told)
    render(report(), "pdf")
    assert opened
    assert [u for u in opened if not re.fullmatch(r"file://.*/fonts/ttf/\w+(-\w+)?\.ttf", u)] == []


class _WithoutPango:
    """Imports as the package does on a system that lacks the library."""

    def find_spec(self, name: str, *rest: object) -> None:
        if name == "weasyprint":
            raise OSError("cannot load library 'libpango-1.0-0'")


def test_without_the_extra_one_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    with pytest.raises(UsageError, match=r"pip install 'recovery_stats\[pdf\]'"):
        render(report(), "pdf")
    words = ["recovery-stats", "run", "-o", str(tmp_path / "out"), "--format", "html,pdf"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "pip install 'recovery_stats[pdf]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_without_pango_the_message_names_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "weasyprint", raising=False)
    monkeypatch.setattr(sys, "meta_path", [_WithoutPango(), *sys.meta_path])
    with pytest.raises(UsageError, match="apt install libpango"):
        render(report(), "pdf")
