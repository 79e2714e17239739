"""Who could see what of a person, and which provision says so: consent's decisions spread out. docs/consent.md"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from fhir_server.access.choices import CLASSES, CONTACTS
from fhir_server.access.consent import Decision, Request, decide
from fhir_server.access.facts import Facts
from fhir_server.access.provisions import voters
from fhir_server.access.rules import actors as named_by
from fhir_server.access.statements import Person, Statement, standing
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.dates import instant
from fhir_server.terminology.codes import Terminology

PURPOSES = ("TREAT", "BTG", "HRESCH", "CLINTRCH", *CONTACTS)
ANYONE = ""  # an organization that no Consent names
# A resource in which each class of data comes.
KIND = {
    "demographics": "Patient", "contact": "Patient", "pathology": "DiagnosticReport", "imaging": "ImagingStudy",
    "biospecimen": "Specimen", "family-history": "FamilyMemberHistory", "patient-reported": "QuestionnaireResponse",
    "raw-sequence": "MolecularSequence", "direct-to-consumer": "DocumentReference", "clinical": "Condition",
}  # fmt: skip


class Cell(NamedTuple):
    """One decision: a purpose, by a recipient (a reference, or ANYONE), of data (a class, or a reference)."""

    purpose: str
    recipient: str
    data: str
    decision: Decision


def matrix(
    statements: Iterable[Statement],
    person: Person,
    asked: Iterable[Request],
    data: Mapping[str, Facts],
    now: int,
) -> Iterator[Cell]:
    """Every request on all of the data, in the order given; `now` in µs."""
    held = tuple(statements)
    said = {name: voters(held, person, facts, now) for name, facts in data.items()}
    for request in asked:
        recipient = min(request.actors)
        for name, rule in said.items():
            shown = ANYONE if recipient == _STRANGER else recipient
            yield Cell(request.purpose, shown, name, decide(rule, request))


def requests(
    purposes: Iterable[str], recipients: Iterable[str], study: str, treatment: bool, actions: frozenset[str]
) -> Iterator[Request]:
    """All purposes for all recipients."""
    for purpose in purposes:
        for recipient in recipients:
            yield Request(purpose, frozenset({recipient or _STRANGER}), actions, study, frozenset(), treatment)


def recipients_of(statements: Iterable[Statement], person: Person, now: int, terminology: Terminology) -> list[str]:
    """Everyone whom the statements in force name, and ANYONE."""
    held = standing(statements, now)
    said = voters(held, person, Facts({"resourceType": "Patient"}, terminology), now)
    named = {one for voter in said for one in named_by(voter.roots)}
    return [*sorted(named), ANYONE]


def samples(terminology: Terminology, now: int) -> dict[str, Facts]:
    """For each class of data something of it, of today."""
    today = instant(now)
    dated: dict[str, Resource] = {
        "Condition": {"recordedDate": today}, "DiagnosticReport": {"effectiveDateTime": today},
        "Observation": {"effectiveDateTime": today}, "ImagingStudy": {"started": today},
        "Specimen": {"collection": {"collectedDateTime": today}}, "QuestionnaireResponse": {"authored": today},
        "FamilyMemberHistory": {"date": today}, "DocumentReference": {"date": today},
    }  # fmt: skip
    found = {}
    for name in CLASSES:
        kind = KIND.get(name, "Observation")
        found[name] = Facts({"resourceType": kind, **dated.get(kind, {})}, terminology, name)
    return found


_STRANGER = "Organization/-"
