"""$reindex: index entries anew, and by SearchParameters that were added since. https://hl7.org/fhir/R4/searchparameter.html"""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from fhir_server.access import Caller, permitted
from fhir_server.fhir import codec
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.definitions import load
from fhir_server.fhir.outcome import FhirError, operation_outcome
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.interactions.custom import LOOK, Custom, read_custom, rewired, write_custom
from fhir_server.operations.inputs import Inputs
from fhir_server.search.custom import extended, parameters
from fhir_server.search.predicate import Entry
from fhir_server.server import Server
from fhir_server.store.seam import Query

KEPT = ("url", "code", "base", "type", "expression", "target", "component", "status")


class Report(msgspec.Struct, frozen=True):
    """How many resources were indexed, what is searched by now, and the SearchParameters that cannot be."""

    count: int
    searched: Mapping[str, tuple[str, ...]]
    refused: Mapping[str, FhirError]


async def reindex(server: Server, caller: Caller, ask: Ask, given: Inputs) -> Answer:
    """The Report as Parameters: `count`, `parameter` for each custom one, `outcome` for what is not used."""
    report = await reindexed(server, caller, (ask.type,) if ask.type else ())
    told: list[dict[str, Any]] = [{"name": "count", "valueInteger": report.count}]
    for url, types in sorted(report.searched.items()):
        parts = [{"name": "url", "valueUri": url}, *({"name": "type", "valueCode": type} for type in types)]
        told.append({"name": "parameter", "part": parts})
    for _, error in sorted(report.refused.items()):
        told.append({"name": "outcome", "resource": operation_outcome(error.issues)})
    return Answer(200, codec.encode({"resourceType": "Parameters", "parameter": told}))


async def reindexed(server: Server, caller: Caller, types: tuple[str, ...]) -> Report:
    """Index resources of some types, or all, by R4's parameters and the active SearchParameters of the store."""
    wanted, refused = await _wanted(server, caller)
    await _announce(server, wanted)
    fresh = await rewired(server)

    def entries(body: bytes) -> tuple[Entry, ...]:
        return fresh.index(codec.decode(body))

    count = await server.store.reindex(entries, types)
    searched = await _finish(server, wanted, types)
    return Report(count, searched, refused)


async def _wanted(server: Server, caller: Caller) -> tuple[dict[str, Resource], dict[str, FhirError]]:
    """The active SearchParameters of the store that can be used, and why others cannot."""
    definitions = load()
    usable: dict[str, Resource] = {}
    refused: dict[str, FhirError] = {}
    found: dict[str, Resource] = {}
    async for row in server.store.scan(Query(("SearchParameter",), permitted(caller, ("SearchParameter",), "s"))):
        resource = codec.decode(row.body)
        if resource.get("status") == "active":
            found[resource["url"]] = {key: resource[key] for key in KEPT if key in resource}
    # Composites come last: they name others.
    for url, resource in sorted(found.items(), key=lambda one: (one[1]["type"] == "composite", one[0])):
        try:
            params = parameters(definitions, resource)
        except FhirError as error:
            refused[url] = error
            continue
        if params:
            usable[url] = resource
            definitions = extended(definitions, params)
    return usable, refused


async def _announce(server: Server, wanted: Mapping[str, Resource]) -> None:
    """Let every process index by the wanted parameters before old resources are gone through."""
    while True:
        custom, version = await read_custom(server)
        if custom.indexed == wanted:
            return
        same = {url for url, resource in wanted.items() if custom.indexed.get(url) == resource}
        custom = Custom(wanted, {url: types for url, types in custom.searched.items() if url in same})
        if await write_custom(server, custom, version):
            await asyncio.sleep(LOOK * 1.5)
            return


async def _finish(
    server: Server, wanted: Mapping[str, Resource], types: tuple[str, ...]
) -> Mapping[str, tuple[str, ...]]:
    """Record for which types each parameter is complete now."""
    definitions, concerned = load(), dict[str, set[str]]()
    for url, resource in wanted.items():
        params = parameters(definitions, resource)
        definitions = extended(definitions, params)
        concerned[url] = {param.type for param in params if not types or param.type in types}
    while True:
        custom, version = await read_custom(server)
        done = {
            url: tuple(
                sorted({*custom.searched.get(url, ()), *(concerned[url] if wanted.get(url) == resource else ())})
            )
            for url, resource in custom.indexed.items()
        }
        done = {**custom.searched, **done}
        if done == dict(custom.searched) or await write_custom(server, Custom(custom.indexed, done), version):
            return done
