"""Clone, censor, weight: by hand, by brute force, and where it must collapse."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from recovery_stats.engines import glm, strategy, strategy_told, strategy_weight
from recovery_stats.engines.strategy_course import Course, Strategy
from recovery_stats.errors import NotEstimable
from tests.tolerance import CLOSED_FORM

WIDTH, BLOCKS = 4, 5
MANY, FEW = Strategy("many", 3, 4), Strategy("few", 0, 2)


def course(seed: int = 4, people: int = 500, history: int = 1) -> Course:
    """People whose history drives both attendance and events; some die, some are lost."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((people, BLOCKS, history))
    count = rng.binomial(WIDTH, expit(0.5 * z.sum(2)))
    time = np.full(people, float(WIDTH * BLOCKS))
    cause = np.zeros(people, dtype=int)
    lost = np.zeros(people, dtype=bool)
    for b in range(BLOCKS):
        for j in range(WIDTH):
            here = time == WIDTH * BLOCKS
            u = rng.random(people)
            hazard = 0.04 * np.exp(-0.5 * z[:, b].sum(1))
            for code, low, high in ((1, 0, hazard), (2, 0.9, 0.91), (3, 0.95, 0.97)):
                hit = here & (cause == 0) & ~lost & (u >= low) & (u < high)
                time[hit] = b * WIDTH + j + 1.0
                cause[hit] = code if code < 3 else 0
                lost |= hit & (code == 3)
    ends = WIDTH * (1 + np.arange(BLOCKS))
    done = (time[:, None] > ends) | ((time[:, None] == ends) & (cause[:, None] == 0))
    return Course(
        time,
        cause,
        lost,
        np.where(done, count, np.nan),
        z,
        np.arange(people),
        WIDTH,
        np.ones(people),
    )


def test_grace_forgives_one_block_but_not_two_running():
    count = np.array([[0.0, 3.0, 0.0, 0.0, 3.0], [3.0, 3.0, 3.0, 3.0, 0.0]])
    one = Course(
        np.full(2, 20.0), np.zeros(2, int), np.zeros(2, bool), count, np.zeros((2, 5, 0)),
        np.arange(2), WIDTH, np.ones(2),
    )  # fmt: skip
    assert strategy.clone(one, MANY, grace=1).ends.tolist() == [4, 6]
    assert strategy.clone(one, MANY, grace=0).ends.tolist() == [1, 5]
    assert strategy.clone(one, MANY, grace=2).ends.tolist() == [6, 6]


def test_an_event_in_mid_block_is_an_event_in_both_strategies():
    """One person, no completed block: each clone has the event on day 2."""
    one = Course(
        np.array([2.0, 20.0]), np.array([1, 0]), np.zeros(2, bool),
        np.array([[np.nan] * 5, [3.0] * 5]), np.zeros((2, 5, 0)), np.arange(2), WIDTH, np.ones(2),
    )  # fmt: skip
    arms = strategy.emulate(one, (MANY, FEW), days=20, grace=0).weigh(np.ones(2))
    assert [arm.incidence[0, 1] for arm in arms] == [0.0, 0.0]
    assert [arm.incidence[0, 2] for arm in arms] == [0.5, 0.5]


def test_a_strategy_nobody_leaves_is_the_aalen_johansen_estimate():
    c = course()
    free = Course(
        c.time, c.cause, np.zeros(len(c.time), bool), c.count, c.history, c.cluster, 4, c.base
    )
    anything = Strategy("anything", 0, 4)
    arms = strategy.emulate(free, (anything, MANY), days=20).weigh(np.ones(len(c.time)))
    left, expected = 1.0, np.zeros(2)
    for day in range(1, 21):
        at_risk = (c.time >= day).sum()
        events = np.array([((c.time == day) & (c.cause == k)).sum() for k in (1, 2)])
        expected += left * events / at_risk
        left *= 1 - events.sum() / at_risk
    np.testing.assert_allclose(arms[0].incidence[:, -1], expected, rtol=CLOSED_FORM)
    assert (arms[0].weight[arms[0].weight > 0] == 1).all()


def follow_clone(c: Course, asked: Strategy, grace: int, i: int):
    """Blocks that the clone of person i is in, and (block, deviates) where one decides."""
    out = [bool(np.isfinite(x)) and not asked.low <= x <= asked.high for x in c.count[i]]
    followed, decided = [], []
    for b in range(BLOCKS):
        if c.time[i] <= b * WIDTH:
            break
        followed.append(b)
        late = b >= grace and all(out[b - k] for k in range(1, grace + 1))
        if late and np.isfinite(c.count[i, b]):
            decided.append((b, out[b]))
            if out[b]:
                break
    return followed, decided


def chances(c: Course, outcome: dict[tuple[int, int], bool]) -> dict[tuple[int, int], float]:
    """Fitted chance of each (person, block)."""
    design = np.array([[b / 4, (b / 4) ** 2, *c.history[i, b]] for i, b in outcome])
    design = np.column_stack([np.ones(len(design)), (design - design.mean(0)) / design.std(0)])
    y = np.array(list(outcome.values()), dtype=float)
    fitted = expit(design @ strategy_weight.ridge_logistic(design, y, np.ones(len(y))))
    return dict(zip(outcome, fitted, strict=True))


def by_brute_force(c: Course, asked: Strategy, grace: int) -> float:
    """Risk by the horizon with clones, censoring and weights followed one by one."""
    people = range(len(c.time))
    paths = [follow_clone(c, asked, grace, i) for i in people]
    deviate = chances(c, {(i, b): out for i in people for b, out in paths[i][1]})
    last = [int(np.ceil(t / WIDTH)) - 1 for t in c.time]
    stays = {(i, b): False for i in people for b in range(BLOCKS) if np.isfinite(c.count[i, b])}
    gone = chances(c, stays | {(i, last[i]): True for i in people if c.lost[i]})
    weight = {
        (i, b): 1.0 / np.prod([(1 - deviate.get((i, e), 0.0)) * (1 - gone[i, e]) for e in range(b)])
        for i in people
        for b in paths[i][0]
    }
    left, risk = 1.0, 0.0
    for day in range(1, WIDTH * BLOCKS + 1):
        b = (day - 1) // WIDTH
        at = [i for i in people if (i, b) in weight and c.time[i] >= day]
        total = sum(weight[i, b] for i in at)
        hit = [
            sum(weight[i, b] for i in at if c.time[i] == day and c.cause[i] == k) for k in (1, 2)
        ]
        risk += left * hit[0] / total if at else 0.0
        left *= 1 - sum(hit) / total if at else 1.0
    return risk


@pytest.mark.parametrize("grace", [0, 1])
def test_every_clone_by_hand(grace):
    c = course(people=200)
    arms = strategy.emulate(c, (MANY, FEW), days=20, grace=grace).weigh(np.ones(200))
    for arm, asked in zip(arms, (MANY, FEW), strict=True):
        assert arm.incidence[0, -1] == pytest.approx(by_brute_force(c, asked, grace), rel=1e-9)


def test_drawing_a_person_twice_is_that_person_twice():
    c = course(people=150)
    twice = np.repeat(np.arange(150), 2)
    double = Course(
        c.time[twice], c.cause[twice], c.lost[twice], c.count[twice], c.history[twice],
        np.arange(300), WIDTH, np.ones(300),
    )  # fmt: skip
    weighted = strategy.emulate(c, (MANY, FEW), days=20).weigh(np.full(150, 2.0))
    repeated = strategy.emulate(double, (MANY, FEW), days=20).weigh(np.ones(300))
    np.testing.assert_allclose(
        strategy_told.summarise(weighted, 4), strategy_told.summarise(repeated, 4), rtol=1e-9
    )


def test_the_ridge_is_weak():
    """On ordinary data the chances are those of plain logistic regression to about a percent."""
    rng = np.random.default_rng(8)
    X = np.column_stack([np.ones(2000), rng.standard_normal((2000, 3))])
    y = (rng.random(2000) < expit(X @ [0.2, 0.8, -0.5, 0.0])).astype(float)
    ours = strategy_weight.ridge_logistic(X, y, np.ones(2000))
    np.testing.assert_allclose(ours, glm.logistic(X, y).beta, atol=0.002)


def test_separated_outcomes_leave_finite_chances():
    X = np.column_stack([np.ones(20), np.repeat([-1.0, 1.0], 10)])
    y = np.repeat([0.0, 1.0], 10)
    assert np.abs(strategy_weight.ridge_logistic(X, y, np.ones(20))).max() < 20


def test_the_bootstrap_depends_on_nothing_but_the_seed():
    emulation = strategy.emulate(course(people=150), (MANY, FEW), days=20)
    some, more = (strategy_told.bootstrap(emulation, r, 9) for r in (3, 5))
    np.testing.assert_array_equal(some, more[:3])
    assert not np.array_equal(some, strategy_told.bootstrap(emulation, 3, 10))


def test_whole_clusters_are_drawn():
    c = course(people=120)
    pairs = Course(c.time, c.cause, c.lost, c.count, c.history, np.arange(120) // 2, WIDTH, c.base)
    drawn = []
    emulation = strategy.emulate(pairs, (MANY, FEW), days=20)
    weigh = type(emulation).weigh
    try:
        type(emulation).weigh = lambda self, w: drawn.append(w) or weigh(self, w)
        strategy_told.bootstrap(emulation, 2, 1)
    finally:
        type(emulation).weigh = weigh
    for w in drawn:
        assert (w[::2] == w[1::2]).all()
        assert w.sum() == 120


def test_too_few_to_the_end_is_refused():
    arms = strategy.emulate(course(people=150), (MANY, FEW), days=20).weigh(np.ones(150))
    with pytest.raises(NotEstimable, match="'many' is followed by too few: from block"):
        strategy_told.refuse_thin(arms, (MANY, FEW), 1e6)


def test_the_largest_weights_are_cut():
    c = course()
    arm = strategy.emulate(c, (MANY, FEW), days=20, truncate=0.05).weigh(np.ones(500))[0]
    whole = strategy.emulate(c, (MANY, FEW), days=20).weigh(np.ones(500))[0]
    positive = whole.weight[whole.weight > 0]
    assert arm.weight.max() == pytest.approx(np.quantile(positive, 0.95))
    assert arm.truncated == (positive > np.quantile(positive, 0.95)).sum()
