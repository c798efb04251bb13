"""What is lost when values are missing, and what each method gets back.

    python scripts/missing_recovery.py                     the run in scripts/missing_recovery.md
    python scripts/missing_recovery.py --replicates 20     a quick look
    python scripts/missing_recovery.py --only trial,cox --jobs 2

Data are drawn from a known truth, values taken away, and the coefficient named is estimated from
the complete rows and after imputation. MCAR: by chance alone. MAR: by what is seen. MNAR: what is
missing is worse by a known amount, whatever is seen. A method's bias is in units of the empirical
standard error of the full data; coverage is of 95 % intervals. A cell is marked where its bias
exceeds a tenth, or its coverage leaves 92 to 98 %, by more than two Monte Carlo errors.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

for threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(threads, "1")

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402

import recovery_stats as rs  # noqa: E402
from recovery_stats.errors import RecoveryError  # noqa: E402

M = 10
WORSE, ODDS = -1.0, math.log(3.0)  # how much worse what is missing is, where it is not at random
LOW, HIGH, MOST = 0.92, 0.98, 0.1
MILLION = 1_000_000
HEAD = (
    "| missing | method | bias (error) | bias / se | spread | mean se | coverage, % (error) "
    "| runs | outside |"
)
Make = Callable[..., tuple[pd.DataFrame, pd.DataFrame]]
Fit = Callable[[pd.DataFrame], Any]
Impute = Callable[[pd.DataFrame, int], Any]


@dataclass(frozen=True)
class Scene:
    """make(rng, mechanism) gives the whole table and the one with holes; methods impute."""

    name: str
    words: str
    make: Make
    fit: Fit
    term: str
    truth: float
    mechanisms: tuple[str, ...]
    methods: Mapping[str, Impute]
    replicates: int


def lost(rng: np.random.Generator, chance: np.ndarray) -> np.ndarray:
    return rng.random(chance.size) < chance


def logistic(eta: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-eta))


# --- a trial: the outcome is missing ------------------------------------------------------------


def trial(rng: np.random.Generator, mechanism: str, n: int = 300) -> Any:
    """y of two arms on a severity that also tells who is lost; lost in the arm, if MNAR."""
    arm, z = np.repeat([0.0, 1.0], n // 2), rng.normal(size=n)
    eta = {"MCAR": np.full(n, -0.85), "MAR": -1 + 1.5 * z * (2 * arm - 1), "MNAR": -1.5 + arm}
    gone = lost(rng, logistic(eta[mechanism]))
    y = 1.0 * arm + 0.8 * z + rng.normal(size=n)
    if mechanism == "MNAR":
        y += WORSE * gone
    whole = pd.DataFrame({"arm": arm, "z": z, "y": y})
    return whole, whole.assign(y=np.where(gone, np.nan, y))


def straight(formula: str, data: pd.DataFrame) -> Any:
    return rs.glm(formula, data)


def imputed(data: pd.DataFrame, seed: int, **options: Any) -> Any:
    return rs.impute(data, M, seed=seed, **options)


TRIAL: Mapping[str, Impute] = {
    "matching": imputed,
    "normal": partial(imputed, methods={"y": "normal"}),
    "normal, delta": partial(imputed, methods={"y": "normal"}, delta={"y": WORSE}),
}


# --- use or none: a yes/no outcome is missing ---------------------------------------------------


def use(rng: np.random.Generator, mechanism: str, n: int = 500) -> Any:
    """Whether people used; if MNAR the odds of those lost are three times as high."""
    arm, z = np.repeat([0.0, 1.0], n // 2), rng.normal(size=n)
    eta = {"MCAR": np.full(n, -0.85), "MAR": -1 + 1.5 * z * (2 * arm - 1), "MNAR": -1.5 + arm}
    gone = lost(rng, logistic(eta[mechanism]))
    risen = ODDS * gone if mechanism == "MNAR" else 0.0
    y = lost(rng, logistic(0.2 - 0.8 * arm + 0.7 * z + risen)).astype(float)
    whole = pd.DataFrame({"arm": arm, "z": z, "y": y})
    return whole, whole.assign(y=np.where(gone, np.nan, y))


USE: Mapping[str, Impute] = {
    "logistic": imputed,
    "logistic, delta": partial(imputed, delta={"y": ODDS}),
}


# --- a covariate of a hazard is missing ---------------------------------------------------------


def hazard(rng: np.random.Generator, mechanism: str, n: int = 300) -> Any:
    """Time to relapse on x; if MAR, x is missing more often in those with events."""
    z = rng.normal(size=n)
    x = 0.5 * z + rng.normal(size=n)
    t, end = rng.exponential(np.exp(-0.6 * x - 0.3 * z)), rng.uniform(0.3, 3, n)
    whole = pd.DataFrame({"x": x, "z": z, "time": np.minimum(t, end), "event": (t <= end) * 1})
    eta = {"MCAR": np.full(n, -0.4), "MAR": -1.5 + 2.0 * whole["event"].to_numpy()}
    return whole, whole.assign(x=whole["x"].mask(lost(rng, logistic(eta[mechanism]))))


def cox(formula: str, data: pd.DataFrame) -> Any:
    return rs.cox(formula, data)


HAZARD: Mapping[str, Impute] = {
    "without the outcome": partial(imputed, exclude=["time", "event"]),
    "event and hazard": partial(imputed, survival="Surv(time, event)"),
    "compatible": partial(imputed, substantive="Surv(time, event) ~ x + z", sweeps=10),
}


def product(rng: np.random.Generator, mechanism: str, n: int = 400) -> Any:
    """An effect of x in one group alone."""
    z = (rng.random(n) < 0.5) * 1.0
    x = 0.5 * z + rng.normal(size=n)
    t, end = rng.exponential(np.exp(-(0.7 * x + 0.5 * z - 0.8 * x * z))), rng.uniform(0.3, 3, n)
    whole = pd.DataFrame({"x": x, "z": z, "time": np.minimum(t, end), "event": (t <= end) * 1})
    return whole, whole.assign(x=whole["x"].mask(lost(rng, 0.3 + 0.3 * z)))


PRODUCT: Mapping[str, Impute] = {
    "event and hazard": partial(imputed, survival="Surv(time, event)"),
    "compatible": partial(imputed, substantive="Surv(time, event) ~ x * z", sweeps=15),
}


# --- waves within people ------------------------------------------------------------------------


def waves(rng: np.random.Generator, mechanism: str, people: int = 80, each: int = 5) -> Any:
    """x and y of waves, in people of two arms; y is missing by the x of the wave, x by chance."""
    person = np.repeat(np.arange(people), each)
    arm, u = (person % 2).astype(float), rng.normal(size=people)[person]
    x = rng.normal(size=person.size) + 0.7 * rng.normal(size=people)[person]
    y = 0.8 * arm + 0.5 * x + u + rng.normal(size=person.size)
    whole = pd.DataFrame({"person": person, "arm": arm, "x": x, "y": y})
    holes = whole.assign(y=whole["y"].mask(lost(rng, logistic(-0.5 + 1.2 * x))))
    return whole, holes.assign(x=whole["x"].mask(lost(rng, np.full(person.size, 0.15))))


def mixed(formula: str, data: pd.DataFrame) -> Any:
    return rs.lmm(formula, data)


NORMAL = {"x": "normal", "y": "normal"}
WAVES: Mapping[str, Impute] = {
    "ignoring people": partial(imputed, exclude=["person"], methods=NORMAL),
    "within people": partial(imputed, cluster="person", methods=NORMAL, heterogeneous=False),
    "within people, own variances": partial(imputed, cluster="person", methods=NORMAL),
}

SCENES = (
    Scene("trial", "difference of a continuous outcome; the outcome is missing in a third", trial,
          partial(straight, "y ~ arm"), "arm", 1.0, ("MCAR", "MAR", "MNAR"), TRIAL, 300),
    Scene("use", "log odds ratio of use, given severity; the outcome is missing in a third", use,
          partial(rs.glm, "y ~ arm + z", family="binomial"), "arm", -0.8, ("MCAR", "MAR", "MNAR"),
          USE, 250),
    Scene("cox", "log hazard ratio of a covariate that is missing in two fifths", hazard,
          partial(cox, "Surv(time, event) ~ x + z"), "x", 0.6, ("MCAR", "MAR"), HAZARD, 150),
    Scene("product", "its product with a group, the effect of x being in one group", product,
          partial(cox, "Surv(time, event) ~ x * z"), "x:z", -0.8, ("MAR",), PRODUCT, 80),
    Scene("waves", "difference between arms of 40 people with five waves; y is missing in two "
          "fifths", waves, partial(mixed, "y ~ arm + x + (1 | person)"), "arm", 0.8, ("MAR",),
          WAVES, 120),
)  # fmt: skip


# --- running ------------------------------------------------------------------------------------


Found = dict[str, tuple[float, float, float, float]]


def once(name: str, mechanism: str, seed: int) -> Found:
    """Estimate, standard error and limits by method."""
    scene = next(s for s in SCENES if s.name == name)
    rng = np.random.default_rng([seed, *name.encode(), *mechanism.encode()])
    whole, holes = scene.make(rng, mechanism)
    found = {"full data": _read(scene, scene.fit(whole))}
    found["complete rows"] = _read(scene, scene.fit(holes.dropna().reset_index(drop=True)))
    for method, impute in scene.methods.items():
        try:
            found[method] = _read(scene, impute(holes, seed).fit(scene.fit))
        except RecoveryError:
            continue
    return found


def _read(scene: Scene, fit: Any) -> tuple[float, float, float, float]:
    row = fit.tidy().set_index("term").loc[scene.term]
    estimate, error, low, high = (
        float(row[c]) for c in ("estimate", "std_error", "conf_low", "conf_high")
    )
    return estimate, error, low, high


def truth_of(scene: Scene, mechanism: str) -> float:
    """Where missing values are worse, what a million people without holes show."""
    if mechanism != "MNAR":
        return scene.truth
    whole, _ = scene.make(np.random.default_rng(1), mechanism, MILLION)
    return _read(scene, scene.fit(whole))[0]


def settle(scene: Scene, mechanism: str, found: Sequence[Found]) -> Iterator[str]:
    """The rows of a table for one mechanism."""
    return rows_of(mechanism, found, truth_of(scene, mechanism))


def rows_of(mechanism: str, found: Sequence[Found], truth: float) -> Iterator[str]:
    """Bias and coverage of every method, in units of the error of "full data"."""
    unit = float(np.std([f["full data"][0] for f in found], ddof=1))
    for method in found[0]:
        values = np.array([f[method] for f in found if method in f])
        n = len(values)
        bias, error = float(values[:, 0].mean()) - truth, float(values[:, 0].std(ddof=1))
        held = (values[:, 2] <= truth) & (truth <= values[:, 3])
        share, bias_se = float(held.mean()), error / math.sqrt(n)
        share_se = math.sqrt(max(share * (1 - share), 0.01) / n)
        marks = ["bias"] if (abs(bias) - 2 * bias_se) / unit > MOST else []
        marks += ["coverage"] if share + 2 * share_se < LOW or share - 2 * share_se > HIGH else []
        yield (
            f"| {mechanism} | {method} | {bias:+.3f} ({bias_se:.3f}) | {bias / unit:+.2f} | "
            f"{error:.3f} | {values[:, 1].mean():.3f} | {100 * share:.1f} ({100 * share_se:.1f}) | "
            f"{n} | {', '.join(marks)} |"
        )


def report(scenes: Sequence[Scene], replicates: int | None, jobs: int) -> str:
    begun = time.perf_counter()
    lines = ["# Missing values: bias and coverage", "", *(__doc__ or "").split("\n\n")[2:]]
    with ProcessPoolExecutor(jobs) as pool:
        for scene in scenes:
            count = replicates or scene.replicates
            lines += ["", f"## {scene.name}", "", f"{scene.words}; truth {scene.truth:g}.", ""]
            lines += [HEAD, "|---" * HEAD.count(" | ") + "|---|"]
            for mechanism in scene.mechanisms:
                work = partial(once, scene.name, mechanism)
                found = list(pool.map(work, range(count), chunksize=5))
                lines += settle(scene, mechanism, found)
            print(f"{scene.name}: {time.perf_counter() - begun:.0f} s", file=sys.stderr)
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--replicates", type=int)
    parser.add_argument("--only", default="")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--write", type=Path)
    asked = parser.parse_args()
    names = [n for n in asked.only.split(",") if n]
    text = report([s for s in SCENES if not names or s.name in names], asked.replicates, asked.jobs)
    print(text)
    if asked.write:
        asked.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
