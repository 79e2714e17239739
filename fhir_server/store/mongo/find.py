"""Search: a query as one find or one pipeline, its order, its pages. https://hl7.org/fhir/R4/search.html

Four orders are read from an index: of creation, of last change (both ways), newest date first, and of id. Any other is
sorted by the server among what matches, by the scalars that document.py keeps.
"""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from math import inf
from typing import Any

from bson import json_util
from pymongo.asynchronous.client_session import AsyncClientSession

from fhir_server.fhir import codec
from fhir_server.search.predicate import EVERYTHING, ID, UPDATED, Is, Of, Or, Predicate, Sort, conjuncts
from fhir_server.store import pace
from fhir_server.store.mongo.connect import Database
from fhir_server.store.mongo.document import COLUMNS, DATE, Document, key_of
from fhir_server.store.mongo.join import references_to
from fhir_server.store.mongo.large import MOST_BYTES, complete, overflowing
from fhir_server.store.mongo.pack import SHAPES
from fhir_server.store.mongo.pinned import pinned_filter
from fhir_server.store.mongo.where import Compiler, Plan, everything, of_types, unindexed
from fhir_server.store.seam import Lines, Page, Position, Query, Stored

BATCH = 200  # resources that a scan holds at a time
MANY_KEYS, MOST_KEYED = 1000, 50_000  # asked for, and resources that have one of them
LINE = {"_id": 0, "r": 1, "i": 1, "v": 1, "u": 1, "m": 1, "b": 1, "large": 1, "n": 1}
Order = list[tuple[str, int]]
Session = AsyncClientSession | None


@dataclass(frozen=True, slots=True)
class Search:
    """A query made ready: its plan, the order and how to reach it."""

    types: tuple[str, ...]
    plan: Plan
    order: Order  # as the server is asked to sort, n (or _id) last
    computed: Document  # sort fields that the documents do not have as such
    hint: str | None = None

    def match(self, after: Position | None) -> Document:
        """What the first stage asks: type, everything without joins and, unless sort fields are computed, the page."""
        page = {} if self.computed else _after(self.order, after)
        return everything(of_types(self.types), *self.plan.early, page)

    def stages(self, after: Position | None, limit: int) -> list[Document]:
        """The pipeline of one page."""
        late: list[Document] = [{"$match": everything(*self.plan.late)}] if self.plan.late else []
        joins = [*self.plan.joins, *late]
        sort: Document = {"$sort": dict(self.order)}
        first: Document = {"$match": self.match(after)}
        project: Document = {"$project": {**COLUMNS, **{name: 1 for name, _ in self.order}}}
        if not self.computed:  # sorting first leaves the order to an index; the joins stop at the limit
            return [first, sort, *joins, {"$limit": limit}, project]
        page = _after(self.order, after)
        paged: list[Document] = [{"$match": page}] if page else []
        return [first, *joins, {"$set": self.computed}, *paged, sort, {"$limit": limit}, project]


async def prepare(database: Database, session: Session, query: Query) -> Search | None:
    """Compile a query; None when nothing can match because there are no resources."""
    # An index that deleted resources are in too makes them a null among the distinct types.
    types = query.types or tuple(filter(None, await database.resource.distinct("t", session=session)))
    if not types:
        return None
    order, computed = _order(query.sort, types)
    compiler = Compiler(database, session, types, await overflowing(database))
    parts = conjuncts(query.where)
    by_date = order[0] == ("when", -1)
    pinned = await pinned_filter(compiler, parts, by_date)
    if pinned is None:
        named = next(filter(_names_one, parts), None) if len(types) > 1 and not compiler.overflowing else None
        if named is None:
            plan = await compiler.plan(query.where)
            return Search(types, plan, order, computed, await _hint_of(database, session, types, plan))
        keys = list(dict.fromkeys(_keys(named)))
        plan = await compiler.plan_of([part for part in parts if part is not named], {"k": {"$in": keys}})
        plan.early.append(unindexed(await compiler.compile(named)))
        return Search(types, plan, order, computed, "key")
    plan = await compiler.plan_of(pinned.left, pinned.narrow)
    plan.early += [unindexed(await compiler.compile(part)) for part in pinned.tested]
    return Search(types, plan, order, computed, pinned.hint)


async def _hint_of(database: Database, session: Session, types: tuple[str, ...], plan: Plan) -> str | None:
    """The index of keys, where one of very many is asked for that not very many resources have: to choose, the planner
    would try others beside it for as many steps as a third of all resources, half a second of a million."""
    for asked in plan.early:
        keys = asked.get("k")
        if isinstance(keys, dict) and len(keys.get("$in", ())) > MANY_KEYS:
            filter_ = everything(of_types(types), asked)
            found = await database.resource.count_documents(filter_, limit=MOST_KEYED, hint="key", session=session)
            return "key" if found < MOST_KEYED else None
    return None


def _names_one(part: Predicate) -> bool:
    """Whether a condition asks for references to given resources: over several types, to try other indexes than that of
    keys takes the planner longer than the search."""
    if isinstance(part, Or):
        return bool(part.parts) and all(map(_names_one, part.parts))
    if isinstance(part, Of):
        return _names_one(part.where)
    if not isinstance(part, Is) or part.param.kind != "reference":
        return False
    return {(field, operator) for field, operator, _ in part.tests} == {("type", "="), ("id", "=")}


def _keys(part: Predicate) -> Iterator[str]:
    """The keys of the references that such a condition asks for, of whatever types."""
    if isinstance(part, Or):
        for one in part.parts:
            yield from _keys(one)
    elif isinstance(part, Of):
        yield from _keys(part.where)
    elif isinstance(part, Is):
        told: dict[str, Any] = {field: value for field, _, value in part.tests}
        yield from references_to(part.param, told["type"], told["id"])


def _order(sort: tuple[Sort, ...], types: tuple[str, ...]) -> tuple[Order, Document]:
    match sort:
        case ():
            return [("n", 1)], {}
        case (Sort(param, descending),) if param == UPDATED:
            return [("u", -1 if descending else 1), ("n", 1)], {}
        case (Sort(param, True),) if param == DATE:
            return [("when", -1), ("n", 1)], {}
        case (Sort(param, descending),) if param == ID and len(types) == 1:
            return [("_id", -1 if descending else 1)], {}
    order: Order = []
    computed: Document = {}
    for place, (param, descending) in enumerate(sort):
        lacking, value = f"lacking{place}", f"sort{place}"
        computed[value] = _sort_value(param, descending)
        computed[lacking] = {"$lte": [computed[value], None]}  # missing and null are the least of all values
        order += [(lacking, 1), (value, -1 if descending else 1)]
    return [*order, ("n", 1)], computed


def _sort_value(param: Any, descending: bool) -> Any:
    if param == UPDATED:
        return "$u"
    if param == ID:
        return "$i"
    name = SHAPES[param].prefix
    return {"$ifNull": [f"$z.{name}", f"$s.{name}"]} if descending else f"$s.{name}"


def _after(order: Order, after: Position | None) -> Document:
    """What comes after a position: greater in the first field that differs; the bound on the first uses an index."""
    if after is None:
        return {}
    values = [
        -inf if value is None and name == "when" else value for (name, _), value in zip(order, after, strict=True)
    ]
    options = []
    for place, (name, direction) in enumerate(order):
        same = {order[before][0]: values[before] for before in range(place)}
        if values[place] is None:
            continue  # nothing comes after a missing value but what differs later
        options.append({**same, name: {"$gt" if direction > 0 else "$lt": values[place]}})
    if len(options) == 1:
        return options[0]
    first, direction = order[0]
    return {"$and": [{first: {"$gte" if direction > 0 else "$lte": values[0]}}, {"$or": options}]}


def _position(order: Order, row: Document) -> Position:
    return tuple(None if (value := row.get(name)) == -inf else value for name, _ in order)


async def search(database: Database, query: Query, session: Session = None) -> Page:
    """One page of a search."""
    prepared = await prepare(database, session, query)
    if prepared is None:
        return Page([], None, 0 if query.total else None)
    total = await _count(database, prepared, session) if query.total else None
    if query.count <= 0:
        return Page([], None, total)
    limit = query.count + 1
    if prepared.plan.joins or prepared.computed:
        stages = prepared.stages(query.after, limit)
        cursor: Any = await database.resource.aggregate(stages, session=session, allowDiskUse=True, **_hint(prepared))
    else:
        cursor = database.resource.find(
            prepared.match(query.after),
            {**COLUMNS, **dict.fromkeys((name for name, _ in prepared.order), 1)},
            sort=prepared.order,
            limit=limit,
            batch_size=limit,
            session=session,
            **_hint(prepared),
        )
    rows = await cursor.to_list()
    following = _position(prepared.order, rows[query.count - 1]) if len(rows) > query.count else None
    return Page(await complete(database, session, rows[: query.count]), following, total)


async def lines(database: Database, query: Query, at: int | None) -> Lines:
    """A page in order of creation as one text."""
    query = query._replace(sort=(), total=False)
    prepared = await prepare(database, None, query)
    if prepared is None or query.count <= 0:
        return Lines(b"", [])
    if prepared.plan.joins:
        page = await search(database, query)
        told = [row for row in page.rows if at is None or row.updated <= at]
        return Lines(b"\n".join([row.body for row in told]), [row.id for row in told], page.next)
    found = database.resource.find(
        prepared.match(query.after),
        LINE,
        sort=prepared.order,
        limit=query.count,
        batch_size=query.count,
        **_hint(prepared),
    )
    rows, size, more = list[Document](), 0, False
    async with found:
        async for row in found:
            size += len(row["b"]) + row.get("large", 0) * MOST_BYTES
            if more := bool(rows) and size > pace.MOST:
                break
            rows.append(row)
    following = _position(prepared.order, rows[-1]) if more or len(rows) == query.count else None
    some = [row for row in rows if at is None or row["u"] <= at]
    if any("large" in row for row in some):
        told = await complete(database, None, some)
        return Lines(b"\n".join([row.body for row in told]), [row.id for row in told], following)
    return Lines(b"\n".join([row["b"] for row in some]), [row["i"] for row in some], following)


def _hint(prepared: Search) -> dict[str, Any]:
    return {"hint": prepared.hint} if prepared.hint else {}


async def count(database: Database, query: Query, session: Session = None) -> int:
    """How many match."""
    prepared = await prepare(database, session, query._replace(sort=(), after=None))
    return await _count(database, prepared, session) if prepared else 0


async def _count(database: Database, prepared: Search, session: Session) -> int:
    stages = [*prepared.plan.pipeline(prepared.types), {"$count": "total"}]
    cursor = await database.resource.aggregate(stages, session=session, **_hint(prepared))
    rows = await cursor.to_list()
    return int(rows[0]["total"]) if rows else 0


async def read(database: Database, type_: str, id_: str, where: Predicate, version: int | None) -> Stored | None:
    """The current or one version, if today's resource matches."""
    key = key_of(type_, id_)
    if where == EVERYTHING:
        row = await _current(database, key) if version is None else await _version(database, key, version)
    else:
        row = await _matching(database, type_, key, where)
        if row and version is not None:
            row = await _version(database, key, version)
    return (await complete(database, None, [row]))[0] if row else None


async def _current(database: Database, key: str) -> Document | None:
    return await database.resource.find_one({"_id": key}, COLUMNS)


async def _version(database: Database, key: str, version: int) -> Document | None:
    if not 0 < version < 1 << 63:  # what a BSON integer holds
        return None
    return await database.version.find_one({"_id": {"r": key, "v": version}}, COLUMNS)


async def _matching(database: Database, type_: str, key: str, where: Predicate) -> Document | None:
    compiler = Compiler(database, None, (type_,), await overflowing(database))
    plan = await compiler.plan_of(conjuncts(where), {"_id": key})
    stages = [*plan.pipeline((type_,)), {"$project": COLUMNS}]
    rows = await (await database.resource.aggregate(stages)).to_list()
    return rows[0] if rows else None


async def scan(database: Database, query: Query) -> AsyncIterator[Stored]:
    """All that match, page after page: no cursor grows old while a slow reader reads."""
    page: Position | None = None
    while True:
        found = await search(database, query._replace(sort=(), count=BATCH, after=page, total=False))
        for row in found.rows:
            yield row
        page = found.next
        if page is None:
            return


async def explain(database: Database, query: Query) -> dict[str, Any]:
    """The filter or pipeline sent, the index forced if any, and the plan the server chose, with what it cost."""
    prepared = await prepare(database, None, query)
    if prepared is None:
        return {"store": "mongodb", "pipeline": [], "plan": None}
    stages = prepared.stages(query.after, query.count + 1)
    command = {"aggregate": "resource", "pipeline": stages, "cursor": {}, **_hint(prepared)}
    told = await database.resource.database.command("explain", command, verbosity="executionStats")
    told = told.get("stages", [{}])[0].get("$cursor", told) if "stages" in told else told
    plan = {"winningPlan": told["queryPlanner"]["winningPlan"], "executionStats": told.get("executionStats")}
    asked = {"store": "mongodb", "pipeline": stages, "hint": prepared.hint, "plan": plan}
    readable: dict[str, Any] = codec.decode(json_util.dumps(asked).encode())
    return readable
