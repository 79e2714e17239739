"""A store's resources as NDJSON or in another form, one file per type. https://hl7.org/fhir/uv/bulkdata/STU2/export.html

The stored bytes are written as they are, in bounded memory; files appear under their names when they are complete.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Protocol

from fhir_server.fhir.codec import decode
from fhir_server.fhir.definitions import Definitions
from fhir_server.fhir.outcome import refuse
from fhir_server.fhir.references import parse
from fhir_server.search.parse import parse_search
from fhir_server.search.predicate import EVERYTHING, ID, Is, Or, Predicate
from fhir_server.server import Server
from fhir_server.store.seam import Query, Stored

PATIENTS = 100  # patients in one predicate: a Group of 200,000 members must not become one


class Written(Protocol):
    """A file being written."""

    def add(self, row: Stored) -> None:
        """Write a resource."""
        ...

    def close(self) -> None:
        """Nothing more comes."""
        ...


class Lines:
    """NDJSON."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")

    def add(self, row: Stored) -> None:
        """The stored bytes, as a line."""
        self._file.write(row.body + b"\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


async def export(
    server: Server,
    out: Path,
    types: Iterable[str],
    group: str | None,
    report: Callable[[str, int], None],
    ending: str = "ndjson",
    opened: Callable[[Path], Written] = Lines,
) -> dict[str, int]:
    """Write `<Type>.ndjson` into the folder for each type that has resources (no types: all), or files with another
    `ending` by what is `opened` for them; returns how many of each.

    With the id of a Group: its active members and what lies in their compartments. `report` is told each type's count
    as it grows. Raises FhirError for an unknown type or Group, OSError.
    """
    chosen = sorted(types) or sorted(server.definitions.resources)
    for type in chosen:
        if type not in server.definitions.resources:
            raise refuse(400, "value", f"There is no resource type {type!r} in FHIR R4.")
    members = await _members(server, group) if group else None
    out.mkdir(parents=True, exist_ok=True)
    counts = {}
    for type in chosen:
        rows = _everything(server, type) if members is None else _of_patients(server, type, members)
        if count := await _write(out / f"{type}.{ending}", rows, partial(report, type), opened):
            counts[type] = count
    return counts


async def _write(
    path: Path, rows: AsyncIterator[Stored], report: Callable[[int], None], opened: Callable[[Path], Written]
) -> int:
    unfinished = path.with_name(path.name + ".part")
    count = 0
    with contextlib.closing(opened(unfinished)) as file:
        async for row in rows:
            file.add(row)
            count += 1
            if count % 1000 == 0:
                report(count)
    if count:
        unfinished.replace(path)
    else:
        unfinished.unlink()
        path.unlink(missing_ok=True)  # of an earlier export: nothing of this type is left
    return count


def _everything(server: Server, type: str) -> AsyncIterator[Stored]:
    return server.store.scan(Query((type,), EVERYTHING))


async def _of_patients(server: Server, type: str, patients: list[str]) -> AsyncIterator[Stored]:
    """Resources of the patients' compartments, each once although it may lie in several of them."""
    codes = server.definitions.compartments["Patient"].get(type, ())
    if type != "Patient" and not codes:
        return
    shared: set[str] = set()  # only those that name two patients or more, so that it stays small
    iterator = iter(patients)
    while some := list(islice(iterator, PATIENTS)):
        async for row in server.store.scan(Query((type,), _in_compartment(server, type, codes, some))):
            if row.body.count(b'"Patient/') > 1:
                if row.id in shared:
                    continue
                shared.add(row.id)
            yield row


def _in_compartment(server: Server, type: str, codes: tuple[str, ...], patients: list[str]) -> Predicate:
    if type == "Patient":
        return Or(tuple(Is(ID, (("id", "=", id),)) for id in patients))
    value = ",".join(f"Patient/{id}" for id in patients)
    base, now = server.settings.base, server.clock()
    return Or(tuple(_search(server.definitions, type, code, value, now, base) for code in codes))


def _search(definitions: Definitions, type: str, code: str, value: str, now: int, base: str) -> Predicate:
    return parse_search(definitions, type, [(code, value)], lenient=False, now=now, base=base).where


async def _members(server: Server, group: str) -> list[str]:
    """The ids of a Group's active patients, each once. Raises FhirError 404 if there is no such Group."""
    stored = await server.store.read("Group", group, EVERYTHING)
    if stored is None or stored.deleted:
        raise refuse(404, "not-found", f"There is no Group/{group} in this store.")
    ids: dict[str, None] = {}
    for member in decode(stored.body).get("member", ()):
        target = parse(member.get("entity", {}).get("reference", ""), server.settings.base)
        if target.type == "Patient" and not member.get("inactive"):
            ids[target.id] = None
    return list(ids)
