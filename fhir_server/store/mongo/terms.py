"""The code systems of the MongoDB store: a document for each term, with two arrays that are indexed. https://www.mongodb.com/docs/manual/core/indexes/index-types/index-multikey/

edition   _id number, u url, v version, s checksum, b about, f when it was finished (absent: not yet)
term      _id edition and number in one integer, e edition, c code, a what lies above (like _id), k keys, b body
"""

from collections.abc import Sequence
from typing import Any

from pymongo import ReturnDocument

from fhir_server.store.mongo.connect import Database, answering
from fhir_server.store.mongo.document import Document, next_number
from fhir_server.store.names import LAST
from fhir_server.store.seam import Conflict
from fhir_server.store.terms import AllOf, Among, AnyOf, Below, Condition, Edition, Keyed, No, Term


class MongoTerms:
    """Implements store.terms.Terms."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def editions(self, url: str = "") -> list[Edition]:
        """See Terms."""
        wanted: Document = {"f": {"$exists": True}, **({"u": url} if url else {})}
        async with answering():
            rows = await self._database.edition.find(wanted).sort("f", -1).to_list()
            return [Edition(row["_id"], row["u"], row["v"], row["s"], row["n"], row["b"]) for row in rows]

    async def begin(self, url: str, version: str, checksum: str, about: bytes) -> int:
        """See Terms."""
        async with answering():
            left = await self._database.edition.find({"u": url, "v": version, "f": {"$exists": False}}).to_list()
        for row in left:
            await self.remove(row["_id"])
        async with answering():
            counter = await self._database.meta.find_one_and_update(
                {"_id": "edition"}, {"$inc": {"last": 1}}, upsert=True, return_document=ReturnDocument.AFTER
            )
            assert counter is not None  # an upsert that returns what is after it
            number = int(counter["last"])
            await self._database.edition.insert_one({"_id": number, "u": url, "v": version, "s": checksum, "b": about})
            return number

    async def add(self, edition: int, terms: Sequence[Term]) -> None:
        """See Terms."""
        first = edition << 32
        rows: list[Document] = [
            {
                "_id": first | n,
                "e": edition,
                "c": code,
                "a": [first | one for one in above],
                "k": list(keys),
                "b": body,
            }
            for n, code, above, keys, body in terms
        ]
        async with answering():
            if rows:
                await self._database.term.insert_many(rows, ordered=False)

    async def finish(self, edition: int) -> list[int]:
        """See Terms. What it replaces is hidden in the same transaction."""
        async with answering():
            low = edition << 32
            count = await self._database.term.count_documents({"_id": {"$gte": low, "$lt": low + (1 << 32)}})

            async def work(session: Any) -> list[int]:
                editions = self._database.edition
                done = {"$set": {"f": next_number(), "n": count}}
                now = await editions.find_one_and_update(
                    {"_id": edition, "f": {"$exists": False}}, done, session=session
                )
                if now is None:
                    raise Conflict("Another import of the same code system and version took over.")
                same = {"u": now["u"], "v": now["v"], "f": {"$exists": True}, "_id": {"$ne": edition}}
                former = [row["_id"] for row in await editions.find(same, session=session).to_list()]
                await editions.update_many({"_id": {"$in": former}}, {"$unset": {"f": 1}}, session=session)
                return former

            async with self._database.client.start_session() as session:
                return await session.with_transaction(work)

    async def remove(self, edition: int) -> None:
        """See Terms."""
        async with answering():
            await self._database.edition.delete_one({"_id": edition})
            await self._database.term.delete_many({"_id": {"$gte": edition << 32, "$lt": (edition + 1) << 32}})

    async def find(self, edition: int, codes: Sequence[str]) -> list[Term]:
        """See Terms."""
        wanted = {"e": edition, "c": codes[0] if len(codes) == 1 else {"$in": list(codes)}}
        async with answering():
            rows = await self._database.term.find(wanted, _COLUMNS).to_list()
            return sorted(map(_term, rows))

    async def select(self, edition: int, where: Condition, offset: int, count: int) -> list[Term]:
        """See Terms."""
        if not count:
            return []
        async with answering():
            found = self._database.term.find(_filter(edition, where), _COLUMNS).sort("_id", 1)
            return [_term(row) for row in await found.skip(offset).limit(count).to_list()]

    async def codes(self, edition: int, where: Condition, count: int) -> list[str]:
        """See Terms."""
        async with answering():
            found = self._database.term.find(_filter(edition, where), {"c": 1, "_id": 1}).sort("_id", 1)
            return [row["c"] for row in await found.limit(count).to_list()]

    async def count(self, edition: int, where: Condition) -> int:
        """See Terms."""
        async with answering():
            return await self._database.term.count_documents(_filter(edition, where))


_COLUMNS = {"c": 1, "a": 1, "b": 1}


def _term(row: Document) -> Term:
    above = tuple(one & 0xFFFFFFFF for one in row["a"])
    return Term(row["_id"] & 0xFFFFFFFF, row["c"], above, (), bytes(row["b"]))


def _filter(edition: int, where: Condition) -> Document:
    low = edition << 32
    whole: Document = {"_id": {"$gte": low, "$lt": low + (1 << 32)}, "e": edition}
    return {"$and": [whole, _of(edition, where)]}


def _of(edition: int, where: Condition) -> Document:
    match where:
        case Below(n):
            return {"a": edition << 32 | n}
        case Among(ns):
            return {"_id": {"$in": [edition << 32 | n for n in ns]}}
        case Keyed(key, False):
            return {"k": key}
        case Keyed(key, True):
            return {"k": {"$elemMatch": {"$gte": key, "$lt": key + LAST}}}
        case No(part):
            return {"$nor": [_of(edition, part)]}
        case AllOf(parts):
            return {"$and": [_of(edition, part) for part in parts]} if parts else {}
        case AnyOf(parts):
            return {"$or": [_of(edition, part) for part in parts]} if parts else {"_id": {"$in": []}}
    raise ValueError(f"{where} is no condition")
