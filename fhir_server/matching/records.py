"""Reads what matching needs from the store: studies with their Groups, and patients' records a batch at a time."""

from collections.abc import AsyncIterator, Iterable, Mapping
from functools import partial
from typing import NamedTuple

from fhir_server.access.consent import Request
from fhir_server.fhir import codec
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.references import parse
from fhir_server.matching.criteria import Study, compile_study, group_references
from fhir_server.matching.facts import ECOG, MSI, REGION, TMB, VARIANT
from fhir_server.matching.values import LOINC
from fhir_server.search.predicate import EVERYTHING, ID, And, Is, Or, Param, Predicate
from fhir_server.server import Server
from fhir_server.store.seam import Query

# The matcher asks for no study in particular; "-" is none that a consent could name.
ASKED = Request("CLINTRCH", actions=frozenset({"access", "use"}), study="-")
BATCH = 25  # patients whose records are in memory at a time; SQLite tests every row against each of them
Versioned = tuple[Resource, int]
# The reference that names the patient: the name of the search parameter and of the element.
_PATIENT = {
    "Condition": "subject",
    "MedicationStatement": "subject",
    "MedicationRequest": "subject",
    "MedicationAdministration": "subject",
    "Observation": "subject",
    "Consent": "patient",
    "ResearchSubject": "individual",
}
_CLINICAL = ("Condition", "MedicationStatement", "MedicationRequest", "MedicationAdministration")
_OBSERVED = Or(
    tuple(
        Is(Param("code", "token"), (("system", "=", LOINC), ("code", "=", code)))
        for code in (VARIANT, REGION, TMB, MSI, ECOG)
    )
)


async def read_studies(server: Server, study_id: str | None) -> list[Study]:
    """All studies, or the one named, with their criteria compiled."""
    where = by_id((study_id,)) if study_id else EVERYTHING
    studies = []
    async for row in server.store.scan(Query(("ResearchStudy",), where)):
        study = codec.decode(row.body)
        groups = await _groups(server, study) if study.get("status") == "active" else {}
        studies.append(compile_study(study, row.version, groups.get, server.terminology))
    return studies


async def _groups(server: Server, study: Resource) -> Mapping[str, Versioned]:
    """Every Group that the study refers to, directly or through other Groups, by the reference as written."""
    found: dict[str, Versioned] = {}
    seen: set[str] = set()
    open_ = list(group_references(study))
    while open_:
        reference = open_.pop()
        if reference in seen:
            continue
        seen.add(reference)
        target = parse(reference, server.settings.base)
        if target.type != "Group":
            continue
        row = await server.store.read("Group", target.id, EVERYTHING)
        if row is None or row.deleted:
            continue
        group = codec.decode(row.body)
        found[reference] = group, row.version
        open_ += group_references(group)
    return found


async def patients(server: Server, patient_id: str | None) -> AsyncIterator[list[Versioned]]:
    """Patients in batches, all of them or the one named."""
    where = by_id((patient_id,)) if patient_id else EVERYTHING
    batch: list[Versioned] = []
    async for row in server.store.scan(Query(("Patient",), where)):
        batch.append((codec.decode(row.body), row.version))
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


Grouped = dict[str, list[Versioned]]


async def of_patients(
    server: Server, types: tuple[str, ...], ids: Iterable[str], where: Predicate = EVERYTHING
) -> Grouped:
    """The resources of these types (which name the patient alike) whose patient is one of `ids`, by patient."""
    path = _PATIENT[types[0]]
    wanted = tuple(map(partial(of_patient, types[0]), ids))
    grouped: Grouped = {}
    if not wanted:
        return grouped
    async for row in server.store.scan(Query(types, And((Or(wanted), where)))):
        resource = codec.decode(row.body)
        target = parse(resource.get(path, {}).get("reference", ""), server.settings.base)
        grouped.setdefault(target.id, []).append((resource, row.version))
    return grouped


def of_patient(type: str, id: str) -> Predicate:
    """Resources of a type that are about this patient."""
    return Is(Param(_PATIENT[type], "reference"), (("type", "=", "Patient"), ("id", "=", id)))


async def records(server: Server, ids: Iterable[str]) -> Grouped:
    """Everything that facts are made of, by patient, as far as consent permits the matcher to see it."""
    ids = tuple(ids)
    await server.consents.rules.fresh(server.store)
    seen = server.consents.rules.allowed(ASKED).at(server.clock())
    found = await of_patients(server, _CLINICAL, ids, seen)
    for id, observations in (await of_patients(server, ("Observation",), ids, And((_OBSERVED, seen)))).items():
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


async def by_ids(server: Server, type: str, ids: Iterable[str]) -> dict[str, Versioned]:
    """The current resources of a type with these ids."""
    wanted = tuple(dict.fromkeys(ids))
    found: dict[str, Versioned] = {}
    for start in range(0, len(wanted), BATCH):
        async for row in server.store.scan(Query((type,), by_id(wanted[start : start + BATCH]))):
            found[row.id] = codec.decode(row.body), row.version
    return found


def by_id(ids: Iterable[str]) -> Predicate:
    """Resources with one of these ids."""
    return Or(tuple(Is(ID, (("id", "=", id),)) for id in ids))


class Held(NamedTuple):
    """What is stored for one pair: each resource with its version, None where there is none."""

    subject: Versioned | None = None
    guidance: Versioned | None = None
    provenance: Versioned | None = None

    @property
    def ours(self) -> bool:
        """Whether the matcher wrote the ResearchSubject last: its Provenance names the very version."""
        if self.subject is None or self.provenance is None:
            return False
        subject, version = self.subject
        named = f"ResearchSubject/{subject['id']}/_history/{version}"
        return any(target.get("reference") == named for target in self.provenance[0].get("target", ()))


async def held(server: Server, subjects: Iterable[Versioned]) -> dict[str, Held]:
    """The ResearchSubjects with the GuidanceResponse and Provenance of the same id, by id."""
    rows = {subject["id"]: (subject, version) for subject, version in subjects}
    guidance = await by_ids(server, "GuidanceResponse", rows)
    provenance = await by_ids(server, "Provenance", rows)
    return {id: Held(row, guidance.get(id), provenance.get(id)) for id, row in rows.items()}
