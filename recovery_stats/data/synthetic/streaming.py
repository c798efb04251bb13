"""A cohort straight to SPSS files, block by block: a million people in bounded memory.

The bytes are those that writing the whole tables at once would give. SPSS packs eight cells
under one word of codes, so rows go out in multiples of eight and the rest waits for the next
block; the head, which holds the number of rows, is written again at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import pandas as pd

from recovery_stats.core.dataset import Dataset
from recovery_stats.data import sav_layout, sav_records
from recovery_stats.data.sav_cells import compressed_cases
from recovery_stats.data.sav_column import Prepared, prepare
from recovery_stats.data.synthetic.codebook import dataset
from recovery_stats.data.whole_file import whole_file

ROWS_A_WORD = 8


class _Table:
    """One table on its way to a .sav file."""

    def __init__(self, name: str, file: IO[bytes], first: pd.DataFrame) -> None:
        self.name, self.file = name, file
        self.rows = 0
        self.waiting = first.iloc[:0]
        self.begin = dataset(name, first)
        sav_layout.check(self.begin)
        self.file.write(self._head())

    def add(self, frame: pd.DataFrame) -> None:
        """Write what fills whole words; keep the rest."""
        frame = pd.concat([self.waiting, frame], ignore_index=True) if len(self.waiting) else frame
        whole = len(frame) // ROWS_A_WORD * ROWS_A_WORD
        self.waiting = frame.iloc[whole:]
        self._put(frame.iloc[:whole])

    def end(self) -> None:
        """Write the rest, then the head again: now it knows the number of rows."""
        self._put(self.waiting)
        self.file.seek(0)
        self.file.write(self._head())

    def _put(self, frame: pd.DataFrame) -> None:
        self.file.writelines(compressed_cases(_columns(dataset(self.name, frame)), len(frame)))
        self.rows += len(frame)

    def _head(self) -> bytes:
        layout = sav_layout.lay_out(_columns(self.begin))
        rows = pd.DataFrame(index=pd.RangeIndex(self.rows))
        return sav_records.dictionary(self.begin.with_frame(rows), layout, compression=1)


def _columns(data: Dataset) -> tuple[Prepared, ...]:
    return tuple(prepare(data, str(column)) for column in data.frame.columns)


def write_tables(blocks: Iterator[dict[str, pd.DataFrame]], folder: Path) -> None:
    """Write `NAME.sav` into `folder` for each table of the blocks; all files whole, or none."""
    with ExitStack() as stack:
        tables: dict[str, _Table] = {}
        for block in blocks:
            for name, frame in block.items():
                if name not in tables:
                    file = stack.enter_context(whole_file(folder / f"{name}.sav"))
                    tables[name] = _Table(name, file, frame)
                tables[name].add(frame)
        for table in tables.values():
            table.end()
