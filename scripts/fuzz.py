"""Coverage-guided fuzzing of everything that reads bytes or text from strangers.

python scripts/fuzz.py TARGET [--minutes 10] [--folder FOLDER]

Needs the extra `fuzz` (atheris, Linux). Targets: sav, study, formula, endpoint. A target passes
when it either reads its input or raises a RecoveryError: any other exception, an input that
takes more than ten seconds, or memory over 2 GB ends the run with the input kept in the folder.
What was found is kept as a test in tests/test_fuzz.py; the last runs are in scripts/fuzz.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

SECONDS_AN_INPUT = 10
MEGABYTES = 2048
LONGEST = 8192

STUDY = (ROOT / "tests" / "studies" / "uis" / "study.toml").read_bytes()
FORMULAS = (
    b"y ~ x + (1 + t | person)",
    b"Surv(start, stop, event) ~ x*z + strata(site) + frailty(site)",
    b"cbind(a, n - a) ~ poly(x, 2) + C(`a b`, ref='k') - 1 + (1 + t || site/person)",
)
PATTERNS = (b"++--oo**--", b"----__++", b"-+o*_")


def sav_seeds() -> Sequence[bytes]:
    """A small file of every kind of record."""
    import pandas as pd

    from recovery_stats.core.codebook import Codebook, MissingRule, Variable
    from recovery_stats.core.dataset import Dataset
    from recovery_stats.data.sav import write_spss

    frame = pd.DataFrame({"x": [1.0, 2.0], "long_name_of_text": ["a", "b" * 300]}, index=[1, 2])
    book = Codebook(
        {
            "x": Variable("x", label="X", values={1.0: "one"}, missing=MissingRule((-9.0,))),
            "long_name_of_text": Variable("long_name_of_text", kind="string", width=300),
        }
    )
    made = []
    with tempfile.TemporaryDirectory() as folder:
        for name in ("x.sav", "x.zsav"):
            write_spss(Dataset(frame, book), Path(folder) / name)
            made.append((Path(folder) / name).read_bytes())
    return made


def sav(data: bytes, folder: Path) -> None:
    """The dictionary and the cells of an SPSS file."""
    from recovery_stats.data.sav import read_spss

    path = folder / "x.sav"
    path.write_bytes(data)
    read_spss(path)


def study(data: bytes, folder: Path) -> None:
    """A study file; its tables are not opened."""
    from recovery_stats.study.table import protocol_of

    path = folder / "study.toml"
    path.write_bytes(data)
    protocol_of(path)


def formula(data: bytes, folder: Path) -> None:
    """A formula, the columns it names and its terms."""
    from recovery_stats.models.expression import columns_of
    from recovery_stats.models.formula import parse

    read = parse(data.decode("utf-8", "surrogateescape"))
    names, terms = list(columns_of(read)), [str(term) for term in read.terms if term.factors]
    if not all(names) or len(set(terms)) < len(terms):
        raise AssertionError("a column without a name, or a term twice")


def endpoint(data: bytes, folder: Path) -> None:
    """Patterns of visits by the endpoint that the first byte picks."""
    from recovery_stats.data.endpoints import ENDPOINTS, endpoint

    names = list(ENDPOINTS)
    name = names[(data[0] if data else 0) % len(names)]
    patterns = data[1:].decode("utf-8", "surrogateescape").split("\n")
    endpoint(patterns, name, missing=("published", "carried", "ignored")[len(data) % 3])


Target = Callable[[bytes, Path], None]
TARGETS: Mapping[str, Target] = {f.__name__: f for f in (sav, study, formula, endpoint)}
SEEDS: Mapping[str, Callable[[], Sequence[bytes]]] = {
    "sav": sav_seeds,
    "study": lambda: (STUDY,),
    "formula": lambda: FORMULAS,
    "endpoint": lambda: tuple(bytes([i]) + p for i in range(0, 50, 5) for p in PATTERNS),
}


def tried(target: Target, data: bytes, folder: Path) -> None:
    """Give `data` to `target`: read or refused, all else is a finding."""
    from recovery_stats.errors import RecoveryError

    with suppress(RecoveryError):
        target(data, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "fuzz")
    asked = parser.parse_args()
    import atheris

    place = asked.folder / asked.target
    corpus = place / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    with atheris.instrument_imports(include=["recovery_stats"]):
        seeds = SEEDS[asked.target]()
        for i, seed in enumerate(seeds):
            (corpus / f"seed_{i}").write_bytes(seed)
            tried(TARGETS[asked.target], seed, place)
    limits = [f"-max_total_time={asked.minutes * 60:.0f}", f"-rss_limit_mb={MEGABYTES}"]
    limits += [f"-timeout={SECONDS_AN_INPUT}", f"-max_len={LONGEST}", "-print_final_stats=1"]
    words = [sys.argv[0], str(corpus), *limits, f"-artifact_prefix={place}/"]
    atheris.Setup(words, lambda data: tried(TARGETS[asked.target], data, place))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
