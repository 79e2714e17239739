"""Opening a MongoDB store: what cannot work is refused with its cure; what it promises about indexes holds."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from fhir_server.search.predicate import And, Is, Not, Param, Predicate, Sort
from fhir_server.store import open_store
from fhir_server.store.mongo import MongoStore, connect, open_mongo
from fhir_server.store.mongo.connect import SCHEMA
from fhir_server.store.mongo.reindex import index_keys
from fhir_server.store.seam import Busy, Change, Query, StoreError, TooLarge, Tx
from tests import mongod

CODE, DATE, SUBJECT = Param("code", "token"), Param("date", "date"), Param("subject", "reference")
UPDATED = Param("_lastUpdated", "updated")
pytestmark = pytest.mark.mongo


@pytest.fixture
def alone() -> Iterator[mongod.MongoServer]:
    """A mongod without a replica set."""
    try:
        server = mongod.start(replica_set=False)
    except mongod.Unavailable as reason:
        if mongod.required():
            raise
        pytest.skip(str(reason))
    yield server
    server.stop()


@pytest.fixture
async def timelines(mongo: mongod.MongoServer) -> AsyncIterator[MongoStore]:
    """Twelve patients with 40 observations each."""
    store = await open_mongo(mongo.uri("timelines"))

    async def work(tx: Tx) -> None:
        for number in range(480):
            entries = (
                (SUBJECT, "Patient", str(number % 12), "", ""),
                (CODE, "http://loinc.org", str(number % 5)),
                (DATE, number * 7919 % 480, number * 7919 % 480 + 1),
            )
            await tx.write(Change("Observation", str(number), 1, number, "PUT", b"{}", entries))

    await store.transact(work)
    yield store
    await store.database.client.drop_database("timelines")
    await store.close()


async def test_a_server_that_is_not_there_is_reported_in_seconds() -> None:
    with pytest.raises(StoreError, match="No MongoDB answers within 5 s"):
        await open_store(f"mongodb://127.0.0.1:{mongod.free_port()}/fhir")


@pytest.mark.parametrize("url", ["mongodb://", "mongodb://host:port/fhir", "mongodb://localhost/a.b"])
async def test_a_malformed_url_is_reported(url: str) -> None:
    with pytest.raises(StoreError):
        await open_store(url)


async def test_a_password_is_never_shown() -> None:
    with pytest.raises(StoreError) as refusal:
        await open_store("mongodb://ann:geheim@host:port/fhir")
    assert "geheim" not in str(refusal.value)


async def test_a_standalone_mongod_is_refused_with_the_cure(alone: mongod.MongoServer) -> None:
    with pytest.raises(StoreError, match=r"--replSet rs0 and run rs.initiate\(\)"):
        await open_store(alone.uri("fhir"))


async def test_a_later_schema_is_refused(mongo: mongod.MongoServer) -> None:
    store = await open_mongo(mongo.uri("later"))
    await store.database.meta.update_one({"_id": "schema"}, {"$set": {"version": SCHEMA + 1}})
    await store.close()
    with pytest.raises(StoreError, match="install the newer server"):
        await open_store(mongo.uri("later"))


async def test_a_server_that_goes_away_is_busy_then_back(
    mongo: mongod.MongoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect, "PATIENCE", 1000)
    own = mongod.start()
    try:
        store = await open_mongo(own.uri("fhir"))
        await store.put_state("k", b"v", 0)
        own.kill()
        with pytest.raises(Busy):
            await store.get_state("k")
        with pytest.raises(StoreError, match="No MongoDB answers"):
            await store.check()
        own.run()
        assert await store.get_state("k") == (b"v", 1)
        await store.close()
    finally:
        own.stop()


async def test_too_large_a_transaction_is_refused(mongo: mongod.MongoServer) -> None:
    store = await open_mongo(mongo.uri("large"))

    async def work(tx: Tx) -> None:
        for number in range(20_001):
            await tx.write(Change("Basic", str(number), 1, 0, "PUT", b"{}", ()))

    with pytest.raises(TooLarge):
        await store.transact(work)
    await store.close()


def stages(plan: Any) -> list[str]:
    """The names of a winning plan's stages, an index scan with its index."""
    if isinstance(plan, list):
        return [name for part in plan for name in stages(part)]
    if not isinstance(plan, dict):
        return []
    own = [plan["stage"] + (":" + plan["indexName"] if "indexName" in plan else "")] if "stage" in plan else []
    return own + [name for key in ("inputStage", "inputStages", "queryPlan") for name in stages(plan.get(key))]


PATIENT = Is(SUBJECT, (("type", "=", "Patient"), ("id", "=", "3")))


@pytest.mark.parametrize(
    ("where", "sort", "index", "most"),
    [
        (And((PATIENT, Is(CODE, (("code", "=", "2"),)))), Sort(DATE, True), "compartment", 9),
        (
            And((Is(CODE, (("system", "=", "http://loinc.org"), ("code", "=", "2"))), PATIENT)),
            Sort(DATE, True),
            "compartment",
            9,
        ),
        (PATIENT, Sort(DATE, True), "compartment", 6),
        (Is(CODE, (("code", "=", "2"),)), None, "key", 7),
        (PATIENT, None, "key", 7),
        (And(()), Sort(UPDATED, True), "updated-", 6),
        (And(()), Sort(DATE, True), "date-", 6),
        (Not(Is(CODE, (("code", "=", "nothing"),))), None, "created", 6),
    ],
)
async def test_the_usual_searches_read_only_what_they_return(
    timelines: MongoStore, where: Predicate, sort: Sort | None, index: str, most: int
) -> None:
    told = await timelines.explain(Query(("Observation",), where, (sort,) if sort else (), 5))
    names = stages(told["plan"]["winningPlan"])
    assert "SORT" not in names
    assert f"IXSCAN:{index}" in names
    assert told["plan"]["executionStats"]["totalDocsExamined"] <= most


async def test_a_pair_of_codes_that_many_have_is_read_in_order(mongo: mongod.MongoServer) -> None:
    store = await open_mongo(mongo.uri("pairs"))
    pair = Param("gene-protein-change", "token$token")

    async def work(tx: Tx) -> None:
        for number in range(60):
            entry = (pair, "http://www.genenames.org", "HGNC:1097", f"http://hgvs{number % 2}", "p.Val600Glu")
            await tx.write(Change("Observation", str(number), 1, number, "PUT", b"{}", (entry,)))

    await store.transact(work)
    where = Is(pair, (("1.code", "=", "HGNC:1097"), ("2.code", "=", "p.Val600Glu")))
    told = await store.explain(Query(("Observation",), where, count=5))
    assert "SORT" not in stages(told["plan"]["winningPlan"]), "what many have is not read whole for a page"
    assert told["plan"]["executionStats"]["totalDocsExamined"] <= 7
    page = await store.search(Query(("Observation",), where, count=50))
    assert [row.id for row in page.rows] == [str(number) for number in range(50)]
    await store.close()


async def test_index_keys_are_counted(timelines: MongoStore) -> None:
    resources, keys = await index_keys(timelines.database)
    # _id, created, updated both ways, date-; 2 of key, 2 of compartment, 1 + 1 of dates, 1 empty quantity; 4 of version
    assert (resources, keys) == (480, 480 * 16)


async def test_the_change_feed_waits_for_a_late_commit(mongo: mongod.MongoServer) -> None:
    store = await open_mongo(mongo.uri("late"))
    go = asyncio.Event()

    async def late(tx: Tx) -> None:
        await tx.write(Change("Basic", "late", 1, 0, "PUT", b"{}", ()))
        await go.wait()

    slow = asyncio.create_task(store.transact(late))
    await asyncio.sleep(0.05)

    async def early(tx: Tx) -> None:
        await tx.write(Change("Basic", "early", 1, 0, "PUT", b"{}", ()))

    await store.transact(early)
    seen = [(position, row.id) async for position, row in store.changes(None)]
    assert [id for _, id in seen] == ["early"]
    go.set()
    await slow
    assert [row.id async for _, row in store.changes(seen[-1][0])] == ["late"]
    await store.close()


async def test_a_position_of_another_feed_asks_for_a_new_start(mongo: mongod.MongoServer) -> None:
    store = await open_mongo(mongo.uri("foreign"))
    with pytest.raises(StoreError, match="begin again"):
        _ = [row async for row in store.changes(("feed", "no token"))]
    await store.close()
