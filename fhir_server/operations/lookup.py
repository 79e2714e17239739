"""CodeSystem/$lookup: what is known of a code. https://hl7.org/fhir/R4/codesystem-operation-lookup.html"""

from typing import Any

from fhir_server.access import Caller
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.outcome import refuse
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.interactions.canonicals import Canonicals
from fhir_server.operations.coded import codings, display, parameters, part, system_of, unknown
from fhir_server.operations.inputs import Inputs
from fhir_server.server import Server
from fhir_server.store.terms import AnyOf, Keyed
from fhir_server.terminology.concepts import Concept, has, is_abstract, is_inactive, parents
from fhir_server.terminology.system import System, concept_of, term

TAKES = {
    "code": "string",
    "system": "string",
    "version": "string",
    "coding": "object",
    "date": "date",
    "displayLanguage": "string",
    "property": "string*",
}
MOST_CHILDREN = 1000  # that are told
NAMED = frozenset({"url", "name", "version", "display"})  # they have parameters of their own


async def lookup(server: Server, caller: Caller, ask: Ask, given: Inputs) -> Answer:
    """Name, version, display, designations and properties of a code; FhirError 404 if it or its system is not known."""
    (coding,) = codings(given)
    if not coding.system:
        raise refuse(400, "required", "A code alone names nothing: give its system too.", "system")
    system = await system_of(Canonicals(server, caller, server.store.search), None, coding.system, coding.version)
    found = await term(system, coding.code)
    if found is None:
        raise unknown(system, coding.code)
    concept, wanted = concept_of(found), frozenset(given.get("property", ()))
    about = system.about
    parts: list[Resource] = []
    for one in concept.get("designation", ()):
        if not wanted or "designation" in wanted or f"lang.{one.get('language')}" in wanted:
            language, use = one.get("language"), one.get("use")
            parts.append(part("designation", ("language", "valueCode", language), ("use", "valueCoding", use),
                              ("value", "valueString", one.get("value"))))  # fmt: skip
    parts += [one for code, one in await _properties(system, concept) if not wanted or code in wanted]
    return parameters(
        ("name", "valueString", about.get("name") or about.get("title") or about["url"]),
        ("version", "valueString", about.get("version")),
        ("display", "valueString", display(concept, given.get("displayLanguage", "")) or concept["code"]),
        parts=parts,
    )


async def _properties(system: System, concept: Concept) -> list[tuple[str, Resource]]:
    """Each property of a concept with its code: its own, then its parents and children by name."""
    found: list[tuple[str, Resource]] = []
    if "definition" in concept:
        found.append(("definition", _property("definition", "valueString", concept["definition"])))
    for one in concept.get("property", ()):
        if one["code"] not in system.named.parent:
            for kind in (key for key in one if key.startswith("value")):  # one, or none that has extensions only
                found.append((one["code"], _property(one["code"], kind, one[kind])))
    given = {one["code"] for one in concept.get("property", ())}
    if given.isdisjoint(system.named.inactive):
        found.append(("inactive", _property("inactive", "valueBoolean", is_inactive(concept, system.named))))
    if given.isdisjoint(system.named.abstract) and is_abstract(concept, system.named):
        found.append(("abstract", _property("abstract", "valueBoolean", True)))
    above = await system.find(parents(concept, system.named))
    below = AnyOf(tuple(Keyed(has(name, concept["code"])) for name in sorted(system.named.parent)))
    for name, terms in (("parent", above), ("child", await system.select(below, 0, MOST_CHILDREN))):
        for one_term in terms:
            other: dict[str, Any] = concept_of(one_term)
            found.append((name, _property(name, "valueCode", other["code"], other.get("display"))))
    return found


def _property(code: str, kind: str, value: Any, description: str | None = None) -> Resource:
    return part("property", ("code", "valueCode", code), ("value", kind, value),
                ("description", "valueString", description))  # fmt: skip
