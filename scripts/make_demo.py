"""Write the committed demo study, synthetic_data/, from its seed: the same bytes every time.

python scripts/make_demo.py [--check]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from filecmp import cmpfiles
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from recovery_stats.data.synthetic import synthetic_study, write  # noqa: E402

DEMO = ROOT / "synthetic_data"
PRESET, PERSONS, SEED = "plain", 400, 1


def differing(folder: Path) -> list[str]:
    """Names of files that are not, byte for byte, what the seed gives."""
    names = sorted({p.name for p in folder.iterdir()} | {p.name for p in DEMO.iterdir()})
    _, mismatch, absent = cmpfiles(DEMO, folder, names, shallow=False)
    return sorted([*mismatch, *absent])


def main() -> int:
    """Write the demo study, or with --check say which files differ (exit 7)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only")
    study = synthetic_study(PRESET, persons=PERSONS, seed=SEED)
    if not parser.parse_args().check:
        write(study, DEMO)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        write(study, Path(folder))
        names = differing(Path(folder))
    print("\n".join(names) or "synthetic_data/ is what its seed gives.")
    return 7 if names else 0


if __name__ == "__main__":
    raise SystemExit(main())
