"""A figure of a report by itself: disclosed, in every form, the same bytes each time."""

from __future__ import annotations

import re
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pytest

from recovery_stats.core.document import CaterpillarFigure, CurveFigure, Figure
from recovery_stats.core.study import PROFILES
from recovery_stats.errors import OutputError, UsageError
from recovery_stats.report import figures, render
from recovery_stats.report.compose import compose
from recovery_stats.report.disclose import disclose
from recovery_stats.report.figure_data import alt_text
from recovery_stats.study.workflow import Result, report
from tests.report import example

STARTS = {".svg": b"<svg", ".png": b"\x89PNG", ".pdf": b"%PDF"}


@pytest.fixture
def result(monkeypatch: pytest.MonkeyPatch) -> Result:
    """The example, with its template as that of its analysis."""
    monkeypatch.setattr("recovery_stats.analyses.template", lambda name: example.TEMPLATE)
    found = example.result()
    return replace(found, protocol=replace(found.protocol, privacy=PROFILES["cms"]))


@pytest.mark.parametrize("ending", figures.ENDINGS)
def test_each_form_is_what_it_says_and_the_same_again(
    result: Result, ending: str, tmp_path: Path
) -> None:
    once = result.save_figure("survival", tmp_path / f"a{ending}").read_bytes()  # type: ignore[attr-defined]
    again = result.save_figure("survival", tmp_path / f"b{ending}").read_bytes()  # type: ignore[attr-defined]
    assert once.startswith(STARTS[ending])
    assert once == again
    assert [p.name for p in sorted(tmp_path.iterdir())] == [f"a{ending}", f"b{ending}"]


def test_the_drawing_has_text_and_its_description(result: Result, tmp_path: Path) -> None:
    page = result.save_figure("survival", tmp_path / "a.svg").read_text()  # type: ignore[attr-defined]
    assert "<text" in page
    assert "<desc" in page
    pdf = result.save_figure("survival", tmp_path / "a.pdf").read_bytes()  # type: ignore[attr-defined]
    assert b"/TrueType" in pdf or b"/Type0" in pdf
    assert b"/Type3" not in pdf
    assert b"CreationDate" not in pdf


def test_resolution_is_as_asked(result: Result, tmp_path: Path) -> None:
    small = result.save_figure("survival", tmp_path / "a.png", dpi=100).read_bytes()  # type: ignore[attr-defined]
    large = result.save_figure("survival", tmp_path / "b.png", dpi=200).read_bytes()  # type: ignore[attr-defined]
    width = [int.from_bytes(png[16:20]) for png in (small, large)]
    assert width[1] == pytest.approx(2 * width[0], abs=1)


def test_what_is_withheld_in_the_report_is_not_drawn(result: Result) -> None:
    """The times of the raw curve are not among the points of the one that is handed out."""
    raw = result.figures["survival"]
    (shown,) = (b for b in report(result).blocks if isinstance(b, CurveFigure))
    assert isinstance(raw, CurveFigure)
    lines = result.draw("survival").axes[0].lines[: len(raw.series)]  # type: ignore[attr-defined]
    drawn = {float(x) for line in lines for x in line.get_xdata()}
    withheld = {x for s in raw.series for x in s.x} - {x for s in shown.series for x in s.x}
    assert len(withheld) > 20
    assert not withheld & drawn


@pytest.mark.parametrize(
    ("name", "path", "says"),
    [("survivall", "a.png", "Did you mean 'survival'"), ("survival", "a.jpg", "form of a figure")],
)
def test_what_is_not_there_is_refused(
    result: Result, name: str, path: str, says: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=says):
        result.save_figure(name, tmp_path / path)  # type: ignore[attr-defined]
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there(result: Result, tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        result.save_figure("survival", tmp_path / "no" / "a.png")  # type: ignore[attr-defined]


def test_the_zip_holds_every_figure_in_every_form() -> None:
    document = disclose(compose(example.result(), "T", example.TEMPLATE), PROFILES["cms"])
    first = render(document, "figures")
    assert first == render(document, "figures")
    with ZipFile(BytesIO(first)) as archive:
        names = archive.namelist()
        drawn = [b for b in document.blocks if isinstance(b, Figure)]
        assert len(names) == (len(drawn) + 1) * len(figures.ENDINGS)  # one more: the flow
        form = r"(figure_\d\d_[a-z0-9_]+|flow)\.(svg|png|pdf)"
        assert all(re.fullmatch(form, n) for n in names)
        assert all(archive.read(n).startswith(STARTS[n[-4:]]) for n in names)


def test_alt_text_names_the_numbers_of_every_figure() -> None:
    document = disclose(compose(example.result(), "T", example.TEMPLATE), PROFILES["cms"])
    drawn = [b for b in document.blocks if isinstance(b, Figure)]
    assert any(isinstance(b, CaterpillarFigure) for b in drawn)
    assert all(re.search(r"\d", alt_text(b)) for b in drawn)
