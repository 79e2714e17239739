"""SQLite alone: pages that are full after the beginning of a long range (find.head), against the oracle."""

from pathlib import Path
from typing import Any

import pytest

from fhir_server.search.predicate import (
    EVERYTHING,
    RULE,
    UNTIL,
    And,
    Has,
    Indexed,
    Is,
    Not,
    Param,
    Predicate,
    matches,
)
from fhir_server.store.seam import Change, Query, Tx
from fhir_server.store.sqlite import find, open_sqlite
from tests.store.pages import walked

CODE, STATUS, DATE = Param("code", "token"), Param("status", "token"), Param("date", "date")
SUBJECT = Param("subject", "reference")
PERMIT = And((Is(RULE, (("rule", "in", ((1,), (2,))),)), Is(UNTIL, (("until", ">", 5),))))
OFTEN = Is(CODE, (("code", "=", "often"),))
LATE = Is(DATE, (("low", ">=", 20),))
ASKED: tuple[tuple[str, Predicate], ...] = (
    ("Observation", And((OFTEN, LATE))),
    ("Observation", And((OFTEN, LATE, PERMIT))),
    ("Observation", And((Is(STATUS, (("system", "=", "s"), ("code", "=", "final"))), OFTEN, PERMIT))),
    ("Observation", And((Is(SUBJECT, (("type", "=", "Patient"), ("id", "=", "0"))), OFTEN, Not(LATE)))),
    ("Observation", And((OFTEN, Is(CODE, (("code", "=", "also"),))))),
    ("Patient", Has("Observation", SUBJECT, OFTEN)),
    ("Patient", And((Has("Observation", SUBJECT, And((OFTEN, LATE, PERMIT))), PERMIT))),
    (
        "Patient",
        And((Has("Observation", SUBJECT, OFTEN), Not(Has("Observation", SUBJECT, Is(DATE, (("low", ">=", 150),)))))),
    ),
)


def observation(number: int) -> tuple[Any, ...]:
    codes = [(CODE, "s", "often"), (CODE, "t", "often"), (CODE, "s", "also")][: 1 + number % 3]
    subject = (SUBJECT, "Patient", "0" if number % 2 else str(number % 40), "", "")
    return (*codes, (STATUS, "s", "final"), (DATE, number, number + 1), subject)


@pytest.mark.parametrize(("type", "where"), ASKED)
async def test_the_beginning_of_a_range_is_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, type: str, where: Predicate
) -> None:
    monkeypatch.setattr(find, "FEW", 10)
    monkeypatch.setattr(find, "TRIED", 60)
    monkeypatch.setattr(find, "BEGUN", 20)
    tried: list[bool] = []
    head = find.head

    def counted(*given: Any) -> Any:
        plan = head(*given)
        tried.append(plan is not None)
        return plan

    monkeypatch.setattr(find, "head", counted)
    store = await open_sqlite(f"sqlite:///{tmp_path / 'fhir.db'}")
    world: dict[tuple[str, str], Indexed] = {}
    changes = [Change("Patient", str(n), 1, n, "PUT", b"{}", (), n % 4, 10 - n % 3) for n in range(40)]
    for n in range(160):
        changes.append(Change("Observation", str(n), 1, n, "PUT", b"{}", observation(n), n % 4, n % 9))
    changes += [Change("Observation", str(n), 2, 200, "DELETE", b"", ()) for n in range(3, 160, 10)]

    async def work(tx: Tx) -> None:
        for one in changes:
            await tx.write(one)
            if one.method == "DELETE":
                del world[one.type, one.id]
            else:
                world[one.type, one.id] = Indexed(one.type, one.id, one.updated, one.entries, one.rule, one.until)

    await store.transact(work)
    wanted = [row.id for row in world.values() if row.type == type and matches(where, row, world)]
    assert len(wanted) > 6, "there is more than a page"
    for count in (1, 3):
        tried.clear()
        assert await walked(store, Query((type,), where, count=count)) == wanted
        assert any(tried)
    assert (await store.search(Query((type,), where, count=0, total=True))).total == len(wanted)
    assert (await store.search(Query((), And((where, EVERYTHING)), count=500))).rows
    await store.close()
