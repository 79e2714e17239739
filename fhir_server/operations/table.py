"""The literal list of operations: where each is, what it takes, who may call it. https://hl7.org/fhir/R4/operations.html"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import NamedTuple

from fhir_server.access import Caller
from fhir_server.fhir.capability import Claim
from fhir_server.fhir.outcome import refuse
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.interactions.table import Interaction
from fhir_server.operations import validate_code
from fhir_server.operations.accesses import TAKES as ACCESSES
from fhir_server.operations.accesses import accesses
from fhir_server.operations.attrition import TAKES as ATTRITION
from fhir_server.operations.attrition import attrition
from fhir_server.operations.bring import bring
from fhir_server.operations.choices import TAKES as CHOOSE
from fhir_server.operations.choices import choices, choose
from fhir_server.operations.closure import TAKES as CLOSURE
from fhir_server.operations.closure import closure
from fhir_server.operations.consent import EXPLAIN, PREVIEW, explain, preview
from fhir_server.operations.convert_vcf import TAKES as CONVERT_VCF
from fhir_server.operations.convert_vcf import convert_vcf
from fhir_server.operations.diversity import TAKES as DIVERSITY
from fhir_server.operations.diversity import diversity
from fhir_server.operations.everything import TAKES as EVERYTHING
from fhir_server.operations.everything import everything
from fhir_server.operations.expand import TAKES as EXPAND
from fhir_server.operations.expand import expand_
from fhir_server.operations.export import export, export_v4
from fhir_server.operations.expunge import TAKES as EXPUNGE
from fhir_server.operations.expunge import expunge
from fhir_server.operations.genomics.table import FINDING
from fhir_server.operations.inputs import Inputs, inputs
from fhir_server.operations.lastn import TAKES as LASTN
from fhir_server.operations.lastn import lastn
from fhir_server.operations.lookup import TAKES as LOOKUP
from fhir_server.operations.lookup import lookup
from fhir_server.operations.match import TAKES as MATCH
from fhir_server.operations.match import match
from fhir_server.operations.match_patients import TAKES as MATCH_PATIENTS
from fhir_server.operations.match_patients import match_patients
from fhir_server.operations.match_study import TAKES as MATCH_STUDY
from fhir_server.operations.match_study import match_study
from fhir_server.operations.match_trials import TAKES as MATCH_TRIALS
from fhir_server.operations.match_trials import match_trials
from fhir_server.operations.meta import meta, meta_add, meta_delete
from fhir_server.operations.missing_data import TAKES as MISSING
from fhir_server.operations.missing_data import missing_data
from fhir_server.operations.reindex import reindex
from fhir_server.operations.subsumes import TAKES as SUBSUMES
from fhir_server.operations.subsumes import subsumes
from fhir_server.operations.translate import TAKES as TRANSLATE
from fhir_server.operations.translate import translate
from fhir_server.operations.validate import TAKES as VALIDATE
from fhir_server.operations.validate import validate
from fhir_server.operations.viewdefinition_run import viewdefinition_run
from fhir_server.server import Server

Perform = Callable[[Server, Caller, Ask, Inputs], Awaitable[Answer]]
R4 = "http://hl7.org/fhir/OperationDefinition/"
OURS = "https://participation.example/fhir/OperationDefinition/"
VIEWS = "http://sql-on-fhir.org/OperationDefinition/"
GENOMICS = "http://hl7.org/fhir/uv/genomics-reporting/OperationDefinition/"
BULK = "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/"
PATHS = {"system": "", "type": "[type]/", "instance": "[type]/[id]/", "view": "ViewDefinition/"}


class Operation(NamedTuple):
    """A row: `types` is empty for all; `takes` maps parameters to their kinds (inputs.py), `needs` are rights on the
    type as letters of scopes; one that `affects` state is called by POST only. With `takes` None it reads what
    it is given itself. `alias` is a second name in the CapabilityStatement, for clients that look for that one. What
    stands `alone` is no entry of a Bundle: its answer is no resource."""

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
    alone: bool = False
    body: str = "operation"  # what a POST carries (interactions/table.py)


LABELS = {"meta": "Meta"}
SYSTEM, SET, MAP = ("CodeSystem",), ("ValueSet",), ("ConceptMap",)
BOTH = ("type", "instance")

OPERATIONS: tuple[Operation, ...] = (
    Operation("everything", ("type", "instance"), ("Patient",), everything, EVERYTHING, "r", R4 + "Patient-everything"),
    Operation("lastn", ("type",), ("Observation",), lastn, LASTN, "s", R4 + "Observation-lastn"),
    Operation("match", ("type",), ("Patient",), match, MATCH, "s", R4 + "Patient-match"),
    Operation("match", ("type",), ("ResearchStudy",), match_study, MATCH_STUDY, "s", OURS + "ResearchStudy-match"),
    Operation(
        "match-trials", ("instance",), ("Patient",), match_trials, MATCH_TRIALS, "r", OURS + "Patient-match-trials"
    ),
    Operation(
        "match-patients",
        ("instance",),
        ("ResearchStudy",),
        match_patients,
        MATCH_PATIENTS,
        "r",
        OURS + "ResearchStudy-match-patients",
    ),
    Operation("missing-data", ("instance",), ("Patient",), missing_data, MISSING, "r", OURS + "missing-data"),
    Operation("attrition", ("instance",), ("ResearchStudy",), attrition, ATTRITION, "r", OURS + "attrition"),
    Operation("diversity", ("instance",), ("ResearchStudy",), diversity, DIVERSITY, "r", OURS + "diversity"),
    Operation("explain", ("type",), ("Consent",), explain, EXPLAIN, "r", OURS + "consent-explain"),
    Operation("preview", ("type",), ("Consent",), preview, PREVIEW, "r", OURS + "consent-preview"),
    Operation("choices", ("instance",), ("Patient",), choices, {}, "r", OURS + "choices"),
    Operation("choose", ("instance",), ("Patient",), choose, CHOOSE, "r", OURS + "choose", affects=True),
    Operation("accesses", ("instance",), ("Patient",), accesses, ACCESSES, "r", OURS + "accesses"),
    Operation(
        "convert-vcf",
        ("instance",),
        ("DocumentReference",),
        convert_vcf,
        CONVERT_VCF,
        "r",
        OURS + "convert-vcf",
        affects=True,
    ),
    Operation("validate", ("type", "instance"), (), validate, VALIDATE, "", R4 + "Resource-validate"),
    Operation("meta", ("system", "type", "instance"), (), meta, {}, "r", R4 + "Resource-meta"),
    Operation("meta-add", ("instance",), (), meta_add, LABELS, "u", R4 + "Resource-meta-add", affects=True),
    Operation("reindex", ("system", "type"), (), reindex, {}, "", OURS + "reindex", affects=True, operator=True),
    Operation("meta-delete", ("instance",), (), meta_delete, LABELS, "u", R4 + "Resource-meta-delete", affects=True),
    Operation("export", ("system",), (), export, None, "", BULK + "export"),
    Operation("export", ("type",), ("Patient",), export, None, "", BULK + "patient-export", alias="patient-export"),
    Operation("export", ("instance",), ("Group",), export, None, "", BULK + "group-export", alias="group-export"),
    Operation("export-v4", ("system",), (), export_v4, None, "", BULK + "export|4.0.0-ballot"),
    Operation("export-v4", ("type",), ("Patient",), export_v4, None, "", BULK + "patient-export|4.0.0-ballot"),
    Operation("export-v4", ("instance",), ("Group",), export_v4, None, "", BULK + "group-export|4.0.0-ballot"),
    Operation(
        "viewdefinition-run",
        ("system", "view"),
        (),
        viewdefinition_run,
        None,
        "",
        VIEWS + "$viewdefinition-run",
        alone=True,
    ),
    Operation("import", ("system",), (), bring, None, "", OURS + "import", affects=True, body="manifest"),
    Operation("expunge", ("instance",), (), expunge, EXPUNGE, "", OURS + "expunge", affects=True, operator=True),
    Operation("lookup", ("type",), SYSTEM, lookup, LOOKUP, "r", R4 + "CodeSystem-lookup"),
    Operation("subsumes", BOTH, SYSTEM, subsumes, SUBSUMES, "r", R4 + "CodeSystem-subsumes"),
    Operation(
        "validate-code",
        BOTH,
        SYSTEM,
        validate_code.of_system,
        validate_code.OF_SYSTEM,
        "r",
        R4 + "CodeSystem-validate-code",
    ),
    Operation(
        "validate-code", BOTH, SET, validate_code.of_set, validate_code.OF_SET, "r", R4 + "ValueSet-validate-code"
    ),
    Operation("expand", BOTH, SET, expand_, EXPAND, "r", R4 + "ValueSet-expand"),
    Operation("translate", BOTH, MAP, translate, TRANSLATE, "r", R4 + "ConceptMap-translate"),
    Operation("closure", ("system",), (), closure, CLOSURE, "", R4 + "ConceptMap-closure", affects=True),
    *(
        Operation(name, ("system", "type"), ("Observation", "Patient"), perform, takes, "s", GENOMICS + name)
        for name, perform, takes in FINDING
    ),
)


async def perform(named: tuple[Operation, ...], server: Server, caller: Caller, ask: Ask) -> Answer:
    """Of the operations of one name find the one of the type, check who calls it, on what and with what, then do it.
    Raises FhirError 404, 403 or 400."""
    fitting = (one for one in named if not one.types or not ask.type or ask.type in one.types)
    operation = next(fitting, None)
    if operation is None:
        types = ", ".join(type for one in named for type in one.types)
        raise refuse(404, "not-supported", f"${named[0].name} is an operation of {types}, not of {ask.type}.")
    if operation.operator and not caller.operator:
        raise refuse(403, "forbidden", f"${operation.name} is for operators of this server only.")
    given = inputs(ask, operation.takes) if operation.takes is not None else {}
    return await operation.perform(server, caller, ask, given)


def rows(operations: tuple[Operation, ...] = OPERATIONS) -> tuple[Interaction, ...]:
    """The operations as rows for the table of interactions, by which requests and entries of bundles find them. Those
    of one name and level, of several types, share a row and so need the same rights."""
    named: dict[tuple[str, str], list[Operation]] = {}
    for operation in operations:
        for level in operation.levels:
            named.setdefault((operation.name, level), []).append(operation)
    return tuple(
        Interaction(
            method,
            f"{PATHS[level]}${name}",
            f"${name}",
            partial(perform, tuple(same)),
            same[0].needs,
            body,
        )
        for (name, level), same in named.items()
        for method, body in (("GET", ""), ("POST", same[0].body))
        if method == "POST" or not same[0].affects
    )


def claims(operations: tuple[Operation, ...] = OPERATIONS) -> tuple[Claim, ...]:
    """The operations as the CapabilityStatement lists them."""
    return tuple(
        Claim(name, operation.definition, operation.types, tuple(one for one in operation.levels if one != "view"))
        for operation in operations
        for name in (operation.name, operation.alias)
        if name
    )
