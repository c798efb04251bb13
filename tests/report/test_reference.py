"""Every citation of a template is in the library, and every entry of the library is complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from recovery_stats import analyses
from recovery_stats.core.document import Bullets, Document
from recovery_stats.core.estimate import Estimand
from recovery_stats.core.result import Result
from recovery_stats.errors import UsageError
from recovery_stats.report import checklist, render
from recovery_stats.report.compose import compose
from recovery_stats.report.reference import apa, bibtex, citation, get, library, listed

TEMPLATES = sorted(Path(analyses.__path__[0]).glob("*.md"))
CITED = {
    key
    for page in TEMPLATES
    for key in re.findall(r"\{cite[tp] (\w+)\}", page.read_text(encoding="utf-8"))
} | {key for guideline in checklist.library().values() for key in guideline.cites}


def test_what_templates_cite_is_what_the_library_holds() -> None:
    assert set(library()) == CITED


@pytest.mark.parametrize("key", sorted(library()))
def test_entries_are_complete(key: str) -> None:
    found = get(key)
    assert all(re.fullmatch(r"[^,]+, (\w\.[ -]?)+", author) for author in found.authors)
    assert re.fullmatch(r"[CS]?\d+–[CS]?\d+|[ek]\d+", found.pages)
    first, *last = (int(page.strip("CSek")) for page in found.pages.split("–"))
    assert not last or first < last[0]
    assert key.endswith(str(found.year))
    assert not found.doi or re.fullmatch(r"10\.\d{4}/\S+", found.doi)
    assert found.title
    assert not found.title.endswith(".")
    assert found.volume.isdigit()


def test_apa_of_one_two_and_more_authors() -> None:
    assert apa(get("efron_1977")) == (
        "Efron, B. (1977). The efficiency of Cox's likelihood function for censored data. Journal "
        "of the American Statistical Association, 72(359), 557–565. "
        "https://doi.org/10.1080/01621459.1977.10480613"
    )
    assert apa(get("mundlak_1978")).startswith("Mundlak, Y. (1978). ")
    assert apa(get("curran_bauer_2011")).startswith("Curran, P. J., & Bauer, D. J. (2011). ")
    assert apa(get("steegen_2016")).startswith(
        "Steegen, S., Tuerlinckx, F., Gelman, A., & Vanpaemel, W. (2016). "
    )
    many = apa(get("hopewell_2025"))
    assert len(get("hopewell_2025").authors) == 39
    assert "Goodman, S. N., … Boutron, I. (2025). " in many
    assert "Hoffmann" not in many


def test_citations_in_the_text() -> None:
    assert citation("citet efron_1977") == "Efron (1977)"
    assert citation("citep curran_bauer_2011") == "(Curran & Bauer, 2011)"
    assert citation("citet curran_bauer_2011") == "Curran and Bauer (2011)"
    assert citation("citep steegen_2016") == "(Steegen et al., 2016)"


def test_the_list_is_alphabetical_and_holds_each_once() -> None:
    found = listed(
        ["mundlak_1978", "cox_1972", "mundlak_1978", "dechaisemartin_dhaultfoeuille_2020"]
    )
    assert [r.key for r in found] == [
        "cox_1972",
        "dechaisemartin_dhaultfoeuille_2020",
        "mundlak_1978",
    ]


RESULT = Result("toy", Estimand("people", "x", "y", "none", "mean"), (), said=frozenset({"tied"}))


def test_only_what_is_said_is_cited() -> None:
    said = "# T\n\n[if tied] Ties {citep efron_1977}.\n\n"
    words = said + "- [if gone] {citet cox_1972}\n\n[[references]]"
    document = compose(RESULT, "T", words)
    (shown,) = [b for b in document.blocks if isinstance(b, Bullets)]
    assert document.references == ("efron_1977",)
    assert shown.items == ((apa(get("efron_1977")),),)
    assert b"(Efron, 1977)" in render(document, "md")
    assert b'href="https://doi.org/10.1080/01621459.1977.10480613"' in render(document, "html")


def test_an_unknown_key_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="efron_1977"):
        compose(RESULT, "T", "# T\n\n{citet efron_1978}")


def test_bibtex_is_balanced_and_complete() -> None:
    text = bibtex(get("pustejovsky_tipton_2018"))
    assert text.count("{") == text.count("}")
    assert r"Business \& Economic" in text
    assert "pages = {672--683}" in text
    assert "author = {Pustejovsky, J. E. and Tipton, E.}" in text


def test_a_report_writes_its_bibliography() -> None:
    document = Document("toy", "T", "REAL", (), references=("efron_1977", "cox_1972"))
    text = render(document, "bib").decode()
    assert re.findall(r"@article\{(\w+),", text) == ["cox_1972", "efron_1977"]
    assert render(Document("toy", "T", "REAL", ()), "bib").startswith(b"%")
