"""The code systems of the SQLite store: three narrow tables of integers beside the terms. https://www.sqlite.org/withoutrowid.html

The number of a term in the store is that of its edition and its own in one integer, so that an edition is a range of
row numbers. The closure stands in the term, upwards, and in `term_below`, downwards: lists of integers, with a row for
each concept that has something below it instead of one for each pair.
"""

import json
import sqlite3
from array import array
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

from fhir_server.store.names import LAST
from fhir_server.store.seam import Conflict, Tx
from fhir_server.store.terms import AllOf, Among, AnyOf, Below, Condition, Edition, Keyed, No, Term

T = TypeVar("T")
FEW = 8  # codes that are looked up at once
CHUNK = 20_000  # rows removed in one transaction

TABLES = (
    "CREATE TABLE IF NOT EXISTS term_edition (e INTEGER PRIMARY KEY AUTOINCREMENT, url TEXT NOT NULL, "
    "version TEXT NOT NULL, checksum TEXT NOT NULL, n INTEGER NOT NULL DEFAULT 0, finished INTEGER, "
    "about BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS term (t INTEGER PRIMARY KEY, e INTEGER NOT NULL, code TEXT NOT NULL, "
    "above BLOB NOT NULL, body BLOB NOT NULL)",
    "CREATE UNIQUE INDEX IF NOT EXISTS term_code ON term (e, code)",
    "CREATE TABLE IF NOT EXISTS term_below (a INTEGER PRIMARY KEY, ns BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS term_key (e INTEGER, key TEXT, t INTEGER, PRIMARY KEY (e, key, t)) WITHOUT ROWID",
)
_EDITION = "SELECT e, url, version, checksum, n, about FROM term_edition WHERE finished IS NOT NULL"


class Host(Protocol):
    """What of the store is used here: see store.py."""

    async def transact(self, work: Callable[[Tx], Awaitable[T]]) -> T: ...
    async def reading(self, run: Callable[[sqlite3.Connection], T]) -> T: ...
    def at_once(self, run: Callable[[sqlite3.Connection], T]) -> T: ...


class SqliteTerms:
    """Implements store.terms.Terms."""

    def __init__(self, host: Host, writer: sqlite3.Connection) -> None:
        self._host, self._writer = host, writer
        self._below: dict[int, dict[int, array[int]]] = {}  # of editions being written: what lies below each term

    async def editions(self, url: str = "") -> list[Edition]:
        """See Terms."""

        def run(connection: sqlite3.Connection) -> list[Edition]:
            sql = f"{_EDITION} AND (url=? OR ?='') ORDER BY finished DESC"
            return [Edition(*row) for row in connection.execute(sql, (url, url))]

        return self._host.at_once(run)

    async def begin(self, url: str, version: str, checksum: str, about: bytes) -> int:
        """See Terms."""
        sql = "SELECT e FROM term_edition WHERE url=? AND version=? AND finished IS NULL"
        for (left,) in self._host.at_once(lambda connection: connection.execute(sql, (url, version)).fetchall()):
            await self.remove(left)

        async def work(tx: Tx) -> int:
            sql = "INSERT INTO term_edition (url, version, checksum, about) VALUES (?,?,?,?)"
            return self._writer.execute(sql, (url, version, checksum, about)).lastrowid or 0

        return await self._host.transact(work)

    async def add(self, edition: int, terms: Sequence[Term]) -> None:
        """See Terms."""
        first = edition << 32
        rows, keys = [], []
        below = self._below.setdefault(edition, {})
        for n, code, above, given, body in terms:
            t = first | n
            rows.append((t, edition, code, array("I", above).tobytes(), body))
            for a in above:
                if a not in below:
                    below[a] = array("I")
                below[a].append(n)
            keys += [(edition, key, t) for key in given]
        keys.sort()  # in the order of their tree: fewer of its pages are touched

        async def work(tx: Tx) -> None:
            self._require(edition)
            self._writer.executemany("INSERT INTO term VALUES (?,?,?,?,?)", rows)
            self._writer.executemany("INSERT OR IGNORE INTO term_key VALUES (?,?,?)", keys)

        await self._host.transact(work)

    def _require(self, edition: int) -> tuple[str, str]:
        sql = "SELECT url, version FROM term_edition WHERE e=? AND finished IS NULL"
        found: tuple[str, str] | None = self._writer.execute(sql, (edition,)).fetchone()
        if found is None:
            raise Conflict("Another import of the same code system and version took over.")
        return found

    async def finish(self, edition: int) -> list[int]:
        """See Terms."""
        below = [(edition << 32 | a, ns.tobytes()) for a, ns in sorted(self._below.pop(edition, {}).items())]

        async def work(tx: Tx) -> list[int]:
            named = self._require(edition)
            self._writer.executemany("INSERT INTO term_below VALUES (?,?)", below)
            sql = "SELECT e FROM term_edition WHERE url=? AND version=? AND finished IS NOT NULL"
            former = [e for (e,) in self._writer.execute(sql, named)]
            self._writer.executemany("UPDATE term_edition SET finished=NULL WHERE e=?", [(e,) for e in former])
            last = "(SELECT ifnull(max(finished),0)+1 FROM term_edition)"
            count = "(SELECT count(*) FROM term WHERE t>=?1<<32 AND t<(?1+1)<<32)"
            self._writer.execute(f"UPDATE term_edition SET finished={last}, n={count} WHERE e=?1", (edition,))
            return former

        return await self._host.transact(work)

    async def remove(self, edition: int) -> None:
        """See Terms."""
        self._below.pop(edition, None)
        await self._removing("DELETE FROM term_edition WHERE e=? AND 0<?", (edition, CHUNK))
        low, high = edition << 32, (edition + 1) << 32
        for sql, args in (
            ("DELETE FROM term WHERE t IN (SELECT t FROM term WHERE t>=? AND t<? LIMIT ?)", (low, high, CHUNK)),
            (
                "DELETE FROM term_below WHERE a IN (SELECT a FROM term_below WHERE a>=? AND a<? LIMIT ?)",
                (low, high, CHUNK),
            ),
            (
                "DELETE FROM term_key WHERE (e,key,t) IN (SELECT e,key,t FROM term_key WHERE e=? LIMIT ?)",
                (edition, CHUNK),
            ),
        ):
            while await self._removing(sql, args) == CHUNK:
                pass

    async def _removing(self, sql: str, args: tuple[int, ...]) -> int:
        async def work(tx: Tx) -> int:
            return self._writer.execute(sql, args).rowcount

        return await self._host.transact(work)

    async def find(self, edition: int, codes: Sequence[str]) -> list[Term]:
        """See Terms. Few codes are looked up where the request runs: a lookup takes microseconds."""

        def run(connection: sqlite3.Connection) -> list[Term]:
            if len(codes) <= FEW:  # with one statement: to begin to read takes longer than to look up
                sql = f"SELECT {_COLUMNS} FROM term WHERE e=? AND code IN ({','.join('?' * len(codes))}) ORDER BY t"
                return list(map(_term, connection.execute(sql, (edition, *codes)).fetchall()))
            sql = f"SELECT {_COLUMNS} FROM term WHERE e=? AND code IN (SELECT value FROM json_each(?)) ORDER BY t"
            return [_term(row) for row in connection.execute(sql, (edition, json.dumps(list(codes))))]

        return self._host.at_once(run) if len(codes) <= FEW else await self._host.reading(run)

    async def select(self, edition: int, where: Condition, offset: int, count: int) -> list[Term]:
        """See Terms."""
        return [_term(row) for row in await self._rows(_COLUMNS, edition, where, f" LIMIT {count} OFFSET {offset}")]

    async def codes(self, edition: int, where: Condition, count: int) -> list[str]:
        """See Terms."""
        return [code for (code,) in await self._rows("code", edition, where, f" LIMIT {count}")]

    async def count(self, edition: int, where: Condition) -> int:
        """See Terms."""
        ((found,),) = await self._rows("count(*)", edition, where, "")
        return int(found)

    async def _rows(self, columns: str, edition: int, where: Condition, page: str) -> list[Any]:
        low, high = edition << 32, (edition + 1) << 32

        def run(connection: sqlite3.Connection) -> list[Any]:
            text, args = _sql(connection, where, edition)
            sql = f"SELECT {columns} FROM term WHERE t>=? AND t<? AND {text} ORDER BY t{page}"
            return connection.execute(sql, (low, high, *args)).fetchall()

        return await self._host.reading(run)


_COLUMNS = "t, code, above, body"


def _term(row: tuple[int, str, bytes, bytes]) -> Term:
    t, code, above, body = row
    return Term(t & 0xFFFFFFFF, code, tuple(array("I", above)), (), bytes(body))


def _sql(connection: sqlite3.Connection, where: Condition, edition: int) -> tuple[str, tuple[Any, ...]]:
    """A condition on `term` as SQL with its arguments. Each list is made once and looked up in."""
    match where:
        case Below():
            return _sql(connection, Among(_numbers(connection, where, edition)), edition)
        case Among(ns):
            return "t IN (SELECT value FROM json_each(?))", (json.dumps([edition << 32 | n for n in ns]),)
        case Keyed(key, False):
            return "t IN (SELECT t FROM term_key WHERE e=? AND key=?)", (edition, key)
        case Keyed(key, True):
            return "t IN (SELECT t FROM term_key WHERE e=? AND key>=? AND key<?)", (edition, key, key + LAST)
        case No(part):
            text, args = _sql(connection, part, edition)
            return f"NOT {text}", args
        case AnyOf(parts) if len(parts) > 1 and all(isinstance(part, Among | Below) for part in parts):
            # One list, not one OR another: those SQLite does not look up, it reads all terms.
            numbers = {n for part in parts for n in _numbers(connection, part, edition)}
            return _sql(connection, Among(tuple(sorted(numbers))), edition)
        case AllOf(parts) | AnyOf(parts):
            pieces = [_sql(connection, part, edition) for part in parts]
            every = isinstance(where, AllOf)
            text = (" AND " if every else " OR ").join(text for text, _ in pieces) or str(int(every))
            return f"({text})", tuple(arg for _, args in pieces for arg in args)
    raise ValueError(f"{where} is no condition")


def _numbers(connection: sqlite3.Connection, where: Condition, edition: int) -> tuple[int, ...]:
    """The terms that an Among lists, or that a Below finds in its row."""
    if isinstance(where, Among):
        return where.ns
    assert isinstance(where, Below)
    found = connection.execute("SELECT ns FROM term_below WHERE a=?", (edition << 32 | where.n,)).fetchone()
    return tuple(array("I", found[0])) if found else ()
