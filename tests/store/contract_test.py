"""What every store does, in the words of store/seam.py; both stores run all of it."""

import asyncio
from typing import Any

import pytest

from fhir_server.search.predicate import (
    EVERYTHING,
    ID,
    NOTHING,
    UPDATED,
    And,
    Entry,
    Is,
    Not,
    Of,
    Or,
    Param,
    Predicate,
    Sort,
)
from fhir_server.store import open_store, pace
from fhir_server.store.seam import Change, Conflict, Lines, Query, Store, Stored, Tx
from tests.store.pages import walked

CODE, NAME, DATE = Param("code", "token"), Param("name", "string"), Param("date", "date")
SUBJECT = Param("subject", "reference")


def change(id: str, version: int = 1, *entries: Entry, type: str = "Observation", method: str = "PUT") -> Change:
    body = b"" if method == "DELETE" else b'{"resourceType":"%s","id":"%s"}' % (type.encode(), id.encode())
    return Change(type, id, version, 1_000 * version, method, body, entries)


async def write(store: Store, *changes: Change) -> list[Stored]:
    async def work(tx: Tx) -> list[Stored]:
        return [await tx.write(one) for one in changes]

    return await store.transact(work)


async def ids(store: Store, where: Any = EVERYTHING, *sort: Sort, type: str = "Observation") -> list[str]:
    return [row.id for row in (await store.search(Query((type,), where, sort))).rows]


async def test_what_was_written_is_read_byte_for_byte(store: Store) -> None:
    body = '{"resourceType":"Observation","id":"a","valueQuantity":{"value":0.47210},"note":"π\\u0001"}'.encode()
    await write(store, change("a")._replace(body=body))
    assert await store.read("Observation", "a", EVERYTHING) == Stored("Observation", "a", 1, 1_000, "PUT", body)
    assert await store.read("Patient", "a", EVERYTHING) is None
    assert await store.read("Observation", "b", EVERYTHING) is None


async def test_a_version_is_read_and_an_unknown_one_is_not(store: Store) -> None:
    await write(store, change("a"))
    await write(store, change("a", 2))
    first = await store.read("Observation", "a", EVERYTHING, version=1)
    assert first is not None
    assert first.version == 1
    for unknown in (0, 3, -1, 2**70):
        assert await store.read("Observation", "a", EVERYTHING, version=unknown) is None


async def test_read_is_judged_by_the_resource_of_today(store: Store) -> None:
    await write(store, change("a", 1, (CODE, "s", "x")))
    await write(store, change("a", 2, (CODE, "s", "y")))
    where = Is(CODE, (("code", "=", "y"),))
    assert await store.read("Observation", "a", where, version=1) is not None
    assert await store.read("Observation", "a", Not(where), version=1) is None


async def test_a_write_that_does_not_follow_the_current_version_is_a_conflict(store: Store) -> None:
    await write(store, change("a"))
    for stale in (change("a"), change("a", 3), change("b", 2)):
        with pytest.raises(Conflict):
            await write(store, stale)
    assert await ids(store) == ["a"]


async def test_a_deletion_stays_readable_as_such_and_is_never_found(store: Store) -> None:
    await write(store, change("a", 1, (CODE, "s", "x")))
    await write(store, change("a", 2, method="DELETE"))
    found = await store.read("Observation", "a", EVERYTHING)
    assert found is not None
    assert found.deleted
    assert found.body == b""
    assert await ids(store) == []
    assert await ids(store, Is(CODE, (("code", "=", "x"),))) == []
    await write(store, change("a", 3, (CODE, "s", "z")))
    assert await ids(store, Is(CODE, (("code", "=", "z"),))) == ["a"]


async def test_an_update_takes_the_old_index_entries_away(store: Store) -> None:
    old: list[Entry] = [(CODE, "s", "x"), (NAME, "ann", "Ann"), (DATE, 10, 20), (SUBJECT, "Patient", "p", "", "")]
    await write(store, change("a", 1, *old))
    await write(store, change("a", 2, (CODE, "s", "y")))
    for param, test in (
        (CODE, ("code", "=", "x")),
        (NAME, ("norm", "prefix", "a")),
        (DATE, ("low", ">=", 0)),
    ):
        assert await ids(store, Is(param, (test,))) == []
    assert await ids(store, Is(SUBJECT)) == []
    assert await ids(store, Not(Is(DATE))) == ["a"]


async def test_a_failed_work_leaves_nothing(store: Store) -> None:
    async def work(tx: Tx) -> None:
        await tx.write(change("a", 1, (CODE, "s", "x")))
        await tx.write(change("b"))
        raise LookupError("no")

    with pytest.raises(LookupError):
        await store.transact(work)
    assert await ids(store) == []
    assert await store.read("Observation", "a", EVERYTHING) is None
    assert (await store.history(None, None, EVERYTHING, None, None, 10)).rows == []


async def test_a_transaction_sees_its_own_writes(store: Store) -> None:
    async def work(tx: Tx) -> tuple[Stored | None, list[str]]:
        await tx.write(change("a", 1, (CODE, "s", "x")))
        await tx.write(change("b", 1, (CODE, "s", "y")))
        await tx.write(change("b", 2, (CODE, "s", "x")))
        page = await tx.search(Query(("Observation",), Is(CODE, (("system", "=", "s"), ("code", "=", "x")))))
        return await tx.read("Observation", "b"), [row.id for row in page.rows]

    found, page = await store.transact(work)
    assert found is not None
    assert found.version == 2
    assert page == ["a", "b"]


async def test_a_transaction_reads_many_at_once_as_one_by_one(store: Store) -> None:
    await write(store, change("a"), change("b"), change("gone"))
    await write(store, change("gone", 2, method="DELETE"))

    async def work(tx: Tx) -> list[tuple[str, int, bool]]:
        await tx.write(change("b", 2))
        await tx.write(change("new"))
        keys = [("Observation", id) for id in ("new", "b", "never", "gone", "a")] + [("Patient", "a")]
        found = await tx.read_all(keys)
        assert found == [row for key in keys if (row := await tx.read(*key)) is not None]
        await tx.write(change("never"))  # to have read that there is none hides nothing
        return [(row.id, row.version, row.deleted) for row in [*found, *await tx.read_all([("Observation", "never")])]]

    expected = [("new", 1, False), ("b", 2, False), ("gone", 2, True), ("a", 1, False), ("never", 1, False)]
    assert await store.transact(work) == expected


async def test_each_type_may_be_asked_for_another_reference(store: Store) -> None:
    subject, performer = SUBJECT, Param("performer", "reference")

    def names(param: Param, id: str) -> Entry:
        return (param, "Patient", id, "", "")

    await write(
        store,
        change("by-subject", 1, names(subject, "p")),
        change("by-performer", 1, names(performer, "p")),
        change("other", 1, names(subject, "q")),
        change("by-subject", 1, names(subject, "p"), type="Condition"),
        change("by-performer", 1, names(performer, "p"), type="Condition"),
        change("p", type="Patient"),
    )

    def is_(param: Param) -> Predicate:
        return Is(param, (("type", "=", "Patient"), ("id", "=", "p")))

    both = Or((Of(("Observation",), Or((is_(subject), is_(performer)))), Of(("Condition", "Device"), is_(subject))))
    for types in ((), ("Observation", "Condition"), ("Condition", "Patient")):
        page = await store.search(Query(types, both))
        wanted = [("Observation", "by-subject"), ("Observation", "by-performer"), ("Condition", "by-subject")]
        assert [(row.type, row.id) for row in page.rows] == [one for one in wanted if one[0] in (types or one)]


async def test_rows_come_in_order_of_creation_and_pages_join_without_gap(store: Store) -> None:
    names = [f"o{n * 7 % 10}" for n in range(10)]
    for name in names:
        await write(store, change(name, 1, (CODE, "s", "x")))
    await write(store, change(names[3], 2, (CODE, "s", "x")))
    assert await walked(store, Query(("Observation",), Is(CODE, (("code", "=", "x"),)), count=3)) == names


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize(
    ("param", "values"),
    [
        (DATE, [((5, 6),), ((1, 9),), (), ((7, 8), (0, 3)), ((5, 9),)]),
        (NAME, [(("b", "B"),), (("a", "A"), ("z", "Z")), (), (("ab", "Ab"),), (("b", "b"),)]),
        (CODE, [(("s", "b"),), (("s", "ab"), ("", "z")), (), (("t", "a"),), (("s", "b"),)]),
        (
            Param("value", "quantity"),
            [
                ((1.5, 1.5, "", "", ""),),
                ((-1.0, 3.0, "", "", ""),),
                (),
                ((9.0, 9.0, "", "", ""), (0.0, 0.0, "", "", "")),
            ],
        ),
    ],
)
async def test_sorting_puts_missing_last_and_takes_the_first_of_several(
    store: Store, param: Param, values: list[tuple[tuple[Any, ...], ...]], descending: bool
) -> None:
    for number, several in enumerate(values):
        await write(store, change(f"o{number}", 1, *((param, *value) for value in several)))
    position = 1 if param.kind == "token" else 0

    def key(number: int) -> Any:
        keys = [value[position] for value in values[number]]
        return (max(keys) if descending else min(keys)) if keys else None

    having = [number for number in range(len(values)) if values[number]]
    want = sorted(having, key=key, reverse=descending)
    if descending:  # `sorted` keeps ties in order even when reversed; nothing to mend
        pass
    want += [number for number in range(len(values)) if not values[number]]
    assert await ids(store, EVERYTHING, Sort(param, descending)) == [f"o{number}" for number in want]
    paged: list[str] = []
    query = Query(("Observation",), EVERYTHING, (Sort(param, descending),), 1)
    while True:
        page = await store.search(query)
        paged += [row.id for row in page.rows]
        if page.next is None:
            break
        query = query._replace(after=page.next)
    assert paged == [f"o{number}" for number in want]


async def test_the_patient_timeline_walks_in_order_with_ties_and_missing_dates(store: Store) -> None:
    subject = (SUBJECT, "Patient", "p", "", "")
    dates = [30, 10, None, 30, 20, 10]
    for number, low in enumerate(dates):
        entries = [subject, *([(DATE, low, low + 5)] if low is not None else [])]
        await write(store, change(f"o{number}", 1, *entries))
    await write(store, change("other", 1, (SUBJECT, "Patient", "q", "", ""), (DATE, 25, 30)))
    where = Is(SUBJECT, (("type", "=", "Patient"), ("id", "=", "p")))
    assert await ids(store, where, Sort(DATE, True)) == ["o0", "o3", "o4", "o1", "o5", "o2"]
    assert await ids(store, where, Sort(DATE)) == ["o1", "o5", "o4", "o0", "o3", "o2"]
    walked: list[str] = []
    query = Query(("Observation",), where, (Sort(DATE, True),), 2)
    while True:
        page = await store.search(query)
        walked += [row.id for row in page.rows]
        if page.next is None:
            break
        query = query._replace(after=page.next)
    assert walked == ["o0", "o3", "o4", "o1", "o5", "o2"]


async def test_totals_and_counts_ignore_the_page(store: Store) -> None:
    await write(store, *(change(f"o{n}", 1, (CODE, "s", "x")) for n in range(5)))
    page = await store.search(Query(("Observation",), EVERYTHING, count=2, total=True))
    assert (len(page.rows), page.total) == (2, 5)
    page = await store.search(Query(("Observation",), EVERYTHING, count=0, total=True))
    assert (page.rows, page.total) == ([], 5)
    assert await store.count(Query(("Observation",), NOTHING)) == 0


async def test_search_over_several_types_and_all(store: Store) -> None:
    await write(store, change("a", 1, (CODE, "s", "x")), change("p", type="Patient"), change("c", type="Condition"))
    both = await store.search(Query(("Patient", "Observation"), EVERYTHING))
    assert [(row.type, row.id) for row in both.rows] == [("Observation", "a"), ("Patient", "p")]
    assert len((await store.search(Query((), EVERYTHING))).rows) == 3
    assert [row.id for row in (await store.search(Query((), Is(ID, (("id", "=", "p"),))))).rows] == ["p"]
    await write(store, change("a", 2, method="DELETE"), change("c", 2, type="Condition", method="DELETE"))
    assert [row.id for row in (await store.search(Query((), EVERYTHING))).rows] == ["p"]
    assert [row.id async for row in store.scan(Query((), EVERYTHING))] == ["p"]


async def test_last_updated_is_a_column(store: Store) -> None:
    await write(store, change("a"), change("b"))
    await write(store, change("b", 2))
    assert await ids(store, Is(UPDATED, (("low", ">=", 2_000),))) == ["b"]
    assert await ids(store, EVERYTHING, Sort(UPDATED, True)) == ["b", "a"]


async def test_history_is_newest_first_of_instance_type_and_system(store: Store) -> None:
    await write(store, change("a"))
    await write(store, change("p", type="Patient"))
    await write(store, change("a", 2, method="DELETE"))

    async def history(
        type: str | None = None, id: str | None = None, since: int | None = None
    ) -> list[tuple[str, int]]:
        seen: list[tuple[str, int]] = []
        after = None
        while True:
            page = await store.history(type, id, EVERYTHING, since, after, 1)
            seen += [(row.id, row.version) for row in page.rows]
            if page.next is None:
                return seen
            after = page.next

    assert await history("Observation", "a") == [("a", 2), ("a", 1)]
    assert await history("Observation") == [("a", 2), ("a", 1)]
    assert await history() == [("a", 2), ("p", 1), ("a", 1)]
    assert await history(since=2_000) == [("a", 2)]
    assert await history("Observation", "nobody") == []


async def test_history_at_a_time_is_what_was_current_then(store: Store) -> None:
    await write(store, change("a"), change("b"), change("p", type="Patient"))
    await write(store, change("a", 2), change("b", 2, method="DELETE"))
    await write(store, change("a", 3))
    first = (await store.history("Observation", "a", EVERYTHING, None, None, 9)).rows[-1].updated

    async def at(low: int, high: int, type: str | None = None, id: str | None = None) -> list[tuple[str, int]]:
        seen: list[tuple[str, int]] = []
        after = None
        while True:
            page = await store.history(type, id, EVERYTHING, None, after, 1, (low, high))
            seen += [(row.id, row.version) for row in page.rows]
            if page.next is None:
                return sorted(seen)
            after = page.next

    step = first  # change() makes version n at n times this
    assert await at(0, step) == []
    assert await at(step, step + 1) == await at(step + 1, 2 * step) == [("a", 1), ("b", 1), ("p", 1)]
    assert await at(2 * step - 1, 2 * step + 1) == [("a", 1), ("a", 2), ("b", 1), ("b", 2), ("p", 1)]
    assert await at(2 * step + 1, 2 * step + 2) == [("a", 2), ("p", 1)]
    assert await at(3 * step, 4 * step) == [("a", 3), ("p", 1)]
    assert await at(2 * step, 2 * step + 1, "Observation", "a") == [("a", 2)]
    assert await at(2 * step, 2 * step + 1, "Observation") == [("a", 2), ("b", 2)]
    where = Is(ID, (("id", "=", "a"),))
    page = await store.history("Observation", None, where, None, None, 9, (2 * step, 2 * step + 1))
    assert [(row.id, row.version) for row in page.rows] == [("a", 2)]


async def test_scan_and_changes_see_everything_once(store: Store) -> None:
    await write(store, *(change(f"o{n}") for n in range(7)))
    await write(store, change("o3", 2))
    assert [row.id async for row in store.scan(Query(("Observation",), EVERYTHING))] == [f"o{n}" for n in range(7)]
    log = [(position, row) async for position, row in store.changes(None)]
    assert sorted((row.id, row.version) for _, row in log) == sorted([*((f"o{n}", 1) for n in range(7)), ("o3", 2)])
    assert [row async for _, row in store.changes(log[-1][0])] == []
    await write(store, change("late"))
    assert [row.id async for _, row in store.changes(log[-1][0])] == ["late"]


async def test_lines_are_the_pages_of_a_search_put_together(store: Store) -> None:
    """Of one condition and of several, which SQLite runs by different plans."""
    known = [(CODE, "s", "x"), (SUBJECT, "Patient", "p", "", "")]
    await write(store, *(change(f"o{n}", 1, *known[: n % 3]) for n in range(9)), change("p", type="Patient"))
    await write(store, change("o4", 2, *known), change("o5", 2, method="DELETE"))
    one = Is(CODE, (("code", "=", "x"),))
    other = Is(SUBJECT, (("type", "=", "Patient"), ("id", "=", "p")))
    for where in (EVERYTHING, one, And((one, other)), Not(one), NOTHING):
        for count in (1, 2, 3, 50):
            whole = [row async for row in store.scan(Query(("Observation",), where))]
            query, found, texts = Query(("Observation",), where, count=count), [], []
            while True:
                page = await store.lines(query)
                found += page.ids
                texts += page.text.split(b"\n") if page.ids else []
                assert len(page.ids) <= count
                if page.next is None:
                    break
                query = query._replace(after=page.next)
            assert [(row.id, row.body) for row in whole] == list(zip(found, texts, strict=True))


async def test_lines_leave_out_what_is_later(store: Store) -> None:
    await write(store, *(change(f"o{n}") for n in range(4)))
    await write(store, change("o0", 2), change("o1", 2))
    query = Query(("Observation",), EVERYTHING, count=2)
    page = await store.lines(query, 1_999)
    assert page.ids + (await store.lines(query._replace(after=page.next), 1_999)).ids == ["o2", "o3"]
    assert (page.text, page.ids) == (b"", [])
    assert (await store.lines(query, 2_000)).ids == ["o0", "o1"]


async def test_lines_hold_bodies_that_lie_in_pieces(store: Store) -> None:
    large = b'{"resourceType":"Observation","id":"b","note":"%s"}' % (b"x" * 9_000_000)
    await write(store, change("a"), change("b")._replace(body=large), change("c"))
    page = await store.lines(Query(("Observation",), EVERYTHING))
    assert page.text.split(b"\n") == [change("a").body, large, change("c").body]


async def test_lines_of_large_bodies_come_in_shorter_pages(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """With fewer than were asked for, down to one, however large that is."""
    monkeypatch.setattr(pace, "MOST", 10_000)
    sizes = {"a": 10, "b": 10, "c": 6_000, "d": 6_000, "e": 20_000, "f": 10}
    rows = [change(id)._replace(body=b'{"id":"%s"}' % (id.encode() * size)) for id, size in sizes.items()]
    await write(store, *rows)
    query, pages = Query(("Observation",), EVERYTHING, count=4), list[Lines]()
    while not pages or pages[-1].next is not None:
        pages.append(await store.lines(query))
        query = query._replace(after=pages[-1].next)
    assert all(len(page.text) <= 10_000 or page.ids == ["e"] for page in pages)
    assert [id for page in pages for id in page.ids] == list(sizes)
    assert [line for page in pages for line in page.text.split(b"\n")] == [row.body for row in rows]
    assert len((await store.search(query._replace(after=None, count=9))).rows) == 6  # not bounded so


async def test_state_is_written_only_on_the_expected_version(store: Store) -> None:
    assert await store.get_state("k") is None
    assert await store.put_state("k", b"1", 0)
    assert not await store.put_state("k", b"x", 0)
    assert await store.get_state("k") == (b"1", 1)
    assert await store.put_state("k", b"2", 1)
    assert not await store.put_state("k", b"x", 1)
    assert await store.get_state("k") == (b"2", 2)
    assert await store.delete_state("k")
    assert not await store.delete_state("k")
    assert await store.put_state("gone", b"1", 0, expires=1)
    assert await store.get_state("gone") is None
    assert await store.put_state("gone", b"2", 0)


async def test_many_states_are_read_at_once_as_one_by_one(store: Store) -> None:
    keys = [f"k/{number}" for number in range(1200)]
    for number in (0, 1, 1150):
        await store.put_state(keys[number], b"%d" % number, 0)
    await store.put_state(keys[1], b"new", 1)
    await store.put_state(keys[2], b"gone", 0, expires=1)
    stored = {"k/0": (b"0", 1), "k/1": (b"new", 2), "k/1150": (b"1150", 1)}
    assert await store.get_states(keys) == stored
    assert await store.get_states([]) == {}

    async def work(tx: Tx) -> dict[str, tuple[bytes, int]]:
        await tx.put_state("k/2", b"mine", 0)
        return await tx.get_states(keys)

    assert await store.transact(work) == {**stored, "k/2": (b"mine", 1)}


async def test_state_put_in_a_transaction_stands_and_falls_with_it(store: Store) -> None:
    async def put(id: str, version: int, fail: bool = False) -> bool:
        async def work(tx: Tx) -> bool:
            done = await tx.put_state("note", id.encode(), version)
            if done:
                await tx.write(change(id))
            if fail:
                raise LookupError
            return done

        return await store.transact(work)

    with pytest.raises(LookupError):
        await put("a", 0, fail=True)
    assert (await store.get_state("note"), await ids(store)) == (None, [])
    assert await put("b", 0)
    assert not await put("c", 0)
    assert await put("d", 1)
    with pytest.raises(LookupError):
        await put("e", 2, fail=True)
    assert (await store.get_state("note"), await ids(store)) == ((b"d", 2), ["b", "d"])
    await store.put_state("old", b"x", 0, expires=1)

    async def revive(tx: Tx) -> bool:
        return await tx.put_state("old", b"y", 0)

    assert await store.transact(revive)
    done = await asyncio.gather(*(put(f"n{number}", 2) for number in range(8)))
    assert sorted(done) == [False] * 7 + [True]
    assert len(await ids(store)) == 3


async def test_what_is_read_at_once_is_read_and_written_as_else(store: Store) -> None:
    await write(store, change("old"), change("gone"))
    await write(store, change("gone", 2, method="DELETE"))

    async def work(tx: Tx) -> list[int]:
        await tx.write(change("just"))
        await tx.read_all([("Observation", id) for id in ("old", "gone", "just", "new", "never")])
        found = [await tx.read("Observation", id) for id in ("old", "gone", "just", "new")]
        await tx.write(change("old", 2))
        await tx.write(change("gone", 3))
        with pytest.raises(Conflict):
            await tx.write(change("never", 2))
        await tx.write(change("new"))
        with pytest.raises(Conflict):
            await tx.write(change("new"))
        after = await tx.read("Observation", "new")
        return [one.version if one else 0 for one in (*found, after)]

    assert await store.transact(work) == [1, 2, 1, 0, 1]
    assert await ids(store) == ["old", "gone", "just", "new"]


async def test_what_was_read_at_once_before_a_failed_work_is_asked_anew(store: Store) -> None:
    """The works of a group know of each other: what one was to create is not there when it is refused."""

    async def refused(tx: Tx) -> None:
        await tx.read_all([("Observation", "a"), ("Observation", "b")])
        await tx.write(change("a"))
        raise ZeroDivisionError

    async def creates(tx: Tx) -> Stored | None:
        before = await tx.read("Observation", "a")
        await tx.write(change("a"))
        return before

    failed, before = await asyncio.gather(store.transact(refused), store.transact(creates), return_exceptions=True)
    assert isinstance(failed, ZeroDivisionError)
    assert before is None
    assert await ids(store) == ["a"]


async def test_one_conditional_create_of_many_at_once_wins(store: Store) -> None:
    where = Is(CODE, (("system", "=", "mrn"), ("code", "=", "7")))

    def create(number: int) -> Any:
        async def work(tx: Tx) -> str:
            found = await tx.search(Query(("Patient",), where, count=2))
            if found.rows:
                return found.rows[0].id
            return (await tx.write(change(f"p{number}", 1, (CODE, "mrn", "7"), type="Patient"))).id

        return work

    answers = await asyncio.gather(*(store.transact(create(number)) for number in range(32)))
    assert len(set(answers)) == 1
    assert await ids(store, where, type="Patient") == [answers[0]]


async def test_updates_at_once_are_all_counted(store: Store) -> None:
    await write(store, change("a"))

    async def bump(tx: Tx) -> int:
        now = await tx.read("Observation", "a")
        assert now is not None
        return (await tx.write(change("a", now.version + 1))).version

    versions = await asyncio.gather(*(store.transact(bump) for _ in range(20)))
    assert sorted(versions) == list(range(2, 22))


async def test_reindex_replaces_all_entries(store: Store) -> None:
    await write(store, *(change(f"o{n}", 1, (CODE, "s", "old")) for n in range(3)), change("p", type="Patient"))
    assert await store.reindex(lambda body: ((CODE, "s", "new"), (NAME, "n", "N")), ("Observation",)) == 3
    assert await ids(store, Is(CODE, (("code", "=", "old"),))) == []
    assert await ids(store, Is(CODE, (("code", "=", "new"),))) == ["o0", "o1", "o2"]


async def test_everything_is_there_after_reopening(store_url: str) -> None:
    first = await open_store(store_url)
    await write(first, change("a", 1, (CODE, "s", "x")))
    await first.close()
    second = await open_store(store_url)
    assert await ids(second, Is(CODE, (("system", "=", "s"), ("code", "=", "x")))) == ["a"]
    await second.check()
    await second.close()


async def test_explain_names_an_index(store: Store) -> None:
    await write(store, change("a", 1, (CODE, "s", "x"), (SUBJECT, "Patient", "p", "", ""), (DATE, 1, 2)))
    where = Is(SUBJECT, (("type", "=", "Patient"), ("id", "=", "p")))
    assert await store.explain(Query(("Observation",), where, (Sort(DATE, True),)))


async def test_an_alternative_of_hundreds_is_answered(store: Store) -> None:
    await write(store, change("a", 1, (CODE, "s", "c7")), change("b", 1, (CODE, "s", "none")))
    many = Or(tuple(Is(CODE, (("system", "=", "s"), ("code", "=", f"c{n}"))) for n in range(700)))
    assert await ids(store, many) == ["a"]
    assert await ids(store, And((many, Not(Is(DATE))))) == ["a"]
    assert await ids(store, Or((many, Is(CODE, (("code", "=", "none"),))))) == ["a", "b"]


async def test_a_failed_work_takes_nothing_with_it_from_its_neighbours(store: Store) -> None:
    where = Is(CODE, (("code", "=", "x"),))

    async def good(tx: Tx, id: str) -> None:
        await tx.write(change(id, 1, (CODE, "s", "x")))

    async def bad(tx: Tx) -> None:
        await tx.write(change("bad", 1, (CODE, "s", "x")))
        await tx.search(Query(("Observation",), where))  # what waited is written out
        now = await tx.read("Observation", "a")
        await tx.write(change("a", (now.version if now else 0) + 1, (CODE, "s", "y")))
        raise LookupError("no")

    first = [store.transact(lambda tx, id=id: good(tx, id)) for id in ("a", "b")]  # type: ignore[misc]
    last = [store.transact(lambda tx, id=id: good(tx, id)) for id in ("c", "d")]  # type: ignore[misc]
    answers = await asyncio.gather(*first, store.transact(bad), *last, return_exceptions=True)
    assert [type(answer) for answer in answers if answer is not None] == [LookupError]
    assert sorted(await ids(store, where)) == ["a", "b", "c", "d"]
    assert await store.read("Observation", "bad", EVERYTHING) is None
    now = await store.read("Observation", "a", EVERYTHING)
    assert now is not None
    assert now.version == 1
    async with asyncio.timeout(30):
        await store.transact(lambda tx: good(tx, "e"))
    assert len(await ids(store, where)) == 5


async def test_state_is_listed_by_prefix_in_order(store: Store) -> None:
    for key in ("p/b", "p/a/2", "p/a/10", "p/\u00e9", "p", "p0", "o/z", "q"):
        await store.put_state(key, key.encode(), 0)
    await store.put_state("p/gone", b"1", 0, expires=1)
    await store.put_state("p/later", b"1", 0, expires=2**60)
    keys = [key for key, _ in await store.list_state("p/", 100)]
    assert keys == ["p/a/10", "p/a/2", "p/b", "p/later", "p/\u00e9"]
    assert await store.list_state("p/", 2) == [("p/a/10", b"p/a/10"), ("p/a/2", b"p/a/2")]
    assert await store.list_state("none/", 5) == []


async def expunge(store: Store, *resources: tuple[str, str]) -> int:
    async def work(tx: Tx) -> int:
        return await tx.expunge(resources, 9_000)

    return await store.transact(work)


async def test_what_is_expunged_has_never_been(store: Store) -> None:
    entries: list[Entry] = [(CODE, "s", "x"), (NAME, "ann", "Ann"), (DATE, 10, 20), (SUBJECT, "Patient", "p", "", "")]
    await write(store, change("a", 1, *entries), change("b", 1, (CODE, "s", "x")))
    await write(store, change("a", 2, *entries))
    await store.put_state("cursor/Observation/a", b"1", 0)
    await store.put_state("job", b'{"of":"http://x/fhir/Observation/a"}', 0)
    await store.put_state("other", b'{"of":"Observation/ab"}', 0)
    await store.put_state("audit/process/1", b"Observation/a", 0)
    before = [position async for position, _ in store.changes(None)]
    assert await expunge(store, ("Observation", "a"), ("Observation", "never")) == 2
    assert await store.read("Observation", "a", EVERYTHING) is None
    assert await store.read("Observation", "a", EVERYTHING, version=1) is None
    assert (await store.history("Observation", "a", EVERYTHING, None, None, 10)).rows == []
    assert {row.id for row in (await store.history(None, None, EVERYTHING, None, None, 10)).rows} == {"b"}
    for where in (Is(NAME), Is(DATE), Is(SUBJECT), Is(NAME, (("norm", "prefix", "a"),))):
        assert await ids(store, where) == []
    assert await ids(store, Is(CODE, (("code", "=", "x"),))) == await ids(store) == ["b"]
    assert await store.get_state("cursor/Observation/a") is None
    assert await store.get_state("job") is None
    assert await store.get_state("other") is not None
    assert await store.get_state("audit/process/1") is not None, "the journal of accesses stays"
    assert [row.id async for _, row in store.changes(None)] == ["b"]
    assert [row async for _, row in store.changes(before[-1])] == []
    await write(store, change("c"))
    assert [row.id async for _, row in store.changes(before[-1])] == ["c"]
    await write(store, change("a", 1, (NAME, "new", "New")))
    assert [row.id async for _, row in store.changes(before[-1])] == ["c", "a"]
    assert await ids(store, Is(NAME)) == ["a"]


async def test_the_change_feed_from_before_an_expunge_does_not_show_it(store: Store) -> None:
    await write(store, change("first"))
    position = [at async for at, _ in store.changes(None)][-1]
    await write(store, change("secret"), change("second"))
    assert await expunge(store, ("Observation", "secret")) == 1
    assert [row.id async for _, row in store.changes(position)] == ["second"]


async def test_an_expunge_that_fails_removes_nothing(store: Store) -> None:
    await write(store, change("a", 1, (CODE, "s", "x")))

    async def work(tx: Tx) -> None:
        await tx.write(change("b", 1, (CODE, "s", "x")))
        assert await tx.expunge((("Observation", "a"), ("Observation", "b")), 9_000) == 2
        assert await tx.read("Observation", "a") is None
        assert await tx.read("Observation", "b") is None
        raise LookupError("no")

    with pytest.raises(LookupError):
        await store.transact(work)
    assert await ids(store, Is(CODE, (("code", "=", "x"),))) == ["a"]
    await write(store, change("a", 2, (CODE, "s", "y")))
    assert await ids(store, Is(CODE, (("code", "=", "y"),))) == ["a"]
