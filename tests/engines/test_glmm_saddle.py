"""The search of the generalised mixed model leaves a saddle point downhill."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from recovery_stats.engines import glmm_search
from recovery_stats.engines.linalg import Array


@pytest.mark.parametrize(("steep", "size"), [(0.25, 1.0), (5.0, 0.3), (1e6, None)])
def test_a_saddle_is_left_by_the_longest_step_that_goes_down(
    steep: float, size: float | None
) -> None:
    """steep x^4 - x^2 / 2 + y^2 / 2: below zero along x only where x^2 < 1 / (2 steep)."""

    def at(psi: Array, start: Array | None = None) -> SimpleNamespace:
        x, y = psi
        return SimpleNamespace(psi=psi, value=steep * x**4 - x**2 / 2 + y**2 / 2)

    search = SimpleNamespace(at=at, point=at(np.zeros(2)), hessian=np.diag([-1.0, 1.0]))
    found = glmm_search.Search._downhill(search)  # type: ignore[arg-type]
    if size is None:
        assert found is None
    else:
        assert found is not None
        assert np.abs(found.psi).tolist() == [size, 0.0]
