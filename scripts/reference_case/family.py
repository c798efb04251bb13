"""The family and outcome of a generalised model, as R's users write them."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from recovery_stats.models.token import quote

from .case import CannotAnswer, Case

WRITTEN = re.compile(
    r"\s*(?:\w+::)?([\w. -]+?)\s*(?:\(\s*(?:link\s*=\s*)?[\"']?([\w-]+)?[\"']?\s*\))?\s*"
)
OURS = {
    "binomial": "binomial", "bernoulli": "binomial", "poisson": "poisson",
    "negativebinomial": "negative-binomial", "negbinomial": "negative-binomial",
    "negbin": "negative-binomial", "nbinom2": "negative-binomial", "nb": "negative-binomial",
    "betabinomial": "beta-binomial", "ordinal": "ordinal", "cumulative": "ordinal",
    "cumulativelogit": "ordinal", "proportionalodds": "ordinal",
}  # fmt: skip
LINKS = {"poisson": "log", "negative-binomial": "log"}
BY_KIND = {"clmm": "ordinal", "clmm2": "ordinal", "glmer.nb": "negative-binomial"}


def family_of(case: Case) -> str:
    """Our name of the family; CannotAnswer for another family, or a link that is not its own."""
    default = BY_KIND.get(case.kind, "binomial")
    text = str(case.option("family", default=default))
    told = WRITTEN.fullmatch(text)
    family = OURS.get(re.sub(r"[^a-z0-9]", "", told[1].lower())) if told else None
    if family is None or told is None:
        raise CannotAnswer(f"mixed models of the family {text!r} are not offered")
    link = str(case.option("link") or told[2] or LINKS.get(family, "logit")).lower()
    if link != LINKS.get(family, "logit"):
        raise CannotAnswer(f"family {family!r} with link {link!r} is not offered")
    return family


def counted(case: Case, family: str) -> tuple[str, pd.DataFrame, str | None]:
    """Formula, frame and weights in our terms.

    A factor's first level is a failure in R, and a share with weights means successes of trials.
    """
    left, _, right = case.formula.partition("~")
    name, weights = left.strip().strip("`"), case.option("weights")
    frame = case.frame
    if family not in ("binomial", "beta-binomial") or name not in frame:
        return case.formula, frame, weights
    if isinstance(frame[name].dtype, pd.CategoricalDtype) or frame[name].dtype == object:
        codes = frame[name].astype("category").cat.codes.to_numpy()
        return case.formula, frame.assign(**{name: np.where(codes < 0, np.nan, codes > 0)}), weights
    y = frame[name].to_numpy(float)
    if weights is None or np.isin(y[~np.isnan(y)], (0.0, 1.0)).all():
        return case.formula, frame, weights
    trials = frame[weights].to_numpy(float)
    successes = np.round(y * trials)
    if not np.allclose(successes, y * trials, atol=1e-4, equal_nan=True):
        raise CannotAnswer("the outcome times its weights is no count")
    parts = {"(successes)": successes, "(failures)": trials - successes}
    both = ", ".join(quote(c) for c in parts)
    return f"cbind({both}) ~{right}", frame.assign(**parts), None
