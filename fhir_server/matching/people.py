"""Patients as the matcher may know them: consent first, then the facts, nothing of those who do not permit it."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from fhir_server.matching.facts import Facts
from fhir_server.matching.genes import genes_of
from fhir_server.matching.permission import Permission, consented
from fhir_server.matching.reading import facts_of
from fhir_server.matching.records import Versioned, medications, of_patients, records
from fhir_server.search.predicate import EVERYTHING, Predicate
from fhir_server.server import Server
from fhir_server.terminology.codes import Concept


class Person(NamedTuple):
    """What is known of a patient; no facts when they must not, or need not, be looked at."""

    id: str
    facts: Facts | None
    permission: Permission
    consents: tuple[Versioned, ...]
    physician: str = ""  # reference to the responsible one, "" if none is recorded

    def may(self, study: str) -> bool:
        """Whether the person can be matched with a study."""
        return self.facts is not None and self.permission.of_study(study)

    def deciding(self) -> tuple[str, ...]:
        """The Consents that decided, as versioned references."""
        deciding = {found.consent for found in self.permission.decision.by}
        named = ((f"Consent/{consent['id']}", version) for consent, version in self.consents)
        return tuple(f"{reference}/_history/{version}" for reference, version in named if reference in deciding)


async def look(
    server: Server,
    people: Iterable[Versioned],
    asked: Iterable[Concept],
    now: int,
    where: Predicate = EVERYTHING,
) -> list[Person]:
    """What may be known at time `now` (µs) of these patients. Of those whose consent does not permit it only the
    Consents are read, and nothing more of the deceased. `asked`: what Observations the studies ask about.
    `where`: what else their records must meet to be read."""
    people = list(people)
    ids = [patient["id"] for patient, _ in people]
    consents = await of_patients(server, ("Consent",), ids)
    permissions = {
        patient["id"]: consented(server, patient, [consent for consent, _ in consents.get(patient["id"], ())], now)
        for patient, _ in people
    }
    open_ = [patient["id"] for patient, _ in people if permissions[patient["id"]].permit and not deceased(patient)]
    found = await records(server, open_, asked, where)
    stored = await medications(server, found)
    genes = genes_of(server.terminology)
    known = []
    for patient, version in people:
        id = patient["id"]
        looked_at = permissions[id].permit and not deceased(patient)
        facts = facts_of(patient, version, found.get(id, ()), genes, stored.get) if looked_at else None
        carers = [one.get("reference", "") for one in patient.get("generalPractitioner", ())]
        known.append(Person(id, facts, permissions[id], tuple(consents.get(id, ())), next(iter(carers), "")))
    return known


def deceased(patient: Mapping[str, object]) -> bool:
    """Whether a Patient resource says that the person has died."""
    return patient.get("deceasedBoolean") is True or "deceasedDateTime" in patient
