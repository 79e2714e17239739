"""$validate-code of code systems and value sets: is this a code of it?

https://hl7.org/fhir/R4/codesystem-operation-validate-code.html https://hl7.org/fhir/R4/valueset-operation-validate-code.html
"""

from typing import NamedTuple

from fhir_server.access import Caller
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.outcome import refuse
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.interactions.canonicals import Canonicals
from fhir_server.operations.coded import Coding, called, codings, display, lacks, parameters, subject, system_of
from fhir_server.operations.inputs import Inputs
from fhir_server.search.known import Members
from fhir_server.server import Server
from fhir_server.terminology.concepts import is_abstract, is_inactive
from fhir_server.terminology.holds import holds
from fhir_server.terminology.source import Source, sound
from fhir_server.terminology.system import System, concept_of, term, whole

_ASKED = {
    "url": "string",
    "code": "string",
    "display": "string",
    "coding": "object",
    "codeableConcept": "object",
    "date": "date",
    "abstract": "boolean",
    "displayLanguage": "string",
}
OF_SYSTEM = {**_ASKED, "codeSystem": "object", "version": "string"}
OF_SET = {
    **_ASKED,
    "valueSet": "object",
    "valueSetVersion": "string",
    "system": "string",
    "systemVersion": "string",
}


class Verdict(NamedTuple):
    """Whether a code is valid, why not or what to know of it, and its name."""

    result: bool
    message: str = ""
    display: str = ""


async def of_system(server: Server, caller: Caller, ask: Ask, given: Inputs) -> Answer:
    """Whether a code system has the code; of a CodeableConcept, whether it has one of its codings."""
    resource = await subject(server, caller, ask, given, "codeSystem")
    asked = codings(given, "url")
    url = given.get("url", "") or (resource or {}).get("url", "") or asked[0].system
    source = Canonicals(server, caller, server.store.search)
    system = await system_of(source, resource, url, given.get("version", "") or asked[0].version)
    verdicts = []
    for coding in asked:
        if coding.system not in ("", system.about["url"]):
            verdicts.append(Verdict(False, f"{coding.code[:60]!r} is a code of {coding.system[:200]}, not of {url}."))
        else:
            verdicts.append(await _in_system(system, coding, given))
    return _answer(verdicts)


async def of_set(server: Server, caller: Caller, ask: Ask, given: Inputs) -> Answer:
    """Whether a value set holds the code; of a CodeableConcept, whether it holds one of its codings."""
    resource: Resource | Members | None = await subject(server, caller, ask, given, "valueSet")
    asked = codings(given, version="systemVersion")
    source = Canonicals(server, caller, server.store.search)
    url = given.get("url", "")
    if resource is None:
        if not url:
            raise refuse(400, "required", "Which value set? Give its url, or the valueSet itself.", "url")
        version = given.get("valueSetVersion", "")
        resource = await source.value_set(f"{url}|{version}" if version else url)
    if resource is None:
        raise refuse(404, "not-found", f"Value set {url[:200]!r} is not known here.", "url")
    named = url or (resource.get("url", "the value set") if isinstance(resource, dict) else "")
    with sound(named):
        return _answer([await _in_set(source, resource, named, coding, given) for coding in asked])


def _answer(verdicts: list[Verdict]) -> Answer:
    """The first that is valid; else all that was found wrong."""
    best = next((one for one in verdicts if one.result), None)
    if best is None:
        best = Verdict(False, " ".join(one.message for one in verdicts), verdicts[0].display)
    return parameters(
        ("result", "valueBoolean", best.result),
        ("message", "valueString", best.message),
        ("display", "valueString", best.display),
    )


async def _in_system(system: System, coding: Coding, given: Inputs) -> Verdict:
    found = await term(system, coding.code)
    if found is None:
        return Verdict(False, lacks(system, coding.code))
    concept = concept_of(found)
    name = display(concept, given.get("displayLanguage", ""))
    if coding.display and not called(concept, coding.display):
        return Verdict(False, f"{coding.code[:60]!r} is not called {coding.display[:200]!r} but {name!r}.", name)
    if is_abstract(concept, system.named) and not given.get("abstract"):
        return Verdict(False, f"{coding.code[:60]!r} is abstract: choose a code below it.", name)
    inactive = f"{coding.code[:60]!r} is inactive." if is_inactive(concept, system.named) else ""
    return Verdict(True, inactive, name)


async def _in_set(source: Source, value_set: Resource | Members, url: str, coding: Coding, given: Inputs) -> Verdict:
    answer = await holds(source, value_set, coding.system, coding.code)
    code = f"{coding.system}|{coding.code}"[:200] if coding.system else coding.code[:60]
    if answer is None:
        return Verdict(False, f"Whether {code} is in {url[:200]} cannot be told: a code system is not loaded here.")
    if not answer:
        return Verdict(False, f"{code} is not in {url[:200]}.")
    system = await source.system(coding.system, coding.version) if coding.system else None
    if system is None:
        hint = f"The codes of {coding.system[:200]} are not loaded: that {code} exists was not checked."
        return Verdict(True, hint if coding.system else "")
    if await term(system, coding.code) is None:  # a set may name codes that a fragment of their system lacks
        return Verdict(not whole(system), lacks(system, coding.code))
    return await _in_system(system, coding, given)
