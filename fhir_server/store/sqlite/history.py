"""Versions, the change log and the small State, each a few statements. https://hl7.org/fhir/R4/http.html#history"""

import sqlite3
import time
from collections.abc import Sequence

from fhir_server.search.predicate import EVERYTHING, Predicate
from fhir_server.store.names import LAST
from fhir_server.store.seam import Page, Position, Stored
from fhir_server.store.sqlite.find import all_types
from fhir_server.store.sqlite.rows import Hasher
from fhir_server.store.sqlite.where import TRUE, Compiler, Sql

COLUMNS = "r.type, r.id, v.version, v.updated, v.method, v.body"
# Of few versions that are new the first, so that the walk back ends there; of many it ends when a page is full.
FIRST = (
    "v.seq>=(SELECT CASE WHEN count(*)<10000 THEN ifnull(min(seq),9e18) ELSE 0 END "
    "FROM (SELECT seq FROM version WHERE updated>=? LIMIT 10000))"
)


def read(
    connection: sqlite3.Connection, hasher: Hasher, type: str, id: str, where: Predicate, version: int | None
) -> Stored | None:
    """The current or the given version, if today's resource matches `where`."""
    allowed = _today(connection, hasher, where, type)
    on = "v.seq=r.seq" if version is None else "v.rid=r.rid AND v.version=?"
    sql = (
        f"SELECT {COLUMNS}, {'r.rule' if version is None else '0'} FROM resource r JOIN version v ON {on} "
        f"WHERE r.h=? AND r.type=? AND r.id=? AND {allowed.text}"
    )
    if version is not None and not 0 < version < 2**63:
        return None
    args = (*(() if version is None else (version,)), hasher.resource(type, id), type, id, *allowed.args)
    found = connection.execute(sql, args).fetchone()
    return Stored(*found) if found else None


def page(
    connection: sqlite3.Connection,
    hasher: Hasher,
    type: str | None,
    id: str | None,
    where: Predicate,
    since: int | None,
    after: Position | None,
    count: int,
    at: tuple[int, int] | None,
) -> Page:
    """Versions of an instance, a type or everything, newest first; a position is the number of the last version."""
    conditions: list[Sql] = [_today(connection, hasher, where, type)]
    if type is not None and id is not None:
        conditions.append(Sql("r.h=? AND r.type=? AND r.id=? AND v.rid=r.rid", (hasher.resource(type, id), type, id)))
    elif type is not None:
        conditions.append(Sql("v.type=?", (type,)))
    if since is not None:
        conditions += [Sql(FIRST, (since,)), Sql("+v.updated>=?", (since,))]  # the order is that of numbers
    if at is not None:
        low, high = at
        replaced = "EXISTS (SELECT 1 FROM version w WHERE w.rid=v.rid AND w.version=v.version+1 AND w.updated<=?)"
        conditions.append(Sql("+v.updated<?", (high,)))
        conditions.append(Sql(f"(v.updated>=? OR v.method<>'DELETE' AND NOT {replaced})", (low, low)))
    if after is not None:
        conditions.append(Sql("v.seq<?", (after[0],)))
    sql = (
        f"SELECT {COLUMNS}, v.seq FROM version v JOIN resource r ON r.rid=v.rid "
        f"WHERE {' AND '.join(c.text for c in conditions)} ORDER BY v.seq DESC LIMIT {count + 1}"
    )
    rows = connection.execute(sql, [arg for c in conditions for arg in c.args]).fetchall()
    position = (rows[count - 1][6],) if len(rows) > count and count else None
    return Page([Stored(*row[:6]) for row in rows[:count]], position)


def _today(connection: sqlite3.Connection, hasher: Hasher, where: Predicate, type: str | None) -> Sql:
    if where == EVERYTHING:
        return TRUE
    test = Compiler(hasher).test(where, (type,) if type else all_types(connection), "r")
    return Sql(f"r.deleted=0 AND {test.text}", test.args)


def since(connection: sqlite3.Connection, after: Position | None, count: int) -> list[tuple[Position, Stored]]:
    """Up to `count` versions after a position, in the order they were committed."""
    sql = f"SELECT {COLUMNS}, v.seq FROM version v JOIN resource r ON r.rid=v.rid WHERE v.seq>? ORDER BY v.seq LIMIT ?"
    rows = connection.execute(sql, (after[0] if after else 0, count))
    return [((row[6],), Stored(*row[:6])) for row in rows]


def index_keys(connection: sqlite3.Connection) -> dict[str, int]:
    """Rows of every table and of every index: each is one B-tree key to maintain."""
    partial = {"span_high": "long=1", "resource_type": "deleted=0", "resource_updated": "deleted=0"}
    names = connection.execute(
        "SELECT name, tbl_name, sql FROM sqlite_schema WHERE type IN ('table','index')"
    ).fetchall()
    tables = ("resource", "version", "key", "link", "span", "text", "timeline")
    return {
        name: connection.execute(f"SELECT count(*) FROM {table} WHERE {partial.get(name, '1')}").fetchone()[0]
        for name, table, sql in names
        if table in tables and (sql is not None or not name.startswith("sqlite_autoindex") or table == "resource")
    }


def get_state(connection: sqlite3.Connection, key: str) -> tuple[bytes, int] | None:
    """The value and its version; None if absent or expired."""
    sql = "SELECT value, version FROM state WHERE key=? AND (expires IS NULL OR expires>?)"
    found = connection.execute(sql, (key, _now())).fetchone()
    return (bytes(found[0]), found[1]) if found else None


def get_states(connection: sqlite3.Connection, keys: Sequence[str]) -> dict[str, tuple[bytes, int]]:
    """The values of many keys; those that are absent or expired are left out."""
    return {key: found for key in keys if (found := get_state(connection, key)) is not None}


def list_state(connection: sqlite3.Connection, prefix: str, count: int) -> list[tuple[str, bytes]]:
    """The first keys that begin with `prefix`, in order of their UTF-8, with their values."""
    sql = "SELECT key, value FROM state WHERE key>=? AND key<? AND (expires IS NULL OR expires>?) ORDER BY key LIMIT ?"
    rows = connection.execute(sql, (prefix, prefix + LAST, _now(), count))
    return [(key, bytes(value)) for key, value in rows]


def put_state(connection: sqlite3.Connection, key: str, value: bytes, version: int, expires: int | None) -> bool:
    """Write if the current version is `version` (0: absent); expired values count as absent and are cleared away."""
    connection.execute("DELETE FROM state WHERE expires<=?", (_now(),))
    if version == 0:
        sql = "INSERT OR IGNORE INTO state VALUES (?,?,1,?)"
        return connection.execute(sql, (key, value, expires)).rowcount > 0
    sql = "UPDATE state SET value=?, version=version+1, expires=? WHERE key=? AND version=?"
    return connection.execute(sql, (value, expires, key, version)).rowcount > 0


def _now() -> int:
    return time.time_ns() // 1000
