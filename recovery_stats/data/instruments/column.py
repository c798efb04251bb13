"""Which columns of a table are the items of a scale: `ras1`, `RAS_01`, `ras_q1`, `Ras.item1`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from recovery_stats.data.instruments.registry import scales
from recovery_stats.data.instruments.scale import Scale
from recovery_stats.errors import DataError, UsageError, unknown

BETWEEN = r"[ _.\-]?(?:item|q|i)?[ _.\-]?"
HINT = 'Name the columns with items = ["…", …], or by a pattern such as items = "ras{}_w2".'


def item_columns(
    columns: Iterable[str],
    scale: Scale,
    items: str | Sequence[str] | None = None,
    *,
    table: str = "",
) -> tuple[str, ...]:
    """The columns of items 1, 2, … of `scale` among `columns`.

    items: the columns in the order of the items, or a pattern with {} for the number; None to
    recognise them by name. Raises DataError when one is missing, occurs twice, or when there
    are more than the scale has; UsageError for a list of the wrong length.
    """
    there = [str(c) for c in columns]
    where = f" of table {table!r}" if table else ""
    if isinstance(items, str):
        return _by_pattern(there, scale, items, where)
    if items is not None:
        return _named(there, scale, tuple(items), where)
    return _recognised(there, scale, where)


def scales_among(columns: Iterable[str]) -> list[Scale]:
    """The scales whose items all stand among `columns`, under names that say so."""
    there, found = list(columns), []
    for scale in scales().values():
        telling = replace(scale, prefixes=tuple(p for p in scale.prefixes if len(p) > 1))
        try:
            item_columns(there, telling)
        except DataError:
            continue
        found.append(scale)
    return found


def _named(
    there: Sequence[str], scale: Scale, items: tuple[str, ...], where: str
) -> tuple[str, ...]:
    if len(items) != scale.items:
        raise UsageError(
            f"{scale.name} has {scale.items} items; {len(items)} columns were named for them."
        )
    for name in items:
        if name not in there:
            raise DataError(unknown(f"column{where}", name, there))
    twice = sorted({n for n in items if items.count(n) > 1})
    if twice:
        raise UsageError(f"Named twice for items of {scale.name}: {', '.join(twice)}.")
    return items


def _by_pattern(there: Sequence[str], scale: Scale, pattern: str, where: str) -> tuple[str, ...]:
    if pattern.count("{}") != 1:
        raise UsageError(
            f"A pattern for items has {{}} once for their number; {pattern!r} has not."
        )
    before, after = map(re.escape, pattern.split("{}"))
    return _whole(_numbered(there, f"{before}0*([1-9][0-9]*){after}"), scale, where)


def _recognised(there: Sequence[str], scale: Scale, where: str) -> tuple[str, ...]:
    for prefix in scale.prefixes:
        between = f"(?=[^0-9]){BETWEEN}" if prefix[-1].isdigit() else BETWEEN
        found = _numbered(there, f"{re.escape(prefix)}{between}0*([1-9][0-9]*)")
        if found:
            return _whole(found, scale, where)
    raise DataError(
        f"No column{where} looks like an item of {scale.name} ({scale.prefixes[-1]}1, "
        f"{scale.prefixes[-1].upper()}_01, …). {HINT}"
    )


def _numbered(there: Sequence[str], pattern: str) -> dict[int, list[str]]:
    """The columns that match, by the number in their name."""
    found: dict[int, list[str]] = {}
    for name in there:
        if match := re.fullmatch(pattern, name, re.IGNORECASE):
            found.setdefault(int(match[1]), []).append(name)
    return found


def _whole(found: Mapping[int, list[str]], scale: Scale, where: str) -> tuple[str, ...]:
    names = [name for number in sorted(found) for name in found[number]]
    shown = f"{names[0]} … {names[-1]}" if len(names) > 1 else (names or ["none"])[0]
    beyond = [n for n in found if n > scale.items]
    if beyond:
        raise DataError(
            f"{scale.name} has {scale.items} items, and the columns{where} go on to "
            f"{found[max(beyond)][0]!r}.{_other_versions(scale)} {HINT}"
        )
    missing = [n for n in range(1, scale.items + 1) if n not in found]
    if missing:
        raise DataError(
            f"{scale.name} needs {scale.items} items; no column{where} for item"
            f"{'s' * (len(missing) > 1)} {', '.join(map(str, missing))} (found {shown})."
            f"{_other_versions(scale)} {HINT}"
        )
    twice = [n for names in found.values() if len(names) > 1 for n in names]
    if twice:
        raise DataError(f"Several columns{where} look like one item: {', '.join(twice)}. {HINT}")
    return tuple(found[n][0] for n in range(1, scale.items + 1))


def _other_versions(scale: Scale) -> str:
    """The other versions of the scale, which may be the one that the columns hold."""
    others = [s for s in scales().values() if s is not scale and set(s.family) & set(scale.family)]
    if not others:
        return ""
    return f" Other versions: {', '.join(f'{s.name} ({s.items} items)' for s in others)}."
