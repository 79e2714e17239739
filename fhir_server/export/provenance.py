"""Provenance in an export of patients: it belongs to whatever it is about. https://hl7.org/fhir/R4/provenance.html"""

from collections.abc import Sequence

from fhir_server.access.compartment import references
from fhir_server.access.subjects import patients_in
from fhir_server.export.asked import Persons, Scope
from fhir_server.export.rows import permitted
from fhir_server.fhir.codec import decode
from fhir_server.fhir.references import parse
from fhir_server.search.index import param_of
from fhir_server.search.predicate import Is, Or, Param, Sort
from fhir_server.store.seam import Query, Stored

Key = tuple[str, str]
RECORDED = Sort(param_of("recorded", "date"), descending=True)


async def about(scope: Scope, rows: Sequence[Stored]) -> list[Stored]:
    """Those that are about a resource which the export holds."""
    return [row for row, targets in await _exported(scope, rows) if targets]


async def persons(scope: Scope, rows: Sequence[Stored]) -> list[Persons]:
    """Scope.persons of each, by what it is about: that may have no line of its own, if it was not changed."""
    found = list[Persons]()
    for row, targets in await _exported(scope, rows):
        about = [scope.persons(one, scope.caller.shown(one)) for one in targets.values()]
        told = set[str]().union(*(one.told for one in about))
        found.append(Persons(told, patients_in(row.body).union(*(one.named for one in about))))
    return found


async def latest(scope: Scope, rows: Sequence[Stored]) -> list[Stored]:
    """Those that are the last recorded about some resource which the export holds."""
    newest: dict[Key, str] = {}
    kept = []
    for row, targets in await _exported(scope, rows):
        for key in targets:
            if key not in newest:
                newest[key] = await _newest(scope, key)
        if any(newest[key] == row.id for key in targets):
            kept.append(row)
    return kept


async def _exported(scope: Scope, rows: Sequence[Stored]) -> list[tuple[Stored, dict[Key, Stored]]]:
    """Each row with what it is about of all that the export holds."""
    named: list[tuple[Stored, list[Key]]] = []
    by_type: dict[str, dict[str, None]] = {}
    for row in rows:
        keys = []
        for target in decode(row.body).get("target", ()):
            found = parse(target.get("reference", ""), scope.server.settings.base)
            if found.local and found.type != "Provenance":
                keys.append((found.type, found.id))
                by_type.setdefault(found.type, {})[found.id] = None
        named.append((row, keys))
    held = {
        (type, target.id): target for type, ids in by_type.items() for target in await scope.holding(type, list(ids))
    }
    return [(row, {key: held[key] for key in keys if key in held}) for row, keys in named]


async def _newest(scope: Scope, key: Key) -> str:
    type, id = key
    tests = (("type", "=", type), ("id", "=", id))
    target = Or(tuple(Is(link, tests) for link in _targets(scope)))
    where = permitted(scope.caller, "Provenance", target)
    rows = (await scope.server.store.search(Query(("Provenance",), where, (RECORDED,), 1))).rows
    return rows[0].id if rows else ""


def _targets(scope: Scope) -> Sequence[Param]:
    return references(scope.server.definitions, "Provenance", "target")
