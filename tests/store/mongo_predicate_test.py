"""MongoDB alone: every chain as a `$lookup`, every resource with overflow documents, and text cut in the index."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from fhir_server.search.predicate import EVERYTHING, And, Chain, Has, Is, Not, Or, Param
from fhir_server.store.mongo import MongoStore, find, has, large, open_mongo, where
from fhir_server.store.mongo import document as documents
from fhir_server.store.seam import Change, Query, Tx
from tests import mongod
from tests.store import predicate_test
from tests.store.predicate_test import agree

NAME, CODE, URI = Param("name", "string"), Param("code", "token"), Param("url", "uri")
SUBJECT, DATE = Param("subject", "reference"), Param("date", "date")
pytestmark = pytest.mark.mongo


@pytest.fixture
async def mongo_store(mongo: mongod.MongoServer, request: pytest.FixtureRequest) -> AsyncIterator[MongoStore]:
    """An empty MongoDB store."""
    store = await open_mongo(mongo.uri(f"m{abs(hash(request.node.name)):x}"))
    yield store
    await store.database.client.drop_database(store.database.resource.database.name)
    await store.close()


async def test_agrees_when_every_chain_is_a_join(mongo_store: MongoStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(where, "FEW", 0)
    monkeypatch.setattr(predicate_test, "EXAMPLES", 150)
    await agree(mongo_store)


@pytest.mark.parametrize("few", [0, 1000])
async def test_agrees_when_every_resource_overflows(
    mongo_store: MongoStore, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(large, "MOST_ENTRIES", 2)
    monkeypatch.setattr("fhir_server.store.mongo.write.MOST_ENTRIES", 2)
    monkeypatch.setattr(where, "FEW", few)
    monkeypatch.setattr(predicate_test, "EXAMPLES", 100)
    await agree(mongo_store)
    assert await mongo_store.database.overflow.estimated_document_count() > 60


@pytest.mark.parametrize(("near", "most"), [(3, 4), (0, 4), (3, 0)])
async def test_agrees_from_whichever_side_has_is_resolved(
    mongo_store: MongoStore, monkeypatch: pytest.MonkeyPatch, near: int, most: int
) -> None:
    monkeypatch.setattr(has, "NEAR", near)
    monkeypatch.setattr(has, "MOST", most)
    monkeypatch.setattr(has, "RARE", 2)
    monkeypatch.setattr(predicate_test, "EXAMPLES", 150)
    await agree(mongo_store)


@pytest.mark.parametrize("most", [4, 1000])
async def test_agrees_when_keys_lead_if_few_have_one(
    mongo_store: MongoStore, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(find, "MANY_KEYS", 1)
    monkeypatch.setattr(find, "MOST_KEYED", most)
    monkeypatch.setattr(predicate_test, "EXAMPLES", 150)
    await agree(mongo_store)


async def examined(store: MongoStore, *wanted: Any) -> tuple[list[str], int]:
    """What is found, and how many documents the server looked at for all commands of the search."""
    database = store.database.resource.database
    await database.command("profile", 2)
    ids = await found(store, *wanted, type="Patient")
    await database.command("profile", 0)
    told = await database["system.profile"].find({"ns": store.database.resource.full_name}).to_list()
    await database["system.profile"].drop()
    return ids, sum(one.get("docsExamined", 0) for one in told)


async def test_has_looks_at_no_more_than_the_smaller_side_and_a_page_needs(
    mongo_store: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(has, "MOST", 100)
    await save(mongo_store, *[Change("Patient", f"p{n:03}", 1, 0, "PUT", b"{}", patient(n)) for n in range(250)])
    for day in range(10):
        changes = (
            Change("Observation", f"o{n:03}-{day}", 1, 0, "PUT", b"{}", seen(n, day))
            for n in range(250)
        )  # fmt: skip
        await save(mongo_store, *changes)
    ann = Is(NAME, (("norm", "=", "ann"),))
    late = Has("Observation", SUBJECT, Is(DATE, (("low", ">=", 5),)))
    # Four that are late are more than the three candidates: the newest of each is looked at.
    assert await examined(mongo_store, ann, late) == (["p000", "p100", "p200"], 3 + 4 + 3 + 3)
    ids, documents = await examined(mongo_store, late)
    assert len(ids) == 50
    assert documents < 101 + 250 + 60 * 2
    await save(mongo_store, Change("Observation", "latest", 1, 0, "PUT", b"{}", seen(5, 50)))
    latest = Has("Observation", SUBJECT, Is(DATE, (("low", ">=", 20),)))
    assert await examined(mongo_store, latest) == (["p005"], 1 + 1)
    common, rare = (Has("Observation", SUBJECT, Is(CODE, (("code", "=", code),))) for code in ("often", "once"))
    assert await examined(mongo_store, ann, common) == (["p000", "p100", "p200"], 3 + 3 * 9 + 3)
    assert await examined(mongo_store, rare) == (["p007"], 1 + 1)
    ids, documents = await examined(mongo_store, common)
    assert len(ids) == 50
    assert documents < 101 + 51 * 12
    ids, documents = await examined(mongo_store, Not(ann), common)
    assert len(ids) == 50
    assert documents < 201 + 101 + 60 * 12


def patient(number: int) -> tuple[Any, ...]:
    return ((NAME, "ann" if number % 100 == 0 else f"bob{number}", "x"),)


def seen(number: int, day: int) -> tuple[Any, ...]:
    code = "once" if (number, day) == (7, 0) else "other" if day == 0 else "often"
    return (SUBJECT, "Patient", f"p{number:03}", "", ""), (DATE, day, day + 1), (CODE, "s", code)


async def save(store: MongoStore, *changes: Change) -> None:
    async def work(tx: Tx) -> None:
        for change in changes:
            await tx.write(change)

    await store.transact(work)


async def found(store: MongoStore, *wanted: Any, type: str = "Basic") -> list[str]:
    return [row.id for row in (await store.search(Query((type,), And(wanted)))).rows]


async def test_long_and_odd_text_is_compared_whole(mongo_store: MongoStore) -> None:
    long, longer = "é" * 500 + "a", "é" * 500 + "b"
    odd = "tab\tnul\x00one\x01two\x02.*|(\\"
    values = [long, longer, odd, "\U0010ffff", "x\n"]
    for number, text in enumerate(values):
        entries = ((NAME, text, text.upper()), (CODE, text, text), (URI, text))
        await save(mongo_store, Change("Basic", str(number), 1, 0, "PUT", b"{}", entries))
    for number, text in enumerate(values):
        for param, field in ((NAME, "norm"), (CODE, "code"), (CODE, "system"), (URI, "uri")):
            assert await found(mongo_store, Is(param, ((field, "=", text),))) == [str(number)], (param, field)
            for operator in ("prefix", "contains"):
                assert await found(mongo_store, Is(param, ((field, operator, text),))) == [str(number)]
    assert await found(mongo_store, Is(URI, (("uri", "prefix", "é" * 400),))) == ["0", "1"]
    assert await found(mongo_store, Is(NAME, (("exact", "contains", "ÉB"),))) == ["1"]
    assert await found(mongo_store, Is(CODE, (("code", "prefix", "é" * 500), ("code", "contains", "b")))) == ["1"]


async def test_one_of_many_subjects_and_codes_is_found_by_both(
    mongo_store: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "MOST_PAIRS", 2)
    a, b = ((SUBJECT, "Patient", id, "", "") for id in "ab")
    await save(
        mongo_store,
        Change("Basic", "few", 1, 0, "PUT", b"{}", (a, (CODE, "s", "x"), (CODE, "s", "y"))),
        Change("Basic", "many", 1, 0, "PUT", b"{}", (a, b, (CODE, "s", "x"), (CODE, "t", "z"))),
    )

    def both(subject: str, *codes: str) -> tuple[Any, Any]:
        pinned = Is(SUBJECT, (("type", "=", "Patient"), ("id", "=", subject)))
        return pinned, Or(tuple(Is(CODE, (("code", "=", code),)) for code in codes))

    assert await found(mongo_store, *both("a", "x")) == ["few", "many"]
    assert await found(mongo_store, *both("a", "y")) == ["few"]
    assert await found(mongo_store, *both("b", "y", "z")) == ["many"]
    assert await found(mongo_store, *both("b", "y")) == []


async def test_another_process_that_knew_of_no_overflow_finds_the_first(
    mongo: mongod.MongoServer, mongo_store: MongoStore
) -> None:
    member = Param("member", "reference")
    last = Is(member, (("type", "=", "Patient"), ("id", "=", "p2999")))
    entries = tuple((member, "Patient", f"p{n}", "", "") for n in range(3_000))
    other = await open_mongo(mongo.uri(mongo_store.database.resource.database.name))
    try:
        assert await found(other, last, type="Group") == []
        await save(mongo_store, Change("Group", "g", 1, 1, "PUT", b"{}", entries))
        assert await found(other, last, type="Group") == ["g"]
    finally:
        await other.close()


async def test_a_group_of_200_000_members(mongo_store: MongoStore) -> None:
    member, patient = Param("member", "reference"), Param("name", "string")
    count = 200_000
    body = b"[" + b",".join(b'{"entity":{"reference":"Patient/p%06d"}}' % n for n in range(count)) + b"]"

    def group(version: int, first: int) -> Change:
        entries = tuple((member, "Patient", f"p{n:06}", "", "") for n in range(first, count))
        return Change("Group", "g", version, version, "PUT", body, entries)

    await save(mongo_store, group(1, 0))
    await save(mongo_store, Change("Patient", "p199999", 1, 0, "PUT", b"{}", ((patient, "ann", "Ann"),)))
    last = Is(member, (("type", "=", "Patient"), ("id", "=", "p199999")))
    first = Is(member, (("type", "=", "Patient"), ("id", "=", "p000000")))
    ann = Is(patient, (("norm", "=", "ann"),))
    assert await found(mongo_store, last, type="Group") == ["g"]
    assert await found(mongo_store, first, Not(Not(last)), type="Group") == ["g"]
    assert await found(mongo_store, Chain(member, "Patient", ann), type="Group") == ["g"]
    assert await found(mongo_store, Has("Group", member, EVERYTHING), type="Patient") == ["p199999"]
    read = await mongo_store.read("Group", "g", last)
    assert read is not None
    assert read.body == body
    await save(mongo_store, group(2, 1))
    assert await found(mongo_store, first, type="Group") == []
    assert await found(mongo_store, last, type="Group") == ["g"]
    await save(mongo_store, Change("Group", "g", 3, 3, "DELETE", b"", ()))
    assert await found(mongo_store, last, type="Group") == []
    assert await found(mongo_store, Has("Group", member, EVERYTHING), type="Patient") == []
    assert await mongo_store.database.overflow.estimated_document_count() == 0
    older = await mongo_store.read("Group", "g", EVERYTHING, version=1)
    assert older is not None
    assert older.body == body
