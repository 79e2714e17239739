"""What a store was reindexed for and what was imported into it, followed by every process. https://hl7.org/fhir/R4/search.html#all

$reindex writes State: the SearchParameters by which resources are indexed, and for which types that is done. A process
looks whether the State changed at most once in LOOK seconds, and then serves with other definitions. New parameters
are indexed from then on, but searched only when the types that they concern have been gone through.

In the same second it sees which code systems were imported last of those that matching and consent compare by
(terminology/known.py), and reads them if they are others.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import msgspec

from fhir_server.fhir.definitions import Definitions, load
from fhir_server.fhir.outcome import FhirError
from fhir_server.search.custom import extended, parameters
from fhir_server.search.index import indexer
from fhir_server.server import Server
from fhir_server.terminology.known import Known, known, matched

KEY = "search-parameters"
LOOK = 1.0  # seconds
READ = 600.0  # seconds that a terminology is kept for those who come to ask for it


class Custom(msgspec.Struct, frozen=True):
    """What is indexed, SearchParameter resources by url, and the types for which each is searched."""

    indexed: Mapping[str, dict[str, Any]] = {}
    searched: Mapping[str, tuple[str, ...]] = {}


async def read_custom(server: Server) -> tuple[Custom, int]:
    """The State and its version, 0 if there is none."""
    found = await server.store.get_state(KEY)
    return (msgspec.json.decode(found[0], type=Custom), found[1]) if found else (Custom(), 0)


async def write_custom(server: Server, custom: Custom, version: int) -> bool:
    """Replace the State unless another process has done so since."""
    return await server.store.put_state(KEY, msgspec.json.encode(custom), version)


def indexed_by(custom: Custom) -> Definitions:
    """R4's definitions with the parameters that resources are indexed by."""
    indexed = load()
    for resource in custom.indexed.values():  # one after the other: a composite may build on one before it
        with suppress(FhirError):  # a later version of this server may have a parameter of this name itself
            indexed = extended(indexed, parameters(indexed, resource))
    return indexed


async def rewired(server: Server) -> Server:
    """The server by the State of its store and what was imported: itself, unless that has changed."""
    server = await _recoded(server)
    custom, version = await read_custom(server)
    if version == server.custom:
        return server
    standard, indexed = load(), indexed_by(custom)
    added = [
        param
        for type, params in indexed.search.items()
        for param in params.values()
        if type in custom.searched.get(param.url, ()) and param.url in custom.indexed
    ]
    definitions = extended(standard, added)
    index = indexer(indexed, server.settings.base)
    return replace(
        server,
        definitions=definitions,
        index=index,
        consents=replace(server.consents, index=index),
        capabilities=server.describe(definitions),
        custom=version,
    )


async def _recoded(server: Server) -> Server:
    """The server with the terminology of what was imported last. All who ask at a time wait for one reading of it."""
    editions = await matched(server.store.terms)
    if editions == server.editions:
        return server
    key = f"matched/{editions}"
    reading: asyncio.Future[Known] | None = server.systems.get(key)
    if reading is None or (reading.done() and reading.exception() is not None):
        reading = asyncio.ensure_future(known(server.store.terms))
        server.systems.put(key, reading, READ)
    terminology, editions = await asyncio.shield(reading)
    consents = replace(server.consents, terminology=terminology)
    guards = server.guarded(terminology)
    return replace(server, terminology=terminology, editions=editions, consents=consents, guards=guards)
