"""The index rows of one resource: made, inserted many at a time, and taken away."""

import sqlite3
from collections.abc import Mapping
from functools import cache
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec

from fhir_server.search.predicate import Entry
from fhir_server.store.sqlite.rows import Hasher, is_long, row
from fhir_server.store.sqlite.where import HOME

COLUMNS: Mapping[str, int] = {
    "version": 7, "resource": 12, "key": 3, "link": 3, "span": 10, "text": 6, "timeline": 5,
}  # fmt: skip
# A statement with many rows runs without the interpreter lock for all of them: other requests go on meanwhile.
SIZES = (256, 16)

Rows = dict[str, list[tuple[Any, ...]]]


class Made(NamedTuple):
    """The rows of a resource by table, what `unindex` needs to take them away again (`resource.keys`), and the JSON of
    `resource.plain`: codes of tokens, targets of references, and the presence of composites."""

    rows: Rows
    keys: bytes
    plain: bytes


def index_rows(hasher: Hasher, type: str, rid: int, entries: tuple[Entry, ...]) -> Made:
    """All index rows of resource number `rid`, in one walk over its entries: every write pays for it."""
    found: Rows = {"key": [], "link": [], "span": [], "text": []}
    plain: dict[str, list[str]] = {}
    homes: set[int] = set()
    dates: set[int] = set()
    for entry in entries:
        name, kind = entry[0]
        family, columns = row(hasher, type, entry)
        found[family].append(columns)
        if kind == "token":
            told = f"{entry[2]}\x01{columns[1]}"
        elif kind == "reference":
            told = f"{entry[1]}/{entry[2]}" if entry[2] else entry[3]
            if name in HOME and family == "link":
                homes.add(columns[1])
        elif "$" in kind:
            told = ""
        else:
            if kind == "date":
                dates.add(columns[0])
            continue
        values = plain.get(name)
        if values is None:
            plain[name] = [told]
        elif kind == "token" or told not in values:  # tokens are distinct as entries are
            values.append(told)
    spans, texts = found["span"], found["text"]
    rows: Rows = {
        "key": [(k, rid, v) for k, v in found["key"]],
        "link": [(k, target, rid) for k, target in found["link"]],
        "span": [(c[0], rid, *c[1:], edge, is_long(c[1], c[2])) for c, edge in zip(spans, edges(spans), strict=True)],
        "text": [(c[0], rid, *c[1:], edge) for c, edge in zip(texts, edges(texts), strict=True)],
    }
    rows["timeline"] = [(s[0], home, s[2], rid, s[8]) for s in rows["span"] if s[0] in dates for home in homes]
    kept = (
        list({c[0] for c in found["key"]}), list({c[0] for c in spans}), list({c[0] for c in texts}),
        [t[:3] for t in rows["timeline"]],
    )  # fmt: skip
    return Made(rows, msgspec.msgpack.encode(kept), msgspec.json.encode(plain))


def insert(connection: sqlite3.Connection, table: str, rows: list[tuple[Any, ...]]) -> None:
    """Insert rows in the order of the table's key, many with one statement. A resource row replaces its old one."""
    if table not in ("version", "resource"):
        rows = sorted(rows, key=itemgetter(0))  # rows of one `k` keep the order in which they were made
    start = 0
    for size in SIZES:
        while len(rows) - start >= size:
            connection.execute(_statement(table, size), list(chain.from_iterable(rows[start : start + size])))
            start += size
    if start < len(rows):
        connection.executemany(_statement(table, 1), rows[start:])


@cache
def _statement(table: str, size: int) -> str:
    verb = "INSERT OR REPLACE" if table == "resource" else "INSERT" if table == "version" else "INSERT OR IGNORE"
    values = f"({','.join('?' * COLUMNS[table])})"
    return f"{verb} INTO {table} VALUES {','.join([values] * size)}"


def unindex(connection: sqlite3.Connection, rid: int, keys: bytes) -> None:
    """Delete all index rows of a resource."""
    key, span, text, timeline = msgspec.msgpack.decode(keys)
    for family, found in (("key", key), ("span", span), ("text", text)):
        connection.executemany(f"DELETE FROM {family} WHERE k=? AND rid=?", [(k, rid) for k in found])
    links = connection.execute("SELECT k, target FROM link WHERE rid=?", (rid,)).fetchall()
    connection.executemany("DELETE FROM link WHERE k=? AND target=? AND rid=?", [(*link, rid) for link in links])
    connection.executemany(
        "DELETE FROM timeline WHERE k=? AND home=? AND low=? AND rid=?", [(*t, rid) for t in timeline]
    )


def edges(rows: list[tuple[Any, ...]]) -> list[int]:
    """For each row 1 if it holds the lowest value of its `k`, plus 2 if the highest: exactly one row of each, so that
    a walk along the values meets every resource once."""
    if len({row[0] for row in rows}) == len(rows):
        return [3] * len(rows)
    low: dict[int, int] = {}
    high: dict[int, int] = {}
    for number, (k, value, *_) in enumerate(rows):
        if k not in low or value < rows[low[k]][1]:
            low[k] = number
        if k not in high or value > rows[high[k]][1]:
            high[k] = number
    return [(low[row[0]] == number) + 2 * (high[row[0]] == number) for number, row in enumerate(rows)]
