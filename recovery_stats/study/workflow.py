"""Question to Result to Document to bytes, for one analysis; each verb is one step."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from recovery_stats import analyses
from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset, Source
from recovery_stats.core.document import Document, Figure, Table
from recovery_stats.core.result import Result
from recovery_stats.core.study import Protocol, Study
from recovery_stats.errors import UsageError, unknown
from recovery_stats.study import locking
from recovery_stats.study.binding import bind

__all__ = ["Result", "answer", "report"]

SHORT_HASH = 16
# the checks of which one fails where what was declared is not estimable
PRIMARY = ("primary estimand", "shared source", "stop rule")


def answer(name: str, study: Study, **options: Any) -> Result:
    """Answer the question `name` of `study`; options fill what its roles do not.

    Raises UsageError, DataError or NotEstimable, each with the cure.
    """
    analysis = analyses.get(name)
    return answer_question(analysis, bind(analysis, study, options, to_answer=True), study)


def answer_question(analysis: analyses.Analysis, question: Any, study: Study) -> Result:
    """Answer an already filled Question on one thread, so that the last digits stay put."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        result = analysis.answer(question, study)
    tables = [t for t in analysis.tables if t in study and _read(study[t], result)]
    noticed = tuple(c for c in study.checks if c.about.partition(".")[0] in tables)
    found = replace(
        result,
        checks=tuple(labelled(c, study, analysis.tables) for c in (*result.checks, *noticed)),
        synthetic=result.synthetic or study.protocol.synthetic,
        sources=result.sources or tuple(study[t].source for t in analysis.tables if t in study),
        facts={**result.facts, "title": question.title} if question.title else result.facts,
    )
    return completed(found, study, question.level, question.seed, described(question))


def labelled(check: Check, study: Study, tables: Iterable[str]) -> Check:
    """The check with labels for columns: for the one it is about, and for those it quotes."""
    known = [study[t] for t in tables if t in study]

    def label(column: str) -> str | None:
        table, _, own = column.partition(".")
        if own and table in study:
            return study[table].label(own) if own in study[table].frame.columns else None
        return next((d.label(column) for d in known if column in d.frame.columns), None)

    def quoted(found: re.Match[str]) -> str:
        told = label(found[1])
        return found[0] if told is None or told == found[1] else f"“{told}”"

    parts = tuple(re.sub(r"'([^']+)'", quoted, p) if isinstance(p, str) else p for p in check.parts)
    return replace(check, parts=parts, about=label(check.about) or check.about)


def _read(table: Dataset, result: Result) -> bool:
    """Whether the result rests on this table; one that does not say so rests on every one."""
    return not result.sources or table.source in result.sources


def completed(result: Result, study: Study, level: float, seed: int, options: str) -> Result:
    """The result with the protocol and the provenance that its report closes with."""
    used = replace(study.protocol, level=level, seed=seed)
    result = replace(result, sources=(*dict.fromkeys((*result.sources, *_behind(result, study))),))
    return replace(result, protocol=used, provenance=_provenance(result, used, options))


def _behind(result: Result, study: Study) -> Iterator[Source]:
    """The files of which patterns of visits of a table of the result were made."""
    for name, spec in study.protocol.tables.items():
        if name in study and study[name].source in result.sources:
            made = (d.source.table for d in spec.derive if d.source)
            yield from (study[table].source for table in made if table in study)


def described(question: Any) -> str:
    """The options of a Question that are set, in words: 'outcome = craving; adjust = age, sex'."""
    from recovery_stats.study.binding import options_of

    values = {o.name: getattr(question, o.name) for o in options_of(type(question))}
    unset = (None, (), "")
    common = ("seed", "level")  # named on lines of their own
    return "; ".join(
        f"{name} = {', '.join(map(str, value)) if isinstance(value, tuple) else value}"
        for name, value in values.items()
        if value not in unset and name not in common
    )


def _provenance(result: Result, protocol: Protocol, options: str) -> tuple[tuple[str, str], ...]:
    return (
        ("Study file", protocol.sha256[:SHORT_HASH] or "none: options and defaults"),
        *locking.provenance(protocol.lock, result.sources),
        ("Options", options),
        ("Seed", str(protocol.seed)),
        ("Confidence level", f"{protocol.level:g}"),
        ("Privacy profile", f"{protocol.privacy.profile}, counts below {protocol.privacy.minimum}"),
    )


def report(result: Result) -> Document:
    """Compose the report of a result and hide what its privacy rules hide."""
    from recovery_stats.report.compose import compose
    from recovery_stats.report.disclose import disclose
    from recovery_stats.report.late import mark_late

    analysis = result.analysis
    document = compose(
        result,
        str(result.facts.get("title") or analyses.title(analysis)),
        analyses.template(analysis),
        provenance=result.provenance,
        level=result.protocol.level,
    )
    marked = mark_late(document, result.protocol.lock)
    return disclose(marked, result.protocol.privacy)


def render(document: Document, name: str, formats: Sequence[str]) -> dict[str, bytes]:
    """The files of one report by file name: each format asked for, and always results.json."""
    from recovery_stats import report as renderers

    return {
        file_name(name, word): renderers.render(document, word)
        for word in dict.fromkeys((*formats, "json"))
    }


def file_name(name: str, word: str) -> str:
    """The file of report `name` in the format `word`."""
    from recovery_stats import report as renderers

    return f"{name}{renderers.FORMATS[word]}"


def write_result(result: Result, path: str | Path) -> Path:
    """Write the report of `result` to `path`, in the format of its extension, whole or not at all.

    Small counts are hidden by the privacy rules of the study the result came from.
    """
    return write_document(report(result), path)


def write_document(document: Document, path: str | Path) -> Path:
    """Write a disclosed document to `path`, in the format of its extension."""
    from recovery_stats import report as renderers
    from recovery_stats.study.folder import refused_by_system, write_whole

    path = Path(path)
    word = _format_of(path)
    content = renderers.render(document, word)
    with refused_by_system(path.parent):
        write_whole(path.parent, {path.name: content})
    return path


def _format_of(path: Path) -> str:
    """The format that the ending of a file's name asks for."""
    from recovery_stats import report as renderers

    word = path.suffix.removeprefix(".").lower()
    if path.name.lower().endswith(renderers.FORMATS["csv"]):
        return "csv"
    if word == "csv":
        raise UsageError(
            f"{path.name!r} would be one table, and a report has several: they are written as one "
            f"zip of CSV files. Give {path.stem + renderers.FORMATS['csv']!r}."
        )
    renderers.require(word)
    return word


@dataclass(frozen=True, slots=True)
class Excerpt:
    """One table or figure of a report, after disclosure control; it shows itself in a notebook."""

    document: Document = field(repr=False)
    name: str

    def write(self, path: str | Path) -> Path:
        """Write it alone, in the format of the extension of `path`."""
        return write_document(self.document, path)

    def _repr_html_(self) -> str:
        from recovery_stats.study.notebook import frame

        return frame(self.document)


def excerpt(result: Result, name: str) -> Excerpt:
    """The table or figure called `name` as the report of `result` prints it.

    UsageError, with the names there are, where the report has none of that name.
    """
    whole = report(result)
    found = {b.name: b for b in whole.blocks if isinstance(b, Table | Figure)}
    if name not in found:
        raise UsageError(unknown("table or figure", name, found))
    alone = replace(whole, title=found[name].caption, blocks=(found[name],), references=())
    return Excerpt(alone, name)


def _framed(result: Result) -> str:
    """The report in a frame of its own."""
    from recovery_stats.study.notebook import frame

    return frame(report(result), 40)


def _drawn(result: Result, name: str) -> Any:
    """`study.picture.drawn`, whose module waits until a figure is asked for."""
    from recovery_stats.study.picture import drawn

    return drawn(result, name)


def _save_figure(result: Result, name: str, path: str | Path, *, dpi: int = 300) -> Path:
    """`study.picture.save_figure`."""
    from recovery_stats.study.picture import save_figure

    return save_figure(result, name, path, dpi=dpi)


# Here, where results come from: core knows nothing of reports.
Result.write = write_result  # type: ignore[attr-defined]
Result.excerpt = excerpt  # type: ignore[attr-defined]
Result.draw = _drawn  # type: ignore[attr-defined]
Result.save_figure = _save_figure  # type: ignore[attr-defined]
Result._repr_html_ = _framed  # type: ignore[attr-defined]


def refusal(document: Document) -> str:
    """Why the disclosed report has no primary answer, with the cure; nothing where it has one."""
    from recovery_stats.core.document import Checks
    from recovery_stats.report.numbers import sentence

    checks = (c for block in document.blocks if isinstance(block, Checks) for c in block.checks)
    for check in checks:
        if check.name in PRIMARY and check.verdict == "fail":
            return sentence(check.parts)
    return ""


def failed_checks(result: Result) -> tuple[str, ...]:
    """The names of the checks that failed: what `--strict` looks for."""
    return tuple(check.name for check in result.checks if check.verdict == "fail")


def formats_of(words: str | Sequence[str]) -> tuple[str, ...]:
    """Read 'html,docx' (or a list); UsageError for a format that nothing renders."""
    from recovery_stats import report as renderers

    asked = words.split(",") if isinstance(words, str) else words
    found = tuple(dict.fromkeys(w.strip().lower().removeprefix(".") for w in asked if w.strip()))
    for word in found:
        renderers.require(word)
    return found


def options_given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Drop what nobody set: None and empty."""
    return {name: value for name, value in options.items() if value is not None and value != ()}
