"""CodeSystem/$subsumes: how one code stands to another. https://hl7.org/fhir/R4/codesystem-operation-subsumes.html"""

from fhir_server.access import Caller
from fhir_server.fhir.outcome import refuse
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.interactions.canonicals import Canonicals
from fhir_server.operations.coded import Coding, coding_of, parameters, subject, system_of, unknown
from fhir_server.operations.inputs import Inputs
from fhir_server.server import Server

TAKES = {
    "codeA": "string",
    "codeB": "string",
    "system": "string",
    "version": "string",
    "codingA": "object",
    "codingB": "object",
}


async def subsumes(server: Server, caller: Caller, ask: Ask, given: Inputs) -> Answer:
    """The outcome: equivalent, subsumes (A stands above B), subsumed-by or not-subsumed; FhirError 404 for what is not
    known, 400 for codes of two systems."""
    one, other = _asked(given, "A"), _asked(given, "B")
    urls = {coding.system for coding in (one, other)} - {""}
    versions = {coding.version for coding in (one, other)} - {""}
    if len(urls) > 1 or len(versions) > 1:
        raise refuse(400, "invalid", "Both codes must be of one version of one code system.")
    resource = await subject(server, caller, ask, given, "")
    if resource is not None and urls - {resource.get("url")}:
        raise refuse(400, "invalid", f"The codes are not of this code system, {resource.get('url')}.", "system")
    source = Canonicals(server, caller, server.store.search)
    system = await system_of(source, resource, "".join(urls), "".join(versions))
    found = {term.code: term for term in await system.find((one.code, other.code))}
    for coding in (one, other):
        if coding.code not in found:
            raise unknown(system, coding.code)
    a, b = found[one.code], found[other.code]
    outcome = "not-subsumed"
    if a.n == b.n:
        outcome = "equivalent"
    elif a.n in b.above:
        outcome = "subsumes"
    elif b.n in a.above:
        outcome = "subsumed-by"
    return parameters(("outcome", "valueCode", outcome))


def _asked(given: Inputs, letter: str) -> Coding:
    if f"coding{letter}" in given:
        return coding_of(given[f"coding{letter}"], f"coding{letter}")
    if f"code{letter}" not in given:
        raise refuse(400, "required", f"$subsumes compares two codes: code{letter} or coding{letter} is missing.")
    return Coding(given.get("system", ""), given[f"code{letter}"], given.get("version", ""))
