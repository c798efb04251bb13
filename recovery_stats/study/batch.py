"""Several analyses of one study into one folder: what is current stays, the rest is done."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import cache
from importlib import metadata
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from platform import python_version
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import recovery_stats
from recovery_stats import analyses
from recovery_stats.core import progress
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.result import Result
from recovery_stats.core.study import AnalysisSpec, Study
from recovery_stats.core.worker import end_with_parent
from recovery_stats.errors import NotEstimable, OutputError, RecoveryError, UsageError, unknown
from recovery_stats.report.index import Card, card
from recovery_stats.study import fault, multiverse, workflow
from recovery_stats.study.binding import bind
from recovery_stats.study.folder import Entry, Folder, sha256
from recovery_stats.study.locking import about
from recovery_stats.study.specification import Multiverse

NUMBER_MAKERS = ("numpy", "scipy", "pandas", "statsmodels", "pingouin", "matplotlib", "pyreadstat")
PATIENCE = 0.2  # seconds between looks at what the workers tell
NONE: Mapping[str, RecoveryError] = MappingProxyType({})


Told: TypeAlias = "SimpleQueue[tuple[str, int, int]]"  # what workers say of their progress


@dataclass(frozen=True, slots=True)
class Task:
    """One analysis to do: its filled Question, and the hash of all its report depends on."""

    spec: AnalysisSpec
    question: Any
    key: str


@dataclass(frozen=True, slots=True)
class Work:
    """What a worker brings back: files, or the message and exit code of what went wrong.

    refusal: why the report that was written has no primary answer. card: its place on the index.
    """

    files: Mapping[str, bytes]
    failed_checks: tuple[str, ...] = ()
    message: str = ""
    exit_code: int = 0
    refusal: str = ""
    card: Card = Card()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one analysis ended. `why`: why it was done again; `message`: why it failed.

    A report without a primary answer is written or kept, with the exit code of what is not
    estimable and the cure in its message.
    """

    name: str
    kind: str
    state: Literal["written", "kept", "failed"]
    files: tuple[Path, ...] = ()
    why: str = ""
    message: str = ""
    exit_code: int = 0
    failed_checks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will do: tasks with the reason for each, what it keeps, what cannot be bound."""

    due: tuple[tuple[Task, str], ...]
    settled: tuple[Outcome, ...]


def chosen(study: Study, names: Sequence[str]) -> tuple[AnalysisSpec, ...]:
    """The analyses of the study file by name or kind; all of them when none is named.

    A study without any gets every analysis there is; so does a name the study file lacks.
    """
    declared = study.protocol.analyses or tuple(AnalysisSpec(k, k) for k in analyses.names())
    if not names:
        return declared
    picked: dict[str, AnalysisSpec] = {}
    for name in names:
        found = [s for s in declared if name in (s.name, s.kind)]
        if not found and name not in analyses.names():
            known = {*analyses.names(), *(s.name for s in declared)}
            raise UsageError(unknown("analysis", name, known))
        picked.update((s.name, s) for s in found or [AnalysisSpec(name, name)])
    return tuple(picked.values())


def plan(
    study: Study,
    specs: Sequence[AnalysisSpec],
    formats: Sequence[str],
    folder: Folder | None,
    *,
    force: bool = False,
    faults: Mapping[str, RecoveryError] = NONE,
) -> Plan:
    """Bind every Question and compare with what stands in the folder.

    faults: what is wrong with the data of an analysis alone, by its name.
    """
    due: list[tuple[Task, str]] = []
    settled: list[Outcome] = []
    data = digests(study)
    for spec in specs:
        if spec.name in faults:
            found = faults[spec.name]
            settled.append(_failure(spec, str(found), found.exit_code))
            continue
        try:
            task = _task(study, spec, data)
        except RecoveryError as error:
            settled.append(_failure(spec, str(error), error.exit_code))
            continue
        except Exception as error:
            settled.append(_failure(spec, fault.record(error), 1))
            continue
        why = "asked for" if folder is None or force else _stale(folder, task, formats)
        if why is None:
            settled.append(_kept(spec, folder))
        else:
            due.append((task, why))
    return Plan(tuple(due), tuple(settled))


def run(
    study: Study,
    made: Plan,
    folder: Folder,
    formats: Sequence[str],
    *,
    jobs: int = 1,
    begin: Callable[[str], None] = lambda name: None,
) -> Iterator[Outcome]:
    """Do what is due, write each analysis as soon as it is done, and say how each ended."""
    yield from made.settled
    reasons = {task.spec.name: why for task, why in made.due}
    tasks = [task for task, _ in made.due]
    inputs = digests(study)
    for task, work in worked(study, tasks, formats, jobs, begin):
        spec = task.spec
        if work.exit_code:
            yield _failure(spec, work.message, work.exit_code)
            continue
        hashes = {name: sha256(content) for name, content in work.files.items()}
        entry = Entry(
            spec.kind, task.key, hashes, inputs, work.failed_checks, work.refusal, work.card
        )
        try:
            paths = folder.write(spec.name, entry, work.files)
        except OutputError as error:
            yield _failure(spec, str(error), error.exit_code)
            continue
        yield Outcome(
            spec.name, spec.kind, "written", paths, reasons[spec.name], *_refused(work.refusal),
            work.failed_checks,
        )  # fmt: skip
    if folder.manifest.entries:
        folder.settle()


def finish(task: Task, study: Study, formats: Sequence[str], jobs: int = 1) -> Work:
    """Answer, compose, disclose and render one analysis; errors come back as words.

    jobs: processes for the specifications of a multiverse.
    """
    try:
        result = _answered(task, study, jobs)
        progress.look()
        document = workflow.report(result)
        progress.look()
        files = workflow.render(document, task.spec.name, formats)
        failed, refusal = workflow.failed_checks(result), workflow.refusal(document)
        return Work(files, failed, refusal=refusal, card=card(document))
    except RecoveryError as error:
        return Work({}, (), str(error), error.exit_code)
    except MemoryError:
        return Work({}, (), out_of_memory(), OutputError.exit_code)
    except Exception as error:
        return Work({}, (), fault.record(error), 1)


def _answered(task: Task, study: Study, jobs: int) -> Result:
    study = replace(study, protocol=about(study.protocol, task.spec.name))
    if isinstance(task.question, Multiverse):
        return multiverse.answer(task.question, study, jobs=jobs)
    return workflow.answer_question(analyses.get(task.spec.kind), task.question, study)


def out_of_memory() -> str:
    """What to do when memory runs out."""
    return "Memory ran out. Close other programs, run one analysis at a time (--jobs 1)."


def worked(
    study: Study,
    tasks: Sequence[Task],
    formats: Sequence[str],
    jobs: int,
    begin: Callable[[str], None] = lambda name: None,
) -> Iterator[tuple[Task, Work]]:
    """Finish every task, in this process or in several; in the order in which they are done."""
    if jobs < 2 or len(tasks) < 2:
        for task in tasks:
            progress.look()
            begin(task.spec.name)
            yield task, finish(task, study, formats, jobs)
        return
    yield from _in_parallel(study, tasks, formats, min(jobs, len(tasks)), begin)


def _in_parallel(
    study: Study,
    tasks: Sequence[Task],
    formats: Sequence[str],
    jobs: int,
    begin: Callable[[str], None],
) -> Iterator[tuple[Task, Work]]:
    """Work in processes of their own; an interrupt ends them with us."""
    # spawn: the one way that every system has, and that threads of libraries cannot upset.
    spawning = multiprocessing.get_context("spawn")
    told: Told = spawning.SimpleQueue()
    pool = ProcessPoolExecutor(jobs, spawning, _begin_work, (told,))
    try:
        pending: dict[Future[Work], Task] = {}
        for task in tasks:
            begin(task.spec.name)
            pending[pool.submit(finish, task, study, formats)] = task
        while pending:
            done, _ = wait(pending, PATIENCE, FIRST_COMPLETED)
            progress.look()
            while not told.empty():
                progress.tell(*told.get())
            for future in done:
                yield pending.pop(future), _collected(future)
    except BaseException:
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _collected(future: Future[Work]) -> Work:
    try:
        return future.result()
    except BrokenProcessPool:
        return Work({}, (), f"A process was killed. {out_of_memory()}", OutputError.exit_code)


def _begin_work(told: Told) -> None:
    """Leave Ctrl-C, which reaches the whole group, to the main process, and tell it of progress."""
    import signal

    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    progress.listen(lambda *step: told.put(step))


def _kept(spec: AnalysisSpec, folder: Folder | None) -> Outcome:
    """What stands in the folder, with what was said when it was written."""
    if folder is None:
        return Outcome(spec.name, spec.kind, "kept")
    entry, files = folder.manifest.entries[spec.name], _standing(folder, spec.name)
    told = _refused(entry.refusal)
    return Outcome(spec.name, spec.kind, "kept", files, "", *told, entry.failed_checks)


def _refused(refusal: str) -> tuple[str, int]:
    """Message and exit code of a report without a primary answer; none with one."""
    return refusal, NotEstimable.exit_code if refusal else 0


def _failure(spec: AnalysisSpec, message: str, exit_code: int) -> Outcome:
    return Outcome(spec.name, spec.kind, "failed", message=message, exit_code=exit_code)


def _task(study: Study, spec: AnalysisSpec, data: Mapping[str, str]) -> Task:
    many = multiverse.of_spec(study, spec)
    question = many or bind(analyses.get(spec.kind), study, spec.options, to_answer=True)
    depends = {
        "question": [spec.kind, spec.name, repr(question)],
        "protocol": repr(study.protocol),
        "data": dict(data),
        "made with": versions(),
    }
    return Task(spec, question, sha256(json.dumps(depends, sort_keys=True).encode()))


def _stale(folder: Folder, task: Task, formats: Sequence[str]) -> str | None:
    name = task.spec.name
    wanted = frozenset(workflow.file_name(name, word) for word in (*formats, "json"))
    return folder.why_stale(name, task.key, wanted)


def _standing(folder: Folder, name: str) -> tuple[Path, ...]:
    return tuple(folder.path / file for file in folder.manifest.entries[name].files)


def digests(study: Study) -> dict[str, str]:
    """The hash of each table: of its file, or of its cells where it came from no file."""
    return {name: table.source.sha256 or _cells(table) for name, table in study.tables.items()}


def _cells(table: Dataset) -> str:
    import pandas as pd

    digest = hashlib.sha256(repr((list(table.frame.columns), table.codebook)).encode())
    digest.update(pd.util.hash_pandas_object(table.frame).to_numpy().tobytes())
    return digest.hexdigest()


@cache
def versions() -> dict[str, str]:
    """What the numbers depend on besides data and protocol: the program and its libraries."""
    found = {name: metadata.version(name) for name in NUMBER_MAKERS}
    return {**found, "python": python_version(), "recovery_stats": _program()}


def _program() -> str:
    """Hash our own source, so that a changed program is seen without a changed version."""
    root = Path(recovery_stats.__path__[0])
    digest = hashlib.sha256()
    for path in sorted(p for p in root.rglob("*") if p.suffix in (".py", ".md", ".toml")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
