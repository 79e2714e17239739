"""Patients as the matcher may know them: consent first, then the facts, nothing of those who do not permit it."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from fhir_server.access.consent import Decision
from fhir_server.matching.facts import Facts
from fhir_server.matching.genes import genes_of
from fhir_server.matching.permission import consented
from fhir_server.matching.reading import facts_of
from fhir_server.matching.records import Versioned, medications, of_patients, records
from fhir_server.server import Server
from fhir_server.terminology.codes import Concept


class Person(NamedTuple):
    """What is known of a patient; no facts when they must not, or need not, be looked at."""

    id: str
    facts: Facts | None
    decision: Decision
    consents: tuple[Versioned, ...]

    def deciding(self) -> tuple[str, ...]:
        """The Consents that decided, as versioned references."""
        deciding = {consent["id"] for consent in self.decision.consents}
        return tuple(f"Consent/{c['id']}/_history/{version}" for c, version in self.consents if c["id"] in deciding)


async def look(server: Server, people: Iterable[Versioned], asked: Iterable[Concept], now: int) -> list[Person]:
    """What may be known at time `now` (µs) of these patients. Of those whose consent does not permit it only the
    Consents are read, and nothing more of the deceased. `asked`: what Observations the studies ask about."""
    people = list(people)
    ids = [patient["id"] for patient, _ in people]
    consents = await of_patients(server, ("Consent",), ids)
    decisions = {id: consented([consent for consent, _ in consents.get(id, ())], now) for id in ids}
    open_ = [patient["id"] for patient, _ in people if decisions[patient["id"]].permit and not deceased(patient)]
    found = await records(server, open_, asked)
    stored = await medications(server, found)
    genes = genes_of(server.terminology)
    known = []
    for patient, version in people:
        id = patient["id"]
        looked_at = decisions[id].permit and not deceased(patient)
        facts = facts_of(patient, version, found.get(id, ()), genes, stored.get) if looked_at else None
        known.append(Person(id, facts, decisions[id], tuple(consents.get(id, ()))))
    return known


def deceased(patient: Mapping[str, object]) -> bool:
    """Whether a Patient resource says that the person has died."""
    return patient.get("deceasedBoolean") is True or "deceasedDateTime" in patient
