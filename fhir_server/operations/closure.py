"""$closure: a table of subsumption that a client keeps up to date. https://hl7.org/fhir/R4/conceptmap-operation-closure.html

The table is State of the caller: its concepts, each with the version in which it came. What lies between them is
computed anew each time, so that it is never older than the code systems.
"""

from typing import Any

import msgspec

from fhir_server.access import Caller
from fhir_server.fhir import codec
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.outcome import refuse
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.interactions.canonicals import Canonicals
from fhir_server.operations.coded import coding_of
from fhir_server.operations.inputs import Inputs
from fhir_server.server import Server
from fhir_server.terminology.system import System

TAKES = {"name": "string", "concept": "object*", "version": "string"}
MOST = 2000  # concepts of one table
LIFETIME = 90 * 86_400_000_000  # microseconds that a table is kept after its last change


class Table(msgspec.Struct, frozen=True):
    """The concepts of a table, (system, code, version in which it came), and its version, 0 when it is new."""

    version: int = 0
    concepts: tuple[tuple[str, str, int], ...] = ()


async def closure(server: Server, caller: Caller, ask: Ask, given: Inputs) -> Answer:
    """A ConceptMap: with a name alone the table is made anew; with concepts, what is new; with a version, all since.

    Raises FhirError 400 or 404 for a table or a code that is not known, 409 if another request changed the table.
    """
    if "name" not in given:
        raise refuse(400, "required", "Which closure table? Give its name.", "name")
    key = f"closure/{caller.id}/{given['name'][:100]}"
    kept = await server.store.get_state(key)
    asked = [coding_of(one, "concept") for one in given.get("concept", ())]
    if "version" in given and asked:
        raise refuse(400, "invalid", "Give concepts to add, or a version to start from, not both.", "version")
    if kept is None and (asked or "version" in given):
        raise refuse(
            404, "not-found", f"There is no closure table {given['name'][:100]!r}: start it by its name alone."
        )
    table = msgspec.json.decode(kept[0], type=Table) if kept else Table()
    since = table.version
    if "version" in given:
        if not given["version"].isascii() or not given["version"].isdigit():
            raise refuse(400, "value", "version must be one that an answer of $closure had.", "version")
        since = int(given["version"][:9])
    else:
        table = await _changed(server, key, kept[1] if kept else 0, table, [(one.system, one.code) for one in asked])
    return Answer(200, codec.encode(await _map(server, caller, given["name"], table, since)))


async def _changed(server: Server, key: str, version: int, table: Table, asked: list[tuple[str, str]]) -> Table:
    have = {(system, code) for system, code, _ in table.concepts}
    new = [pair for pair in dict.fromkeys(asked) if pair not in have]
    if asked and not new:
        return table
    if len(have) + len(new) > MOST:
        raise refuse(400, "too-costly", f"A closure table holds at most {MOST} concepts.")
    now = table.version + 1
    table = Table(now, (*table.concepts, *((*pair, now) for pair in new))) if asked else Table()
    expires = server.clock() + LIFETIME
    if not await server.store.put_state(key, msgspec.json.encode(table), version, expires):
        raise refuse(409, "conflict", "Another request changed this closure table: ask again.")
    return table


async def _map(server: Server, caller: Caller, name: str, table: Table, since: int) -> Resource:
    """What holds between concepts of which one came after the version `since`."""
    source = Canonicals(server, caller, server.store.search)
    groups: list[Resource] = []
    for url in dict.fromkeys(system for system, _, _ in table.concepts):
        system = await source.system(url)
        came = {code: version for one, code, version in table.concepts if one == url}
        elements = await _elements(system, came, since) if system is not None else []
        if elements:
            groups.append({"source": url, "target": url, "element": elements})
    return {
        "resourceType": "ConceptMap",
        "version": str(table.version),
        "name": name[:100],
        "status": "active",
        "experimental": True,
        **({"group": groups} if groups else {}),
    }


async def _elements(system: System, came: dict[str, int], since: int) -> list[dict[str, Any]]:
    terms = await system.find(list(came))
    by_number = {term.n: term.code for term in terms}
    found = []
    for term in terms:
        above = [by_number[n] for n in term.above if n in by_number]
        new = [code for code in above if max(came[code], came[term.code]) > since]
        if new:
            targets = [{"code": code, "equivalence": "subsumes"} for code in new]
            found.append({"code": term.code, "target": targets})
    return found
