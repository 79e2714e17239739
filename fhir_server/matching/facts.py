"""What is known of a patient, as typed facts that each name their source. See docs/matching.md."""

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any, NamedTuple

from fhir_server.matching.hgvs import Variant
from fhir_server.matching.stage import Stage
from fhir_server.matching.values import KIND, LOINC, Span
from fhir_server.terminology.codes import Concept

HGVS = "http://varnomen.hgvs.org"
VARIANT, REGION, TMB, MSI, ECOG = "69548-6", "53041-0", "94076-7", "81695-9", "89247-1"
PREGNANCY = Concept(LOINC, "82810-3")
LINES = Concept(KIND, "lines-of-therapy")
# Observations whose value is a stage group: clinical, pathological, and mCODE's codes for the same.
STAGES = (
    Concept(LOINC, "21908-9"),
    Concept(LOINC, "21902-2"),
    Concept("http://snomed.info/sct", "399537006"),
    Concept("http://snomed.info/sct", "399588009"),
)
# Observations whose value is the M category of TNM.
SPREAD = (
    Concept(LOINC, "21907-1"),
    Concept(LOINC, "21901-4"),
    Concept("http://snomed.info/sct", "399387003"),
    Concept("http://snomed.info/sct", "371497001"),
)


class Source(NamedTuple):
    """Where a fact stands: `Type/id/_history/version`, its date as written ("" if none), and why it is in doubt ("" if
    it is not)."""

    reference: str
    date: str
    doubt: str


class Diagnosis(NamedTuple):
    """A recorded condition; `cancer` when the record itself says that it is a primary one, `secondary` when it says
    that it is a spread (`brain`: to the brain), `refuted` when it states that the patient does not have it."""

    concepts: tuple[Concept, ...]
    name: str
    cancer: bool
    source: Source
    secondary: bool = False
    brain: bool = False
    refuted: bool = False


class Found(NamedTuple):
    """A tested variant: present, absent, or None for no call. What a report says beyond its HGVS changes:
    consequences (Sequence Ontology), exons, copies (as in kinds.VariantGroup, or none), fusion, origin (germline or
    somatic), whether it is oncogenic, allelic frequency, effect (gain-of-function or loss-of-function)."""

    present: bool | None
    genes: frozenset[str]
    changes: tuple[Variant, ...]
    concepts: frozenset[Concept]
    source: Source
    consequences: frozenset[str] = frozenset()
    exons: frozenset[int] = frozenset()
    copies: str = ""
    fusion: bool = False
    origin: str = ""
    oncogenic: bool | None = None
    frequency: Decimal | None = None  # from 0 to 1
    effect: str = ""

    @property
    def category(self) -> str:
        """What it is: a fusion, a change of the copy-number, a small change; "" where nothing tells."""
        if self.fusion:
            return "fusion"
        if self.copies not in ("", "none"):
            return "copy-number"
        return "small" if self.changes or self.consequences else ""


class Region(NamedTuple):
    """Genes that were studied: `whole`, in part, or (`tested`) for these changes only, or in these exons only."""

    genes: frozenset[str]
    whole: bool
    tested: tuple[Variant, ...] | None
    source: Source
    exons: frozenset[int] = frozenset()


class Result(NamedTuple):
    """A result: a number with its unit ("" if none), a coded answer, or neither where it cannot be read."""

    span: Span | None
    unit: str
    answers: tuple[Concept, ...]
    name: str
    source: Source


class Staged(NamedTuple):
    """A recorded stage."""

    stage: Stage
    source: Source


class Therapy(NamedTuple):
    """A medication or procedure that was given, or is stated not to have been; when it was given last: the text of a
    date, "" if that is not known, `now` if it goes on."""

    concepts: tuple[Concept, ...]
    name: str
    given: bool
    source: Source
    last: str = ""


class Sample(NamedTuple):
    """A specimen; `available` as its status says."""

    concepts: tuple[Concept, ...]
    name: str
    available: bool
    source: Source


class Facts(NamedTuple):
    """All that the matcher knows of a person. `results` holds the newest of each code.

    Patients that are joined may say different things of one person: then there are several `births`, and a `sex` that
    is neither male nor female."""

    id: str  # of the Patient that leads
    patients: tuple[str, ...]  # versioned references to those whose own elements are used
    births: tuple[str, ...] = ()
    deceased: bool = False
    sex: str = ""
    places: frozenset[str] = frozenset()
    diagnoses: tuple[Diagnosis, ...] = ()
    variants: tuple[Found, ...] = ()
    regions: tuple[Region, ...] = ()
    results: Mapping[Concept, Result] = MappingProxyType({})
    stages: tuple[Staged, ...] = ()
    therapies: tuple[Therapy, ...] = ()
    samples: tuple[Sample, ...] = ()
    subjects: tuple[Mapping[str, Any], ...] = ()  # what expressions see of each Patient
