"""What of a resource a consent may speak of: its class of data, codes, dates, authors. docs/consent.md

The class is computed from what a resource is and says, never taken from its sender. What cannot be told counts as the
strictest class that it may be. Labels of the sender (meta.security) can only make a resource harder to see.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

from fhir_server.access.statements import FOREVER
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.dates import bounds
from fhir_server.genomics.consumer import is_finding
from fhir_server.terminology.codes import Concept, Terminology

DATA_CLASS = "https://participation.example/fhir/CodeSystem/data-class"
ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
LOINC = "http://loinc.org"
LEVELS = "ULMNRV"  # of confidentiality, from the lowest

BROADER_CLASS: Mapping[str, str] = {
    "somatic-genomic": "genomic",
    "germline-genomic": "genomic",
    "raw-sequence": "genomic",
    "direct-to-consumer": "genomic",
    "pathology": "clinical",
    "imaging": "clinical",
}
# What else is to be learned from data of a class: a denial of that binds it too.
TELLS: Mapping[str, tuple[str, ...]] = {
    "raw-sequence": ("germline-genomic", "somatic-genomic"),
    "direct-to-consumer": ("germline-genomic", "raw-sequence"),
    "germline-genomic": ("family-history",),
}
OF_TYPE: Mapping[str, str] = {
    **dict.fromkeys(("Patient", "Person"), "demographics"),
    "RelatedPerson": "contact",
    **dict.fromkeys(("ImagingStudy", "Media"), "imaging"),
    **dict.fromkeys(("Specimen", "BiologicallyDerivedProduct"), "biospecimen"),
    "FamilyMemberHistory": "family-history",
    "QuestionnaireResponse": "patient-reported",
    "MolecularSequence": "raw-sequence",
    **dict.fromkeys(
        """Account AuditEvent Claim ClaimResponse Communication CommunicationRequest Consent Contract Coverage
        CoverageEligibilityRequest CoverageEligibilityResponse EnrollmentRequest ExplanationOfBenefit Invoice
        PaymentNotice Provenance Task""".split(),  # noqa: SIM905  # a list of words is read more easily
        "administrative",
    ),
}
# LOINC codes under which the Genomics Reporting guide and mCODE exchange results.
GENOMIC_CODES = frozenset(
    """48000-4 48001-2 48002-0 48004-6 48005-3 48013-7 48018-6 48019-4 51958-7 51963-7 51969-4 53034-5 53037-8 55232-3
    55233-1 62374-4 69547-8 69548-6 69551-0 81247-9 81252-9 81254-5 81258-6 81259-4 81290-9 81291-7 81301-4 81302-2
    82120-7 82121-5 82155-3 82309-6 84413-4 84414-2 92822-6 93044-6""".split()  # noqa: SIM905
)
TUMOUR_CODES = frozenset({"94076-7", "81695-9"})  # mutational burden, microsatellite instability: of a tumour by nature
SOURCE, GERMLINE, SOMATIC = "48002-0", "LA6683-2", "LA6684-0"
PATHOLOGY = frozenset({"PAT", "SP", "CP", "CY", "AP", "60568-3", "11526-1", "22637-3", "27898-6"})
SEQUENCE_FORMATS = ("vcf", "bcf", "bam", "cram", "fastq", "fasta", "sam", "gvcf", "maf")

DATED: Mapping[str, tuple[str, ...]] = {
    "Observation": ("effectiveDateTime", "effectivePeriod", "effectiveInstant"),
    "DiagnosticReport": ("effectiveDateTime", "effectivePeriod"),
    "Condition": ("onsetDateTime", "onsetPeriod", "recordedDate"),
    "Procedure": ("performedDateTime", "performedPeriod"),
    "MedicationStatement": ("effectiveDateTime", "effectivePeriod"),
    "MedicationAdministration": ("effectiveDateTime", "effectivePeriod"),
    "MedicationRequest": ("authoredOn",),
    "Immunization": ("occurrenceDateTime",),
    "QuestionnaireResponse": ("authored",),
    "Encounter": ("period",),
    "ImagingStudy": ("started",),
    "AllergyIntolerance": ("onsetDateTime", "recordedDate"),
    "FamilyMemberHistory": ("date",),
    "DocumentReference": ("date",),
}
AUTHORS = ("author", "performer", "recorder", "asserter", "source", "informationSource", "requester")


def broader_classes(name: str) -> tuple[str, ...]:
    """A class of data and those above it."""
    return (name, BROADER_CLASS[name]) if name in BROADER_CLASS else (name,)


class Facts:
    """One resource as a provision sees it; what no provision asks for is not computed."""

    def __init__(self, resource: Resource, terminology: Terminology, only: str = "") -> None:
        """`only`: judge this class of data of the resource instead of its own (the contact details of a Patient)."""
        self.resource, self._terminology, self._only = resource, terminology, only
        self.type: str = resource["resourceType"]
        self.reference = f"{self.type}/{resource.get('id', '')}"

    @cached_property
    def own_class(self) -> str:
        """The class of data that this is."""
        return self._only or data_class(self.resource)

    @cached_property
    def classes(self) -> frozenset[str]:
        """The class and those above it: what a permit must name."""
        return frozenset(broader_classes(self.own_class))

    @cached_property
    def told(self) -> frozenset[str]:
        """The same with all that can be learned from it, and the sender's labels: what a denial may name."""
        learned = (name for one in (self.own_class, *TELLS.get(self.own_class, ())) for name in broader_classes(one))
        return frozenset(learned) | {f"{system}|{code}" for system, code in self._labels}

    @cached_property
    def level(self) -> int:
        """Place in LEVELS: normal, or what the sender raised it to."""
        given = [LEVELS.find(code) for system, code in self._labels if system == CONFIDENTIALITY]
        return max([LEVELS.index("N"), *given])

    @cached_property
    def _labels(self) -> list[tuple[str, str]]:
        return [(c.get("system", ""), c.get("code", "")) for c in self.resource.get("meta", {}).get("security", ())]

    @cached_property
    def profiles(self) -> frozenset[str]:
        """The profiles that it claims, without versions."""
        return frozenset(url.partition("|")[0] for url in self.resource.get("meta", {}).get("profile", ()))

    @cached_property
    def formats(self) -> frozenset[str]:
        """The media types of its attachments."""
        return frozenset(_attachments(self.resource, "contentType"))

    @cached_property
    def codes(self) -> frozenset[tuple[str, str]]:
        """(system, code) of every coding in it, and of everything above these that is known."""
        found = set(_codings(self.resource))
        return frozenset(found.union(*(self._terminology.closure(Concept(*one)) for one in found)))

    @cached_property
    def when(self) -> tuple[int, int] | None:
        """The clinical date as [low, high); None if it tells none."""
        if self.type == "Specimen":
            given = self.resource.get("collection", {})
            return _span(given.get("collectedDateTime") or given.get("collectedPeriod"))
        if self.type == "DocumentReference" and "period" in self.resource.get("context", {}):
            return _span(self.resource["context"]["period"])
        names = DATED.get(self.type, ())
        return next((_span(self.resource[name]) for name in names if name in self.resource), None)

    @cached_property
    def authors(self) -> frozenset[str]:
        """Whom it names as its source."""
        return frozenset(ref for name in AUTHORS for ref in references(self.resource.get(name)))

    @cached_property
    def references(self) -> frozenset[str]:
        """Everything it refers to."""
        return frozenset(references(self.resource))


def data_class(resource: Resource) -> str:
    """The class of data of a resource: a code of DATA_CLASS."""
    kind = resource["resourceType"]
    if kind in ("Observation", "DiagnosticReport", "ServiceRequest", "Condition", "RiskAssessment"):
        return _of_result(resource)
    if kind == "DocumentReference":
        return _of_document(resource)
    return OF_TYPE.get(kind, "clinical")


def _of_result(resource: Resource) -> str:
    codes = {code for _, code in _codings(resource.get("code"))}
    categories = {code for _, code in _codings(resource.get("category"))}
    parts = resource.get("component", ())
    inner = {code for part in parts for _, code in _codings(part.get("code"))}
    profiles = " ".join(resource.get("meta", {}).get("profile", ())).lower()
    if TUMOUR_CODES & codes:
        return "somatic-genomic"
    if "GE" in categories or (codes | inner) & GENOMIC_CODES or "genom" in profiles or "variant" in profiles:
        said = {
            code
            for part in (resource, *parts)
            if SOURCE in {code for _, code in _codings(part.get("code"))}
            for _, code in _codings(part.get("valueCodeableConcept"))
        }
        if said == {SOMATIC}:
            return "somatic-genomic"
        return "direct-to-consumer" if is_finding(resource) else "germline-genomic"
    if {"imaging", "RAD", "IMG"} & categories:
        return "imaging"
    if PATHOLOGY & (categories | codes):
        return "pathology"
    by_patient = any(ref.startswith("Patient/") for ref in references(resource.get("performer")))
    return "patient-reported" if by_patient or "survey" in categories else "clinical"


def _of_document(resource: Resource) -> str:
    named = {code for _, code in _codings([resource.get("type"), *resource.get("category", ())])}
    own = named & {"direct-to-consumer", "pathology", "imaging"}
    if own:
        return min(own)  # direct-to-consumer first: the strictest
    if PATHOLOGY & named:
        return "pathology"
    told = " ".join([*_attachments(resource, "contentType"), *_attachments(resource, "url")]).lower()
    if GENOMIC_CODES & named or any(name in told for name in SEQUENCE_FORMATS):
        return "raw-sequence"
    formats = list(_attachments(resource, "contentType"))
    readable = formats and all(one.startswith(("text/html", "application/pdf", "image/")) for one in formats)
    return "clinical" if readable and named else "raw-sequence"  # what it may hold is not known


def _attachments(resource: Resource, name: str) -> Iterator[str]:
    parts: Iterable[Any] = (
        *(part.get("attachment", {}) for part in resource.get("content", ()) if isinstance(part, dict)),
        *resource.get("presentedForm", ()),
    )
    return (part[name] for part in parts if name in part)


def _codings(value: Any) -> Iterator[tuple[str, str]]:
    """(system, code) of every Coding below."""
    for one in _objects(value):
        if isinstance(one.get("code"), str) and isinstance(one.get("system"), str):
            yield one["system"], one["code"]


def references(value: Any) -> Iterator[str]:
    """Every `reference` below, without a version."""
    for one in _objects(value):
        if isinstance(one.get("reference"), str):
            yield one["reference"].partition("/_history/")[0]


def _objects(value: Any) -> Iterator[Resource]:
    """Every object below, the outer before the inner. Without recursion: each resource written is looked through."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        inner: Iterable[Any] = one
        if isinstance(one, dict):
            yield one
            inner = one.values()
        elif not isinstance(one, list):
            continue
        waiting += [more for more in inner if isinstance(more, dict | list)]


def target(reference: str, permit: bool) -> str:
    """`Type/id` of a reference in a provision. An address may be of another server: a permit does not use it ("" then),
    a denial takes it for one here."""
    told = reference.partition("/_history/")[0]
    return "/".join(told.split("/")[-2:]) if not permit else "" if "://" in told else told


def _span(value: Any) -> tuple[int, int] | None:
    try:
        return span(value)
    except (ValueError, AttributeError, TypeError):
        return None


def span(value: Any) -> tuple[int, int] | None:
    """A dateTime or a Period as [low, high), open where it says nothing. Raises ValueError if it is no date."""
    if isinstance(value, str):
        return bounds(value)
    if not value or not {"start", "end"} & value.keys():
        return None
    low = bounds(value["start"])[0] if "start" in value else -FOREVER
    return low, bounds(value["end"])[1] if "end" in value else FOREVER
