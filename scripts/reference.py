"""Answer a reference case with recovery_stats, in the vocabulary of the reference cases.

    python scripts/reference.py CASE.json        prints {"values": {...}}
    python scripts/reference.py --all FOLDER     table: keys given and within tolerance, by topic

A case is a model, its factors and a CSV beside it; its values are read by --all only, to compare.
A key that recovery_stats cannot give is left out; a note on stderr says why. Run it with the
project's own Python (.venv).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent
sys.path[:0] = [str(SCRIPTS), str(SCRIPTS.parent)]

from reference_case.agreement import Comparison, compare  # noqa: E402
from reference_case.answer import answer  # noqa: E402

WORST = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the answer to one case, or a folder's table; 1 when a value is out of tolerance."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("case", type=Path, nargs="?", help="CASE.json, its CSV beside it")
    parser.add_argument("--all", type=Path, metavar="FOLDER", help="compare every case in FOLDER")
    asked = parser.parse_args(arguments)
    if asked.all is not None:
        return report(sorted(asked.all.glob("*.json")))
    if asked.case is None:
        parser.error("a CASE.json or --all FOLDER is needed")
    found = answer(asked.case)
    if found.note:
        print(f"{asked.case.stem}: {found.note}", file=sys.stderr)
    print(json.dumps({"values": found.values}, indent=1))
    return 0


def report(paths: Iterable[Path]) -> int:
    """Print the table by topic, then every value outside its tolerance."""
    cases = [compare(path) for path in paths]
    print(table(cases))
    outside = [c for case in cases for c in case.outside]
    for c in outside:
        print(
            f"outside: {c.case} {c.key}: ours {c.ours}, reference {c.reference}, "
            f"{c.digits:.1f} digits, tolerance {c.tol:g}"
        )
    return 1 if outside else 0


def table(cases: Iterable[Comparison]) -> str:
    """Topic, cases, keys, keys given, keys within tolerance, fewest digits of agreement."""
    by_topic: defaultdict[str, list[Comparison]] = defaultdict(list)
    for case in cases:
        by_topic[case.topic].append(case)
    lines = [f"{'topic':14}{'cases':>6}{'keys':>7}{'given':>7}{'within':>8}{'digits':>8}  left out"]
    for topic, found in sorted(by_topic.items()):
        compared = [c for case in found for c in case.compared]
        missing = sorted({k.partition("[")[0] for case in found for k in case.left_out})
        shown = ", ".join(missing[:WORST]) + (" …" if len(missing) > WORST else "")
        digits = f"{min(c.digits for c in compared):.1f}" if compared else ""
        keys = len(compared) + sum(len(case.left_out) for case in found)
        within = sum(c.within for c in compared)
        lines.append(
            f"{topic:14}{len(found):6}{keys:7}{len(compared):7}{within:8}{digits:>8}  {shown}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
