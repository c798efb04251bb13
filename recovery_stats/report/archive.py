"""A zip that is the same whenever and wherever it is made, and the names of files in it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from io import BytesIO
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

MEMBER_DATE = (1980, 1, 1, 0, 0, 0)


def zipped(members: Iterable[tuple[str, bytes]]) -> bytes:
    """The zip of files by name, in their order; private to its owner when unpacked."""
    out = BytesIO()
    with ZipFile(out, "w") as target:
        for name, content in members:
            member = ZipInfo(name, MEMBER_DATE)
            member.compress_type = ZIP_DEFLATED
            member.create_system = 3
            member.external_attr = 0o600 << 16
            target.writestr(member, content)
    return out.getvalue()


def member_name(kind: str, number: int, name: str, ending: str) -> str:
    """`table_02_model.csv`: from the key of the table, and nothing a file system could mistake."""
    key = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:40]
    return f"{kind}_{number:02d}{'_' + key if key else ''}{ending}"
