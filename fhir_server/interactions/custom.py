"""The search parameters that a store was reindexed for, followed by every process that serves it. https://hl7.org/fhir/R4/search.html#all

$reindex writes State: the SearchParameters by which resources are indexed, and for which types that is done. A process
looks whether the State changed at most once in LOOK seconds, and then serves with other definitions. New parameters
are indexed from then on, but searched only when the types that they concern have been gone through.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import msgspec

from fhir_server.fhir.definitions import load
from fhir_server.fhir.outcome import FhirError
from fhir_server.search.custom import extended, parameters
from fhir_server.search.index import indexer
from fhir_server.server import Server

KEY = "search-parameters"
LOOK = 1.0  # seconds


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


async def rewired(server: Server) -> Server:
    """The server by the State of its store: itself, unless that has changed."""
    custom, version = await read_custom(server)
    if version == server.custom:
        return server
    standard = load()
    indexed = standard
    for resource in custom.indexed.values():  # one after the other: a composite may build on one before it
        with suppress(FhirError):  # a later version of this server may have a parameter of this name itself
            indexed = extended(indexed, parameters(indexed, resource))
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
