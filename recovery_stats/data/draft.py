"""A first study.toml from the files themselves: tables, keys and roles guessed, reasons given.

Everything doubtful is left as a commented line with its candidates, so that the draft never
decides in silence. The comments of the drafted file are the documentation of its form.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from recovery_stats.core.dataset import Dataset
from recovery_stats.core.study import PROFILES
from recovery_stats.data.guess import Guess, TableGuess, guess_tables
from recovery_stats.data.instruments.column import scales_among
from recovery_stats.data.instruments.scorer import score_names, stem
from recovery_stats.data.role import TABLES, Role, roles_of
from recovery_stats.data.suspicion import suspicious
from recovery_stats.data.table import read_table
from recovery_stats.data.wording import CENSORED, HOUSING, NOT_APPLICABLE, SYNTHETIC, WEEK

WIDE = 90
ESTIMAND = frozenset({"adjust", "weights", "partnered"})  # they change what is estimated
MOST_CANDIDATES = 5
SHORTEST_TITLE = 8  # shorter beginnings stand together by chance

# What each analysis needs: any one of these sets of (table, role).
PROPOSED: Mapping[str, tuple[frozenset[tuple[str, str]], ...]] = {
    "relationship_satisfaction": (
        frozenset({("waves", "wave"), ("waves", "outcome"), ("waves", "satisfaction")}),
    ),
    "meeting_frequency": (
        frozenset({("persons", "time"), ("persons", "event"), ("meetings", "meeting_day")}),
        frozenset({("persons", "time"), ("persons", "event"), ("persons", "frequency")}),
    ),
    "collaborative_housing": (
        frozenset({("persons", "arm"), ("persons", "outcome")}),
        frozenset({("persons", "arm"), ("persons", "time"), ("persons", "event")}),
    ),
}

HEAD = """\
# Study file of recovery_stats, drafted from the files themselves.
# Every guess says where it comes from: read each line, correct it, remove the # of lines you
# need. Then:  recovery-stats validate study.toml   and   recovery-stats run study.toml
# Text stands in quotes, a list in brackets; what follows # is a comment. Nothing here is code.
schema = 1
"""


@dataclass(frozen=True, slots=True)
class File:
    """A file that was looked at, and the tables it may serve."""

    path: str
    outside: bool
    data: Dataset
    tables: tuple[TableGuess, ...]


def draft(paths: Sequence[str | Path], *, folder: str | Path | None = None) -> str:
    """Look at the files and write a commented study file that `read_protocol` accepts.

    folder: where the study file will stand (default: the working folder); files are named
    relative to it. Raises DataError for a file that cannot be read.
    """
    home = Path(folder) if folder is not None else Path()
    files = [_look(Path(path), home) for path in paths]
    tables, spare = _share(files)
    parts = [
        HEAD,
        _study(files),
        _tables(tables),
        *(_spare(file) for file in spare),
        _roles(tables),
        _missing(tables),
        _privacy(),
        _analyses(tables),
        REPORT,
    ]
    return "\n".join(parts)


def _look(path: Path, home: Path) -> File:
    data = read_table(path)
    home, path = home.resolve(), path.resolve()
    inside = path.is_relative_to(home)
    try:
        name = os.path.relpath(path, home)
    except ValueError:  # another drive of Windows
        name = str(path)
    return File(name.replace(os.sep, "/"), not inside, data, guess_tables(data, path.stem))


def _share(files: Iterable[File]) -> tuple[dict[str, tuple[File, TableGuess]], list[File]]:
    """Give each table to the first file that may serve it; the files that serve none."""
    tables: dict[str, tuple[File, TableGuess]] = {}
    spare = []
    for file in files:
        new = [guess for guess in file.tables if guess.name not in tables]
        tables.update({guess.name: (file, guess) for guess in new})
        if not new:
            spare.append(file)
    return {name: tables[name] for name in TABLES if name in tables}, spare


# --- sections ------------------------------------------------------------------------------


def _study(files: Sequence[File]) -> str:
    titles = [t for f in files if (t := f.data.codebook.label.strip())]
    synthetic = str(any(SYNTHETIC.search(title) for title in titles)).lower()
    return (
        "[study]\n"
        f"title = {quoted(_title(titles))}\n"
        '# population = "adults discharged from residential treatment"   # words for the reports\n'
        f"synthetic = {synthetic}   # true marks every report SYNTHETIC\n"
    )


def _title(titles: Sequence[str]) -> str:
    """What the labels of the files begin with in common, else the first of them."""
    if len(set(titles)) < 2:
        return titles[0] if titles else "Untitled study"
    columns = zip(*(title.split() for title in titles), strict=False)
    alike = takewhile(lambda words: len(set(words)) == 1, columns)
    shared = " ".join(words[0] for words in alike).rstrip(" :;,.-–—/(")
    return shared if len(shared) >= SHORTEST_TITLE else titles[0]


def _tables(tables: Mapping[str, tuple[File, TableGuess]]) -> str:
    lines = [
        "# Tables that may be given:",
        *(f"#   {t.name:<9} {t.says}" for t in TABLES.values()),
        "# Several tables may name one file. key: the columns that tell rows apart.",
        '# where = [["column", "==", 1]] keeps some rows (==, !=, <, <=, >, >=).',
        "# Columns made from others stand under [derive.persons], for example:",
        '#   cluster = { cross = ["trial", "site"] }',
        '#   relapsed = { endpoint = "Rs_ctnFiftyOne_2018", pattern = "screens", part = "event" }',
        '#   clean = { endpoint = "Ab_kosten_1993", pattern = "screens" }',
        "# and questionnaires scored from their items (recovery-stats score lists them):",
        '#   satisfaction = { scale = "RAS", score = "mean" }',
    ]
    for name, (file, guess) in tables.items():
        lines += ["", f"[tables.{name}]   # {remark(guess.reason)}", *_file_lines(file)]
        if guess.key:
            lines.append(f"key = {listed(guess.key)}")
        if name == "persons":
            lines += _event_lines(file.data, guess)
        lines += _questionnaires(name, file.data)
    if not tables:
        lines += ["", "# [tables.persons]", '# file = "…"', '# key = ["…"]']
    return _block(lines)


def _file_lines(file: File) -> Iterator[str]:
    yield f"file = {quoted(file.path)}"
    if file.outside:
        yield "# Not in the folder of the study file: move it there, or run with --allow-outside."
    if file.data.weight:
        yield f"# The file is weighted by {remark(file.data.weight)}; choose, else validate fails:"
        yield '# weight = "none"   # or "sampling", "frequency"'


def _event_lines(data: Dataset, guess: TableGuess) -> Iterator[str]:
    """The code that means relapse, where the event is not 0 and 1."""
    for found in guess.roles.get("event", ()):
        codes = sorted(data.frame[found.column].dropna().unique(), key=str)
        if set(codes) <= {0, 1}:
            continue
        variable = data.variable(found.column)
        relapse = [c for c in codes if c in variable.values
                   and not CENSORED.search(variable.values[c])]  # fmt: skip
        sure = len(relapse) == 1 and not isinstance(relapse[0], str)
        code = f"{relapse[0]:g}" if sure else "…"
        why = f"'{variable.level(relapse[0])}'" if sure else "the code that means relapse"
        yield f"{'' if sure else '# '}event_code = {code}   # in {found.column}: {remark(why)}"


def _questionnaires(table: str, data: Dataset) -> list[str]:
    """Columns that look like the items of a questionnaire: how it would be scored."""
    found = scales_among(map(str, data.frame.columns))
    lines = [
        f'# {stem(s)}_{score_names(s)[0]} = {{ scale = "{s.name}", score = "{score_names(s)[0]}" }}'
        f"   # {s.title}"
        for s in found
    ]
    head = [f"# [derive.{table}]   # these look like items; the # away, and they are scored"]
    return head + lines if found else []


def _spare(file: File) -> str:
    names = ", ".join(list(map(str, file.data.frame.columns))[:MOST_CANDIDATES])
    lines = [
        f"# {remark(file.path)}: its table could not be guessed (columns {remark(names)}, …).",
        "# [tables.…]",
        f"# file = {quoted(file.path)}",
    ]
    return _block(lines)


def _roles(tables: Mapping[str, tuple[File, TableGuess]]) -> str:
    lines = ["# Roles: role = a column, or a list of columns."]
    for name, (_, guess) in tables.items():
        lines += ["", f"[roles.{name}]"]
        lines += [_role_line(role, guess) for role in roles_of(name).values()]
    return _block(lines)


def _role_line(role: Role, guess: TableGuess) -> str:
    found = guess.roles.get(role.name, ())
    others = [g.column for g in guess.others.get(role.name, ())][:MOST_CANDIDATES]
    if role.name == "cluster":
        others = [g.column for r in ("house", "site") for g in guess.roles.get(r, ())]
    perhaps = f"; or {', '.join(map(remark, others))}" if others else ""
    if not found:
        return f'# {role.name} = "…"   # {role.says}{perhaps.replace("; or", "; perhaps")}'
    if role.name in ESTIMAND:
        columns = [g.column for g in found]
        given = listed(columns) if role.many else quoted(columns[0])
        return f"# {role.name} = {given}   # {role.says}: choose{perhaps}"
    return f"{role.name} = {quoted(found[0].column)}   # {_reason(found[0])}{perhaps}"


def _reason(guess: Guess) -> str:
    return f"guessed from {remark(guess.reason)}"


def _missing(tables: Mapping[str, tuple[File, TableGuess]]) -> str:
    structural = _structural(file.data for file, _ in tables.values())
    shown = ", ".join(f"{code:g}" for code in structural) or "-97"
    lines = [
        "# structural: reasons of missing values that are never imputed (the question does not",
        "# apply, as satisfaction without a partner).",
        "[missing]",
        f"{'' if structural else '# '}structural = [{shown}]",
    ]
    for name, (file, _) in tables.items():
        lines += _codes(name, file.data)
    return _block(lines)


def _structural(datasets: Iterable[Dataset]) -> list[float]:
    codes = {
        float(code)
        for data in datasets
        for variable in data.codebook.variables.values()
        for code, label in variable.values.items()
        if not isinstance(code, str) and variable.missing.covers(code)
        if NOT_APPLICABLE.search(label)
    }
    return sorted(codes)


def _codes(table: str, data: Dataset) -> list[str]:
    """Codes that look like missing values but are not declared: for the reader to decide."""
    found: dict[str, list[float]] = {}
    for column, code, _ in suspicious(data):
        found.setdefault(column, []).append(code)
    lines = [
        f"# {key(column)} = [{', '.join(f'{code:g}' for code in codes)}]"
        for column, codes in found.items()
    ]
    if not lines:
        return []
    return ["", f"# [missing.codes.{table}]   # these look like codes, not values", *lines]


def _privacy() -> str:
    return (
        "[privacy]\n"
        f'profile = "cms"   # {", ".join(PROFILES)}; cms hides counts of 1 to 10\n'
        "# minimum = 11      # the smallest count that may be shown\n"
    )


def _analyses(tables: Mapping[str, tuple[File, TableGuess]]) -> str:
    have = {(name, role) for name, (_, guess) in tables.items() for role in guess.roles}
    lines = ["# Analyses; columns come from the roles above unless an option names another."]
    for kind, ways in PROPOSED.items():
        doubt = _doubt(kind, ways, have, tables)
        mark = "# " if doubt else ""
        lines += ["", f"{mark}[[analysis]]", f'{mark}kind = "{kind}"']
        lines += [f"# {doubt}"] if doubt else []
        lines += [f"{mark}{line}" for line in _options(kind, tables)]
        lines.append(f'# name = "{kind}"   # of its report; needed when a kind comes twice')
    return _block(lines)


def _doubt(
    kind: str,
    ways: Sequence[frozenset[tuple[str, str]]],
    have: set[tuple[str, str]],
    tables: Mapping[str, tuple[File, TableGuess]],
) -> str:
    """Why an analysis is not proposed: roles it lacks, or an arm that is not about housing."""
    if not any(way <= have for way in ways):
        wanted = min((way - have for way in ways), key=len)
        return "needs: " + ", ".join(sorted(f"{role} in {table}" for table, role in wanted))
    if kind == "collaborative_housing":
        file, guess = tables["persons"]
        arm = file.data.variable(guess.roles["arm"][0].column)
        if not HOUSING.search(" ".join((arm.name, arm.label, *arm.values.values()))):
            return f"{remark(arm.name)} does not look like a housing arm; remove the # if it is."
    return ""


def _options(kind: str, tables: Mapping[str, tuple[File, TableGuess]]) -> Iterator[str]:
    """Options that the files themselves call for."""
    if kind == "meeting_frequency" and "meetings" in tables:
        day = tables["meetings"][1].roles["meeting_day"][0]
        if WEEK.search(day.column):
            yield f'period = "week"   # {remark(day.column)} counts weeks'


REPORT = """\
[report]
level = 0.95   # of confidence intervals
seed = 1       # of everything random
formats = ["html", "md"]
"""


# --- text ----------------------------------------------------------------------------------


def quoted(text: str) -> str:
    """A TOML string. JSON's escapes are TOML's, but for DEL, which JSON leaves alone."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def listed(names: Iterable[str]) -> str:
    return f"[{', '.join(map(quoted, names))}]"


def key(name: str) -> str:
    """A TOML key, in quotes where it needs them."""
    plain = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if plain else quoted(name)


def remark(text: str) -> str:
    """Text of a file as a comment: on one line, printable, not endless."""
    clean = "".join(c if c.isprintable() else " " for c in text)
    return clean if len(clean) <= WIDE else clean[: WIDE - 1] + "…"


def _block(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"
