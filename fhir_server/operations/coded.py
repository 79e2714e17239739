"""The codes and definitions that terminology operations are asked about, and Parameters for their answers. https://hl7.org/fhir/R4/terminology-service.html"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from fhir_server.access import Caller
from fhir_server.fhir import codec
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.outcome import FhirError, refuse
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.interactions.canonicals import Canonicals
from fhir_server.interactions.read import read
from fhir_server.operations.inputs import Inputs
from fhir_server.search.entries import fold
from fhir_server.server import Server
from fhir_server.terminology.concepts import Concept, texts
from fhir_server.terminology.system import System, listed


class Coding(NamedTuple):
    """A code with its system ("" where none is named) and what else was said of it."""

    system: str
    code: str
    version: str = ""
    display: str = ""


def parameters(*pairs: tuple[str, str, Any], parts: Iterable[Resource] = ()) -> Answer:
    """200 with a Parameters of (name, `valueCode` and the like, value); a value of "" or None is left out."""
    listed = [{"name": name, kind: value} for name, kind, value in pairs if value not in ("", None)]
    return Answer(200, codec.encode({"resourceType": "Parameters", "parameter": [*listed, *parts]}))


def part(name: str, *pairs: tuple[str, str, Any]) -> Resource:
    """A parameter of parts."""
    return {"name": name, "part": [{"name": one, kind: value} for one, kind, value in pairs if value not in ("", None)]}


def codings(given: Inputs, system: str = "system", version: str = "version") -> list[Coding]:
    """The codings asked about: `code` with its system, `coding` or those of `codeableConcept`. Raises FhirError 400
    unless exactly one of the three is given."""
    ways = [name for name in ("code", "coding", "codeableConcept") if name in given]
    if len(ways) != 1:
        raise refuse(400, "required", "Give the code in one way: code (with its system), coding or codeableConcept.")
    if ways == ["code"]:
        return [Coding(given.get(system, ""), given["code"], given.get(version, ""), given.get("display", ""))]
    if ways == ["coding"]:
        return [coding_of(given["coding"], "coding")]
    inside = given["codeableConcept"].get("coding")
    if not isinstance(inside, list) or not inside:
        raise refuse(400, "required", "codeableConcept has no coding.", "codeableConcept")
    return [coding_of(one, "codeableConcept") for one in inside]


def coding_of(value: Any, name: str) -> Coding:
    """A Coding of the request. Raises FhirError 400 for one without code or with values that are no text."""
    if not isinstance(value, dict) or not isinstance(value.get("code"), str) or not value["code"]:
        raise refuse(400, "required", f"{name} must be a Coding with a code.", name)
    texts = [value.get(key, "") for key in ("system", "code", "version", "display")]
    if not all(isinstance(text, str) for text in texts):
        raise refuse(400, "value", f"system, version and display of {name} must be texts.", name)
    return Coding(*texts)


async def subject(server: Server, caller: Caller, ask: Ask, given: Inputs, name: str) -> Resource | None:
    """The resource that an operation is about when it is named by its id, or given in the request as `name`.

    Raises FhirError as a read does, and 400 or 422 for a resource that is none of the type.
    """
    if ask.id:
        found: Resource = codec.decode((await read(server, caller, Ask(type=ask.type, id=ask.id))).body)
        return found
    resource: Resource | None = given.get(name)
    if resource is not None:
        if resource.get("resourceType") != ask.type:
            raise refuse(400, "invalid", f"{name} must be a {ask.type} resource.", name)
        server.validate(resource)
    return resource


async def system_of(source: Canonicals, resource: Resource | None, url: str, version: str) -> System:
    """The code system that is asked: that of a resource, or by its URL. Raises FhirError 404 if it is not loaded."""
    if resource is not None and resource.get("concept"):
        if "url" not in resource:
            raise refuse(400, "required", "The CodeSystem has no url, by which its codes are named.", "CodeSystem.url")
        return listed(resource)
    if resource is not None:
        url, version = resource.get("url", ""), resource.get("version", "")
    if not url:
        raise refuse(400, "required", "Which code system? Give its URL, or call the operation on its resource.")
    found = await source.system(url, version)
    if found is None:
        named = f"{url}|{version}" if version else url
        raise refuse(404, "not-found", f"Code system {named[:200]!r} is not loaded here.")
    return found


def unknown(system: System, code: str) -> FhirError:
    """The 404 of a code that its code system does not have."""
    return refuse(404, "not-found", lacks(system, code))


def lacks(system: System, code: str) -> str:
    """That a code is not there, in words."""
    version = system.about.get("version")
    named = f"{system.about['url']}{f' version {version}' if version else ''}"
    few = "" if system.about.get("content") == "complete" else ", of which not all codes are loaded"
    return f"There is no code {code[:60]!r} in {named}{few}."


def display(concept: Concept, language: str = "") -> str:
    """Its name, in a language if there is one in it."""
    if language:
        for one in concept.get("designation", ()):
            if _speaks(one.get("language", ""), language):
                return str(one.get("value", ""))
    return str(concept.get("display", ""))


def _speaks(have: str, wanted: str) -> bool:
    return have.lower() == wanted.lower() or have.lower().startswith(wanted.lower() + "-")


def called(concept: Concept, name: str) -> bool:
    """Whether a concept has this display or designation, but for case, accents and spaces."""
    return fold(name) in map(fold, texts(concept))
