"""Rows as CSV, NDJSON, JSON or Parquet. https://sql-on-fhir.org/ig/OperationDefinition-ViewDefinitionRun.html

Rows are encoded in pieces, which other processes may do, and the pieces are put together in order. What Parquet is
made with (pyarrow) comes with the extra `analysis`.
"""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, BinaryIO, Protocol

from fhir_server.fhir.codec import encode
from fhir_server.fhir.dates import DAY, bounds
from fhir_server.fhir.outcome import refuse
from fhir_server.fhirpath.values import failed, text_of
from fhir_server.views.selects import Column, Row

Columns = Sequence[Column]
MIME: Mapping[str, str] = {
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}
INTEGERS = frozenset({"integer", "positiveInt", "unsignedInt", "integer64"})
MISSING = "Parquet takes pyarrow, which is not installed here: pip install 'fhir-server[analysis]'."


class Sink(Protocol):
    """A file that grows by pieces."""

    def add(self, piece: bytes) -> None:
        """Put a piece behind the others."""
        ...

    def end(self) -> None:
        """Nothing more comes; the file itself is not closed."""
        ...


def encoded(kind: str, columns: Columns, rows: Sequence[Row]) -> bytes:
    """Rows as a piece of a file of that kind. Raises FhirError 422 for a value that its column cannot hold."""
    return ENCODERS[kind](columns, rows)


def sink(kind: str, columns: Columns, file: BinaryIO, header: bool = True) -> Sink:
    """A file of that kind; `header`: a CSV begins with the names of its columns. FhirError 400 without pyarrow."""
    if kind == "parquet":
        return _Parquet(columns, file)
    if kind == "json":
        return _Json(file)
    return _Text(file, _csv([], [tuple(column.name for column in columns)]) if kind == "csv" and header else b"")


class _Text:
    def __init__(self, file: BinaryIO, head: bytes) -> None:
        self.file = file
        file.write(head)

    def add(self, piece: bytes) -> None:
        self.file.write(piece)

    def end(self) -> None: ...


class _Json:
    def __init__(self, file: BinaryIO) -> None:
        self.file, self.before = file, b"["

    def add(self, piece: bytes) -> None:
        if piece:
            self.file.write(self.before + piece[:-1].replace(b"}\n{", b"},\n{"))
            self.before = b",\n"

    def end(self) -> None:
        self.file.write(b"[]" if self.before == b"[" else b"]")


class _Parquet:
    def __init__(self, columns: Columns, file: BinaryIO) -> None:
        from pyarrow.parquet import ParquetWriter  # here and below: it takes a fifth of a second to import

        self.writer = ParquetWriter(file, schema_of(columns))

    def add(self, piece: bytes) -> None:
        import pyarrow

        if piece:
            self.writer.write_table(pyarrow.ipc.open_stream(piece).read_all())

    def end(self) -> None:
        self.writer.close()


def _csv(columns: Columns, rows: Sequence[Row]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([[flat(value) for value in row] for row in rows])
    return text.getvalue().encode()


def _ndjson(columns: Columns, rows: Sequence[Row]) -> bytes:
    names = [column.name for column in columns]
    return b"".join([encode(dict(zip(names, row, strict=True))) + b"\n" for row in rows])


def flat(value: Any) -> str | None:
    """A value as text: what is no primitive as JSON."""
    return None if value is None else value if isinstance(value, str) else text_of(value) or encode(value).decode()


def _arrow(columns: Columns, rows: Sequence[Row]) -> bytes:
    import pyarrow

    if not rows:
        return b""
    schema = schema_of(columns)
    arrays = []
    for column, field, values in zip(columns, schema, zip(*rows, strict=True), strict=True):
        convert = _converter(column)
        try:
            if column.collection:
                made = [None if listed is None else [convert(one) for one in listed] for listed in values]
            else:
                made = [None if one is None else convert(one) for one in values]
            arrays.append(pyarrow.array(made, field.type))
        except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, ValueError, TypeError, OverflowError) as error:
            raise failed(f"Column {column.name} is of {column.type or 'string'}: {error}") from None
    out = pyarrow.BufferOutputStream()
    batch = pyarrow.record_batch(arrays, schema=schema)
    with pyarrow.ipc.new_stream(out, schema) as stream:
        stream.write_batch(batch)
    found: bytes = out.getvalue().to_pybytes()
    return found


def schema_of(columns: Columns) -> Any:
    """The columns as Arrow has them. Raises FhirError 400 without pyarrow."""
    try:
        import pyarrow
    except ImportError:
        raise refuse(400, "not-supported", MISSING, "_format") from None

    def type_of(column: Column) -> Any:
        kind = _kind(column)
        one = {
            "boolean": pyarrow.bool_, "integer": pyarrow.int64, "decimal": pyarrow.float64, "date": pyarrow.date32,
            "time": lambda: pyarrow.timestamp("us", "UTC"), "text": pyarrow.string,
        }[kind]()  # fmt: skip
        return pyarrow.list_(one) if column.collection else one

    return pyarrow.schema([(column.name, type_of(column)) for column in columns])


def _kind(column: Column) -> str:
    """How a column is held: dates only as texts, which keep their precision, unless the view says otherwise."""
    said = column.tags.get("ansi/type", "").upper()
    if said == "DATE":
        return "date"
    if said.startswith("TIMESTAMP"):
        return "time"
    if column.type in INTEGERS:
        return "integer"
    return column.type if column.type in ("boolean", "decimal") else "text"


def _converter(column: Column) -> Callable[[Any], Any]:
    return {
        "boolean": lambda value: value, "integer": lambda value: value, "decimal": _float, "text": flat,
        "date": _date, "time": lambda value: bounds(value)[0],
    }[_kind(column)]  # fmt: skip


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError(f"{value!r:.40} is no number")
    return float(value)


def _date(value: str) -> date:
    """The first day of a date: the view says that it knows nothing finer."""
    return date.fromordinal(_EPOCH + bounds(value)[0] // DAY)


_EPOCH = date(1970, 1, 1).toordinal()
ENCODERS: Mapping[str, Callable[[Columns, Sequence[Row]], bytes]] = {
    "json": _ndjson,
    "ndjson": _ndjson,
    "csv": _csv,
    "parquet": _arrow,
}
