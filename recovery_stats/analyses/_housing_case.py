"""What `collaborative_housing` has in hand: the question with its columns, and what was found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from recovery_stats.analyses._part import Part
from recovery_stats.analyses._wording import short
from recovery_stats.core.dataset import Dataset, Step
from recovery_stats.core.estimate import Estimate, Level
from recovery_stats.core.study import Study
from recovery_stats.errors import UsageError
from recovery_stats.models.balance import Balance
from recovery_stats.models.comparison import Clusters, Likeness, Primary
from recovery_stats.models.level import Joined, join
from recovery_stats.models.missing_contrast import Contrast, with_coded
from recovery_stats.models.mixed import MixedFit
from recovery_stats.models.outcome import Reading
from recovery_stats.models.residence import TimeColumns, Times

if TYPE_CHECKING:
    from recovery_stats.analyses._housing_question import Question
    from recovery_stats.analyses._housing_rct import TrialAnswer

ARM, OUTCOME, STRATUM = "arm|", "outcome|", "stratum|"
THIN = 0.1  # share of the people in the smaller arm


@dataclass(frozen=True, slots=True)
class Asked:
    """The question, with every column it needs known to be named.

    word: what a cluster is called in sentences ("house", "site", "cluster").
    """

    person: str | None
    arm: str
    outcome: str | None
    outcome_level: str | None
    time: str | None
    event: str | None
    entry: str | None
    cluster: str | None
    site: str | None
    word: str
    adjust: tuple[str, ...]
    weights: str | None
    reference: str | None
    design: str
    level: float
    stays: tuple[str, str, str] | None
    notes: tuple[str, ...]
    sensitivity: bool
    weighting: str
    balance_stop: float
    seed: int
    moves: tuple[str, str, str, str] | None
    treatment: str | None = None
    kind: str = "auto"
    out_of: float | str | None = None
    cause: str | None = None
    lost_cause: str = ""
    earlier: tuple[str, ...] = ()
    described: tuple[str, ...] = ()

    @classmethod
    def of(cls, q: Question, study: Study) -> Asked:
        if q.arm is None:
            raise UsageError("collaborative_housing needs --arm COLUMN: the two groups compared.")
        timed = q.time is not None and q.event is not None
        if q.outcome is None and not timed:
            raise UsageError(
                "collaborative_housing needs --outcome COLUMN, or --time COLUMN with --event "
                "COLUMN; in the study file: outcome, or time and event, under [roles.persons]."
            )
        house, site = q.house or study.role("persons", "house"), study.role("persons", "site")
        cluster = q.cluster or house or site
        if both := [c for c in q.earlier if c in (*q.adjust, q.outcome)]:
            raise UsageError(
                f"Column {both[0]!r} is an earlier visit of the outcome and its covariate or the "
                "outcome itself as well; take it out of 'earlier'."
            )
        for part in ("arm", "outcome", "time", "event", "entry"):
            if getattr(q, part) in q.adjust:
                raise UsageError(
                    f"Column {getattr(q, part)!r} is the {part} and a covariate as well; "
                    "take it out of 'adjust'."
                )
        return cls(
            q.person, q.arm, q.outcome, q.outcome_level, q.time if timed else None,
            q.event if timed else None, q.entry if timed else None, cluster, site,
            _word(cluster, house, site), tuple(dict.fromkeys(q.adjust)), q.weights, q.reference,
            q.design, q.level, _stays(q, study) if timed else None, q.notes, q.sensitivity,
            q.weighting, q.balance_stop, q.seed, _moves(q, study),
            q.treatment, q.outcome_kind or "auto", q.trials or q.out_of,
            q.cause if timed else None, q.lost_cause, q.earlier,
            q.described,
        )  # fmt: skip

    @property
    def own_site(self) -> str | None:
        """The site, where it is another column than the cluster."""
        return self.site if self.site != self.cluster else None

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column of the persons that the question names."""
        single = (self.person, self.arm, self.outcome, self.time, self.event, self.entry,
                  self.cluster, self.weights, self.treatment, self.cause,
                  self.out_of if isinstance(self.out_of, str) else None)  # fmt: skip
        return (*(c for c in single if c), *self.adjust, *self.described, *self.earlier)

    @property
    def tables(self) -> tuple[str, ...]:
        return ("persons", "stays") if self.stays else ("persons",)

    @property
    def timed(self) -> tuple[str, ...]:
        """The columns without which nobody's time to relapse is compared."""
        return tuple(c for c in (self.time, self.event, self.entry, *self.adjust) if c)

    def times(self, strata: str | None) -> TimeColumns:
        """The columns of the comparison of times to relapse."""
        assert self.time is not None
        assert self.event is not None
        return TimeColumns(
            ARM, self.time, self.event, self.entry, self.adjust, self.weights, strata, self.person
        )


def _word(cluster: str | None, house: str | None, site: str | None) -> str:
    """What a cluster is: by its role, else by its name."""
    if cluster is None:
        return "cluster"
    for word, column in (("house", house), ("site", site)):
        if cluster == column or word in cluster.casefold():
            return word
    return "cluster"


def _stays(q: Question, study: Study) -> tuple[str, str, str] | None:
    """Person, start and stop of the stays, where there is such a table of its own."""
    if "stays" not in study or study["stays"] is study["persons"]:
        return None
    person = study.role("stays", "person") or q.person
    if q.person is None or person is None or q.stay_start is None or q.stay_stop is None:
        return None
    return person, q.stay_start, q.stay_stop


def _moves(q: Question, study: Study) -> tuple[str, str, str, str] | None:
    """Person, house, start and stop of the stays, where they tell the house."""
    stays, house = _stays(q, study), study.role("stays", "house")
    return None if stays is None or house is None else (stays[0], house, *stays[1:])


@dataclass(frozen=True, slots=True)
class Analysed:
    """The people behind the primary estimate, before anything is compared.

    eligible: people to whom the outcome applies; data: those with every value that is needed.
    reading: how the outcome is read; None for times to relapse alone.
    """

    eligible: Dataset
    data: Dataset
    reading: Reading | None = None


@dataclass(frozen=True, slots=True)
class OutcomeAnswer:
    """What was found on a yes/no outcome or a number.

    eligible: people to whom the outcome applies; data: those analysed. primary: the fit behind
    the effects, and why its errors are what they are. alike: the likeness within clusters.
    joined: rare levels of covariates that count as another in the models. mixed: the mixed model,
    where there are clusters. chosen: comparisons by weights and pairs, where nobody was drawn.
    moves: residents counted to all their houses.
    """

    reading: Reading
    eligible: Dataset
    data: Dataset
    clusters: Clusters
    primary: Primary
    alike: Likeness | None
    estimates: tuple[Estimate, ...]
    joined: tuple[Joined, ...] = ()
    mixed: MixedFit | None = None
    chosen: Part | None = None
    trial: TrialAnswer | None = None
    moves: Part = field(default_factory=Part)


@dataclass(frozen=True, slots=True)
class Case:
    """Everything that the report tells."""

    asked: Asked
    people: Analysed
    arms: Reading
    balance: tuple[Balance, ...]
    outcome: OutcomeAnswer | None
    times: Times | None
    clusters: Clusters

    @property
    def estimates(self) -> tuple[Estimate, ...]:
        outcome = self.outcome.estimates if self.outcome else ()
        return (*outcome, *(self.times.estimates if self.times else ()))

    @property
    def named(self) -> dict[str, Estimate]:
        return {e.name: e for e in self.estimates}

    @property
    def primary(self) -> Estimate:
        """The one estimate that was declared before the others."""
        return next(e for e in self.estimates if e.level == "primary")

    @property
    def data(self) -> Dataset:
        """The people of the primary estimate; after `join`, where levels were rare."""
        if self.outcome:
            return self.outcome.data
        return self.times.data if self.times else self.people.data

    @property
    def described(self) -> Dataset:
        """The people asked about: those to whom the outcome applies."""
        return self.people.eligible

    @property
    def smaller(self) -> tuple[int, int]:
        """The smaller arm of the primary estimate (0 or 1), and how many people are in it."""
        arm = self.data.frame[ARM].to_numpy(float)
        n = [int(np.sum(arm == a)) for a in (0, 1)]
        return (1, n[1]) if n[1] < n[0] else (0, n[0])

    @property
    def thin(self) -> bool:
        """Whether the smaller arm holds few of the people."""
        return self.smaller[1] < THIN * len(self.data)

    def arm_name(self, arm: int) -> str:
        return self.arms.counted if arm else self.arms.other

    @property
    def flow(self) -> tuple[Step, ...]:
        return self.data.flow


def rank_of_times(asked: Asked) -> Level:
    """Time to relapse is the primary outcome where there is no other."""
    return "secondary" if asked.outcome else "primary"


def drawn_within(asked: Asked, data: Dataset, clusters: Clusters) -> str | None:
    """The column within which people were randomised: sites where there are several, else the
    clusters where arms meet in them."""
    if asked.design != "randomised":
        return None
    if asked.own_site and data.frame[asked.own_site].nunique(dropna=False) > 1:
        return asked.own_site
    return asked.cluster if clusters.structure == "crossed" else None


def had(label: str, reading: Reading) -> str:
    """The outcome with the level that counts, where the label does not say it already."""
    said = ("", "yes", "1", "true", "y", short(label).casefold())
    name = short(label)
    return name if reading.counted.casefold() in said else f"{name}: {reading.counted}"


def missing_contrast(case: Case) -> Contrast | None:
    """The difference whose missing outcomes the panel deals with; None without one."""
    asked, outcome = case.asked, case.outcome
    if outcome is None or not asked.sensitivity:
        return None
    strata = drawn_within(asked, outcome.data, outcome.clusters)
    people = with_coded(outcome.eligible, asked.earlier, outcome.reading)
    return Contrast(
        join(people, outcome.joined), outcome.reading.binary, asked.adjust, asked.earlier,
        cluster=asked.cluster, strata=strata, weights=asked.weights,
        counted=outcome.reading.counted if outcome.reading.binary else "", level=asked.level,
        randomised=asked.design == "randomised",
    )  # fmt: skip
