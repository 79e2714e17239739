"""What a patient's record states, as typed facts that each name their source. See docs/matching.md."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from fhir_server.fhir.codec import Resource
from fhir_server.fhir.dates import bounds
from fhir_server.matching import hgvs
from fhir_server.matching.genes import Genes
from fhir_server.matching.hgvs import Variant
from fhir_server.matching.values import LOINC, Span, codes, concepts, label, point, quantity_span
from fhir_server.terminology.codes import ICD_10, Concept

HGVS = "http://varnomen.hgvs.org"
VARIANT, REGION, TMB, MSI, ECOG = "69548-6", "53041-0", "94076-7", "81695-9", "89247-1"
PRESENT, ABSENT = "LA9633-4", "LA9634-2"
ECOG_ANSWERS = {"LA9622-7": 0, "LA9623-5": 1, "LA9624-3": 2, "LA9625-0": 3, "LA9626-8": 4, "LA9627-6": 5}


class Source(NamedTuple):
    """Where a fact stands: `Type/id/_history/version`, its date as written ("" if none), and why it is in doubt ("" if
    it is not)."""

    reference: str
    date: str
    doubt: str


class Diagnosis(NamedTuple):
    """A recorded condition; `cancer` when the record itself says that it is one."""

    concepts: tuple[Concept, ...]
    name: str
    cancer: bool
    source: Source


class Found(NamedTuple):
    """A tested variant: present, absent, or None for no call."""

    present: bool | None
    genes: frozenset[str]
    changes: tuple[Variant, ...]
    concepts: frozenset[Concept]
    source: Source


class Region(NamedTuple):
    """Genes that were studied: `whole`, in part, or (`tested`) for these changes only."""

    genes: frozenset[str]
    whole: bool
    tested: tuple[Variant, ...] | None
    source: Source


class Measure(NamedTuple):
    """A number with the code of its unit ("" if none)."""

    span: Span
    unit: str
    source: Source


class Answer(NamedTuple):
    """A coded result."""

    concepts: tuple[Concept, ...]
    name: str
    source: Source


class Medication(NamedTuple):
    """A medication that was taken, or is stated not to have been."""

    concepts: tuple[Concept, ...]
    name: str
    taken: bool
    source: Source


class Facts(NamedTuple):
    """All that the matcher knows of a patient."""

    id: str
    patient: Source
    birth: str | None
    deceased: bool
    diagnoses: tuple[Diagnosis, ...] = ()
    variants: tuple[Found, ...] = ()
    regions: tuple[Region, ...] = ()
    tmb: Measure | None = None
    msi: Answer | None = None
    ecog: Measure | None = None
    medications: tuple[Medication, ...] = ()


Record = Iterable[tuple[Resource, int]]  # resources with the number of their version, 0 for what is not stored
Lookup = Callable[[str], Resource | None]  # a Medication by its reference


def facts_of(patient: Resource, version: int, record: Record, genes: Genes, lookup: Lookup) -> Facts:
    """The facts of one patient. `record` holds the resources whose subject the patient is, in any order."""
    diagnoses: list[Diagnosis] = []
    variants: list[Found] = []
    regions: list[Region] = []
    medications: list[Medication] = []
    latest: dict[str, tuple[int, Any]] = {}
    for resource, number in record:
        match resource["resourceType"]:
            case "Condition":
                diagnoses += _diagnosis(resource, number)
            case "Observation":
                for code in codes(resource.get("code"), LOINC):
                    if code == VARIANT:
                        variants += _variant(resource, number, genes)
                    elif code == REGION:
                        regions += _region(resource, number, genes)
                    elif code in _RESULTS:
                        _newest(latest, code, resource, number)
            case "MedicationStatement" | "MedicationRequest" | "MedicationAdministration":
                medications += _medication(resource, number, lookup)
    found = {code: value for code, (_, value) in latest.items()}
    return Facts(
        id=patient["id"],
        patient=_source(patient, version, ""),
        birth=patient.get("birthDate"),
        deceased=patient.get("deceasedBoolean") is True or "deceasedDateTime" in patient,
        diagnoses=tuple(diagnoses),
        variants=tuple(variants),
        regions=tuple(regions),
        tmb=found.get(TMB),
        msi=found.get(MSI),
        ecog=found.get(ECOG),
        medications=tuple(medications),
    )


def _source(resource: Resource, version: int, date: str, doubt: str = "") -> Source:
    name = f"{resource['resourceType']}/{resource['id']}"
    return Source(f"{name}/_history/{version}" if version else name, date, doubt)


# ICD-10 chapter II without secondary (C77 to C79, C7B) and benign (D10 to D36) neoplasms.
_PRIMARY = re.compile(r"C(?!7[789B])|D0|D3[7-9]|D4")
_UNSETTLED = {"registered", "preliminary", "unknown"}


def _observed(resource: Resource, version: int) -> Source | None:
    """The source of an Observation; None if it is to be ignored."""
    status = resource.get("status")
    if status in ("entered-in-error", "cancelled", None):
        return None
    return _source(resource, version, _effective(resource), f"the result is {status}" if status in _UNSETTLED else "")


def _effective(resource: Resource) -> str:
    period = resource.get("effectivePeriod", {})
    found = resource.get("effectiveDateTime") or period.get("end") or period.get("start")
    return str(found or resource.get("effectiveInstant") or resource.get("issued") or "")


def _diagnosis(resource: Resource, version: int) -> Iterable[Diagnosis]:
    verification = {c.code for c in concepts(resource.get("verificationStatus"))}
    if verification & {"refuted", "entered-in-error"}:
        return
    clinical = {c.code for c in concepts(resource.get("clinicalStatus"))}
    doubts = [v for v in verification if v != "confirmed"] + [
        c for c in clinical if c not in ("active", "recurrence", "relapse")
    ]
    code = resource.get("code", {})
    found = concepts(code)
    profiles = resource.get("meta", {}).get("profile", ())
    cancer = any("primary-cancer-condition" in profile for profile in profiles) or any(
        c.system in ICD_10 and _PRIMARY.match(c.code) for c in found
    )
    date = str(resource.get("onsetDateTime") or resource.get("recordedDate") or "")
    doubt = f"the diagnosis is recorded as {' and '.join(doubts)}" if doubts else ""
    yield Diagnosis(found, label(code), cancer, _source(resource, version, date, doubt))


def _components(resource: Resource) -> Mapping[str, list[Resource]]:
    parts: dict[str, list[Resource]] = {}
    for component in resource.get("component", ()):
        for code in codes(component.get("code"), LOINC):
            parts.setdefault(code, []).append(component)
    return parts


def _coded(components: Iterable[Resource]) -> list[Concept]:
    return [found for component in components for found in concepts(component.get("valueCodeableConcept"))]


def _changes(codings: Iterable[Concept]) -> tuple[Variant, ...]:
    read = (hgvs.parse(coding.code) for coding in codings if coding.system == HGVS)
    return tuple(change for change in read if change is not None)


def _variant(resource: Resource, version: int, genes: Genes) -> Iterable[Found]:
    source = _observed(resource, version)
    if source is None:
        return
    answer = codes(resource.get("valueCodeableConcept"), LOINC)
    present = True if PRESENT in answer else False if ABSENT in answer else None
    parts = _components(resource)
    changes = _changes(_coded(parts.get("48005-3", ()))) + _changes(_coded(parts.get("48004-6", ())))
    named = genes.named(_coded(parts.get("48018-6", ())))
    if not named:
        named = frozenset().union(*(genes.of_variant(change) for change in changes))
    others = frozenset(_coded(parts.get("81252-9", ()))) | frozenset(concepts(resource.get("valueCodeableConcept")))
    yield Found(present, named, changes, others, source)


def _region(resource: Resource, version: int, genes: Genes) -> Iterable[Region]:
    source = _observed(resource, version)
    if source is None:
        return
    parts = _components(resource)
    limited = "51959-5" in parts or any(
        found.code == "uncallable-regions" for part in resource.get("component", ()) for found in concepts(part["code"])
    )
    tested = _changes(_coded(parts["36908-2"])) if "36908-2" in parts else None
    yield Region(genes.named(_coded(parts.get("48018-6", ()))), not limited, tested, source)


def _tmb(resource: Resource, source: Source) -> Measure | None:
    quantity = resource.get("valueQuantity", {})
    span = quantity_span(quantity)
    return Measure(span, quantity.get("code", ""), source) if span else None


def _msi(resource: Resource, source: Source) -> Answer | None:
    value = resource.get("valueCodeableConcept")
    return Answer(concepts(value), label(value), source) if value else None


def _ecog(resource: Resource, source: Source) -> Measure | None:
    if "valueInteger" in resource:
        return Measure(point(resource["valueInteger"]), "", source)
    span = quantity_span(resource.get("valueQuantity", {}))
    if span:
        return Measure(span, "", source)
    for code in codes(resource.get("valueCodeableConcept"), LOINC):
        if code in ECOG_ANSWERS:
            return Measure(point(ECOG_ANSWERS[code]), "", source)
    return None


_RESULTS: Mapping[str, Callable[[Resource, Source], Any]] = {TMB: _tmb, MSI: _msi, ECOG: _ecog}


def _newest(latest: dict[str, tuple[int, Any]], code: str, resource: Resource, version: int) -> None:
    source = _observed(resource, version)
    fact = source and _RESULTS[code](resource, source)
    if fact:
        try:
            when = bounds(fact.source.date)[0]
        except ValueError:
            when = -(1 << 62)
        if code not in latest or when >= latest[code][0]:
            latest[code] = (when, fact)


# What each status says: taken, not taken, taken perhaps (the doubt); statuses that are not here say nothing.
_TAKEN: Mapping[str, Mapping[str, tuple[bool, str]]] = {
    "MedicationStatement": {
        **dict.fromkeys(("active", "completed", "stopped", "on-hold"), (True, "")),
        "not-taken": (False, ""),
        "unknown": (True, "it is unknown whether it was taken"),
    },
    "MedicationRequest": dict.fromkeys(("active", "completed", "stopped", "on-hold"), (True, "")),
    "MedicationAdministration": {
        **dict.fromkeys(("in-progress", "completed", "stopped", "on-hold"), (True, "")),
        "unknown": (True, "it is unknown whether it was given"),
    },
}
_ORDERS = {"order", "original-order", "reflex-order", "filler-order", "instance-order", None}


def _medication(resource: Resource, version: int, lookup: Lookup) -> Iterable[Medication]:
    type_ = resource["resourceType"]
    says = _TAKEN[type_].get(resource.get("status", ""))
    if says is None or resource.get("doNotPerform") is True:
        return
    if type_ == "MedicationRequest" and resource.get("intent") not in _ORDERS:
        return
    code = resource.get("medicationCodeableConcept") or _referred(resource, lookup)
    if not code:
        return
    taken, doubt = says
    date = str(resource.get("authoredOn") or resource.get("dateAsserted") or _effective(resource))
    yield Medication(concepts(code), label(code), taken, _source(resource, version, date, doubt))


def _referred(resource: Resource, lookup: Lookup) -> Resource | None:
    reference = resource.get("medicationReference", {}).get("reference", "")
    if reference.startswith("#"):
        held = (found for found in resource.get("contained", ()) if found.get("id") == reference[1:])
        medication = next(held, None)
    else:
        medication = lookup(reference) if reference else None
    return medication.get("code") if medication else None
