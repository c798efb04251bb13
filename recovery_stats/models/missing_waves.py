"""The contrast at the last visit from every visit: the mixed model for repeated measures.

Means by visit and arm, the covariance of the visits without a pattern (unstructured), covariates
with an effect of their own at each visit; Kenward and Roger's degrees of freedom. Right where,
given the visits seen, being away does not depend on what would have been seen.
Source: Mallinckrodt et al. 2008 (Drug Inf J 42:303).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pandas as pd

from recovery_stats.core.estimate import Estimate
from recovery_stats.models.formula import quote
from recovery_stats.models.missing_contrast import ARM, OUTCOME, Assumed, Contrast, attempt
from recovery_stats.models.mixed import lmm

NAME, LABEL = "repeated", "Mixed model, all visits (MMRM)"
PERSON, VISIT, VALUE = "person.", "visit.", "value."


def repeated_measures(contrast: Contrast) -> Iterator[Assumed]:
    """The difference at the last visit, where the outcome is a number seen at earlier visits."""
    if contrast.binary or not contrast.earlier:
        return
    told = "Given arm, covariates and the visits seen, a visit missed is like one held."
    yield attempt(partial(_fitted, contrast), NAME, LABEL, told, "At random")


def _fitted(contrast: Contrast) -> Estimate:
    known = contrast.known(outcome=False)
    visits = [*contrast.earlier, OUTCOME]
    frame = known.data.frame[[ARM, *contrast.adjust, *visits]].reset_index(drop=True)
    long = frame.melt([ARM, *contrast.adjust], visits, VISIT, VALUE, ignore_index=False)
    long[VISIT] = pd.Categorical(long[VISIT].map({v: f"v{k}" for k, v in enumerate(visits)}))
    long = long.rename_axis(PERSON).reset_index().dropna(subset=VALUE).reset_index(drop=True)
    visit = quote(VISIT)
    terms = [visit, f"{visit}:{quote(ARM)}"]
    terms += [t for c in contrast.adjust for t in (quote(c), f"{visit}:{quote(c)}")]
    data = known.data.with_frame(long)
    fit = lmm(
        f"{quote(VALUE)} ~ {quote(ARM)} + " + " + ".join(terms), data, residual="unstructured",
        residual_by=f"{visit} | {quote(PERSON)}", df="kenward-roger",
    )  # fmt: skip
    last = f"v{len(visits) - 1}"
    product = [t for t in fit.terms if ARM in t and f"[T.{last}]" in t]
    weights = {ARM: 1.0, **dict.fromkeys(product, 1.0)}
    found = fit.estimate(
        weights, name=NAME, label=LABEL, level=contrast.level, rank="sensitivity",
    )  # fmt: skip
    return replace(found, n=int(long[PERSON].nunique()))
