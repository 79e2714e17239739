"""Reads patients' records from the store, a batch of patients at a time."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from functools import partial
from typing import NamedTuple

from fhir_server.fhir import codec
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.references import parse
from fhir_server.matching.facts import ECOG, LINES, MSI, PREGNANCY, REGION, SPREAD, STAGES, TMB, VARIANT
from fhir_server.matching.values import LOINC
from fhir_server.search.predicate import EVERYTHING, ID, And, Is, Not, Or, Param, Predicate
from fhir_server.server import Server
from fhir_server.store.seam import Query, Stored
from fhir_server.terminology.codes import Concept

BATCH = 25  # patients whose records are read at once; SQLite tests every row against each of them
IDS = 200  # resources that are looked up at once
PEOPLE = 100  # patients who are judged together, and whose records are in memory at a time
Versioned = tuple[Resource, int]
# The reference that names the patient: the name of the search parameter and of the element.
PATIENT = {
    "Condition": "subject",
    "MedicationStatement": "subject",
    "MedicationRequest": "subject",
    "MedicationAdministration": "subject",
    "Observation": "subject",
    "Procedure": "subject",
    "Specimen": "subject",
    "Consent": "patient",
    "ResearchSubject": "individual",
}
MEDICATIONS = ("MedicationStatement", "MedicationRequest", "MedicationAdministration")
_CLINICAL = (
    "Condition",
    "MedicationStatement",
    "MedicationRequest",
    "MedicationAdministration",
    "Procedure",
    "Specimen",
)
FACTUAL = ("Patient", "Observation", *_CLINICAL)  # what facts are made of
_CODE = Param("code", "token")
# Observations that any study may ask about; older ones say in words only what they are.
_ALWAYS = (
    *(Concept(LOINC, code) for code in (VARIANT, REGION, TMB, MSI, ECOG)), PREGNANCY, LINES, *STAGES, *SPREAD,
)  # fmt: skip


async def patients(server: Server, where: Predicate = EVERYTHING) -> AsyncIterator[list[Stored]]:
    """The patients that match, in batches, in order of creation."""
    batch: list[Stored] = []
    async for row in server.store.scan(Query(("Patient",), where)):
        batch.append(row)
        if len(batch) == PEOPLE:
            yield batch
            batch = []
    if batch:
        yield batch


Grouped = dict[str, list[Versioned]]


async def of_patients(
    server: Server, types: tuple[str, ...], ids: Iterable[str], where: Predicate = EVERYTHING
) -> Grouped:
    """The resources of these types (which name the patient alike) whose patient is one of `ids`, by patient."""
    path = PATIENT[types[0]]
    wanted = tuple(map(partial(of_patient, types[0]), ids))
    grouped: Grouped = {}
    for start in range(0, len(wanted), BATCH):
        async for row in server.store.scan(Query(types, And((Or(wanted[start : start + BATCH]), where)))):
            resource = codec.decode(row.body)
            target = parse(resource.get(path, {}).get("reference", ""), server.settings.base)
            grouped.setdefault(target.id, []).append((resource, row.version))
    return grouped


def of_patient(type: str, id: str) -> Predicate:
    """Resources of a type that are about this patient."""
    return Is(Param(PATIENT[type], "reference"), (("type", "=", "Patient"), ("id", "=", id)))


async def records(server: Server, ids: Iterable[str], asked: Iterable[Concept], permitted: Predicate) -> Grouped:
    """Everything that facts are made of, by patient, as far as it is `permitted`; `asked`: the codes of Observations
    that studies ask about."""
    ids = tuple(ids)
    found = await of_patients(server, _CLINICAL, ids, permitted)
    wanted = tuple(dict.fromkeys((system, code) for system, code in (*_ALWAYS, *asked)))
    observed = Or((Is(_CODE, (("system,code", "in", wanted),)), Not(Is(_CODE))))
    for id, observations in (await of_patients(server, ("Observation",), ids, And((observed, permitted)))).items():
        found.setdefault(id, []).extend(observations)
    return found


async def medications(server: Server, found: Grouped) -> Mapping[str, Resource]:
    """The stored Medications that records refer to, by the reference as written."""
    wanted = {
        resource["medicationReference"].get("reference", "")
        for record in found.values()
        for resource, _ in record
        if "medicationReference" in resource
    }
    parsed = {reference: parse(reference, server.settings.base) for reference in wanted}
    by_reference = {reference: target.id for reference, target in parsed.items() if target.type == "Medication"}
    rows = await by_ids(server, "Medication", by_reference.values())
    return {reference: rows[id][0] for reference, id in by_reference.items() if id in rows}


async def by_ids(server: Server, type: str, ids: Iterable[str], where: Predicate = EVERYTHING) -> dict[str, Versioned]:
    """The current resources of a type with these ids, of those that match."""
    wanted = tuple(dict.fromkeys(ids))
    found: dict[str, Versioned] = {}
    for start in range(0, len(wanted), IDS):
        async for row in server.store.scan(Query((type,), And((by_id(wanted[start : start + IDS]), where)))):
            found[row.id] = codec.decode(row.body), row.version
    return found


def by_id(ids: Iterable[str]) -> Predicate:
    """Resources with one of these ids."""
    return Is(ID, (("id", "in", tuple((id,) for id in ids)),))


class Held(NamedTuple):
    """What is stored for one pair: each resource with its version, None where there is none."""

    subject: Versioned | None = None
    guidance: Versioned | None = None
    provenance: Versioned | None = None
    task: Versioned | None = None

    @property
    def ours(self) -> bool:
        """Whether the matcher wrote the ResearchSubject last: its Provenance names the very version."""
        if self.subject is None or self.provenance is None:
            return False
        subject, version = self.subject
        named = f"ResearchSubject/{subject['id']}/_history/{version}"
        return any(target.get("reference") == named for target in self.provenance[0].get("target", ()))


async def held(server: Server, subjects: Iterable[Versioned]) -> dict[str, Held]:
    """The ResearchSubjects with the GuidanceResponse, Provenance and Task of the same id, by id."""
    rows = {subject["id"]: (subject, version) for subject, version in subjects}
    guidance, provenance, tasks = await asyncio.gather(
        *(by_ids(server, type, rows) for type in ("GuidanceResponse", "Provenance", "Task"))
    )
    return {id: Held(row, guidance.get(id), provenance.get(id), tasks.get(id)) for id, row in rows.items()}
