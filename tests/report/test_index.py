"""The page over all reports: every report, its question, answer and files, and nothing unsafe."""

from __future__ import annotations

from html.parser import HTMLParser

from recovery_stats.core.document import Document, Paragraph
from recovery_stats.report.index import Card, card, render

FILES = ("craving.html", "craving.md", "craving.results.json", "craving.csv.zip")
ASKED = Card("Craving", "Does craving fall?", "It falls by 2.1 points.", "REAL")


class Links(HTMLParser):
    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[str] = []
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.found += [value or "" for name, value in attrs if tag == "a" and name == "href"]


def test_every_file_is_linked() -> None:
    links = Links(render("Study", {"craving": (ASKED, FILES)})).found
    assert set(FILES) <= set(links)


def test_question_answer_and_badge_stand_there() -> None:
    page = render("Study", {"craving": (ASKED, FILES)}).decode()
    assert all(words in page for words in (ASKED.question, ASKED.answer, "REAL DATA", "<h1>Study"))


def test_one_badge_for_all_or_one_for_each() -> None:
    simulated = Card("Days", badge="SYNTHETIC")
    same = render("", {"a": (ASKED, ()), "b": (ASKED, ())}).decode()
    mixed = render("", {"a": (ASKED, ()), "b": (simulated, ())}).decode()
    assert same.count("REAL DATA") == 1
    assert mixed.index("<h2") < mixed.index("REAL DATA") < mixed.index("SYNTHETIC DATA")


def test_words_of_the_study_cannot_become_markup() -> None:
    hostile = Card('<script>alert("1")</script>', "<img src=x>", "\u202ea & b", "REAL")
    tags = Links(render("<b>Study</b>", {"x": (hostile, ("x.html",))})).tags
    assert not {"script", "img", "b"} & set(tags)


def test_a_card_says_what_the_document_says() -> None:
    blocks = (Paragraph(("Who?",), "question"), Paragraph(("Nobody.",), "answer"))
    assert card(Document("toy", "Title", "REAL", blocks)) == Card(
        "Title", "Who?", "Nobody.", "REAL"
    )


def test_a_report_of_an_older_run_is_named_and_linked() -> None:
    page = render("", {"old": (Card(), ("old.html",))})
    assert b'<a href="old.html">old</a>' in page


def test_reports_of_one_title_are_told_apart_by_their_names() -> None:
    page = render("", {"a": (ASKED, ()), "b": (ASKED, ()), "c": (Card("Days"), ())}).decode()
    assert [page.count(words) for words in (">Craving (a)<", ">Craving (b)<", ">Days<")] == [
        1,
        1,
        1,
    ]
