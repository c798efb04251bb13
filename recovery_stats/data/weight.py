"""The weight that an SPSS file has switched on, used as the study file decided."""

from __future__ import annotations

from dataclasses import replace

from recovery_stats.core.study import Study, TableSpec
from recovery_stats.data.role import roles_of

ROLE = "weights"
USED = ("sampling", "frequency")


def with_file_weights(study: Study) -> Study:
    """Let the file's weight variable play the role `weights` where the study file wants it used.

    A column that the study file names in that role itself comes first; `weight = "none"` and
    tables whose rows no analysis weights are left alone (a rule tells of the latter).
    """
    tables = {name: _weighted(study, spec) for name, spec in study.protocol.tables.items()}
    return replace(study, protocol=replace(study.protocol, tables=tables))


def _weighted(study: Study, spec: TableSpec) -> TableSpec:
    weight = study[spec.name].weight if spec.name in study else None
    wanted = spec.options.get("weight") in USED and ROLE in roles_of(spec.name)
    if not weight or not wanted or ROLE in spec.roles:
        return spec
    return replace(spec, roles={**spec.roles, ROLE: weight})
