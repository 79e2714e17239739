"""Whole resources in a Parquet file: id, version, time and the JSON itself, which DuckDB takes apart. docs/bulk.md"""

from pathlib import Path

from fhir_server.fhir.outcome import refuse
from fhir_server.store.seam import Stored
from fhir_server.views.write import MISSING

PIECE = 5000  # resources of a row group


class Parquet:
    """A file being written. Raises FhirError 400 without pyarrow."""

    def __init__(self, path: Path) -> None:
        try:
            import pyarrow
            from pyarrow.parquet import ParquetWriter
        except ImportError:
            raise refuse(400, "not-supported", MISSING) from None
        self._schema = pyarrow.schema(
            [
                ("id", pyarrow.string()),
                ("version", pyarrow.int64()),
                ("last_updated", pyarrow.timestamp("us", "UTC")),
                ("resource", pyarrow.string()),
            ]
        )
        self._arrow = pyarrow
        self._writer = ParquetWriter(path, self._schema)
        self._rows: list[Stored] = []

    def add(self, row: Stored) -> None:
        """Write a resource."""
        self._rows.append(row)
        if len(self._rows) == PIECE:
            self._write()

    def _write(self) -> None:
        rows = self._rows
        columns = [
            [row.id for row in rows],
            [row.version for row in rows],
            [row.updated for row in rows],
            [row.body for row in rows],
        ]
        arrays = [
            self._arrow.array(values, field.type) for values, field in zip(columns, self._schema, strict=True)
        ]  # fmt: skip
        self._writer.write_table(self._arrow.table(arrays, schema=self._schema))
        self._rows = []

    def close(self) -> None:
        """Write what is left, and the end of the file."""
        if self._rows:
            self._write()
        self._writer.close()
