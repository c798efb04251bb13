"""Stop runs at random moments and see what they leave, and whether the next run makes it whole.

    python scripts/interrupt.py [--tries 60] [--seed 1]     as scripts/interrupt.md reports

Each try runs analyses of the demo study without their sensitivity part and sends SIGINT,
SIGTERM or SIGKILL at a moment drawn from the time that a whole run takes: to the process alone or,
as a terminal does, to all of its group; with one job or two. Then the exit code, every finished
file against those of a run left in peace, what else lies in the folder and in that for temporary
files, and processes left alive; last, the next run. Prints a line a try and the counts (POSIX).
A code below zero is the signal's own: it came while Python itself was starting, and a shell reads
it as 130 or 143 all the same.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENDS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -signal.SIGKILL}
KINDS = ("relationship_satisfaction",) * 3 + ("collaborative_housing",)
OWN = {"manifest.json", "index.html"}  # of the whole run: not the same until it has ended
ALIVE = "A process of the run that was stopped is still at work."
LINGER = 20.0  # seconds in which workers may notice that they are alone


@dataclass(frozen=True, slots=True)
class Try:
    """One interruption: which signal, after how many seconds, to the whole group, in how many
    jobs."""

    number: signal.Signals
    after: float
    group: bool
    jobs: int


def main() -> int:
    """All tries; 1 where one of them left a fault."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tries", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    draw = random.Random(asked.seed)  # noqa: S311 - no secret
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        _study(folder)
        (folder / "tmp").mkdir()
        began = time.monotonic()
        subprocess.run(
            _command("whole", 1),
            cwd=folder,
            env=_surroundings(folder),
            check=True,
            capture_output=True,
        )
        whole, seconds = _contents(folder / "whole"), time.monotonic() - began
        print(f"a run left in peace takes {seconds:.1f} s", flush=True)
        counts: Counter[str] = Counter()
        for k in range(asked.tries):
            one = Try(
                draw.choice(list(ENDS)), draw.uniform(0, seconds), draw.random() < 0.5,
                draw.choice((1, 2)),
            )  # fmt: skip
            faults = list(_tried(one, folder, whole, counts))
            counts["faults"] += len(faults)
            print(f"try {k}: {one} {'; '.join(faults) or 'whole'}", flush=True)
    for what, n in sorted(counts.items()):
        print(f"{what}: {n}")
    return int(counts["faults"] > 0)


def _study(folder: Path) -> None:
    """The demo study with analyses that take a few seconds together."""
    shutil.copytree(ROOT / "synthetic_data", folder / "study")
    path = folder / "study" / "study.toml"
    text = path.read_text(encoding="utf-8")
    head, tail = text[: text.index("[[analysis]]")], text[text.index("[report]") :]
    one = '[[analysis]]\nkind = "{}"\nname = "n{}"\nsensitivity = false\n\n'
    body = "".join(one.format(kind, n) for n, kind in enumerate(KINDS))
    path.write_text(head + body + tail, encoding="utf-8")


def _command(out: str, jobs: int) -> list[str]:
    words = ["run", "study/study.toml", "-o", out, "--jobs", str(jobs)]
    return [sys.executable, "-m", "recovery_stats", *words]


def _surroundings(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder / "tmp")}


def _contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()} if folder.is_dir() else {}


def _tried(one: Try, folder: Path, whole: dict[str, bytes], counts: Counter[str]) -> Iterator[str]:
    """The faults of one interruption and of the run after it."""
    for name in ("out", "tmp"):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / "tmp").mkdir()
    code, err = _interrupted(one, folder)
    counts[f"{one.number.name}: {'ended before' if code == 0 else f'exit {code}'}"] += 1
    if code not in (0, ENDS[one.number], -one.number) or ALIVE in err:
        yield f"exit {code}: {err}"
    left = _contents(folder / "out")
    finished = [n for n in left if n in whole and n not in OWN]
    counts["finished files kept"] += len(finished)
    yield from (f"{n} is not whole" for n in finished if left[n] != whole[n])
    strange = [n for n in left if n not in whole]
    counts["temporary files before the next run"] += len(strange)
    if one.number != signal.SIGKILL:
        yield from (f"{n} left behind" for n in strange)
    yield from _next(one, folder, whole, counts)


def _interrupted(one: Try, folder: Path) -> tuple[int, str]:
    env = _surroundings(folder)
    process = subprocess.Popen(
        _command("out", one.jobs), cwd=folder, env=env, text=True, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    time.sleep(one.after)
    send = os.killpg if one.group else os.kill
    if process.poll() is None:
        send(process.pid, one.number)
    try:
        _, err = process.communicate(timeout=LINGER + 100)
    except subprocess.TimeoutExpired:  # who lives still holds the pipe
        os.killpg(process.pid, signal.SIGKILL)
        return process.wait(), ALIVE
    return process.returncode, err if _ended(process.pid) else f"{err} {ALIVE}"


def _ended(group: int) -> bool:
    """Wait until nothing of the group runs any more; whether that came."""
    end = time.monotonic() + LINGER
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def _next(one: Try, folder: Path, whole: dict[str, bytes], counts: Counter[str]) -> Iterator[str]:
    env = _surroundings(folder)
    done = subprocess.run(
        _command("out", one.jobs), cwd=folder, env=env, text=True, capture_output=True, timeout=600
    )
    counts["next run: analyses kept"] += len(re.findall("up to date, kept", done.stderr))
    counts["next run: exit 0"] += done.returncode == 0
    if done.returncode:
        yield f"the next run ended with {done.returncode}: {done.stderr}"
    found = _contents(folder / "out")
    if found.keys() != whole.keys():
        yield f"after the next run: {sorted(found.keys() ^ whole.keys())}"
    same = (n for n in found.keys() & whole.keys() if n != "manifest.json")
    yield from (f"{n} differs after the next run" for n in same if found[n] != whole[n])
    yield from (f"temporary folder: {p.name}" for p in (folder / "tmp").iterdir())


if __name__ == "__main__":
    sys.exit(main())
