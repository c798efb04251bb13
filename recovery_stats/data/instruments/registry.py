"""The scales that are shipped, by name; a name that could mean several versions is refused."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from math import ceil
from typing import Any

from recovery_stats.data.instruments.scale import (
    COMPLETE,
    PACKAGE_RULE,
    Answers,
    Choice,
    Cutoff,
    Rule,
    Scale,
    Score,
)
from recovery_stats.errors import UsageError, unknown

PACKAGE_SHARE = 0.8


@cache
def scales() -> Mapping[str, Scale]:
    """Every scale by its name, in alphabetical order."""
    folder = files("recovery_stats.data.instruments").joinpath("keys")
    found = [
        read(tomllib.loads(key.read_text(encoding="utf-8")))
        for key in folder.iterdir()
        if key.name.endswith(".toml")
    ]
    return {scale.name: scale for scale in sorted(found, key=lambda s: s.name.casefold())}


def find(name: str) -> Scale:
    """The scale called `name`, whatever its case, spaces and hyphens.

    Raises UsageError for an unknown name, and for one that several versions share.
    """
    asked = squashed(name)
    for scale in scales().values():
        if asked in {squashed(n) for n in (scale.name, *scale.also)}:
            return scale
    versions = [s for s in scales().values() if asked in map(squashed, s.family)]
    if versions:
        shown = " or ".join(f"{s.name} ({s.items} items)" for s in versions)
        raise UsageError(
            f"{name!r} does not say which version; they are scored differently. Say {shown}."
        )
    raise UsageError(unknown("scale", name, scales()))


def squashed(name: str) -> str:
    """A name without case, spaces and punctuation."""
    return "".join(c for c in name.casefold() if c.isalnum())


def read(key: Mapping[str, Any]) -> Scale:
    """A scale from the content of its TOML."""
    answers = tuple(_answers(key))
    scores = tuple(_scores(key, len(answers)))
    return Scale(
        name=key["name"],
        title=key["title"],
        measures=key["measures"],
        answers=answers,
        reversed=frozenset(key.get("reversed", ())),
        scores=scores,
        rules=(*_published(key), *_rules_of_ours(scores)),
        original=key["original"],
        seen=key["seen"],
        family=tuple(key.get("family", ())),
        also=tuple(key.get("also", ())),
        prefixes=tuple(key.get("prefixes", (key["name"].casefold(),))),
        cutoffs=tuple(Cutoff(**c) for c in key.get("cutoffs", ())),
        trap=key.get("trap", ""),
        licence=key.get("licence", ""),
        choices=tuple(Choice(*row) for row in key.get("choices", ())),
    )


def _answers(key: Mapping[str, Any]) -> Iterator[Answers]:
    """The range of each item: the scale's own, or that of the last entry which names it."""
    for item in range(1, key["items"] + 1):
        own = [r for r in key.get("ranges", ()) if item in r["items"]]
        if own and "values" in own[-1]:
            values = tuple(map(float, own[-1]["values"]))
            yield Answers(min(values), max(values), values)
        else:
            ends = own[-1] if own else key
            yield Answers(float(ends["low"]), float(ends["high"]))


def _scores(key: Mapping[str, Any], items: int) -> Iterator[Score]:
    for name, body in key.get("scores", {}).items():
        yield Score(
            name,
            body.get("title", name.replace("_", " ").capitalize()),
            tuple(body.get("items", range(1, items + 1))),
            body["method"],
            float(body.get("factor", 1)),
            float(body.get("shift", 0)),
        )


def _published(key: Mapping[str, Any]) -> list[Rule]:
    """The rules of the authors, the default one first."""
    given = sorted(key.get("rules", {}).items(), key=lambda r: not r[1].get("default", False))
    return [
        Rule(name, body["says"], body["need"], body.get("answered", 0), published=True)
        for name, body in given
    ]


def _rules_of_ours(scores: tuple[Score, ...]) -> tuple[Rule, ...]:
    """What this package does where no rule was published, and the strictest one."""
    most = {s.name: ceil(PACKAGE_SHARE * len(s.items)) for s in scores}
    every = {s.name: len(s.items) for s in scores}
    return (
        Rule(PACKAGE_RULE, "at least 80% of a score's items answered (this package's rule)", most),
        Rule(COMPLETE, "every item of a score answered", every),
    )
