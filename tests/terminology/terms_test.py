"""Code systems in memory, in SQLite and in MongoDB select the same, and what brute force selects."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.access import OPERATOR
from fhir_server.app import open_server
from fhir_server.fhir.codec import decode, encode
from fhir_server.interactions.ask import Ask
from fhir_server.interactions.search import search
from fhir_server.interactions.update import update
from fhir_server.recent import Recent
from fhir_server.settings import Settings
from fhir_server.store import open_store
from fhir_server.store.seam import Conflict, Store
from fhir_server.store.terms import EVERY, AllOf, Below, Condition, Keyed, Term
from fhir_server.terminology.closure import closure
from fhir_server.terminology.concepts import Names, keys, parents
from fhir_server.terminology.select import filtered
from fhir_server.terminology.system import Listed, System, imported
from tests.terminology import world

ABOUT = {"resourceType": "CodeSystem", "url": world.URL, "status": "active", "content": "complete"}
Concepts = list[dict[str, Any]]


def terms_of(concepts: Concepts) -> list[Term]:
    tree = closure((one["code"], parents(one, Names())) for one in concepts)
    return [
        Term(n, one["code"], tuple(tree.above[n]), keys(one, Names(), bool(tree.inner[n])), encode(one))
        for n, one in enumerate(concepts)
    ]


async def put(store: Store, concepts: Concepts, version: str = "", url: str = world.URL) -> System:
    number = await store.terms.begin(url, version, "x", encode({**ABOUT, "url": url}))
    await store.terms.add(number, terms_of(concepts))
    for former in await store.terms.finish(number):
        await store.terms.remove(former)
    return imported(store.terms, (await store.terms.editions(url))[0], Recent(100))


async def selected(system: System, where: Condition) -> list[str]:
    """The codes, asked for in all ways."""
    found = [term.code for term in await system.select(where, 0, 100)]
    assert await system.codes(where, 100) == found
    assert await system.count(where) == len(found)
    assert [term.code for term in await system.select(where, 1, 2)] == found[1:3]
    return found


@settings(max_examples=40)
@given(world.concepts(), st.lists(world.conditions(), min_size=1, max_size=5))
def test_a_list_in_memory_selects_as_brute_force(concepts: Concepts, asked: list[Condition]) -> None:
    terms, system = terms_of(concepts), Listed(ABOUT, concepts)
    for where in asked:
        want = [one.code for one in terms if world.meets(concepts, one.n, one.keys, where)]
        assert asyncio.run(selected(system, where)) == want


@settings(max_examples=60)
@given(world.concepts(), st.lists(world.filters(), min_size=1, max_size=3))
def test_filters_keep_what_brute_force_keeps(concepts: Concepts, asked: list[dict[str, str]]) -> None:
    async def run() -> list[str]:
        system = Listed(ABOUT, concepts)
        return await system.codes(await filtered(system, tuple(asked)), 100)

    want = set.intersection(*(world.kept(concepts, one) for one in asked))
    assert asyncio.run(run()) == [one["code"] for one in concepts if one["code"] in want]


def test_the_stores_select_as_the_list_in_memory(store_url: str) -> None:
    """One store for all examples: each replaces the code system of the one before."""
    loop = asyncio.new_event_loop()
    store = loop.run_until_complete(open_store(store_url))

    @settings(max_examples=25)
    @given(world.concepts(), st.lists(world.conditions(), min_size=3, max_size=6), world.filters())
    def agree(concepts: Concepts, asked: list[Condition], filter: dict[str, str]) -> None:
        async def run() -> None:
            memory, stored = Listed(ABOUT, concepts), await put(store, concepts)
            for where in asked:
                assert await selected(stored, where) == await selected(memory, where)
            codes = [one["code"] for one in concepts[:3]]
            ours = [term._replace(keys=()) for term in terms_of(concepts)]
            assert await stored.find(codes) == [one for one in ours if one.code in codes]
            assert await stored.find(("unheard-of",)) == []
            where = await filtered(stored, (filter,))
            assert await stored.codes(where, 100) == await memory.codes(await filtered(memory, (filter,)), 100)

        loop.run_until_complete(run())

    agree()
    loop.run_until_complete(store.close())
    loop.close()


CONCEPTS: Concepts = [{"code": "a"}, {"code": "b", "property": [{"code": "parent", "valueCode": "a"}]}]


async def test_an_edition_answers_when_it_is_finished(store: Store) -> None:
    number = await store.terms.begin(world.URL, "1", "x", encode(ABOUT))
    await store.terms.add(number, terms_of(CONCEPTS))
    assert await store.terms.editions() == []
    assert await store.terms.finish(number) == []
    (edition,) = await store.terms.editions(world.URL)
    assert (edition.number, edition.version, edition.checksum, edition.size) == (number, "1", "x", 2)
    assert await store.terms.editions("urn:other") == []


async def test_versions_stand_side_by_side_and_the_last_comes_first(store: Store) -> None:
    await put(store, CONCEPTS, "2")
    await put(store, CONCEPTS[:1], "1")
    assert [(one.version, one.size) for one in await store.terms.editions()] == [("1", 1), ("2", 2)]
    await put(store, CONCEPTS[:1], "2")
    assert [(one.version, one.size) for one in await store.terms.editions()] == [("2", 1), ("1", 1)]


async def test_what_was_replaced_can_be_read_until_it_is_removed(store: Store) -> None:
    await put(store, CONCEPTS, "1")
    (old,) = await store.terms.editions()
    number = await store.terms.begin(world.URL, "1", "y", encode(ABOUT))
    assert await store.terms.finish(number) == [old.number]
    assert len(await store.terms.find(old.number, ("a", "b"))) == 2
    await store.terms.remove(old.number)
    assert await store.terms.find(old.number, ("a", "b")) == []
    assert await store.terms.count(old.number, EVERY) == 0
    assert [one.number for one in await store.terms.editions()] == [number]


async def test_a_search_below_a_code_follows_what_is_imported_meanwhile(store_url: str) -> None:
    async with open_server(Settings(store=store_url, auth="open")) as server:

        async def below(code: str) -> list[str]:
            server.known.clear()  # which editions there are is asked once a second
            asked = Ask(type="Condition", query=(("code:below", f"{world.URL}|{code}"),))
            found = decode((await search(server, OPERATOR, asked)).body)
            return [one["resource"]["id"] for one in found.get("entry", ())]

        for id in "abc":
            coding = {"system": world.URL, "code": id}
            body = {"resourceType": "Condition", "id": id, "subject": {"display": "x"}, "code": {"coding": [coding]}}
            await update(server, OPERATOR, Ask(type="Condition", id=id, resource=body))
        await put(server.store, CONCEPTS, "1")
        assert await below("a") == await below("a") == ["a", "b"]
        under = {"code": "c", "property": [{"code": "parent", "valueCode": "b"}]}
        await put(server.store, [*CONCEPTS, under], "1")
        assert await below("a") == ["a", "b", "c"]
        assert await below("b") == ["b", "c"]


async def test_an_import_that_was_broken_off_gives_way(store: Store) -> None:
    left = await store.terms.begin(world.URL, "1", "x", encode(ABOUT))
    await store.terms.add(left, terms_of(CONCEPTS))
    number = await store.terms.begin(world.URL, "1", "x", encode(ABOUT))
    assert await store.terms.find(left, ("a",)) == []
    with pytest.raises(Conflict):
        await store.terms.finish(left)
    await store.terms.add(number, terms_of(CONCEPTS))
    await store.terms.finish(number)
    assert await store.terms.count(number, AllOf((Below(0), Keyed("wb")))) == 1


@pytest.mark.parametrize(
    ("pairs", "text"),
    [([("a", ()), ("a", ())], "'a' comes twice"), ([("a", ("b",)), ("b", ("a",)), ("c", ("a",))], "above itself")],
)
def test_what_is_no_hierarchy_is_refused(pairs: list[tuple[str, tuple[str, ...]]], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        closure(pairs)


def test_a_deep_hierarchy_needs_no_stack() -> None:
    tree = closure((f"{n}", (f"{n + 1}",)) for n in range(3000))
    assert len(tree.above[0]) == 2999
    assert tree.strange == 1


def test_what_would_fill_memory_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 1000 pairs"):
        closure(((f"{n}", (f"{n + 1}",)) for n in range(100)), 1000)
