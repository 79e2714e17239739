"""What must hold after a crash: the change log, the resources, their history and their index tell the same."""

import json
from typing import Any

from fhir_server.search.predicate import EVERYTHING, Is, Param
from fhir_server.store.seam import Query, Store, Stored

CODE = Param("code", "token")
IDENTIFIER = Param("identifier", "token")


def group_of(row: Stored) -> int:
    """The number of the transaction that wrote a Basic: it stands in its code."""
    return int(json.loads(row.body)["code"]["coding"][0]["code"])


async def check(store: Store, acknowledged: dict[int, list[tuple[str, int]]]) -> int:
    """Compare resources, index, history and change log; returns the next free group number."""
    log = [row async for _, row in store.changes(None) if row.type == "Basic"]
    groups: dict[int, set[tuple[str, int]]] = {}
    newest: dict[str, tuple[int, int]] = {}
    for row in log:
        group = group_of(row)
        groups.setdefault(group, set()).add((row.id, row.version))
        newest[row.id] = max(newest.get(row.id, (0, 0)), (row.version, group))
    assert all(len(members) == 3 for members in groups.values()), "half a transaction"
    for group, members in acknowledged.items():
        assert groups.get(group) == {(id, version) for id, version in members}, f"lost group {group}"
    rows = {row.id: row async for row in store.scan(Query(("Basic",), EVERYTHING))}
    assert {id: row.version for id, row in rows.items()} == {id: version for id, (version, _) in newest.items()}
    for id in [id for id in rows if id[0] in "ab"] + [id for id in rows if id[0] == "n"][-20:]:
        version, group = newest[id]
        where = Is(CODE, (("system", "=", "group"), ("code", "=", str(group))))
        assert id in [row.id for row in (await store.search(Query(("Basic",), where))).rows]
        history = await store.history("Basic", id, EVERYTHING, None, None, 10_000)
        assert [row.version for row in history.rows] == list(range(version, 0, -1))
        if version > 1:
            before = next(group_of(row) for row in history.rows if row.version == version - 1)
            old = Is(CODE, (("code", "=", str(before)),))
            assert id not in [row.id for row in (await store.search(Query(("Basic",), old))).rows]
    return max(groups, default=0) + 1


async def check_others(store: Store, acknowledged: list[tuple[str, str, int, str]]) -> None:
    """Patients and Devices: every acknowledged (type, id, version, value) is there; no identifier is held by two."""
    log = {(row.type, row.id, row.version): row async for _, row in store.changes(None) if row.type != "Basic"}
    for type, id, version, value in acknowledged:
        assert (type, id, version) in log, f"lost {type}/{id} version {version}"
        assert json.loads(log[type, id, version].body)["name" if type == "Patient" else "note"][0]["text"] == value
    for type in ("Patient", "Device"):
        rows = [row async for row in store.scan(Query((type,), EVERYTHING))]
        newest = {id: max(v for t, i, v in log if (t, i) == (type, id)) for t, id, _ in log if t == type}
        assert {row.id: row.version for row in rows} == newest
        held = [identifier_of(json.loads(row.body)) for row in rows]
        assert len(held) == len(set(held)), "a condition was not kept"
        for row, value in list(zip(rows, held, strict=True))[-20:]:
            where = Is(IDENTIFIER, (("system", "=", "urn:crash"), ("code", "=", value)))
            assert [found.id for found in (await store.search(Query((type,), where))).rows] == [row.id]
            history = await store.history(type, row.id, EVERYTHING, None, None, 10_000)
            assert [one.version for one in history.rows] == list(range(row.version, 0, -1))


def identifier_of(body: dict[str, Any]) -> str:
    """The value by which conditions find the resource."""
    return str(body["identifier"][0]["value"])
