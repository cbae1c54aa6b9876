"""Rows of the store as Parquet, for data frames. The one place that knows pyarrow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from app.telemetry.tables import columns_of


class ParquetFile:
    """A table that is written some rows at a time."""

    def __init__(self, path: Path, table: str) -> None:
        columns = columns_of(table)
        fields = [pa.field("utc", pa.timestamp("ms", tz="UTC"))]
        fields += [pa.field(column.name, pa.string() if column.is_text else pa.float64()) for column in columns]
        self._schema = pa.schema(fields)
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")

    def write(self, rows: Sequence[Sequence[object]]) -> None:
        """Rows of a page: their time stamp in milliseconds first."""
        columns = zip(zip(*rows, strict=True), self._schema, strict=True)
        arrays = [pa.array(values, type=field.type) for values, field in columns]
        self._writer.write_batch(pa.record_batch(arrays, schema=self._schema))

    def close(self) -> None:
        """Complete the file."""
        self._writer.close()
