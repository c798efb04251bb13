"""A self-test of the installation: every engine against answers from R or from paper."""

from __future__ import annotations

import hashlib

from recovery_stats.cli.selftest import cluster, design, files, mixed, survival, times, trial
from recovery_stats.cli.selftest.question import FOLDER, Question, Trial, asked

__all__ = ["QUESTIONS", "Trial", "run_all", "seal"]

QUESTIONS: tuple[Question, ...] = (
    *survival.QUESTIONS,
    *times.QUESTIONS,
    *mixed.QUESTIONS,
    *cluster.QUESTIONS,
    *design.QUESTIONS,
    *trial.QUESTIONS,
    *files.QUESTIONS,
)


def run_all() -> tuple[Trial, ...]:
    """Ask every question; a question that raises is missed, and the rest goes on."""
    return tuple(asked(question) for question in QUESTIONS)


def seal() -> str:
    """SHA-256 of the data and of every reference value with its tolerance and source."""
    digest = hashlib.sha256()
    for path in sorted(FOLDER.glob("*.csv")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    for q in QUESTIONS:
        stated = (q.engine, q.name, q.known.value.hex(), repr(q.known.tolerance), q.known.source)
        digest.update("\0".join(stated).encode())
    return digest.hexdigest()
