"""From a grant to a caller: scopes, context and role compiled to one predicate per type and letter.

https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html says what scopes mean; whom a signed-in person or
a backend service may see at all is this network's: see `_patients` and docs/access.md.
"""

import hashlib
from urllib.parse import parse_qsl, quote

from fhir_server.access.caller import Caller
from fhir_server.access.compartment import SHARED, Patients, belonging, of_one, of_those, references
from fhir_server.access.facts import OF_TYPE
from fhir_server.access.grant import Grant
from fhir_server.access.scopes import Scope, read_scope
from fhir_server.fhir.definitions import Definitions
from fhir_server.search.index import SECURITY_CONTEXT, param_of
from fhir_server.search.parse import parse_search
from fhir_server.search.predicate import EVERYTHING, ID, NOTHING, And, Chain, Has, Is, Or, Predicate

# Roles of backend services that see every patient's record; the others see what is written for them below.
TRUSTED = frozenset({"ehr", "laboratory", "operator"})
# What a Binary may be the content of: its securityContext decides who reads it. https://hl7.org/fhir/R4/binary.html#security
CONTEXTS = (
    "Patient",
    "DocumentReference",
    "DiagnosticReport",
    "Media",
    "Observation",
    "Consent",
    "QuestionnaireResponse",
)
# Statuses under which a member of a care team, or of an encounter, is tied to the patient.
CARING = "proposed,active"
OPEN = "planned,arrived,triaged,in-progress,onleave"
# Tasks that tell a recipient that consent was withdrawn (audit/recall.py), and what recipients without a record here
# are known by.
TASK_KIND, STOP_USING = "https://participation.example/fhir/CodeSystem/task-kind", "stop-using"
CLIENT = "https://participation.example/fhir/NamingSystem/oauth-client"
# A study's own people see whom the matcher or a person put forward, not those withdrawn or found ineligible.
PUT_FORWARD = "candidate,eligible,follow-up,in-screening,on-study,on-study-intervention,on-study-observation,potential-candidate,screening,off-study,completed"  # noqa: E501


def caller_of(definitions: Definitions, grant: Grant, by_organization: bool = False) -> Caller:
    """The caller that a grant makes. A scope whose context has no patient, user or role behind it permits nothing.

    `by_organization`: clinicians are tied to all patients of the organizations that they have a role in.
    """
    scopes = [scope for text in grant.scopes if (scope := read_scope(definitions, text)) is not None]
    known: dict[tuple[str, str], Predicate] = {}

    def permits(type: str, letter: str) -> Predicate:
        permit = known.get((type, letter))
        if permit is None:
            permit = known[type, letter] = _permit(definitions, grant, scopes, type, letter, by_organization)
        return permit

    told = repr((sorted(grant.scopes), grant.user, grant.patient, grant.role, grant.study, grant.emergency))
    operator = grant.role == "operator" and any(
        (scope.context, scope.type, scope.letters) == ("system", "*", "cruds") for scope in scopes
    )
    return Caller(
        f"{grant.client} {grant.user} {grant.patient}",
        permits,
        hashlib.sha256(told.encode()).hexdigest(),
        grant,
        operator,
        tuple(definitions.resources),
    )


def _permit(
    definitions: Definitions, grant: Grant, scopes: list[Scope], type: str, letter: str, wide: bool
) -> Predicate:
    found: dict[Predicate, None] = {}
    if (
        type == "Binary"
        and letter == "r"
        and any(scope.type in ("*", type) and "r" in scope.letters for scope in scopes)
    ):
        contexts = [
            one for one in CONTEXTS if (one, grant.role) != ("Patient", "researcher")
        ]  # says nothing of the content
        permits = ((one, _permit(definitions, grant, scopes, one, letter, wide)) for one in contexts)
        found |= {Chain(SECURITY_CONTEXT, one, permit): None for one, permit in permits if permit != NOTHING}
    for scope in scopes:
        if letter in scope.letters and scope.type in ("*", type):
            allowed = _context(definitions, grant, scope.context, type, letter, wide)
            if scope.query and allowed != NOTHING:
                allowed = And((allowed, _asked(definitions, type, scope.query)))
            found[allowed] = None
    found.pop(NOTHING, None)
    if EVERYTHING in found:
        return EVERYTHING
    return next(iter(found)) if len(found) == 1 else Or(tuple(found))


def _context(definitions: Definitions, grant: Grant, context: str, type: str, letter: str, wide: bool) -> Predicate:
    """What a scope's context covers, without its query."""
    if context == "patient" and grant.patient:
        return _own(definitions, grant.patient, type, letter)
    if context == "user" and grant.user:
        kind, _, id = grant.user.partition("/")
        if kind == "Patient":
            return _own(definitions, id, type, letter)
        where = _patients(definitions, kind, grant.user, grant.emergency != "" and letter in "rs", wide)
        tied = _within(definitions, type, letter, where, of_those(where))
        return Or((tied, addressed(definitions, grant))) if type == "Task" and letter in "rs" else tied
    if context == "system":
        if grant.role in TRUSTED:
            return EVERYTHING
        if grant.role == "study-team" and grant.study and type == "ResearchSubject":
            return _asked(definitions, type, f"study=ResearchStudy/{grant.study}&status={PUT_FORWARD}")
        if grant.role in ("study-team", "researcher") and type == "Task" and letter in "rs":
            return addressed(definitions, grant)
        if grant.role in ("study-team", "researcher") and type in SHARED and letter in "rs":
            return EVERYTHING
        if grant.role == "researcher" and letter in "rs" and type in _studied(definitions):
            return EVERYTHING  # as far as the patients permit it: asking.py
        if grant.role == "researcher" and letter in "rs" and type == "Group":  # what describes cohorts and names nobody
            return belonging(definitions, type, NOTHING, lambda param: NOTHING)
    return NOTHING


def addressed(definitions: Definitions, grant: Grant) -> Predicate:
    """The Tasks that tell this recipient of a withdrawn consent; consent itself cannot hide them."""
    owner = f"owner={grant.user}" if grant.user else f"owner:identifier={CLIENT}|{_escaped(grant.client)}"
    return _asked(definitions, "Task", f"code={TASK_KIND}|{STOP_USING}&{owner}")


def _escaped(value: str) -> str:
    """A value in a query: what separates values, and parameters, is part of it."""
    return quote("".join(f"\\{char}" if char in "\\,|$" else char for char in value))


def _studied(definitions: Definitions) -> frozenset[str]:
    """Types of records that research may be permitted to see; who looked, and other paperwork, is not among them."""
    paperwork = (type for type, name in OF_TYPE.items() if name == "administrative")
    return frozenset(definitions.compartments["Patient"]) - SHARED - frozenset(paperwork) - {"Group"}


def _own(definitions: Definitions, id: str, type: str, letter: str) -> Predicate:
    return _within(definitions, type, letter, Is(ID, (("id", "=", id),)), of_one(id))


def _within(definitions: Definitions, type: str, letter: str, themselves: Predicate, of: Patients) -> Predicate:
    """Reading is for all that belongs; what belongs to nobody is not written by those who care for some."""
    if type in SHARED and letter not in "rs":
        return NOTHING
    return belonging(definitions, type, themselves, of)


def _patients(definitions: Definitions, kind: str, user: str, emergency: bool, wide: bool) -> Predicate:
    """Which Patients a signed-in person is tied to: for a RelatedPerson the one they are related to; for a clinician
    those of whom they are a general practitioner, on whose care team they are, or who have an open encounter with them,
    and (`wide`) those of their organizations; in an emergency all."""

    def has(type: str, query: str) -> Predicate:
        where = _asked(definitions, type, query)
        return Or(tuple(Has(type, link, where) for link in references(definitions, type, "patient")))

    if kind == "RelatedPerson":
        itself = Is(ID, (("id", "=", user.partition("/")[2]),))
        current = _asked(definitions, "RelatedPerson", "active:not=false")
        links = references(definitions, "RelatedPerson", "patient")
        return Or(tuple(Has("RelatedPerson", link, And((itself, current))) for link in links))
    if kind not in ("Practitioner", "PractitionerRole"):
        return NOTHING
    if emergency:
        return EVERYTHING
    role = Has(
        "PractitionerRole",
        param_of("organization", "reference"),
        _asked(definitions, "PractitionerRole", f"practitioner={user}&active:not=false"),
    )
    managed = [Chain(param_of("organization", "reference"), "Organization", role)] if wide else []
    return Or(
        (
            *managed,
            _asked(definitions, "Patient", f"general-practitioner={user}"),
            has("CareTeam", f"participant={user}&status={CARING}"),
            has("Encounter", f"participant={user}&status={OPEN}"),
        )
    )


def _asked(definitions: Definitions, type: str, query: str) -> Predicate:
    """A condition written as a search."""
    return parse_search(definitions, type, tuple(parse_qsl(query, keep_blank_values=True)), False, 0, "").where
