"""From a patient's resources to facts: what counts, what is in doubt, what is to be ignored. See docs/matching.md."""

import re
from collections.abc import Callable, Iterable
from typing import Any

from fhir_server.fhir.codec import Resource
from fhir_server.fhir.dates import bounds
from fhir_server.matching.expression import subject
from fhir_server.matching.facts import (
    ECOG,
    MSI,
    REGION,
    STAGES,
    TMB,
    VARIANT,
    Diagnosis,
    Facts,
    Found,
    Region,
    Result,
    Sample,
    Source,
    Staged,
    Therapy,
)
from fhir_server.matching.genes import Genes
from fhir_server.matching.genomics import read_region, read_variant
from fhir_server.matching.stage import stage_of
from fhir_server.matching.values import LOINC, codes, concepts, label, point, quantity_span, range_span, unit_of, word
from fhir_server.terminology.codes import ICD_10, Concept

ECOG_ANSWERS = {"LA9622-7": 0, "LA9623-5": 1, "LA9624-3": 2, "LA9625-0": 3, "LA9626-8": 4, "LA9627-6": 5}
# Older reports name these tests in words only.
WORDS = {
    "tumor mutational burden": TMB,
    "tumor mutation burden": TMB,
    "tumour mutational burden": TMB,
    "tmb": TMB,
    "microsatellite instability": MSI,
    "microsatellite instability status": MSI,
    "msi": MSI,
    "msi status": MSI,
    "ecog": ECOG,
    "ecog performance status": ECOG,
}
_MSI_WORDS = {"msi-h": "LA26203-2", "msi-high": "LA26203-2", "msi-l": "LA26202-4", "msi-low": "LA26202-4",
              "mss": "LA14122-8", "stable": "LA14122-8"}  # fmt: skip
BIRTH_SEX = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex"
OLDEST = -(1 << 62)

Record = Iterable[tuple[Resource, int]]  # resources with the number of their version, 0 for what is not stored
Lookup = Callable[[str], Resource | None]  # a Medication by its reference


def facts_of(
    patient: Resource, version: int, record: Record, genes: Genes, lookup: Lookup, others: Record = ()
) -> Facts:
    """The facts of one person. `record` holds the resources whose subject the patient is, or one of the `others`:
    Patients that are the same person, in the order in which they count."""
    diagnoses: list[Diagnosis] = []
    variants: list[Found] = []
    regions: list[Region] = []
    therapies: list[Therapy] = []
    stages: list[Staged] = []
    samples: list[Sample] = []
    newest: dict[Concept, tuple[int, Result]] = {}
    for resource, number in record:
        match resource["resourceType"]:
            case "Condition":
                diagnoses += _diagnosis(resource, number)
                stages += _stages(resource, number)
            case "Observation":
                source = _observed(resource, number)
                if source is None:
                    continue
                known = _codes(resource)
                if Concept(LOINC, VARIANT) in known:
                    variants.append(read_variant(resource, source, genes))
                elif Concept(LOINC, REGION) in known:
                    regions.append(read_region(resource, source, genes))
                else:
                    _result(newest, known, resource, source)
                    stage = stage_of(resource.get("valueCodeableConcept", {})) if set(known) & set(STAGES) else None
                    stages += [Staged(stage, source)] if stage else []
            case "MedicationStatement" | "MedicationRequest" | "MedicationAdministration":
                therapies += _medication(resource, number, lookup)
            case "Procedure":
                therapies += _procedure(resource, number)
            case "Specimen":
                samples += _sample(resource, number)
    people = [(patient, version), *others]
    return Facts(
        id=patient["id"],
        patients=tuple(source_of(one, number, "").reference for one, number in people),
        births=_births([one["birthDate"] for one, _ in people if "birthDate" in one]),
        deceased=any(one.get("deceasedBoolean") is True or "deceasedDateTime" in one for one, _ in people),
        sex=_one_sex({sex for one, _ in people if (sex := _sex(one))}),
        places=frozenset(place for one, _ in people for place in _places(one)),
        diagnoses=tuple(diagnoses),
        variants=tuple(variants),
        regions=tuple(regions),
        results={code: result for code, (_, result) in newest.items()},
        stages=tuple(sorted(stages, key=lambda one: _when(one.source.date))),
        therapies=tuple(therapies),
        samples=tuple(samples),
        subjects=tuple(subject(one) for one, _ in people),
    )


def source_of(resource: Resource, version: int, date: str, doubt: str = "") -> Source:
    """The Source of a fact in a resource."""
    name = f"{resource['resourceType']}/{resource['id']}"
    return Source(f"{name}/_history/{version}" if version else name, date, doubt)


def _when(date: str) -> int:
    try:
        return bounds(date)[0]
    except ValueError:
        return OLDEST


def _sex(patient: Resource) -> str:
    """At birth, where that is recorded; else the administrative one."""
    birth = {e.get("valueCode") for e in patient.get("extension", ()) if e.get("url") == BIRTH_SEX}
    return "male" if "M" in birth else "female" if "F" in birth else str(patient.get("gender", ""))


def _births(said: list[str]) -> tuple[str, ...]:
    """The birth dates that joined Patients tell, but for those that another says more exactly."""
    told = dict.fromkeys(said)
    return tuple(one for one in told if not any(other != one and other.startswith(one) for other in told))


def _one_sex(said: set[str]) -> str:
    """The sex that joined Patients are of; both, if they say different things."""
    plain = said & {"male", "female"} or said
    return " and ".join(sorted(plain, reverse=True))


def _places(patient: Resource) -> Iterable[str]:
    """Countries, and states as in `US-MD`, of addresses in use."""
    for address in patient.get("address", ()):
        if address.get("use") == "old" or "end" in address.get("period", {}):
            continue
        country, state = (str(address.get(part, "")).upper() for part in ("country", "state"))
        if country:
            yield country
        if country and state:
            yield state if state.startswith(f"{country}-") else f"{country}-{state}"


# ICD-10 chapter II without secondary (C77 to C79, C7B) and benign (D10 to D36) neoplasms.
_PRIMARY = re.compile(r"C(?!7[789B])|D0|D3[7-9]|D4")
_SECONDARY = re.compile(r"C7[789B]")
_BRAIN = re.compile(r"C79\.?3")
_SNOMED = "http://snomed.info/sct"
_SPREAD = {Concept(_SNOMED, "128462008"), Concept(_SNOMED, "94225005")}  # any secondary neoplasm; of the brain
_UNSETTLED = {"registered", "preliminary", "unknown"}
# Labels of what patients or those who speak for them said. https://terminology.hl7.org/CodeSystem-v3-ObservationValue.html
_REPORTED = {"PATAST", "PATRPT", "SDMAST", "SDMRPT"}


def _observed(resource: Resource, version: int) -> Source | None:
    """The source of an Observation; None if it is to be ignored."""
    status = resource.get("status")
    if status in ("entered-in-error", "cancelled", None):
        return None
    doubt = f"the result is {status}" if status in _UNSETTLED else ""
    return source_of(resource, version, effective(resource), doubt)


def effective(resource: Resource) -> str:
    """The text of the date that a result is of, "" if none."""
    period = resource.get("effectivePeriod", {})
    found = resource.get("effectiveDateTime") or period.get("end") or period.get("start")
    return str(found or resource.get("effectiveInstant") or resource.get("issued") or "")


def _codes(resource: Resource) -> tuple[Concept, ...]:
    """What an Observation observes; by its words if it has no code."""
    code = resource.get("code", {})
    found = concepts(code)
    named = None if found else WORDS.get(word(code.get("text", "")))
    return (Concept(LOINC, named),) if named else found


def _diagnosis(resource: Resource, version: int) -> Iterable[Diagnosis]:
    verification = {c.code for c in concepts(resource.get("verificationStatus"))}
    if "entered-in-error" in verification:
        return
    clinical = {c.code for c in concepts(resource.get("clinicalStatus"))}
    refuted = "refuted" in verification
    doubts = [v for v in verification if v not in ("confirmed", "refuted")]
    doubts += [c for c in clinical if c not in ("active", "recurrence", "relapse") and not refuted]
    doubts += ["reported by the patient"] if _reported(resource) else []
    code = resource.get("code", {})
    found = concepts(code)
    profiles = resource.get("meta", {}).get("profile", ())
    icd = [c.code for c in found if c.system in ICD_10]
    secondary = (
        any("secondary-cancer-condition" in profile for profile in profiles)
        or any(map(_SECONDARY.match, icd))
        or bool(_SPREAD & set(found))
    )
    cancer = not secondary and (
        any("primary-cancer-condition" in profile for profile in profiles) or any(map(_PRIMARY.match, icd))
    )
    sites = {c.code for site in resource.get("bodySite", ()) for c in concepts(site) if c.system == _SNOMED}
    brain = Concept(_SNOMED, "94225005") in found or any(map(_BRAIN.match, icd)) or (secondary and "12738006" in sites)
    date = str(resource.get("onsetDateTime") or resource.get("recordedDate") or "")
    doubt = f"the diagnosis is recorded as {' and '.join(doubts)}" if doubts else ""
    source = source_of(resource, version, date, doubt)
    yield Diagnosis(found + _histology(resource), label(code), cancer, source, secondary, brain, refuted)


def _reported(resource: Resource) -> bool:
    labels = {label_.get("code") for label_ in resource.get("meta", {}).get("security", ())}
    asserter = resource.get("asserter", {}).get("reference", "").rpartition("/")[0].rpartition("/")[2]
    return bool(labels & _REPORTED) or asserter in ("Patient", "RelatedPerson")


def _histology(resource: Resource) -> tuple[Concept, ...]:
    """mCODE's histology extension says more exactly what the diagnosis is."""
    extensions = (e for e in resource.get("extension", ()) if "histology-morphology-behavior" in e.get("url", ""))
    return tuple(found for e in extensions for found in concepts(e.get("valueCodeableConcept")))


def _stages(resource: Resource, version: int) -> Iterable[Staged]:
    if {c.code for c in concepts(resource.get("verificationStatus"))} & {"refuted", "entered-in-error"}:
        return
    date = str(resource.get("recordedDate") or resource.get("onsetDateTime") or "")
    for one in resource.get("stage", ()):
        stage = stage_of(one.get("summary", {}))
        if stage is not None:
            yield Staged(stage, source_of(resource, version, date))


def _result(
    newest: dict[Concept, tuple[int, Result]], known: tuple[Concept, ...], resource: Resource, source: Source
) -> None:
    when = _when(source.date)
    for holder, named in ((resource, known), *((c, concepts(c.get("code"))) for c in resource.get("component", ()))):
        result = _read(holder, named, source)
        for code in named if result else ():
            if code not in newest or when >= newest[code][0]:
                newest[code] = when, result  # type: ignore[assignment]


def _read(holder: Resource, known: tuple[Concept, ...], source: Source) -> Result | None:
    if "valueInteger" in holder:
        return Result(point(holder["valueInteger"]), "", (), str(holder["valueInteger"]), source)
    quantity = holder.get("valueQuantity")
    if quantity:
        span = quantity_span(quantity)
        return Result(span, unit_of(quantity), (), str(span), source) if span else None
    if "valueRange" in holder:
        span = range_span(holder["valueRange"])
        ends = [end for end in (holder["valueRange"].get("low"), holder["valueRange"].get("high")) if end]
        return Result(span, unit_of(ends[0]), (), str(span), source) if span else None
    value = holder.get("valueCodeableConcept")
    if value:
        ecog = [ECOG_ANSWERS[code] for code in codes(value, LOINC) if code in ECOG_ANSWERS]
        span = point(ecog[0]) if ecog and Concept(LOINC, ECOG) in known else None
        answers = concepts(value) or _answers(known, str(value.get("text", "")))
        return Result(span, "", answers, label(value), source)
    if "valueString" in holder:
        text = str(holder["valueString"])
        return Result(None, "", _answers(known, text), text, source)
    return None


def _answers(known: tuple[Concept, ...], text: str) -> tuple[Concept, ...]:
    """The answer that an older report gives in words only."""
    if Concept(LOINC, MSI) in known and word(text) in _MSI_WORDS:
        return (Concept(LOINC, _MSI_WORDS[word(text)]),)
    polar = {"positive": "10828004", "negative": "260385009"}.get(word(text))
    return (Concept(_SNOMED, polar),) if polar else ()


# What each status says: given, not given, given perhaps (the doubt); statuses that are not here say nothing.
_GIVEN: dict[str, dict[str, tuple[bool, str]]] = {
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
    "Procedure": {
        **dict.fromkeys(("in-progress", "completed", "stopped", "on-hold"), (True, "")),
        "not-done": (False, ""),
        "unknown": (True, "it is unknown whether it was done"),
    },
}
_ORDERS = {"order", "original-order", "reflex-order", "filler-order", "instance-order", None}


def _medication(resource: Resource, version: int, lookup: Lookup) -> Iterable[Therapy]:
    type_ = resource["resourceType"]
    says = _GIVEN[type_].get(resource.get("status", ""))
    if says is None or resource.get("doNotPerform") is True:
        return
    if type_ == "MedicationRequest" and resource.get("intent") not in _ORDERS:
        return
    code = resource.get("medicationCodeableConcept") or _referred(resource, lookup)
    if not code:
        return
    given, doubt = says
    date = str(resource.get("authoredOn") or resource.get("dateAsserted") or effective(resource))
    source = source_of(resource, version, date, doubt)
    yield Therapy(concepts(code), label(code), given, source, _last(resource, "effective"))


def _procedure(resource: Resource, version: int) -> Iterable[Therapy]:
    says = _GIVEN["Procedure"].get(resource.get("status", ""))
    if says is None:
        return
    given, doubt = says
    code, last = resource.get("code", {}), _last(resource, "performed")
    date = str(last if last != "now" else resource.get("performedPeriod", {}).get("start", ""))
    yield Therapy(concepts(code), label(code), given, source_of(resource, version, date, doubt), last)


def _last(resource: Resource, when: str) -> str:
    """When it was given last: `now` if it goes on; "" if nothing tells."""
    period: Any = resource.get(f"{when}Period", {})
    ended = resource.get(f"{when}DateTime") if resource["resourceType"] != "MedicationStatement" else None
    found = period.get("end") or ended
    if not found and resource.get("status") in ("active", "in-progress"):
        return "now"
    return str(found or "")


def _referred(resource: Resource, lookup: Lookup) -> Resource | None:
    reference = resource.get("medicationReference", {}).get("reference", "")
    if reference.startswith("#"):
        held = (found for found in resource.get("contained", ()) if found.get("id") == reference[1:])
        medication = next(held, None)
    else:
        medication = lookup(reference) if reference else None
    return medication.get("code") if medication else None


def _sample(resource: Resource, version: int) -> Iterable[Sample]:
    status = resource.get("status")
    if status == "entered-in-error" or status is None:
        return
    kind = resource.get("type", {})
    date = str(resource.get("collection", {}).get("collectedDateTime") or resource.get("receivedTime") or "")
    yield Sample(concepts(kind), label(kind), status == "available", source_of(resource, version, date))
