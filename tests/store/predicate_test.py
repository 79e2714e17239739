"""One predicate, three interpreters: memory, SQLite and MongoDB find the same resources in the same order."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.search.predicate import (
    ID,
    RULE,
    UNTIL,
    UPDATED,
    And,
    Chain,
    Entry,
    Has,
    Indexed,
    Is,
    Not,
    Of,
    Or,
    Param,
    Predicate,
    Sort,
    World,
    entries_of,
    fields,
    matches,
    of_types,
)
from fhir_server.store import open_store
from fhir_server.store.seam import Change, Query, Ruling, Store, Tx
from fhir_server.store.sqlite import find
from fhir_server.store.sqlite import where as compiling
from tests.deep import deep
from tests.store.pages import walked

FAMILY, GENDER, BIRTH = Param("family", "string"), Param("gender", "token"), Param("birthdate", "date")
CODE, DATE, SUBJECT = Param("code", "token"), Param("date", "date"), Param("subject", "reference")
VALUE, PROFILE, NUMBER = Param("value-quantity", "quantity"), Param("_profile", "uri"), Param("number", "number")
DERIVED = Param("derived-from", "reference")
CODE_VALUE = Param("code-value-quantity", "token$quantity")
CODE_CONCEPT = Param("code-value-concept", "token$token")
CODE_STRING = Param("code-value-string", "token$string")
CODE_DATE = Param("code-value-date", "token$date")
CODE_NUMBER = Param("code-value-number", "token$number")
DAY = 86_400_000_000

SYSTEMS, CODES, WORDS = ["", "loinc", "snomed"], ["a", "b", "c"], ["smith", "smyth", "jones", "jo", "ö", "a|b'%_"]


def some(random: Random, draw: Callable[[], Any], most: int) -> list[Any]:
    """Up to `most` different values."""
    return list(dict.fromkeys(draw() for _ in range(random.randint(0, most))))


def patient(random: Random) -> list[Entry]:
    names = some(random, lambda: random.choice(WORDS), 2)
    genders = some(random, lambda: token(random), 1)
    births = some(random, lambda: span(random), 1)
    entries: list[Entry] = [(FAMILY, name, name.title()) for name in names]
    return entries + [(GENDER, *gender) for gender in genders] + [(BIRTH, *birth) for birth in births]


def observation(random: Random) -> list[Entry]:
    def target() -> tuple[str, str, str, str]:
        return random.choice(["Patient", "Observation"]), str(random.randint(0, 9)), "", ""

    def derived() -> tuple[str, str, str, str]:
        foreign = [("", "", "http://else/1", ""), ("", "", "http://else/1", "2"), ("", "", "urn:uuid:1", "")]
        return target() if random.random() < 0.6 else random.choice(foreign)

    codes, dates = some(random, lambda: token(random), 3), some(random, lambda: span(random), 2)
    values, words = some(random, lambda: quantity(random), 2), some(random, lambda: random.choice(WORDS), 1)
    entries: list[Entry] = [(CODE, *code) for code in codes] + [(DATE, *date) for date in dates]
    entries += [(SUBJECT, *one) for one in some(random, target, 1)] + [
        (DERIVED, *one) for one in some(random, derived, 2)
    ]
    entries += [(VALUE, *value) for value in values]
    entries += [(NUMBER, one, one) for one in some(random, lambda: random.choice([-2.0, 0.5, 3.0]), 2)]
    entries += [(CODE_VALUE, *code, *value) for code in codes for value in values]
    entries += [(CODE_CONCEPT, *code, *value) for code in codes for value in some(random, lambda: token(random), 2)]
    entries += [(CODE_STRING, *code, word, word.upper()) for code in codes for word in words]
    entries += [(CODE_DATE, *code, *date) for code in codes for date in dates[:1]]
    entries += [(CODE_NUMBER, *code, *value[:2]) for code in codes for value in values]
    return entries + [(PROFILE, f"http://x/{word}") for word in words]


def token(random: Random) -> tuple[str, str]:
    return random.choice(SYSTEMS), random.choice(CODES)


def span(random: Random) -> tuple[int, int]:
    low = random.randint(-5, 40) * DAY // 2
    return low, low + random.choice([1, 1_000, DAY, 3 * DAY, 400 * DAY])


def quantity(random: Random) -> tuple[float, float, str, str, str]:
    low = random.choice([-1.5, 0.0, 1.0, 2.25, 1e300])
    unit = random.choice([("", "", ""), ("ucum", "mg", "mg"), ("ucum", "g", "gram"), ("x", "mg", "")])
    return low, low + random.choice([0.0, 0.0, 1.0, float("inf")]), *unit


COMPARE = st.sampled_from(["<", "<=", ">", ">=", "="])


@cache
def leaf(type: str) -> st.SearchStrategy[Predicate]:
    moments = st.integers(-6, 41).map(lambda n: n * DAY // 2)
    texts = st.sampled_from([*WORDS, "s", "j", "x", ""])

    def tokens(param: Param, *names: str) -> st.SearchStrategy[Predicate]:
        system, code = names
        one = st.builds(
            lambda s, c, which: Is(param, tuple([(system, "=", s)] * (which != 1) + [(code, "=", c)] * (which != 2))),
            st.sampled_from(SYSTEMS), st.sampled_from(CODES), st.sampled_from([0, 1, 1, 2]),
        )  # fmt: skip
        pairs = st.lists(st.tuples(st.sampled_from(SYSTEMS), st.sampled_from(CODES)), max_size=4, unique=True)
        listed = pairs.map(lambda values: Is(param, (("system,code", "in", tuple(values)),)))
        return st.one_of(one, one, listed)

    def spans(param: Param, values: st.SearchStrategy[Any], prefix: str = "") -> st.SearchStrategy[Predicate]:
        one = st.tuples(st.sampled_from([prefix + "low", prefix + "high"]), COMPARE, values)
        return st.lists(one, min_size=1, max_size=2).map(lambda tests: Is(param, tuple(tests)))

    def text(param: Param, name: str) -> st.SearchStrategy[Predicate]:
        return st.builds(
            lambda op, v: Is(param, ((name, op, v),)), st.sampled_from(["=", "prefix", "suffix", "contains"]), texts
        )

    updated = st.one_of(
        spans(UPDATED, st.integers(0, 60)),
        st.lists(st.sampled_from(["Patient", "Observation", "Basic"]), max_size=2, unique=True).map(of_types),
        st.lists(st.integers(-2, 3), max_size=2).map(lambda ns: Is(RULE, (("rule", "in", tuple((n,) for n in ns)),))),
        st.just(Is(RULE, (("rule", "<", 0),))),
        st.integers(0, 60).map(lambda n: Is(UNTIL, (("until", ">", n),))),
    )
    if type == "Patient":
        ids: st.SearchStrategy[Predicate] = st.one_of(
            st.integers(0, 9).map(lambda n: Is(ID, (("id", "=", str(n)),))),
            st.lists(st.integers(0, 12), max_size=4).map(
                lambda ns: Is(ID, (("id", "in", tuple((str(n),) for n in ns)),))
            ),
        )
        present = st.sampled_from([FAMILY, GENDER, BIRTH]).map(Is)
        return st.one_of(
            text(FAMILY, "norm"), tokens(GENDER, "system", "code"), spans(BIRTH, moments), ids, present, updated
        )
    numbers = st.sampled_from([-2.0, -1.5, 0.0, 1.0, 2.25, 2.5, 1e300])
    units = st.sampled_from(
        [(), (("system", "=", "ucum"), ("code", "=", "mg")), (("code", "=", "g"),), (("unit", "=", "gram"),)]
    )
    code = st.builds(
        lambda s, c, w: (("1.code", "=", c),) + ((("1.system", "=", s),) if w else ()),
        st.sampled_from(SYSTEMS), st.sampled_from(CODES), st.booleans(),
    )  # fmt: skip
    subjects = st.builds(
        lambda t, n: Is(SUBJECT, (("type", "=", t), ("id", "=", str(n)))), st.sampled_from(["Patient", "Observation"]),
        st.integers(0, 9),
    )  # fmt: skip
    listed = st.lists(st.tuples(st.sampled_from(["Patient", "Observation"]), st.integers(0, 9).map(str)), max_size=4)
    referring = st.builds(
        lambda p, t: Is(p, (("type,id", "in", tuple(t)),)), st.sampled_from([SUBJECT, DERIVED]), listed
    )
    foreign = st.sampled_from(
        [Is(DERIVED, (("url", "=", "http://else/1"),)),
         Is(DERIVED, (("url", "=", "http://else/1"), ("version", "=", "2"))),
         Is(SUBJECT, (("type", "=", "Patient"),))]
    )  # fmt: skip
    return st.one_of(
        tokens(CODE, "system", "code"),
        spans(DATE, moments),
        spans(NUMBER, numbers),
        subjects,
        referring,
        foreign,
        text(PROFILE, "uri"),
        st.builds(lambda p, u: Is(VALUE, (*p.tests, *u)), spans(VALUE, numbers), units),
        st.builds(lambda c, v, u: Is(CODE_VALUE, (*c, *v.tests, *(("2." + a, b, d) for a, b, d in u))),
                  code, spans(CODE_VALUE, numbers, "2."), units),
        st.builds(lambda c, s, v, w: Is(CODE_CONCEPT, (*c, ("2.code", "=", v), *([("2.system", "=", s)] if w else []))),
                  code, st.sampled_from(SYSTEMS), st.sampled_from(CODES), st.booleans()),
        st.builds(lambda c, t: Is(CODE_STRING, (*c, *t.tests)), code, text(CODE_STRING, "2.norm")),
        st.builds(lambda c, d: Is(CODE_DATE, (*c, *d.tests)), code, spans(CODE_DATE, moments, "2.")),
        st.builds(lambda c, n: Is(CODE_NUMBER, (*c, *n.tests)), code, spans(CODE_NUMBER, numbers, "2.")),
        st.sampled_from([CODE, DATE, SUBJECT, VALUE, CODE_VALUE, PROFILE, NUMBER, DERIVED]).map(Is),
        updated,
    )  # fmt: skip


@cache
def predicates(type: str, depth: int) -> st.SearchStrategy[Predicate]:
    if depth == 0:
        return leaf(type)
    same = predicates(type, depth - 1)
    several = st.lists(same, max_size=3).map(tuple)
    if type == "Patient":
        across: st.SearchStrategy[Predicate] = st.builds(
            lambda p, w: Has("Observation", p, w),
            st.sampled_from([SUBJECT, DERIVED]),
            predicates("Observation", depth - 1),
        )
    else:
        across = st.one_of(
            st.builds(
                lambda p, w: Chain(p, "Patient", w),
                st.sampled_from([SUBJECT, DERIVED]),
                predicates("Patient", depth - 1),
            ),
            st.builds(lambda w: Chain(DERIVED, "Observation", w), predicates("Observation", depth - 1)),
        )
    of = st.builds(Of, st.sampled_from([("Patient",), ("Observation",), ("Observation", "Patient"), ()]), same)
    return st.one_of(leaf(type), several.map(And), several.map(Or), same.map(Not), across, of)


async def fill(store: Store) -> World:
    """The same 10 patients and 60 observations, some deleted, for the store and for the oracle."""
    random = Random(11)
    world: dict[tuple[str, str], Indexed] = {}
    changes: list[Change] = []
    for number in range(70):
        type, id = ("Patient", str(number)) if number < 10 else ("Observation", str(number - 10))
        entries = tuple(patient(random) if type == "Patient" else observation(random))
        changes.append(Change(type, id, 1, number, "PUT", b"{}", entries, number % 4, number))
        world[type, id] = Indexed(type, id, number, entries, number % 4, number)
    ruled = [Ruling("Observation", str(number), 3, 5) for number in range(10, 20)]
    for type, id, rule, until in ruled:
        world[type, id] = world[type, id]._replace(rule=rule, until=until)
    for id in ("3", "5"):
        changes.append(Change("Observation", id, 2, 80, "DELETE", b"", ()))
        del world["Observation", id]

    async def work(tx: Tx) -> None:
        for change in changes:
            await tx.write(change)
        await tx.rule([*ruled, Ruling("Observation", "none", 1, 1)])

    await store.transact(work)
    return world


def order(world: World, type: str, where: Predicate, sort: Sort | None) -> list[str]:
    rows = [row for row in world.values() if row.type == type and matches(where, row, world)]
    if sort is None:
        return [row.id for row in rows]
    names = {"token": "code", "string": "norm", "uri": "uri", "id": "id"}
    index = fields(sort.param.kind).index(names.get(sort.param.kind, "low"))

    def keys(row: Indexed) -> list[Any]:
        return [entry[1 + index] for entry in entries_of(row, sort.param)]

    having = [row for row in rows if keys(row)]
    pick = max if sort.descending else min
    return [row.id for row in sorted(having, key=lambda row: pick(keys(row)), reverse=sort.descending)] + [
        row.id for row in rows if not keys(row)
    ]


SORTS = {"Patient": [FAMILY, GENDER, BIRTH, ID, UPDATED], "Observation": [CODE, DATE, VALUE, PROFILE, NUMBER, UPDATED]}
EXAMPLES = deep(400, 10_000)


def generated() -> list[tuple[str, Predicate, Sort | None]]:
    """Random queries, the same ones in every run."""
    asked: list[tuple[str, Predicate, Sort | None]] = []

    @settings(max_examples=EXAMPLES, derandomize=True, database=None)
    @given(
        st.sampled_from(["Patient", "Observation"]).flatmap(
            lambda type: st.tuples(
                st.just(type),
                predicates(type, 3),
                st.none() | st.builds(Sort, st.sampled_from(SORTS[type]), st.booleans()),
            )
        )
    )
    def collect(query: tuple[str, Predicate, Sort | None]) -> None:
        asked.append(query)

    collect()
    return asked


async def agree(store: Store) -> None:
    world = await fill(store)
    found = 0
    for type, asked, sort in generated():
        want = order(world, type, asked, sort)
        query = Query((type,), asked, (sort,) if sort else (), 100, total=True)
        page = await store.search(query)
        assert [row.id for row in page.rows] == want, (asked, sort)
        assert page.total == len(want), asked
        paged = await walked(store, query._replace(count=7, total=False))
        assert paged == want, ("paged", asked, sort)
        found += bool(want)
    assert found > EXAMPLES // 4


async def test_all_interpreters_agree(store: Store) -> None:
    await agree(store)


@pytest.mark.parametrize("sort", [None, UPDATED, DATE, CODE])
async def test_whom_no_rule_permits_finds_nothing(store: Store, sort: Param | None) -> None:
    await fill(store)
    nothing = Is(RULE, (("rule", "in", ()),))
    page = await store.search(Query(("Observation",), nothing, (Sort(sort, True),) if sort else (), 10, total=True))
    assert (page.rows, page.total) == ([], 0)


async def test_a_chain_to_a_type_of_which_nothing_is_asked(store: Store) -> None:
    await fill(store)
    where = Chain(SUBJECT, "Patient", Or((Of(("Observation",), Is(CODE, (("code", "=", "a"),))),)))
    assert (await store.search(Query(("Observation",), where, count=10, total=True))).total == 0


@pytest.mark.parametrize("operator", ["=", "<", "<=", ">", ">="])
async def test_a_span_is_found_by_its_end(store: Store, operator: str) -> None:
    world = await fill(store)
    ends = {entry[2] for row in world.values() for entry in row.entries if entry[0] == DATE}
    for end in sorted(ends):
        where = Is(DATE, (("low", "<=", end), ("high", operator, end)))
        page = await store.search(Query(("Observation",), where, count=100))
        assert [row.id for row in page.rows] == order(world, "Observation", where, None)


async def test_a_search_over_types_asks_each_its_own(store: Store) -> None:
    world = await fill(store)
    asked: list[Predicate] = []

    @settings(max_examples=deep(60, 1_000), derandomize=True, database=None)
    @given(predicates("Patient", 2), predicates("Observation", 2), st.booleans())
    def collect(patient: Predicate, observation: Predicate, positive: bool) -> None:
        either = Or((Of(("Patient",), patient), Of(("Observation",), observation)))
        asked.append(either if positive else And((Not(either), Of(("Observation",), And(())))))

    collect()
    for where in asked:
        want = {row.id + row.type for row in world.values() if matches(where, row, world)}
        for types in ((), ("Patient", "Observation")):
            page = await store.search(Query(types, where, count=100, total=True))
            assert {row.id + row.type for row in page.rows} == want, where
            assert page.total == len(want), where


@pytest.mark.parametrize("limit", ["SOME", "TRIED"])  # of long ranges, and of the beginning that is tried first
async def test_sqlite_agrees_when_everything_counts_as_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(find, "FEW", 1)
    monkeypatch.setattr(find, limit, {"SOME": 2, "TRIED": 10}[limit])
    store = await open_store(f"sqlite:///{tmp_path / 'fhir.db'}")
    await agree(store)
    await store.close()


async def test_sqlite_agrees_when_everything_counts_as_deep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "DEEPEST", 1)
    store = await open_store(f"sqlite:///{tmp_path / 'fhir.db'}")
    await agree(store)
    await store.close()
