"""Computing all index entries anew, online: each resource's own document at a time, a concurrent write always wins."""

from collections.abc import Callable

from pymongo import UpdateOne

from fhir_server.search.predicate import EVERYTHING, Entry
from fhir_server.store.mongo.connect import OVERFLOW_INDEXES, RESOURCE_INDEXES, VERSION_INDEXES, Database
from fhir_server.store.mongo.document import Document, index_fields, key_of
from fhir_server.store.mongo.find import scan
from fhir_server.store.mongo.large import MOST_ENTRIES
from fhir_server.store.mongo.write import replace_entries
from fhir_server.store.seam import Query

BATCH = 200


async def reindex(database: Database, entries: Callable[[bytes], tuple[Entry, ...]], types: tuple[str, ...]) -> int:
    """Returns how many resources were indexed."""
    done = 0
    updates: list[UpdateOne] = []
    async for row in scan(database, Query(types, EVERYTHING)):
        found = entries(row.body)
        key = key_of(row.type, row.id)
        if len(found) > MOST_ENTRIES or await database.overflow.find_one({"of": key}, {"_id": 1}):
            await replace_entries(database, row, found)
        else:
            updates.append(UpdateOne({"_id": key, "v": row.version}, {"$set": index_fields(found)}))
        done += 1
        if len(updates) == BATCH:
            await database.resource.bulk_write(updates, ordered=False)
            updates = []
    if updates:
        await database.resource.bulk_write(updates, ordered=False)
    return done


async def index_keys(database: Database, types: tuple[str, ...] = ()) -> tuple[int, int]:
    """(resources, keys over all indexes of the store) for some types or all, counted exactly from the documents."""
    match: Document = {"r": {"$in": list(types)}} if types else {}
    resources = await database.resource.count_documents(match)
    total = 0
    for collection, indexes in (
        (database.resource, RESOURCE_INDEXES),
        (database.version, VERSION_INDEXES),
    ):
        async for row in collection.find(match, {"b": 0}):
            total += 1 + sum(_keys(row, [name for name, _ in columns]) for columns in indexes.values())
    over = {"t": {"$in": list(types)}} if types else {}
    async for row in database.overflow.find(over):
        total += 1 + sum(_keys(row, [name for name, _ in columns]) for columns in OVERFLOW_INDEXES.values())
    return resources, total


def _keys(row: Document, columns: list[str]) -> int:
    """Distinct keys that a document has in an index of at most one array; an empty array makes one key."""
    array = next(
        (name.partition(".")[0] for name in columns if isinstance(row.get(name.partition(".")[0]), list)), None
    )
    if array is None:
        return 1
    inner = [name.partition(".")[2] for name in columns if name.startswith(array + ".")]
    values = {tuple(item.get(name) for name in inner) if inner else item for item in row[array]}
    return max(1, len(values))
