"""How strong something unmeasured would have to be to make all of an estimate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isfinite

from recovery_stats.core.cell import Cell, Quantity, Ref
from recovery_stats.core.document import Column, Row, Table
from recovery_stats.core.estimate import Estimate
from recovery_stats.models.risk import approximate_risk_ratio, e_value
from recovery_stats.models.tipping import needed_difference, needed_ratio

# Ratios the E-value is told for; whether they are hazard ratios of an outcome that is common.
RATIOS = {"strategy_ratio": False, "weekly_7": True, "protection": True, "marginal": True}
MOTIVATION = (0.9, 0.8, 0.67, 0.5, 0.33)  # hazard ratios of an unmeasured motivation
WITH_EXPOSURE = (1.25, 1.5, 2.0, 3.0, 5.0)  # risk ratios of something unmeasured with the strategy
CANNOT = "none would"


def bias_tables(named: Mapping[str, Estimate]) -> Iterator[Table]:
    """E-values, and the tipping point of an unmeasured motivation."""
    told = [n for n in RATIOS if n in named]
    if told:
        yield _e_values(named, told)
    if "weekly_7" in named or "strategy_ratio" in named:
        yield _tipping(named)


def _e_values(named: Mapping[str, Estimate], told: list[str]) -> Table:
    rows = []
    for name in told:
        e, common = named[name], RATIOS[name]
        nearer = e.low if e.value >= 1 else e.high
        covers = e.low <= 1 <= e.high
        limit = 1.0 if covers or not isfinite(nearer) else e_value(_risk(nearer, common))
        cells: tuple[Cell, ...] = (
            Ref(name, "interval"),
            Quantity(e_value(_risk(e.value, common)), "ratio"),
            Quantity(limit, "ratio"),
        )
        rows.append(Row(f"e[{name}]", e.label, cells))
    return Table(
        "e_values",
        "E-values of the ratios",
        (
            Column("ratio", "Ratio"),
            Column("e", "E-value"),
            Column("e_limit", "E-value of the limit"),
        ),
        tuple(rows),
        (
            "The least strength, as a risk ratio with attendance and with relapse, that something "
            "unmeasured would need to make the whole ratio, or to move its interval to 1 "
            "(VanderWeele & Ding 2017). Hazard ratios are turned into risk ratios first, as "
            "relapse is common. There is no E-value of a risk difference or of a difference in "
            "days.",
        ),
    )


def _risk(ratio: float, common: bool) -> float:
    return approximate_risk_ratio(ratio, "hazard_ratio") if common else ratio


def _tipping(named: Mapping[str, Estimate]) -> Table:
    """Motivation of a stated strength: how unequal it must be between three a week and one."""
    rows: list[Row] = []
    if "weekly_7" in named:
        observed = named["weekly_7"].value ** 2
        rows.append(Row("head[hazard]", "Unmeasured motivation, of hazard ratio"))
        for i, ratio in enumerate(MOTIVATION):
            cells = (_needed(observed, ratio, "binary"), _needed(observed, ratio, "normal"), "")
            rows.append(Row(f"motivation[{i}]", f"{ratio:g}", cells, 1))
    if "strategy_ratio" in named:
        rows.append(Row("head[risk]", "Anything unmeasured, of risk ratio with the strategy"))
        for i, with_exposure in enumerate(WITH_EXPOSURE):
            found = needed_ratio(named["strategy_ratio"].value, with_exposure)
            cell: Cell = Quantity(found, "ratio") if isfinite(found) else CANNOT
            rows.append(Row(f"bounding[{i}]", f"{with_exposure:g}", ("", "", cell), 1))
    return Table(
        "tipping",
        "What would move the estimate to no effect",
        (
            Column("share", "Difference in shares"),
            Column("sd", "Difference in means, SD"),
            Column("risk", "Risk ratio with relapse"),
        ),
        tuple(rows),
        (
            "Upper part: the hazard ratio of three in the last seven days against one, were it "
            "bias alone. Motivation is present or absent (first column, its shares around a half) "
            "or normal (second column; the hazard ratio is that of one SD), and more of it goes "
            "with more attended; negative: less of it would have to (Lin, Psaty & Kronmal 1998). "
            "Lower part: the risk ratio of the strategies and the bounding factor of Ding & "
            "VanderWeele (2016). None would: no strength in that row is enough.",
        ),
        (),
        "Strength",
    )


def _needed(observed: float, ratio: float, kind: str) -> Cell:
    found = needed_difference(observed, ratio, kind)  # type: ignore[arg-type]
    return Quantity(found) if isfinite(found) else CANNOT
