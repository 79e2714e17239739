"""How a search runs: which condition is the source, which order is walked, which is sorted. Plans are few on purpose.

walk     rows come from an index in the order asked for, every condition is a test on the row: for large results
gather   rows come from the most selective condition, are tested, and their sort keys sorted: for small results
stream   rows come from one large `key` or `link` range, which is in order of creation already
"""

import json
import sqlite3
from typing import Any, NamedTuple

from fhir_server.search.predicate import And, Has, Is, Not, Or, Predicate, Sort, across, conjuncts
from fhir_server.store import pace
from fhir_server.store.seam import Lines, Page, Position, Query, Stored
from fhir_server.store.sqlite.rows import Hasher, condition
from fhir_server.store.sqlite.where import HOME, TRUE, Compiler, Sql, join, marks

# Matches up to which gathering beats walking: sorting 1,000 rows takes about 2 ms, 50,000 50 ms.
FEW, SOME = 1_000, 50_000
TRIED = 2_000  # resources of a long range that are tested before it is known which condition is met by the fewest
BEGUN = 200  # resources of a type that are tested for who refers to them, before these are looked for
LAST = 1 << 62  # beyond every row number
RARE = 20  # a walk that tests so many resources for each that it finds costs more than to find all
# What `plain` says of a reference, in an order by type and id; a URL elsewhere has no type and comes first.
REFERENCE = "CASE WHEN instr(value,':')>0 OR value='' THEN char(9)||value ELSE replace(value,'/',char(9)) END"


class Plan(NamedTuple):
    """A SELECT of (rid, seq, type, id, sort keys...) in page order; `missing` finds what follows: rows without key.
    `rows` is what it finds, if it was tried."""

    kind: str
    select: Sql
    missing: Query | None = None
    rows: list[tuple[Any, ...]] | None = None


def search(connection: sqlite3.Connection, hasher: Hasher, query: Query) -> Page:
    """One page, in one snapshot. The caller provides the transaction."""
    query = query._replace(types=query.types or all_types(connection))
    rows: list[tuple[Any, ...]] = []
    wanted = query.count + 1
    step: Query | None = query
    if walkable(query) and query.after is not None and query.after[0] is None:
        # The page before ended among the rows without a sort key: go on there.
        step = rows_without_key(query)._replace(after=query.after[1:])
    while step is not None and len(rows) < wanted:
        step = step._replace(count=wanted - len(rows) - 1)
        plan = make_plan(connection, hasher, step)
        found = plan.rows or connection.execute(plan.select.text, plan.select.args).fetchall()
        # The rows of a missing-key phase carry None for the key, so that a position says which phase it belongs to.
        rows += [(*row[:4], *(None for _ in query.sort), *row[4:]) if step.sort != query.sort else row for row in found]
        step = plan.missing
    page, more = rows[: query.count], len(rows) > query.count
    last = page[-1] if page else None
    position = (*last[4:], last[0]) if more and last else None
    return Page(bodies(connection, page), position, count(connection, hasher, query) if query.total else None)


def lines(connection: sqlite3.Connection, hasher: Hasher, query: Query, at: int | None) -> Lines:
    """A page in order of creation as one text, which SQLite puts together: it lets other threads go on meanwhile, where
    a row that is handed over takes the interpreter each time."""
    if query.count <= 0:
        return Lines(b"", [])
    types = query.types or all_types(connection)
    plan = make_plan(connection, hasher, query._replace(types=types, sort=(), count=query.count - 1), tried=False)
    then, args = ("", ()) if at is None else (" FILTER (WHERE v.updated<=?)", (at, at))
    sql = (
        f"SELECT count(*), max(p.rid), group_concat(p.id,char(10)){then}, "
        f"CAST(group_concat(v.body,char(10)){then} AS BLOB) "
        f"FROM ({plan.select.text}) p CROSS JOIN version v ON v.seq=p.seq"
    )
    most = connection.getlimit(sqlite3.SQLITE_LIMIT_LENGTH)
    try:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, pace.MOST if query.count > 1 else most)
        found, last, ids, text = connection.execute(sql, (*args, *plan.select.args)).fetchone()
    except sqlite3.DataError:  # more than a value may hold
        if query.count == 1:
            raise
        found = None
    finally:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, most)
    if found is None:
        return lines(connection, hasher, query._replace(count=query.count // 2), at)
    return Lines(text or b"", ids.split("\n") if ids else [], (last,) if found == query.count else None)


def count(connection: sqlite3.Connection, hasher: Hasher, query: Query) -> int:
    """How many resources match."""
    types = query.types or all_types(connection)
    compiler = Compiler(hasher)
    source, _, rest = best_source(connection, compiler, query.where, types)
    where = matching(compiler, rest, types, source)
    return int(connection.execute(f"SELECT count(*) FROM resource r WHERE {where.text}", where.args).fetchone()[0])


def make_plan(connection: sqlite3.Connection, hasher: Hasher, query: Query, tried: bool = True) -> Plan:
    """Choose how to run a query whose `types` are given; `tried`: by running the beginning, if need be."""
    compiler = Compiler(hasher)
    home = patient_of(hasher, query) if walkable(query) else None
    if home is not None and query.sort[0].param.kind == "date":
        return walk_timeline(compiler, query, home)
    if tried and not query.sort and (plan := head(connection, compiler, query)) is not None:
        return plan
    source, estimate, rest = best_source(connection, compiler, query.where, query.types, whole=bool(query.sort))
    if walkable(query) and estimate >= FEW:
        return walk_sorted(compiler, query)
    if not query.sort and estimate >= SOME:
        return stream(compiler, query) or gather(compiler, query, None)
    return gather(compiler, query._replace(where=rest), source)


def walkable(query: Query) -> bool:
    """Whether some index is in the order asked for."""
    kinds = ("date", "number", "quantity", "string", "updated")
    return len(query.sort) == 1 and len(query.types) == 1 and query.sort[0].param.kind in kinds


def rows_without_key(query: Query) -> Query:
    """The second phase of a walk: what has no value to sort by, in order of creation."""
    return query._replace(where=And((query.where, Not(Is(query.sort[0].param)))), sort=(), after=None)


def head(connection: sqlite3.Connection, compiler: Compiler, query: Query) -> Plan | None:
    """The first of a long range in order of creation, or of all resources of a type, if they fill the page: to count
    which condition is met by the fewest would take twenty times as long, and so would a _has that many meet."""
    plan = stream(compiler, query, TRIED)
    if plan is None:
        plan = beginning(connection, compiler, query)
    elif best_source(connection, compiler, query.where, query.types, whole=False, few=True)[1] < FEW:
        return None
    if plan is None:
        return None
    rows = connection.execute(plan.select.text, plan.select.args).fetchall()
    return plan._replace(rows=rows) if len(rows) > query.count else None


def best_source(
    connection: sqlite3.Connection,
    compiler: Compiler,
    where: Predicate,
    types: tuple[str, ...],
    whole: bool = True,
    few: bool = False,
) -> tuple[Sql | None, int, Predicate]:
    """The most selective positive condition, how many rows it has (counted no further than SOME, or FEW if that is
    enough to know), and what is left to test on them. Unless the `whole` result is wanted at once, a _has that holds
    for many is no source: some of those are met sooner by a walk."""
    parts, most = conjuncts(where), FEW if few else SOME
    positive = [(part, source) for part in parts if (source := compiler.source(part, types)) is not None]
    if not positive:
        return None, most, where
    # To count what a chain or _has finds takes as long as to find it: where a condition on the resource itself is
    # selective enough, they stay tests.
    near = [one for one in positive if not across(one[0])]
    first = [(FEW, near)] if 0 < len(near) < len(positive) else []
    for limit, candidates in (*first, (FEW, positive), (SOME, positive)):
        estimates = [_count_up_to(connection, source, limit) for _, source in candidates]
        least = min(estimates)
        if least < limit or (limit == most and candidates is positive):
            part, source = candidates[estimates.index(least)]
            return source, least, And(tuple(one for one in parts if one is not part)) if tells_all(part) else where
        if not whole and candidates is positive and limit == FEW:
            for one in [one for one in positive if isinstance(one[0], Has) and _common(connection, one[1], types)]:
                positive.remove(one)
            if not positive:
                return None, SOME, where
    raise AssertionError("the last limit always answers")


def tells_all(part: Predicate) -> bool:
    """Whether the source of a condition finds just the rows that meet it, so that they need no test."""
    match part:
        case Is(param, tests):
            told = ("=", "in") if param.kind == "token" else ("=",) if param.kind == "reference" else ()
            return bool(tests) and tests[0][1] in told
        case Or(parts):
            return all(map(tells_all, parts))
    return False


def _count_up_to(connection: sqlite3.Connection, source: Sql, limit: int) -> int:
    sql = f"SELECT count(*) FROM (SELECT 1 FROM ({source.text}) LIMIT {limit})"
    return int(connection.execute(sql, source.args).fetchone()[0])


def _common(connection: sqlite3.Connection, source: Sql, types: tuple[str, ...]) -> bool:
    """Whether the first FEW rows of a source alone are of one in RARE of the resources of these types."""
    sql = f"SELECT count(DISTINCT rid) FROM (SELECT rid FROM ({source.text}) LIMIT {FEW})"
    enough = RARE * int(connection.execute(sql, source.args).fetchone()[0])
    sql = f"SELECT rid FROM resource WHERE type IN ({marks(types)}) AND deleted=0"
    return _count_up_to(connection, Sql(sql, types), enough + 1) <= enough


def matching(compiler: Compiler, where: Predicate, types: tuple[str, ...], source: Sql | None) -> Sql:
    """The whole condition on resource `r`: its source if there is one, type, not deleted, every test."""
    # The plus keeps SQLite from preferring the index on type to the row numbers that the source yields in order.
    column = "+r.type" if source else "r.type"
    base = Sql(f"{column}{'=?' if len(types) == 1 else f' IN ({marks(types)})'} AND r.deleted=0", tuple(types))
    parts = [Sql(f"r.rid IN ({source.text})", source.args)] if source else []
    return join(" AND ", (*parts, base, compiler.test(where, types, "r")), TRUE, wrap=False)


def gather(compiler: Compiler, query: Query, source: Sql | None) -> Plan:
    """Collect, then sort; without a sort the rows come in order of creation and nothing is sorted."""
    where = matching(compiler, query.where, query.types, source)
    keys = [sort_key(compiler, sort, query.types) for sort in query.sort]
    names = [f"s{number}" for number in range(len(keys))]
    columns = join(
        ", ", (Sql(f"{key.text} AS {name}", key.args) for key, name in zip(keys, names, strict=True)), TRUE, wrap=False
    )
    more = f", {columns.text}" if keys else ""
    inner = f"SELECT r.rid AS rid, r.seq AS seq, r.type AS type, r.id AS id{more} FROM resource r"
    inner_args = (columns.args if keys else ()) + where.args
    after = after_position(query.sort, names, query.after, "rid")
    order = [f"{n} IS NULL, {n} {'DESC' if s.descending else 'ASC'}" for n, s in zip(names, query.sort, strict=True)]
    if not keys:
        after = after_position((), [], query.after, "r.rid")
        sql = f"{inner} WHERE {where.text} AND {after.text} ORDER BY r.rid LIMIT {query.count + 1}"
        return Plan("gather", Sql(sql, (*inner_args, *after.args)))
    sql = (
        f"SELECT * FROM ({inner} WHERE {where.text}) WHERE {after.text} "
        f"ORDER BY {', '.join(order)}, rid LIMIT {query.count + 1}"
    )
    return Plan("gather", Sql(sql, (*inner_args, *after.args)))


def stream(compiler: Compiler, query: Query, first: int | None = None) -> Plan | None:
    """Follow one `key` or `link` range, or the `first` rows of it, if some conjunct is just that: its rows are in order
    of creation."""
    for part in conjuncts(query.where):
        if len(query.types) == 1 and isinstance(part, Is) and part.param.kind in ("token", "reference") and part.tests:
            found = condition(compiler.hasher, query.types[0], part.param, part.tests)
            if found is not None:
                where = matching(compiler, query.where, query.types, None)
                after = after_position((), [], query.after, "x.rid")
                range_ = f"x.k=?{found.sql.format(x='x')} AND {after.text}"
                args: tuple[Any, ...] = (found.k, *found.args, *after.args)
                end = ""
                if first is not None:
                    beyond = f"SELECT x.rid FROM {found.family} x WHERE {range_} ORDER BY x.rid LIMIT 1 OFFSET ?"
                    end, args = f" AND x.rid<ifnull(({beyond}),{LAST})", (*args, *args, first)
                sql = (
                    f"SELECT x.rid, r.seq, r.type, r.id FROM {found.family} x "
                    f"CROSS JOIN resource r ON r.rid=x.rid WHERE {range_}{end} "
                    f"AND {where.text} GROUP BY x.rid ORDER BY x.rid LIMIT {query.count + 1}"
                )
                return Plan("stream", Sql(sql, (*args, *where.args)))
    return None


def beginning(connection: sqlite3.Connection, compiler: Compiler, query: Query) -> Plan | None:
    """The first resources of a type, if they are asked for by who refers to them alone, and that is not rare."""
    parts = conjuncts(query.where)
    if len(query.types) != 1 or not any(isinstance(part, Has) for part in parts):
        return None
    found = [(part, source) for part in parts if (source := compiler.source(part, query.types)) is not None]
    if not found or not all(isinstance(part, Has) for part, _ in found):
        return None
    if min(_count_up_to(connection, source, BEGUN // 2) for _, source in found) < BEGUN // 2:
        return None
    where = matching(compiler, query.where, query.types, None)
    after = after_position((), [], query.after, "r.rid")
    range_, args = f"r.type=? AND r.deleted=0 AND {after.text}", (query.types[0], *after.args)
    beyond = f"SELECT r.rid FROM resource r WHERE {range_} ORDER BY r.rid LIMIT 1 OFFSET ?"
    sql = (
        f"SELECT r.rid, r.seq, r.type, r.id FROM resource r WHERE {range_} AND r.rid<ifnull(({beyond}),{LAST}) "
        f"AND {where.text} ORDER BY r.rid LIMIT {query.count + 1}"
    )
    return Plan("walk", Sql(sql, (*args, *args, BEGUN, *where.args)))


def walk_timeline(compiler: Compiler, query: Query, home: int) -> Plan:
    """The dates of one patient in order: `?patient=&_sort=-date` without sorting."""
    sort, type_ = query.sort[0], query.types[0]
    where = matching(compiler, query.where, query.types, None)
    after = _after_walk(sort, query.after, "x.low")
    sql = (
        "SELECT x.rid, r.seq, r.type, r.id, x.low FROM timeline x CROSS JOIN resource r ON r.rid=x.rid "
        f"WHERE x.k=? AND x.home=? AND x.edge&{_edge(sort)} AND {after.text} AND {where.text} "
        f"ORDER BY x.low {'DESC' if sort.descending else 'ASC'}, x.rid LIMIT {query.count + 1}"
    )
    args = (compiler.hasher.param(type_, sort.param.code), home, *after.args, *where.args)
    return Plan("walk", Sql(sql, args), rows_without_key(query))


def walk_sorted(compiler: Compiler, query: Query) -> Plan:
    """One parameter's values in order over a whole type."""
    sort, type_ = query.sort[0], query.types[0]
    where = matching(compiler, query.where, query.types, None)
    direction = "DESC" if sort.descending else "ASC"
    if sort.param.kind == "updated":
        after = _after_walk(sort, query.after, "r.updated", "r.rid")
        sql = (
            "SELECT r.rid, r.seq, r.type, r.id, r.updated FROM resource r INDEXED BY resource_updated "
            f"WHERE {after.text} AND {where.text} ORDER BY r.updated {direction}, r.rid LIMIT {query.count + 1}"
        )
        return Plan("walk", Sql(sql, (*after.args, *where.args)))
    family, column = ("text", "norm") if sort.param.kind == "string" else ("span", "low")
    after = _after_walk(sort, query.after, f"x.{column}")
    sql = (
        f"SELECT x.rid, r.seq, r.type, r.id, x.{column} FROM {family} x CROSS JOIN resource r ON r.rid=x.rid "
        f"WHERE x.k=? AND x.edge&{_edge(sort)} AND {after.text} AND {where.text} "
        f"ORDER BY x.{column} {direction}, x.rid LIMIT {query.count + 1}"
    )
    args = (compiler.hasher.param(type_, sort.param.code), *after.args, *where.args)
    return Plan("walk", Sql(sql, args), rows_without_key(query))


def _edge(sort: Sort) -> int:
    """The bit of `edge` that marks a resource's first value in this direction."""
    return 2 if sort.descending else 1


def _after_walk(sort: Sort, after: Position | None, column: str, rid: str = "x.rid") -> Sql:
    if after is None:
        return TRUE
    value, last = after
    beyond = "<" if sort.descending else ">"
    return Sql(f"{column}{beyond}=? AND ({column}{beyond}? OR {rid}>?)", (value, value, last))


def sort_key(compiler: Compiler, sort: Sort, types: tuple[str, ...]) -> Sql:
    """The value that a resource `r` is sorted by; NULL if it has none."""
    pick, param = ("max" if sort.descending else "min"), sort.param
    if param.kind in ("id", "updated"):
        return Sql("r.id" if param.kind == "id" else "r.updated")
    if param.kind in ("token", "reference"):
        value = "substr(value,1,instr(value,char(1))-1)" if param.kind == "token" else REFERENCE
        return Sql(f"(SELECT {pick}({value}) FROM json_each(r.plain,?))", (f'$."{param.code}"',))
    keys = tuple(compiler.hasher.param(type_, param.code) for type_ in types)
    family, column = ("text", "norm") if param.kind in ("string", "uri") else ("span", "low")
    return Sql(f"(SELECT {pick}({column}) FROM {family} WHERE k IN ({marks(keys)}) AND rid=r.rid)", keys)


def after_position(sort: tuple[Sort, ...], names: list[str], after: Position | None, rid: str) -> Sql:
    """Rows behind a position in the order of `sort`, NULLs last, then the row number."""
    if after is None:
        return TRUE
    *values, last = after
    options: list[Sql] = []
    same: list[Sql] = []
    for name, key, value in zip(names, sort, values, strict=True):
        if value is not None:
            beyond = Sql(f"({name}{'<' if key.descending else '>'}? OR {name} IS NULL)", (value,))
            options.append(join(" AND ", (*same, beyond), TRUE))
        same.append(Sql(f"{name} IS ?", (value,)))
    options.append(join(" AND ", (*same, Sql(f"{rid}>?", (last,))), TRUE))
    return join(" OR ", options, TRUE)


def patient_of(hasher: Hasher, query: Query) -> int | None:
    """The patient that the query pins, if it pins one."""
    for part in conjuncts(query.where):
        if isinstance(part, Or) and len(part.parts) == 1:
            part = part.parts[0]
        if isinstance(part, Is) and part.param.code in HOME and part.param.kind == "reference":
            wanted = {field: value for field, operator, value in part.tests if operator == "="}
            if wanted.keys() == {"type", "id"}:
                return hasher.resource(wanted["type"], wanted["id"])
    return None


def all_types(connection: sqlite3.Connection) -> tuple[str, ...]:
    """The types that have resources, by skipping through the index of types."""
    sql = (
        "WITH RECURSIVE t(type) AS (SELECT min(type) FROM resource WHERE deleted=0 UNION ALL "
        "SELECT (SELECT min(type) FROM resource WHERE type>t.type AND deleted=0) FROM t WHERE t.type IS NOT NULL) "
        "SELECT type FROM t WHERE type IS NOT NULL"
    )
    return tuple(row[0] for row in connection.execute(sql))


def bodies(connection: sqlite3.Connection, rows: list[tuple[Any, ...]]) -> list[Stored]:
    """The current versions of the rows of a page, in their order, with one statement."""
    if not rows:
        return []
    sql = (
        "SELECT v.version, v.updated, v.method, v.body, r.rule FROM json_each(?) j CROSS JOIN version v "
        "ON v.seq=j.value CROSS JOIN resource r ON r.rid=v.rid ORDER BY j.key"
    )
    found = connection.execute(sql, (json.dumps([row[1] for row in rows]),))
    return [Stored(row[2], row[3], *version) for row, version in zip(rows, found, strict=True)]
