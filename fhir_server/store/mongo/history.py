"""History and the change feed, both over the collection `version`. https://hl7.org/fhir/R4/http.html#history"""

from collections.abc import AsyncIterator
from typing import Any

from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.timestamp import Timestamp
from pymongo.errors import OperationFailure

from fhir_server.search.predicate import EVERYTHING, Predicate
from fhir_server.store.mongo.connect import Database
from fhir_server.store.mongo.document import COLUMNS, Document, key_of
from fhir_server.store.mongo.expunge import tombstones
from fhir_server.store.mongo.large import complete, overflowing
from fhir_server.store.mongo.where import Compiler
from fhir_server.store.seam import Page, Position, Stored, StoreError

LOST = (136, 280, 286)  # CappedPositionLost, ChangeStreamFatalError, ChangeStreamHistoryLost
FOREIGN = (9, 260, 50811)  # FailedToParse, InvalidResumeToken, a token that is no key string
MOST = 500  # versions looked at together
OVERLAP = 120 * 1_000_000  # microseconds: a version numbered before the feed's start may commit up to this much later


async def history(
    database: Database,
    type_: str | None,
    id_: str | None,
    where: Predicate,
    since: int | None,
    after: Position | None,
    count: int,
    at: tuple[int, int] | None,
) -> Page:
    """One page of versions, newest first."""
    rows: list[Document] = []
    today = None if where == EVERYTHING else Today(database, where)
    wanted = count + 1
    while len(rows) <= count:
        found = await _versions(database, type_, id_, since, after, wanted, at)
        rows += found if today is None else await today.those(found)
        if len(found) < wanted:
            break
        wanted = min(2 * wanted, MOST)  # where few of many may be seen, not a look for each of them
        after = _position(found[-1], id_)
    following = _position(rows[count - 1], id_) if len(rows) > count > 0 else None
    return Page(await complete(database, None, rows[:count]), following)


async def _versions(
    database: Database,
    type_: str | None,
    id_: str | None,
    since: int | None,
    after: Position | None,
    count: int,
    at: tuple[int, int] | None,
) -> list[Document]:
    wanted: list[Document] = [{"u": {"$gte": since}}] if since is not None else []
    wanted += [{"u": {"$lt": at[1]}}] if at else []
    if type_ is not None and id_ is not None:
        key = key_of(type_, id_)
        last = {"r": key, "v": after[0] if after else MaxKey()}
        wanted.append({"_id": {"$gt": {"r": key, "v": MinKey()}, "$lt": last}})
        order, hint = [("_id", -1)], "_id_"
    else:
        order, hint = [("u", -1), ("w", -1)], "type history" if type_ else "history"
        wanted += [{"r": type_}] if type_ else []
        if after:
            older = [{"u": {"$lt": after[0]}}, {"u": after[0], "w": {"$lt": after[1]}}]
            wanted.append({"u": {"$lte": after[0]}, "$or": older})
    projection = {**COLUMNS, "_id": 1, "w": 1}
    match = {"$and": wanted} if wanted else {}
    if at:
        stages: list[Document] = [
            {"$match": match},
            {"$sort": dict(order)},
            *_current(at[0]),
            {"$limit": count},
            {"$project": projection},
        ]
        return await (await database.version.aggregate(stages, hint=hint)).to_list()
    return await database.version.find(match, projection, sort=order, limit=count, hint=hint).to_list()


def _current(low: int) -> list[Document]:
    """Stages that keep the versions that were current at `low` or were made later."""
    following = {"r": "$_id.r", "v": {"$add": ["$_id.v", 1]}}
    time: list[Document] = [{"$project": {"_id": 0, "u": 1}}]
    look = {"from": "version", "localField": "following", "foreignField": "_id", "pipeline": time, "as": "following"}
    kept = [{"u": {"$gte": low}}, {"m": {"$ne": "DELETE"}, "following.u": {"$not": {"$lte": low}}}]
    return [{"$set": {"following": following}}, {"$lookup": look}, {"$match": {"$or": kept}}]


def _position(row: Document, id_: str | None) -> Position:
    return (row["v"],) if id_ is not None else (row["u"], row["w"])


class Today:
    """Which versions are of resources that match a predicate today; a predicate is compiled once for each type."""

    def __init__(self, database: Database, where: Predicate) -> None:
        self._database, self._where = database, where
        self._pipelines: dict[str, list[Document]] = {}
        self._known: dict[str, bool] = {}  # keys of resources, and whether they match

    async def those(self, rows: list[Document]) -> list[Document]:
        """Those of the rows."""
        fresh = {row["_id"]["r"]: row["r"] for row in rows if row["_id"]["r"] not in self._known}
        for type_ in dict.fromkeys(fresh.values()):
            ids = [key for key, its in fresh.items() if its == type_]
            stages: list[Document] = [{"$match": {"_id": {"$in": ids}}}, *await self._pipeline(type_)]
            cursor = await self._database.resource.aggregate([*stages, {"$project": {"_id": 1}}])
            seen = {row["_id"] async for row in cursor}
            self._known |= {key: key in seen for key in ids}
        return [row for row in rows if self._known[row["_id"]["r"]]]

    async def _pipeline(self, type_: str) -> list[Document]:
        if type_ not in self._pipelines:
            compiler = Compiler(self._database, None, (type_,), await overflowing(self._database))
            self._pipelines[type_] = (await compiler.plan(self._where)).pipeline((type_,))
        return self._pipelines[type_]


async def changes(database: Database, after: Position | None) -> AsyncIterator[tuple[Position, Stored]]:
    """Versions in commit order from the change stream; from None, first all that are stored, in order of writing.

    A position is ("scan", seconds, increment, last number) while reading what is stored, then ("feed", resume token).
    Each version comes at least once: one that commits while the stored ones are read may come twice when the reader
    stops in between. Raises StoreError when the oplog no longer reaches back to the position.
    """
    if after is not None and after[0] == "feed":
        async for item in _feed(database, {"resume_after": {"_data": after[1]}}, set()):
            yield item
        return
    start = Timestamp(after[1], after[2]) if after else await _now(database)
    fresh: set[tuple[str, int]] = set()
    recent = (start.time * 1_000_000 - OVERLAP) << 12
    number = after[3] if after else 0
    cursor = database.version.find({"w": {"$gt": number}}, {**COLUMNS, "_id": 1, "w": 1}, sort=[("w", 1)])
    async for row in cursor:
        if row["w"] > recent:
            fresh.add((row["_id"]["r"], row["v"]))
        position = ("scan", start.time, start.inc, row["w"])
        yield position, (await complete(database, None, [row]))[0]
    async for item in _feed(database, {"start_at_operation_time": Timestamp(start.time, start.inc + 1)}, fresh):
        yield item


async def _feed(
    database: Database, begin: dict[str, Any], known: set[tuple[str, int]]
) -> AsyncIterator[tuple[Position, Stored]]:
    target = await _now(database)
    gone = await tombstones(database)
    only = [{"$match": {"operationType": "insert"}}]
    try:
        async with await database.version.watch(only, max_await_time_ms=5, batch_size=500, **begin) as stream:
            while True:
                event = await stream.try_next()
                if event is None:
                    if _reached(stream.resume_token) >= target:
                        return
                    continue
                row = event["fullDocument"]
                if (row["_id"]["r"], row["v"]) not in known and not gone(row["_id"]["r"], row["w"]):
                    yield ("feed", event["_id"]["_data"]), (await complete(database, None, [row]))[0]
    except OperationFailure as error:
        if error.code in LOST or error.has_error_label("NonResumableChangeStreamError"):
            raise StoreError(
                "The oplog no longer reaches back to this position: begin again from the start, and enlarge the oplog."
            ) from error
        if error.code in FOREIGN:
            raise StoreError(
                "This position is not one of this store's change feed: begin again from the start."
            ) from error
        raise


async def _now(database: Database) -> Timestamp:
    """The cluster's time of the last operation."""
    told = await database.client.admin.command("ping")
    at = told["operationTime"]
    assert isinstance(at, Timestamp)
    return at


def _reached(token: Any) -> Timestamp:
    """How far a change stream has read: its resume token begins with 82, then the cluster time as 16 hex digits."""
    data = token["_data"] if token else ""
    return Timestamp(int(data[2:10], 16), int(data[10:18], 16)) if data else Timestamp(0, 0)
