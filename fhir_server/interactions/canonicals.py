"""What a canonical URL names: in the store, as far as the caller may see it, then among what ships with the server. https://hl7.org/fhir/R4/references.html#canonical

Code systems that were imported come first; of several versions, the one imported last. Of several resources with one
URL, an active one goes before others, then the later date.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from fhir_server.access import Caller, restrict
from fhir_server.fhir import codec
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.data import data_path
from fhir_server.fhir.definitions import Definitions
from fhir_server.fhir.references import canonical, parse
from fhir_server.interactions.conditional import Find
from fhir_server.search.context import stand_ins
from fhir_server.search.index import param_of
from fhir_server.search.known import Members
from fhir_server.search.predicate import ID, And, Is, Param, Predicate
from fhir_server.server import Server
from fhir_server.store.seam import Query, Stored
from fhir_server.terminology.system import System, imported, listed

LOOK = 1.0  # seconds that imported versions are not looked up again: those they replace stay readable for longer
KEPT = 600.0  # seconds that a code system made of a resource stays in memory: it is looked up by its version
SNOMED, LOINC = "http://snomed.info/sct", "http://loinc.org"


class Canonicals:
    """Implements terminology.source.Source for one caller and one request; `find` is a store's or a transaction's."""

    def __init__(self, server: Server, caller: Caller, find: Find) -> None:
        self._server, self._caller, self._find = server, caller, find
        self._found: dict[tuple[str, str], Any] = {}

    async def value_set(self, url: str) -> Resource | Members | None:
        """A ValueSet: one in the store, that ships, that R4 lists for a required binding, or that a URL implies."""
        if ("ValueSet", url) not in self._found:
            name = canonical(url)[0]
            found: Resource | Members | None = await self.resource("ValueSet", url)
            found = found or bound(self._server.definitions).get(name) or _implied(name)
            self._found["ValueSet", url] = found
        result: Resource | Members | None = self._found["ValueSet", url]
        return result

    async def system(self, url: str, version: str = "") -> System | None:
        """A code system with concepts."""
        key = (url, version)
        if key not in self._found:
            self._found[key] = await self._system(url, version)
        result: System | None = self._found[key]
        return result

    async def resource(self, type: str, url: str) -> Resource | None:
        """A resource of another kind, such as a ConceptMap, by its URL or its id."""
        rows = await self._rows(type, url)
        if rows:
            resources: list[Resource] = [codec.decode(row.body) for row in rows]
            return max(resources, key=_preference)
        name, version = canonical(url)
        found = shipped().get((type, name))
        return found if found is not None and version in ("", found.get("version", "")) else None

    async def _system(self, url: str, version: str) -> System | None:
        for own_version, edition in await self._editions(url):
            if version in ("", own_version):
                return edition
        rows = await self._rows("CodeSystem", f"{url}|{version}" if version else url)
        pairs = [(codec.decode(row.body), row) for row in rows]
        held = [pair for pair in pairs if pair[0].get("concept")]
        if held:
            resource, row = max(held, key=lambda pair: _preference(pair[0]))
            key = f"{row.id}/{row.version}/{row.updated}"
            found: System | None = self._server.systems.get(key)
            if found is None:
                found = listed(resource)
                self._server.systems.put(key, found, KEPT)
            return found
        system = _systems().get(url)
        return system if system is not None and version in ("", system.about.get("version", "")) else None

    async def _editions(self, url: str) -> list[tuple[str, System]]:
        """The versions that were imported. What there is is kept for a second, that there is nothing is not: a code
        system that was imported answers at once."""
        known = self._server.known.get(("editions", url))
        if known is None:
            terms, seen = self._server.store.terms, self._server.terms
            known = [(edition.version, imported(terms, edition, seen)) for edition in await terms.editions(url)]
            if known:
                self._server.known.put(("editions", url), known, LOOK)
        found: list[tuple[str, System]] = known
        return found

    async def _rows(self, type: str, url: str) -> list[Stored]:
        name, version = canonical(url)
        local = parse(name, self._server.settings.base)
        where: Predicate = Is(ID, (("id", "=", local.id),))
        if not (local.local and local.type == type):
            where = Is(indexed(self._server, type, "url"), (("uri", "=", name),))
            if version:
                where = And((where, Is(indexed(self._server, type, "version"), (("code", "=", version),))))
        return (await self._find(Query((type,), restrict(where, self._caller, (type,)), count=100))).rows


def indexed(server: Server, type: str, code: str) -> Param:
    """The parameter under which the values of `code` are indexed: R4's CodeSystem has `url` and `system` for one."""
    (param,), _ = stand_ins(server.definitions, server.definitions.search[type][code])
    return param_of(param.code, param.kind)


def _preference(resource: Resource) -> tuple[bool, str, str]:
    return resource.get("status") == "active", str(resource.get("date", "")), resource["meta"]["lastUpdated"]


@cache
def shipped() -> Mapping[tuple[str, str], Resource]:
    """The conformance resources that ship with the server, by type and URL."""
    paths = [*data_path("terminology").glob("*.json"), *data_path("profiles").glob("*/*.json")]
    resources = (codec.decode(path.read_bytes()) for path in sorted(paths))
    return {(resource["resourceType"], resource["url"]): resource for resource in resources if "url" in resource}


@cache
def _systems() -> Mapping[str, System]:
    return {url: listed(resource) for (type, url), resource in shipped().items() if type == "CodeSystem"}


def _implied(url: str) -> Resource | None:
    """The value sets that SNOMED CT and LOINC name by URLs alone. https://hl7.org/fhir/R4/snomedct.html#implicit"""
    include: dict[str, Any] = {"system": LOINC if url == f"{LOINC}/vs" else SNOMED}
    if url.startswith(f"{SNOMED}?fhir_vs=isa/"):
        include["filter"] = [{"property": "concept", "op": "is-a", "value": url.rpartition("/")[2]}]
    elif url not in (f"{LOINC}/vs", f"{SNOMED}?fhir_vs"):
        return None
    return {"resourceType": "ValueSet", "url": url, "status": "active", "compose": {"include": [include]}}


_sets: dict[int, Mapping[str, Members]] = {}


def bound(definitions: Definitions) -> Mapping[str, Members]:
    """The value sets of R4's required bindings that R4 enumerates."""
    if id(definitions.structures) not in _sets:
        bindings = [
            element.binding
            for structure in definitions.structures.values()
            for element in structure.elements.values()
            if element.binding is not None and element.binding.codes is not None
        ]
        _sets[id(definitions.structures)] = {
            binding.valueset: Members(tuple(sorted((system, code) for code, system in binding.systems.items())))
            for binding in bindings
        }
    return _sets[id(definitions.structures)]
