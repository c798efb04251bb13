"""Study file and truth sheet as TOML text."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from recovery_stats.core.study import Protocol, Scoring, TableSpec
from recovery_stats.data.role import TABLES


def study_file(protocol: Protocol) -> str:
    """study.toml of `protocol`: what the reader of study files takes, in its order."""
    tables = {name: spec for name, spec in protocol.tables.items() if name in TABLES}
    lines = ["schema = 1", "", "[study]"]
    lines += pairs(
        {
            "title": protocol.title,
            "population": protocol.population,
            "synthetic": protocol.synthetic,
        }
    )
    for name, spec in tables.items():
        lines += ["", f"[tables.{name}]", *pairs({"file": spec.file})]
        lines += pairs({"key": spec.key}) if spec.key else []
    for name, spec in tables.items():
        lines += _derived(name, spec)
    for name, spec in tables.items():
        lines += ["", f"[roles.{name}]", *pairs(spec.roles)]
    structural = [int(code) for code in protocol.structural]
    lines += ["", "[missing]", *pairs({"structural": structural})]
    lines += ["", "[privacy]", *pairs({"profile": protocol.privacy.profile})]
    for analysis in protocol.analyses:
        lines += ["", "[[analysis]]", *pairs({"kind": analysis.kind, "name": analysis.name})]
        lines += pairs(analysis.options)
    lines += ["", "[report]", *pairs({"seed": protocol.seed, "level": protocol.level})]
    return "\n".join(lines) + "\n"


def _derived(name: str, spec: TableSpec) -> list[str]:
    """The columns scored from questionnaires: `[derive.TABLE]`."""
    scored = [(d.name, d.scoring) for d in spec.derive if d.scoring]
    entries = [f"{column} = {{ {', '.join(pairs(_given(how)))} }}" for column, how in scored]
    return ["", f"[derive.{name}]", *entries] if entries else []


def _given(how: Scoring) -> dict[str, Any]:
    """What an entry of the study file says of a score, defaults left out."""
    fields = {f.name: getattr(how, f.name) for f in dataclasses.fields(how)}
    return {name: found for name, found in fields.items() if found not in (None, False, "")}


def truth_file(truth: Mapping[str, Any]) -> str:
    """truth.toml: values first, then a section for each mapping in `truth`."""
    flat = {name: value for name, value in truth.items() if not isinstance(value, Mapping)}
    lines = ["# What is true in this synthetic study, by estimand.", *pairs(flat)]
    for name, section in truth.items():
        if isinstance(section, Mapping):
            lines += ["", f"[{name}]", *pairs(section)]
    return "\n".join(lines) + "\n"


def pairs(section: Mapping[str, Any]) -> list[str]:
    """The lines `key = value` of a section."""
    return [f"{name} = {value(item)}" for name, item in section.items()]


def value(item: Any) -> str:
    """A TOML value: text, truth, whole number, number or list."""
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, str):
        return json.dumps(item, ensure_ascii=False)
    if isinstance(item, Sequence):
        return f"[{', '.join(value(i) for i in item)}]"
    return repr(item) if isinstance(item, int) else f"{float(item):.6g}"
