"""How the search tests ask: parse a query string, index resources, let the oracle decide."""

from typing import Any
from urllib.parse import parse_qsl

from fhir_server.fhir.definitions import load
from fhir_server.search.index import indexer
from fhir_server.search.parse import parse_search
from fhir_server.search.predicate import Entry, Indexed, Predicate, matches
from fhir_server.search.query import Search

BASE = "http://host:8080/odd-base-17/fhir"
NOW = 1_767_225_600_000_000  # 2026-01-01
DEFINITIONS = load()
INDEX = indexer(DEFINITIONS, BASE)


def search(type: str | None, query: str, lenient: bool = False) -> Search:
    """The parsed query string."""
    return parse_search(DEFINITIONS, type, parse_qsl(query, keep_blank_values=True), lenient, NOW, BASE)


def where(type: str | None, query: str) -> Predicate:
    """Its predicate."""
    return search(type, query).where


def entries(resource: dict[str, Any], *codes: str) -> list[tuple[Any, ...]]:
    """The fields of the resource's entries for these parameters, the Param replaced by its code."""
    return [(entry[0].code, *entry[1:]) for entry in INDEX(resource) if entry[0].code in codes]


def row(resource: dict[str, Any], updated: int = NOW) -> Indexed:
    """The resource as a store would hold it."""
    found: tuple[Entry, ...] = INDEX(resource)
    return Indexed(resource["resourceType"], resource.get("id", "1"), updated, found)


def finds(query: str, resource: dict[str, Any], *others: dict[str, Any], updated: int = NOW) -> bool:
    """Whether a search on the resource's type finds it in a world of it and the others."""
    rows = [row(one, updated) for one in (resource, *others)]
    return matches(where(resource["resourceType"], query), rows[0], {(one.type, one.id): one for one in rows})
