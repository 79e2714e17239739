"""$validate: would this resource be accepted, does it keep R4's invariants and meet its profiles? https://hl7.org/fhir/R4/resource-operation-validate.html"""

import asyncio

from fhir_server.access import Caller
from fhir_server.fhir import codec
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.outcome import FhirError, Issue, operation_outcome, refuse
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.interactions.draft import without_server_meta
from fhir_server.interactions.profiles import THREAD, claims, verdict
from fhir_server.interactions.read import read
from fhir_server.matching.advice import advised
from fhir_server.operations.inputs import Inputs
from fhir_server.server import Server
from fhir_server.validation.invariants import broken

TAKES = {"resource": "resource", "mode": "string", "profile": "string"}
MODES = ("create", "update", "delete")


async def validate(server: Server, caller: Caller, ask: Ask, given: Inputs) -> Answer:
    """200 with an OperationOutcome, whatever it says; FhirError 400, 404 or 410 only if there is nothing to validate.

    Without a resource, an instance is validated as it is stored.
    """
    mode = given.get("mode", "")
    if mode and mode not in MODES:
        raise refuse(400, "value", f"mode must be {', '.join(MODES)}, not {mode[:40]!r}.", "mode")
    resource: Resource | None = given.get("resource")
    if ask.id and (resource is None or mode == "delete"):
        stored = codec.decode((await read(server, caller, Ask(type=ask.type, id=ask.id))).body)
        resource = resource or stored
    if mode == "delete":
        if not ask.id:
            raise refuse(400, "required", "mode=delete asks about an instance: [base]/Type/id/$validate.", "mode")
        return _answer([Issue("informational", f"{ask.type}/{ask.id} can be deleted.", severity="information")])
    if resource is None:
        raise refuse(400, "required", "There is no resource to validate: it is the body, or the parameter resource.")
    issues = _addressed(ask, resource, mode)
    found = _structure(server, resource)
    if not found:
        found = await asyncio.get_running_loop().run_in_executor(THREAD, broken, resource)
        asked = [given["profile"]] if "profile" in given else []
        asked += server.settings.required().get(ask.type, ())
        found += await verdict(server, resource, claims(resource, asked))
        if resource["resourceType"] in ("Group", "ResearchStudy"):
            found += await advised(server, caller, resource)
    return _answer(issues + found)


def _addressed(ask: Ask, resource: Resource, mode: str) -> list[Issue]:
    """Whether it is the resource that the URL and the mode speak of."""
    type, id = resource.get("resourceType"), resource.get("id")
    found: list[Issue] = []
    if type != ask.type:
        found.append(Issue("invalid", f"The resource is a {str(type)[:64]}, but the URL says {ask.type}.", (ask.type,)))
    if ask.id and id != ask.id:
        found.append(Issue("invalid", f"The id of the resource is not {ask.id!r}, as the URL says.", (f"{type}.id",)))
    elif mode == "update" and id is None:
        found.append(Issue("required", "An update needs a resource with an id.", (f"{type}.id",)))
    return found


def _structure(server: Server, resource: Resource) -> list[Issue]:
    """Every structural issue of what would be stored: without the members that the server sets."""
    try:
        server.validate(without_server_meta(resource))
    except FhirError as error:
        return list(error.issues)
    return []


def _answer(issues: list[Issue]) -> Answer:
    said = issues or [Issue("informational", "No issues were found.", severity="information")]
    return Answer(200, codec.encode(operation_outcome(said)))
