"""One characteristic of a Group as a typed test. See docs/matching.md for the codes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from fhir_server.fhir.codec import Resource
from fhir_server.matching import hgvs
from fhir_server.matching.facts import ECOG, HGVS, MSI, TMB, VARIANT
from fhir_server.matching.genes import HGNC, genes_of
from fhir_server.matching.hgvs import Variant
from fhir_server.matching.values import LOINC, Span, codes, concepts, label, quantity_span, range_span
from fhir_server.terminology.codes import Concept, Terminology

DIAGNOSIS, AGE, MEDICATION = "29308-4", "30525-0", "10160-0"
AGE_UNITS = {"a": "years", "mo": "months", "wk": "weeks", "d": "days"}
OLDEST = 60_000  # in days; no criterion needs more in any unit
PER_MEGABASE = frozenset({"1/1000000{Base}", "1/1000000{base}", "1/1000000.{Base}", "{mutations}/Mb", "1/Mb", "/Mb"})


@dataclass(frozen=True, slots=True)
class HasDiagnosis:
    """A condition that is one of these synonyms or lies below it."""

    text: str
    concepts: tuple[Concept, ...]


@dataclass(frozen=True, slots=True)
class OfAge:
    """Completed units of age within a span."""

    text: str
    span: Span
    unit: str


@dataclass(frozen=True, slots=True)
class VariantGroup:
    """Protein changes that share a gene, a kind of edit and a stretch of residues, or are listed."""

    genes: frozenset[str]
    edits: frozenset[str]
    first: int
    last: int
    changes: frozenset[str]

    def holds(self, change: Variant) -> bool:
        """Whether a protein change belongs to the group."""
        if change.change in self.changes:
            return change.kind == "p"
        return change.edit in self.edits and self.first <= change.start and change.end <= self.last


@dataclass(frozen=True, slots=True)
class HasVariant:
    """A variant: any of the gene (`whole_gene`), a change, a group of them, or what carries one of the concepts."""

    text: str
    concepts: frozenset[Concept]
    genes: frozenset[str]
    whole_gene: bool
    changes: tuple[Variant, ...]
    groups: tuple[VariantGroup, ...]


@dataclass(frozen=True, slots=True)
class HasAmount:
    """A number (`code` is TMB or ECOG) within a span."""

    text: str
    code: str
    span: Span


@dataclass(frozen=True, slots=True)
class HasMsi:
    """A microsatellite result that is one of these synonyms."""

    text: str
    concepts: tuple[Concept, ...]


@dataclass(frozen=True, slots=True)
class HadMedication:
    """A medication that is one of these synonyms or lies below it."""

    text: str
    concepts: tuple[Concept, ...]


@dataclass(frozen=True, slots=True)
class Unjudged:
    """A criterion that cannot be judged, and why."""

    text: str
    reason: str


Test = HasDiagnosis | OfAge | HasVariant | HasAmount | HasMsi | HadMedication | Unjudged


def leaf_test(characteristic: Resource, terminology: Terminology) -> Test:
    """The test of a characteristic; Unjudged for a code or value that is not understood."""
    code = characteristic.get("code", {})
    for known in codes(code, LOINC):
        if known in _READERS:
            return _READERS[known](characteristic, terminology)
    return Unjudged(label(code), f"the criterion code {label(code)} is not known")


def _concept(characteristic: Resource) -> tuple[str, tuple[Concept, ...]]:
    value = characteristic.get("valueCodeableConcept", {})
    return label(value), concepts(value)


def _diagnosis(characteristic: Resource, terminology: Terminology) -> Test:
    text, found = _concept(characteristic)
    if not found:
        return Unjudged("Diagnosis", "a diagnosis needs a valueCodeableConcept with a coding")
    return HasDiagnosis(f"Diagnosis {text}", found)


def _medication(characteristic: Resource, terminology: Terminology) -> Test:
    text, found = _concept(characteristic)
    if not found:
        return Unjudged("Prior medication", "a prior medication needs a valueCodeableConcept with a coding")
    return HadMedication(f"Prior {text}", found)


def _msi(characteristic: Resource, terminology: Terminology) -> Test:
    text, found = _concept(characteristic)
    if not found:
        return Unjudged("Microsatellite status", "it needs a valueCodeableConcept with a coding")
    return HasMsi(f"Microsatellite status {text}", found)


def _span(characteristic: Resource) -> tuple[Span | None, set[str]]:
    """The span of a valueQuantity or valueRange, and the unit codes in it."""
    if "valueQuantity" in characteristic:
        quantity = characteristic["valueQuantity"]
        return quantity_span(quantity), {quantity.get("code", "")}
    value = characteristic.get("valueRange", {})
    return range_span(value), {value[end].get("code", "") for end in ("low", "high") if end in value}


def _age(characteristic: Resource, terminology: Terminology) -> Test:
    span, units = _span(characteristic)
    unit = next(iter(units), "")
    if span is None or len(units) != 1 or unit not in AGE_UNITS:
        return Unjudged("Age", f"an age needs one value or range in {', '.join(AGE_UNITS)}")
    if any(end is not None and not 0 <= end <= OLDEST for end in (span.low, span.high)):
        return Unjudged("Age", "the age lies beyond any life")
    text = f"Age {span} {AGE_UNITS[unit]}"
    if unit == "a" and any(end is not None and end % 1 for end in (span.low, span.high)):
        low, high = (None if end is None else end * 12 for end in (span.low, span.high))
        return OfAge(text, span._replace(low=low, high=high), "mo")
    return OfAge(text, span, unit)


def _tmb(characteristic: Resource, terminology: Terminology) -> Test:
    span, units = _span(characteristic)
    if span is None or not units <= PER_MEGABASE:
        return Unjudged("Tumour mutational burden", "it needs a value or range in 1/1000000{Base}")
    return HasAmount(f"Tumour mutational burden {span} per megabase", TMB, span)


def _ecog(characteristic: Resource, terminology: Terminology) -> Test:
    span, _ = _span(characteristic)
    if span is None and isinstance(characteristic.get("valueInteger"), int):
        value = Decimal(characteristic["valueInteger"])
        span = Span(value, value)
    if span is None:
        return Unjudged("ECOG performance status", "it needs a valueQuantity or valueRange")
    return HasAmount(f"ECOG performance status {span}", ECOG, span)


def _variant(characteristic: Resource, terminology: Terminology) -> Test:
    value = characteristic.get("valueCodeableConcept", {})
    codings = concepts(value)
    genes = genes_of(terminology)
    named = genes.named(codings)
    written = [hgvs.parse(coding.code) for coding in codings if coding.system == HGVS]
    if any(change is None for change in written):
        return Unjudged(f"Variant {label(value)}", "the HGVS expression is not one certain p. or c. change")
    changes = tuple(change for change in written if change is not None)
    groups = tuple(_groups(codings, terminology))
    for change in changes:
        named |= genes.of_variant(change)
    for group in groups:
        named |= group.genes
    if changes and not named:
        return Unjudged(f"Variant {label(value)}", "the HGVS expression names no known gene: add a gene coding")
    others = frozenset(coding for coding in codings if coding.system not in (HGNC, HGVS))
    if not (named or others):
        return Unjudged("Variant", "a variant needs a gene, an HGVS expression or a coded group of variants")
    symbols = "/".join(sorted(genes.symbol(gene) for gene in named))
    exact = ", ".join(dict.fromkeys(f"{change.kind}.{change.change}" for change in changes))
    text = f"{symbols} {exact or ('variant' if not (groups or others) else label(value))}".strip()
    return HasVariant(text, others, named, not (changes or groups or others), changes, groups)


def _groups(codings: tuple[Concept, ...], terminology: Terminology) -> list[VariantGroup]:
    same = {other for coding in codings for other in terminology.equivalents(*coding)}
    found = []
    for concept in same:
        if genes := terminology.property(concept, "gene"):
            found.append(
                VariantGroup(
                    frozenset(genes),
                    frozenset(terminology.property(concept, "edit")),
                    next(iter(terminology.property(concept, "first-residue")), 0),
                    next(iter(terminology.property(concept, "last-residue")), 0),
                    frozenset(terminology.property(concept, "change")),
                )
            )
    return found


_READERS: Mapping[str, Callable[[Resource, Terminology], Test]] = {
    DIAGNOSIS: _diagnosis,
    AGE: _age,
    VARIANT: _variant,
    TMB: _tmb,
    MSI: _msi,
    ECOG: _ecog,
    MEDICATION: _medication,
}
