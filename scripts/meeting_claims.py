"""A part of scripts/meeting_recovery.py: what must hold of the answers, and the tables.

Kinds of claims: an "estimate" is unbiased, with honest errors and coverage; a "size" rejects as
often as it should; a "naive" test rejects nearly always although nothing works; an "excess" test
rejects too often; an estimate that "misses" has intervals that leave the truth out; "between"
asks that a range holds the truth; a "limit" is an estimate where the method is known not to
reach so far, told and not counted; the rest is "shown".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from meeting_study import LAGS

import recovery_stats as rs

Kind = Literal["estimate", "limit", "size", "naive", "excess", "misses", "between", "shown"]
Truth = tuple[str, str] | float | None  # a preset and the name of its truth, or a number
SIZE, COVERAGE, WIDE, RATIO = (0.03, 0.07), (0.93, 0.97), (0.90, 0.99), (0.95, 1.05)
NEARLY_ALWAYS = 0.95


@dataclass(frozen=True, slots=True)
class Claim:
    """One answer, its truth (`sign` times), and what must hold of it."""

    title: str
    answer: str
    truth: Truth = None
    kind: Kind = "estimate"
    sign: float = 1.0
    coverage: tuple[float, float] = COVERAGE

    @property
    def target(self) -> float:
        """The truth; nan without one."""
        if isinstance(self.truth, tuple):
            return self.sign * float(truths(self.truth[0])[self.truth[1]])
        return math.nan if self.truth is None else self.truth

    @property
    def target_error(self) -> float:
        """Monte Carlo error of a simulated truth."""
        if not isinstance(self.truth, tuple):
            return 0.0
        preset, name = self.truth
        return float(truths(preset)["monte_carlo_error"].get(name, 0.0))


Check = tuple[float, float, float, float]  # a value, its band, and its Monte Carlo error


@cache
def truths(preset: str) -> Mapping:
    return rs.synthetic_study(preset, persons=20, seed=1).truth


def risk_claims(preset: str, spacing: str, middle: str, kind: Kind = "estimate") -> Iterator[Claim]:
    """Risks by frequency, and the difference of three and one a week, of that kind."""
    words = "evenly spaced" if spacing == "even" else "on random days"
    for k in range(8):
        name = f"risk_12m_{middle}k{k}"
        yield Claim(f"12-month risk, {k} a week {words}", f"{spacing}_{k}", (preset, name), kind)
    name = f"risk_difference_12m_{middle}3v1"
    yield Claim(f"Risk difference, 3 v 1 {words}", f"{spacing}_difference", (preset, name), kind)


def strength_claims(kind: Kind = "estimate") -> tuple[Claim, ...]:
    return (
        Claim("Log hazard just after a meeting", "theta", (PLAIN, "theta"), kind, sign=-1.0),
        Claim("Log hazard on the day after a meeting", "day_after", -(2.0**-0.5)),
        Claim("Log half-life", "half_life", LOG_TWO),
        Claim("Log hazard in a house", "house", (PLAIN, "b_house")),
    )


def shape_claims(preset: str) -> tuple[Claim, ...]:
    return (
        Claim("Log hazard at an exposure of 1", "theta", (preset, "theta"), sign=-1.0),
        Claim("Log half-life", "half_life", LOG_TWO),
        Claim("Log hazard in a house", "house", (preset, "b_house")),
    )


PLAIN = "plain-without-frailty"
LOG_TWO = math.log(2.0)


def strategy_claims(preset: str, kind: Kind = "estimate") -> tuple[Claim, ...]:
    return (
        Claim("Risk, three or more a week", "three", (preset, "sustained_12m_three"),
              coverage=WIDE),
        Claim("Risk, one a week", "one", (preset, "sustained_12m_one"), coverage=WIDE),
        Claim("Risk difference", "difference", (preset, "sustained_difference_12m"), kind,
              coverage=WIDE),
        Claim("Least effective number in a block", "followed", None, "shown"),
    )  # fmt: skip


def lag_claims(kinds: Sequence[Kind]) -> tuple[Claim, ...]:
    """Log hazard per meeting of a week, by lag, against no effect or shown."""
    return tuple(
        Claim(f"Log hazard per meeting in 7 days, {lag} days earlier", f"lag_{lag}", None, kind)
        for lag, kind in zip(LAGS, kinds, strict=True)
    )


def tipping_claims(truth: Truth, exact: Kind) -> tuple[Claim, ...]:
    """Three meetings in the last week against one; the truth is that of one meeting."""
    return (
        Claim("Without motivation", "hidden", truth, "misses", sign=2.0),
        Claim("Tipping point less the true difference, SD", "needed",
              0.0 if exact == "estimate" else None, exact),
        Claim("Moved by the true difference at the true strength", "moved", truth, sign=2.0),
        Claim("Moved by it at the strengths of the tipping table", "range", truth, "between",
              sign=2.0),
        Claim("True difference in motivation, SD", "apart", None, "shown"),
    )  # fmt: skip


CLAIMS: Mapping[str, tuple[Claim, ...]] = {
    "kernel": strength_claims(),
    "sum": shape_claims("sum-kernel"),
    "saturating": shape_claims("saturating-kernel"),
    "kernel_small": (
        *strength_claims("limit"),
        *risk_claims(PLAIN, "even", ""),
        *risk_claims(PLAIN, "random", "random_"),
        Claim("Log hazard per meeting in 7 days", "weekly", (PLAIN, "cox_week_meetings")),
    ),
    "kernel_frailty": (
        *risk_claims("plain", "even", "", "limit"),
        *risk_claims("plain", "random", "random_", "limit"),
        Claim("Log hazard per meeting in 7 days", "weekly", ("plain", "cox_week_meetings")),
    ),
    "kernel_wrong": (Claim("Log half-life", "half_life", LOG_TWO, "misses"),),
    "null": (
        *(Claim(f"Log hazard per meeting in {w} days", f"window_{w}", 0.0, "size")
          for w in (7, 14, 28)),
        Claim("Three or four against one or two in 7 days", "threshold", 0.0, "size"),
        Claim("Spline of the meetings in 28 days", "spline", None, "size"),
        Claim("Meetings in 7 days, at equal recency", "often", 0.0, "size"),
        Claim("Recency of the last, at equal meetings in 7 days", "recent", 0.0, "size"),
        Claim("Largest score over named half-lives", "kernel", None, "size"),
        Claim("Step windows of up to 28 days", "steps", None, "size"),
        Claim("Curve over the lags (weighted cumulative exposure)", "curve", None, "size"),
        Claim("Residence in a house", "house", 0.0, "size"),
        Claim("Marginal structural model, per weekly meeting", "marginal", 0.0, "size"),
        Claim("χ² with 1 df at the best half-life", "best", None, "excess"),
        Claim("Naive: meetings of the whole follow-up", "naive", 0.0, "naive"),
    ),
    "feedback": (
        *strategy_claims("feedback"),
        Claim("Cox with motivation of each week: 3 v 1 against the strategies", "cox_weekly",
              ("feedback", "sustained_difference_12m"), "misses"),
        Claim("The same against 3 v 1 forced", "cox_weekly",
              ("feedback", "risk_difference_12m_3v1"), "misses"),
        Claim("Cox with motivation at entry: 3 v 1 against the strategies", "cox_entry",
              ("feedback", "sustained_difference_12m"), "shown"),
        Claim("The same against 3 v 1 forced", "cox_entry",
              ("feedback", "risk_difference_12m_3v1"), "shown"),
    ),
    "strategies_null": (
        *strategy_claims("null"),
        Claim("Risk difference, test of no effect", "difference", 0.0, "size"),
        Claim("Log risk ratio, test of no effect", "ratio", 0.0, "size"),
        Claim("Days free of relapse, test of no effect", "days_free", 0.0, "size"),
    ),
    "policy": (Claim("Risk difference, one more a week", "difference", 0.0, "size"),),
    "lag": lag_claims(("shown",) * 4),
    "lag_prodrome": lag_claims(("shown",) * 4),
    "lag_only": lag_claims(("naive", "naive", "size", "size")),
    "unmeasured": tipping_claims(("unmeasured", "cox_week_meetings"), "shown"),
    "unmeasured_null": tipping_claims(0.0, "estimate"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """One claim over the studies: mean, spread, model error; shares that cover and reject.

    model: root of the mean squared standard error, as variances are what can be unbiased;
    model_spread: coefficient of variation of the squared errors (Morris, White & Crowther 2019).
    """

    claim: Claim
    n: int
    mean: float
    empirical: float
    model: float
    model_spread: float
    coverage: float
    rejection: float

    @property
    def bias(self) -> float:
        return self.mean - self.claim.target

    @property
    def bias_error(self) -> float:
        return math.hypot(self.empirical / math.sqrt(self.n), self.claim.target_error)

    @property
    def ratio(self) -> float:
        return self.model / self.empirical if self.empirical else math.nan

    @property
    def ratio_error(self) -> float:
        """Of both its parts, for normal estimates (Morris, White & Crowther 2019, table 6)."""
        model = self.model_spread**2 / (4 * self.n)
        return self.ratio * math.sqrt(model + 1 / (2 * (self.n - 1)))

    def share_error(self, share: float) -> float:
        return math.sqrt(max(share * (1 - share), 0.0) / self.n)

    def share_in(self, share: float, band: tuple[float, float]) -> Check:
        """The share against its band; the error is that of a share at the edge it lies beyond."""
        return share, *band, self.share_error(band[0] if share < band[0] else band[1])

    @property
    def verdict(self) -> str:
        checks = CHECKS.get(self.claim.kind)
        if checks is None:
            return "–"
        worst = max(self.distance(*check) for check in checks(self))
        if worst <= 2:
            return "yes" if worst <= 0 else "within error"
        return "known limit" if self.claim.kind == "limit" else "NO"

    @staticmethod
    def distance(value: float, low: float, high: float, error: float) -> float:
        """How many Monte Carlo errors the value lies outside; 0 inside."""
        outside = max(low - value, value - high)
        if math.isnan(outside):
            return math.inf
        return 0.0 if outside <= 0 else outside / max(error, 1e-12)


def of_estimate(line: Line) -> tuple[Check, ...]:
    allowed = 0.1 * line.empirical + 2 * line.bias_error
    coverage = line.share_in(line.coverage, line.claim.coverage)
    # two Monte Carlo errors are in the band of the bias already: none is forgiven again
    return (line.bias, -allowed, allowed, 0.0), (line.ratio, *RATIO, line.ratio_error), coverage


def of_size(line: Line) -> tuple[Check, ...]:
    return (line.share_in(line.rejection, SIZE),)


CHECKS: Mapping[str, Callable[[Line], tuple[Check, ...]]] = {
    "estimate": of_estimate,
    "limit": of_estimate,
    "size": of_size,
    "naive": lambda line: ((line.rejection, NEARLY_ALWAYS, 1.0, 0.0),),
    "excess": lambda line: ((line.rejection, SIZE[1], 1.0, 0.0),),
    "misses": lambda line: ((line.coverage, 0.0, WIDE[0], 0.0),),
    "between": lambda line: ((line.coverage, COVERAGE[0], 1.0, 0.0),),
}


def lines(claims: Sequence[Claim], answers: Sequence[Mapping]) -> Iterator[Line]:
    """The performance of each claim over the studies that could be estimated."""
    for claim in claims:
        column = [a[claim.answer] for a in answers]
        values = [v for v, *_ in column]
        n, mean = len(column), average(values)
        spread = math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1))
        covers = [float(low <= claim.target <= high) for _, _, low, high, _ in column]
        rejects = [float(p < 0.05) for *_, p in column]
        model, model_spread = root_mean_square([a[1] for a in column])
        yield Line(claim, n, mean, spread, model, model_spread, average(covers), average(rejects))


def root_mean_square(errors: Sequence[float]) -> tuple[float, float]:
    """Root of the mean of squares, and the coefficient of variation of the squares."""
    squares = [e**2 for e in errors]
    mean = average(squares)
    if not mean > 0:
        return math.nan, math.nan
    variance = average([(s - mean) ** 2 for s in squares])
    return math.sqrt(mean), math.sqrt(variance) / mean


def average(values: Sequence[float]) -> float:
    return sum(values) / len(values)


HEAD = (
    "Claim", "Truth", "Mean", "Bias (MC error)", "Empirical SE", "Model / empirical SE (MC error)",
    "Coverage (MC error)", "Rejects 0 (MC error)", "Holds",
)  # fmt: skip
# what a claim of each kind asks of coverage and of rejection
COVERS = ("estimate", "limit", "misses", "between", "shown")
REJECTS = ("size", "naive", "excess", "shown", "estimate", "limit")


def table(found: Sequence[Line]) -> Iterator[str]:
    """The lines as a Markdown table; a dash where a number has no meaning."""
    yield f"| {' | '.join(HEAD)} |"
    yield "|:---|---:|---:|---:|---:|---:|---:|---:|:---|"
    for line in found:
        yield f"| {' | '.join(cells(line))} |"


def cells(line: Line) -> Iterator[str]:
    claim = line.claim
    yield claim.title
    yield number(claim.target)
    yield number(line.mean)
    yield number(line.bias, f" ({line.bias_error:.4f})", "+")
    yield number(line.empirical)
    yield number(line.ratio, f" ({line.ratio_error:.3f})", digits=3)
    covered = math.nan if math.isnan(claim.target) else line.coverage
    yield number(covered, f" ({line.share_error(line.coverage):.3f})", digits=3)
    tested = line.rejection if claim.kind in REJECTS else math.nan
    yield number(tested, f" ({line.share_error(line.rejection):.3f})", digits=3)
    yield line.verdict


def number(value: float, after: str = "", sign: str = "", digits: int = 4) -> str:
    return "–" if math.isnan(value) else f"{value:{sign}.{digits}f}{after}"
