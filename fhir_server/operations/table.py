"""The literal list of operations: where each is, what it takes, who may call it. https://hl7.org/fhir/R4/operations.html"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import NamedTuple

from fhir_server.access import Caller
from fhir_server.fhir.capability import Claim
from fhir_server.fhir.outcome import refuse
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.interactions.table import Interaction
from fhir_server.operations.accesses import TAKES as ACCESSES
from fhir_server.operations.accesses import accesses
from fhir_server.operations.choices import TAKES as CHOOSE
from fhir_server.operations.choices import choices, choose
from fhir_server.operations.consent import EXPLAIN, PREVIEW, explain, preview
from fhir_server.operations.everything import TAKES as EVERYTHING
from fhir_server.operations.everything import everything
from fhir_server.operations.export import export
from fhir_server.operations.expunge import TAKES as EXPUNGE
from fhir_server.operations.expunge import expunge
from fhir_server.operations.inputs import Inputs, inputs
from fhir_server.operations.lastn import TAKES as LASTN
from fhir_server.operations.lastn import lastn
from fhir_server.operations.match import TAKES as MATCH
from fhir_server.operations.match import match
from fhir_server.operations.meta import meta, meta_add, meta_delete
from fhir_server.operations.reindex import reindex
from fhir_server.operations.validate import TAKES as VALIDATE
from fhir_server.operations.validate import validate
from fhir_server.server import Server

Perform = Callable[[Server, Caller, Ask, Inputs], Awaitable[Answer]]
R4 = "http://hl7.org/fhir/OperationDefinition/"
OURS = "https://participation.example/fhir/OperationDefinition/"
BULK = "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/"
PATHS = {"system": "", "type": "[type]/", "instance": "[type]/[id]/"}


class Operation(NamedTuple):
    """A row: `types` is empty for all; `takes` maps parameters to their kinds (inputs.py), `needs` are rights on the
    type as letters of scopes; one that `affects` state is called by POST only. With `takes` None it reads what
    it is given itself. `alias` is a second name in the CapabilityStatement, for clients that look for that one."""

    name: str
    levels: tuple[str, ...]
    types: tuple[str, ...]
    perform: Perform
    takes: Mapping[str, str] | None
    needs: str
    definition: str
    affects: bool = False
    operator: bool = False
    alias: str = ""


LABELS = {"meta": "Meta"}

OPERATIONS: tuple[Operation, ...] = (
    Operation("everything", ("type", "instance"), ("Patient",), everything, EVERYTHING, "r", R4 + "Patient-everything"),
    Operation("lastn", ("type",), ("Observation",), lastn, LASTN, "s", R4 + "Observation-lastn"),
    Operation("match", ("type",), ("Patient",), match, MATCH, "s", R4 + "Patient-match"),
    Operation("explain", ("type",), ("Consent",), explain, EXPLAIN, "r", OURS + "consent-explain"),
    Operation("preview", ("type",), ("Consent",), preview, PREVIEW, "r", OURS + "consent-preview"),
    Operation("choices", ("instance",), ("Patient",), choices, {}, "r", OURS + "choices"),
    Operation("choose", ("instance",), ("Patient",), choose, CHOOSE, "r", OURS + "choose", affects=True),
    Operation("accesses", ("instance",), ("Patient",), accesses, ACCESSES, "r", OURS + "accesses"),
    Operation("validate", ("type", "instance"), (), validate, VALIDATE, "", R4 + "Resource-validate"),
    Operation("meta", ("system", "type", "instance"), (), meta, {}, "r", R4 + "Resource-meta"),
    Operation("meta-add", ("instance",), (), meta_add, LABELS, "u", R4 + "Resource-meta-add", affects=True),
    Operation("reindex", ("system", "type"), (), reindex, {}, "", OURS + "reindex", affects=True, operator=True),
    Operation("meta-delete", ("instance",), (), meta_delete, LABELS, "u", R4 + "Resource-meta-delete", affects=True),
    Operation("export", ("system",), (), export, None, "", BULK + "export"),
    Operation("export", ("type",), ("Patient",), export, None, "", BULK + "patient-export", alias="patient-export"),
    Operation("export", ("instance",), ("Group",), export, None, "", BULK + "group-export", alias="group-export"),
    Operation("expunge", ("instance",), (), expunge, EXPUNGE, "", OURS + "expunge", affects=True, operator=True),
)


async def perform(operation: Operation, server: Server, caller: Caller, ask: Ask) -> Answer:
    """Check who calls it, on what and with what, then do it. Raises FhirError 404, 403 or 400."""
    if operation.types and ask.type and ask.type not in operation.types:
        text = f"${operation.name} is an operation of {', '.join(operation.types)}, not of {ask.type}."
        raise refuse(404, "not-supported", text)
    if operation.operator and not caller.operator:
        raise refuse(403, "forbidden", f"${operation.name} is for operators of this server only.")
    given = inputs(ask, operation.takes) if operation.takes is not None else {}
    return await operation.perform(server, caller, ask, given)


def rows(operations: tuple[Operation, ...] = OPERATIONS) -> tuple[Interaction, ...]:
    """The operations as rows for the table of interactions, by which requests and entries of bundles find them."""
    return tuple(
        Interaction(
            method,
            f"{PATHS[level]}${operation.name}",
            f"${operation.name}",
            partial(perform, operation),
            operation.needs,
            body,
        )
        for operation in operations
        for level in operation.levels
        for method, body in (("GET", ""), ("POST", "operation"))
        if method == "POST" or not operation.affects
    )


def claims(operations: tuple[Operation, ...] = OPERATIONS) -> tuple[Claim, ...]:
    """The operations as the CapabilityStatement lists them."""
    return tuple(
        Claim(name, operation.definition, operation.types, operation.levels)
        for operation in operations
        for name in (operation.name, operation.alias)
        if name
    )
