"""ConceptMap/$translate: what a code is called elsewhere. https://hl7.org/fhir/R4/conceptmap-operation-translate.html"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from fhir_server.access import Caller, restrict
from fhir_server.fhir import codec
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.outcome import refuse
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.interactions.canonicals import Canonicals, indexed, shipped
from fhir_server.operations.coded import Coding, codings, parameters, part, subject
from fhir_server.operations.inputs import Inputs
from fhir_server.search.predicate import Is
from fhir_server.server import Server
from fhir_server.store.seam import Query
from fhir_server.terminology.source import sound

TAKES = {
    "url": "string",
    "conceptMap": "object",
    "conceptMapVersion": "string",
    "code": "string",
    "system": "string",
    "version": "string",
    "source": "string",
    "coding": "object",
    "codeableConcept": "object",
    "target": "string",
    "targetsystem": "string",
    "reverse": "boolean",
}
MOST_MAPS = 100  # that are looked through when none is named
MOST_MATCHES = 1000
# What a mapping says when it is read from its target. https://hl7.org/fhir/R4/valueset-concept-map-equivalence.html
REVERSED = {"wider": "narrower", "narrower": "wider", "subsumes": "specializes", "specializes": "subsumes"}
NONE = ("unmatched", "disjoint")


class Match(NamedTuple):
    """One mapping of a code: how it stands to it, the other code, with it products, and the map that says so."""

    equivalence: str
    concept: Coding | None
    product: tuple[Mapping[str, Any], ...]
    source: str


async def translate(server: Server, caller: Caller, ask: Ask, given: Inputs) -> Answer:
    """All matches, those of one map or of all that map from the code's system; FhirError 404 for an unknown map."""
    asked = codings(given)
    maps = await _maps(server, caller, ask, given, asked)
    reverse, wanted = given.get("reverse", False), given.get("targetsystem", "")
    found: list[Match] = []
    for resource in maps:
        with sound(resource.get("url", "The concept map")):
            for coding in asked:
                found += _back(resource, coding) if reverse else _forth(resource, coding)
    found = [one for one in found if wanted in ("", one.concept.system if one.concept else wanted)]
    good = any(one.equivalence not in NONE for one in found)
    message = "" if good else "No mapping of this code was found."
    if len(found) > MOST_MATCHES:
        raise refuse(400, "too-costly", f"There are more than {MOST_MATCHES} matches: name a map or a targetsystem.")
    with sound("A product of the concept map"):
        told = {codec.encode(part): part for part in map(_match, found)}  # several codings may have one match
    return parameters(("result", "valueBoolean", good), ("message", "valueString", message), parts=told.values())


def _match(one: Match) -> Resource:
    told = part(
        "match", ("equivalence", "valueCode", one.equivalence), ("concept", "valueCoding", _coding(one.concept))
    )
    for product in one.product:
        coding = _coding(Coding(product.get("system", ""), product["value"], "", product.get("display", "")))
        told["part"].append(part("product", ("element", "valueUri", product["property"]),
                                 ("concept", "valueCoding", coding)))  # fmt: skip
    told["part"] += part("", ("source", "valueUri", one.source))["part"]
    return told


def _coding(coding: Coding | None) -> Resource | None:
    if coding is None:
        return None
    return {key: value for key, value in coding._asdict().items() if value}


async def _maps(server: Server, caller: Caller, ask: Ask, given: Inputs, asked: list[Coding]) -> list[Resource]:
    """The map that is named, or those that know the systems asked about and lead to the target asked for."""
    resource = await subject(server, caller, ask, given, "conceptMap")
    if resource is not None:
        return [resource]
    if "url" in given:
        version = given.get("conceptMapVersion", "")
        url = given["url"]
        found = await Canonicals(server, caller, server.store.search).resource(
            "ConceptMap", f"{url}|{version}" if version else url
        )
        if found is None:
            raise refuse(404, "not-found", f"Concept map {url[:200]!r} is not known here.", "url")
        return [found]
    systems = {coding.system for coding in asked} - {""}
    if not systems:
        raise refuse(400, "required", "Which map? Give its url, or the code with its system.", "system")
    stored: dict[str, Resource] = {}
    code = "target-system" if given.get("reverse") else "source-system"
    for system in sorted(systems):
        where = Is(indexed(server, "ConceptMap", code), (("uri", "=", system),))
        query = Query(("ConceptMap",), restrict(where, caller, ("ConceptMap",)), count=MOST_MAPS)
        for row in (await server.store.search(query)).rows:
            stored[row.id] = codec.decode(row.body)
    urls = {one.get("url") for one in stored.values()}
    own = [one for (type, url), one in shipped().items() if type == "ConceptMap" and url not in urls]
    return [one for one in (*stored.values(), *own) if one.get("status") != "retired" and _leads(one, given)]


def _leads(resource: Resource, given: Inputs) -> bool:
    """Whether a map is between the value sets asked for."""
    return all(
        name not in given or given[name] in (resource.get(f"{name}Uri"), resource.get(f"{name}Canonical"))
        for name in ("source", "target")
    )


def _forth(resource: Resource, coding: Coding) -> Iterator[Match]:
    source = resource.get("url", "")
    for group in resource.get("group", ()):
        if coding.system not in ("", group.get("source", "")) or _other(coding.version, group.get("sourceVersion")):
            continue
        elements = [one for one in group["element"] if one.get("code") == coding.code]
        for element in elements:
            for target in element.get("target", ()):
                if target.get("dependsOn"):
                    continue  # what it depends on cannot be asked about
                to = _target(group, target)
                yield Match(target["equivalence"], to, tuple(target.get("product", ())), source)
        if not elements and "unmapped" in group:
            yield from _unmapped(group, coding, source)


def _target(group: Mapping[str, Any], target: Mapping[str, Any]) -> Coding | None:
    if "code" not in target:
        return None
    return Coding(group.get("target", ""), target["code"], group.get("targetVersion", ""), target.get("display", ""))


def _unmapped(group: Mapping[str, Any], coding: Coding, source: str) -> Iterator[Match]:
    """What a group says of codes that it does not list. https://hl7.org/fhir/R4/conceptmap.html#unmapped"""
    unmapped = group["unmapped"]
    if unmapped["mode"] == "provided":
        yield Match("equal", Coding(group.get("target", ""), coding.code, "", coding.display), (), source)
    elif unmapped["mode"] == "fixed" and "code" in unmapped:
        to = Coding(group.get("target", ""), unmapped["code"], "", unmapped.get("display", ""))
        yield Match("inexact", to, (), source)


def _back(resource: Resource, coding: Coding) -> Iterator[Match]:
    for group in resource.get("group", ()):
        if coding.system not in ("", group.get("target", "")) or _other(coding.version, group.get("targetVersion")):
            continue
        for element in group["element"]:
            for target in element.get("target", ()):
                if target.get("code") == coding.code and not target.get("dependsOn") and "code" in element:
                    version = group.get("sourceVersion", "")
                    to = Coding(group.get("source", ""), element["code"], version, element.get("display", ""))
                    said = target["equivalence"]
                    yield Match(REVERSED.get(said, said), to, (), resource.get("url", ""))


def _other(asked: str, has: str | None) -> bool:
    """Whether a map is for another version than the one asked about."""
    return bool(asked and has and asked != has)
