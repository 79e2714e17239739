"""One characteristic of a Group as a typed test. See docs/matching.md for the codes."""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from fhir_server.fhir.codec import Resource
from fhir_server.matching import hgvs
from fhir_server.matching.facts import ECOG, HGVS, LINES, MSI, PREGNANCY, STAGES, TMB, VARIANT
from fhir_server.matching.genes import HGNC, genes_of
from fhir_server.matching.kinds import (
    UNITS,
    Duration,
    HadTherapy,
    HasDiagnosis,
    HasMetastasis,
    HasResult,
    HasSpecimen,
    HasVariant,
    InPlace,
    OfAge,
    OfSex,
    OfStage,
    Test,
    Unjudged,
    VariantGroup,
)
from fhir_server.matching.stage import stage_of
from fhir_server.matching.values import KIND, LOINC, Span, concepts, label, named, quantity_span, range_span, unit_of
from fhir_server.terminology.codes import Concept, Terminology

OLDEST = 60_000  # in days; no criterion needs more in any unit
WASHOUT = "https://participation.example/fhir/StructureDefinition/criterion-washout"
# A variant described where the criterion stands: extensions named as the properties of CodeSystem variant-group.
DESCRIBED = "https://participation.example/fhir/StructureDefinition/criterion-variant"
AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"
# What a property of a variant may say; those that are not here say anything.
_SAYS = {
    "edit": "sub|same|del|ins|delins|dup|fs|ext",
    "first-residue": r"[1-9]\d{0,5}",
    "last-residue": r"[1-9]\d{0,5}",
    "exon": r"[1-9]\d{0,2}",
    "codon": rf"[{AMINO_ACIDS}][1-9]\d{{0,5}}",
    "change": r"\S{1,200}",
    "consequence": r"SO:\d{7}",
    "copy-change": "gain|low-gain|high-gain|loss|partial-loss|complete-loss",
    "fusion": "True",
    "partner": r"\S{1,40}",
    "category": "small|copy-number|fusion",
    "effect": "gain-of-function|loss-of-function",
    "origin": "germline|somatic",
    "oncogenic": "True",
    "minimum-allelic-frequency": r"0?\.\d{1,9}|0|1(?:\.0*)?",
}
COUNTRY, PART = "urn:iso:std:iso:3166", "urn:iso:std:iso:3166:-2"

# Mutational signatures, by what made the mutations.
SIGNATURES = {"apobec": "APOBEC", "pole": "POLE", "tobacco": "Tobacco", "temozolomide": "Temozolomide", "uv": "UV"}
# What the results are called whose codes need no display.
NAMES = {
    Concept(LOINC, ECOG): "ECOG performance status",
    Concept(LOINC, TMB): "Tumour mutational burden",
    Concept(LOINC, MSI): "Microsatellite status",
    Concept(LOINC, "89243-0"): "Karnofsky performance status",
    Concept(LOINC, "16112-5"): "Estrogen receptor",
    Concept(LOINC, "16113-3"): "Progesterone receptor",
    Concept(LOINC, "48676-1"): "HER2",
    PREGNANCY: "Pregnancy",
    LINES: "Prior lines of therapy",
    **{Concept(KIND, f"{name}-signature"): f"{title} signature" for name, title in SIGNATURES.items()},
}
SEXES = {
    Concept("http://hl7.org/fhir/administrative-gender", "male"): "male",
    Concept("http://hl7.org/fhir/administrative-gender", "female"): "female",
    Concept("http://terminology.hl7.org/CodeSystem/v3-AdministrativeGender", "M"): "male",
    Concept("http://terminology.hl7.org/CodeSystem/v3-AdministrativeGender", "F"): "female",
    Concept(LOINC, "LA2-8"): "male",
    Concept(LOINC, "LA3-6"): "female",
    Concept("http://snomed.info/sct", "248153007"): "male",
    Concept("http://snomed.info/sct", "248152002"): "female",
}


def leaf_test(characteristic: Resource, terminology: Terminology) -> Test:
    """The test of a characteristic; Unjudged for a code or value that is not understood."""
    code = characteristic.get("code", {})
    codings = concepts(code)
    for known in codings:
        if known in _READERS:
            return _READERS[known](characteristic, terminology)
    observed = tuple(coding for coding in codings if coding.system == LOINC or coding in NAMES)
    if observed and any(key.startswith("value") for key in characteristic):
        return _result(characteristic, observed)
    return Unjudged(label(code), f"the criterion code {label(code)} is not known")


def duration_of(value: Resource) -> Duration | None:
    """A valueDuration in whole days, weeks, months or years; None for any other."""
    number, unit = value.get("value"), value.get("code", "")
    if number is None or value.get("comparator") or unit not in UNITS or number % 1 or not 0 <= number <= OLDEST:
        return None
    return Duration(int(number), unit)


def _concept(characteristic: Resource) -> tuple[str, tuple[Concept, ...]]:
    value = characteristic.get("valueCodeableConcept", {})
    return label(value), concepts(value)


def _diagnosis(characteristic: Resource, terminology: Terminology) -> Test:
    text, found = _concept(characteristic)
    if not found:
        return Unjudged("Diagnosis", "a diagnosis needs a valueCodeableConcept with a coding")
    return HasDiagnosis(f"Diagnosis {text}", found)


def _metastatic(characteristic: Resource, terminology: Terminology) -> Test:
    return _spread(characteristic, "Metastatic disease", brain=False)


def _brain(characteristic: Resource, terminology: Terminology) -> Test:
    return _spread(characteristic, "Brain metastases", brain=True)


def _spread(characteristic: Resource, text: str, brain: bool) -> Test:
    if characteristic.get("valueBoolean") is not True:
        return Unjudged(text, "it needs valueBoolean true; to ask for its absence, exclude it")
    return HasMetastasis(text, brain)


def _stage(characteristic: Resource, terminology: Terminology) -> Test:
    value = characteristic.get("valueCodeableConcept", {})
    stage = stage_of(value)
    if stage is None:
        return Unjudged(f"Stage {label(value)}", "a stage needs a valueCodeableConcept such as III or IIIA")
    return OfStage(f"Stage {stage}", stage.number, stage.letter)


def _therapy(characteristic: Resource, terminology: Terminology) -> Test:
    text, found = _concept(characteristic)
    if not found:
        return Unjudged("Prior therapy", "a prior therapy needs a valueCodeableConcept with a coding")
    for extension in characteristic.get("modifierExtension", ()):
        if named(extension.get("url", "")) == WASHOUT:
            washout = duration_of(extension.get("valueDuration", {}))
            if washout is None:
                return Unjudged(f"Prior {text}", "its washout needs a valueDuration in d, wk, mo or a")
            return HadTherapy(f"Prior {text} within {washout}", found, washout)
    return HadTherapy(f"Prior {text}", found)


def _specimen(characteristic: Resource, terminology: Terminology) -> Test:
    text, found = _concept(characteristic)
    if not found:
        return Unjudged("Biospecimen", "a biospecimen needs a valueCodeableConcept with a coding")
    return HasSpecimen(f"Available specimen {text}", found)


def _sex(characteristic: Resource, terminology: Terminology) -> Test:
    _, found = _concept(characteristic)
    sexes = {SEXES[coding] for coding in found if coding in SEXES}
    if len(sexes) != 1:
        return Unjudged("Sex", "it needs a valueCodeableConcept for male or female")
    sex = sexes.pop()
    return OfSex(f"Sex {sex}", sex)


def _place(characteristic: Resource, terminology: Terminology) -> Test:
    text, found = _concept(characteristic)
    places = frozenset(coding.code.upper() for coding in found if coding.system in (COUNTRY, PART))
    if not places:
        return Unjudged("Place of living", f"it needs a code of {COUNTRY} or {PART}")
    return InPlace(f"Living in {text}", places)


def _span(characteristic: Resource) -> tuple[Span | None, set[str]]:
    """The span of a valueQuantity, valueRange or valueInteger, and the unit codes in it."""
    if "valueQuantity" in characteristic:
        quantity = characteristic["valueQuantity"]
        return quantity_span(quantity), {unit_of(quantity)}
    if isinstance(characteristic.get("valueInteger"), int):
        value = Decimal(characteristic["valueInteger"])
        return Span(value, value), {""}
    value = characteristic.get("valueRange", {})
    return range_span(value), {unit_of(value[end]) for end in ("low", "high") if end in value}


def _age(characteristic: Resource, terminology: Terminology) -> Test:
    span, units = _span(characteristic)
    unit = next(iter(units), "")
    if span is None or len(units) != 1 or unit not in UNITS:
        return Unjudged("Age", f"an age needs one value or range in {', '.join(UNITS)}")
    if any(end is not None and not 0 <= end <= OLDEST for end in (span.low, span.high)):
        return Unjudged("Age", "the age lies beyond any life")
    text = f"Age {span} {UNITS[unit]}"
    if unit == "a" and any(end is not None and end % 1 for end in (span.low, span.high)):
        low, high = (None if end is None else end * 12 for end in (span.low, span.high))
        return OfAge(text, span._replace(low=low, high=high), "mo")
    return OfAge(text, span, unit)


def _result(characteristic: Resource, codes: tuple[Concept, ...]) -> Test:
    name = next((NAMES[code] for code in codes if code in NAMES), label(characteristic["code"]))
    not_for = "male" if PREGNANCY in codes else ""
    if "valueCodeableConcept" in characteristic:
        text, answers = _concept(characteristic)
        if not answers:
            return Unjudged(name, "it needs a valueCodeableConcept with a coding")
        return HasResult(f"{name} {text}", name, codes, None, "", answers, not_for)
    span, units = _span(characteristic)
    if span is None or len(units) != 1:
        return Unjudged(name, "it needs one number, range or coded answer, and both ends of a range in one unit")
    (unit,) = units
    wanted = unit_of({"code": "1/1000000{Base}"})
    if Concept(LOINC, TMB) in codes and unit != wanted:
        return Unjudged(name, f"it needs a value or range in {wanted}")
    shown = "per megabase" if unit == wanted else unit
    return HasResult(f"{name} {span} {shown}".strip(), name, codes, span, unit, (), not_for)


def _variant(characteristic: Resource, terminology: Terminology) -> Test:
    value = characteristic.get("valueCodeableConcept", {})
    codings = concepts(value)
    genes = genes_of(terminology)
    about = genes.named(codings)
    written = [hgvs.parse(coding.code) for coding in codings if coding.system == HGVS]
    if any(change is None for change in written):
        return Unjudged(f"Variant {label(value)}", "the HGVS expression is not one certain p. or c. change")
    changes = tuple(change for change in written if change is not None)
    groups = tuple(_groups(codings, terminology))
    for change in changes:
        about |= genes.of_variant(change)
    for group in groups:
        about |= group.genes
    if changes and not about:
        return Unjudged(f"Variant {label(value)}", "the HGVS expression names no known gene: add a gene coding")
    others = frozenset(coding for coding in codings if coding.system not in (HGNC, HGVS))
    if not (about or others):
        return Unjudged("Variant", "a variant needs a gene, an HGVS expression or a coded group of variants")
    described = [e for e in characteristic.get("modifierExtension", ()) if named(e.get("url", "")) == DESCRIBED]
    if described:
        said = _described(described[0])
        if said is None or not about or changes or groups or others:
            why = (
                "a criterion-variant has properties of CodeSystem variant-group and narrows a coded gene, nothing else"
            )
            return Unjudged(f"Variant {label(value)}", why)
        partners = genes.named(Concept(HGNC, partner) for partner in said.get("partner", ()))
        groups = (_group({**said, "gene": tuple(about), "partner": tuple(partners)}),)
    symbols = "/".join(sorted(genes.symbol(gene) for gene in about))
    exact = ", ".join(dict.fromkeys(f"{change.kind}.{change.change}" for change in changes))
    told = value.get("text") or "variant as described" if described else label(value)
    text = f"{symbols} {exact or ('variant' if not (groups or others) else told.removeprefix(f'{symbols} '))}".strip()
    return HasVariant(text, others, about, not (changes or groups or others), changes, groups)


def _described(extension: Resource) -> Mapping[str, tuple[Any, ...]] | None:
    """The properties of a variant in extensions; None if one is not known or says nothing that is understood."""
    found: dict[str, tuple[Any, ...]] = {}
    for part in extension.get("extension", ()):
        name = str(part.get("url", ""))
        value = next((value for key, value in part.items() if key.startswith("value")), None)
        if name not in _SAYS or value is None or not re.fullmatch(_SAYS[name], str(value)):
            return None
        found[name] = (*found.get(name, ()), value)
    return found or None


def _groups(codings: tuple[Concept, ...], terminology: Terminology) -> list[VariantGroup]:
    same = {other for coding in codings for other in terminology.equivalents(*coding)}
    found = [terminology.properties.get(concept, {}) for concept in sorted(same)]
    return [_group(properties) for properties in found if properties.get("gene")]


def _group(properties: Mapping[str, tuple[Any, ...]]) -> VariantGroup:
    def texts(name: str) -> frozenset[str]:
        return frozenset(map(str, properties.get(name, ())))

    def first(name: str) -> str:
        return str(next(iter(properties.get(name, ())), ""))

    changed = {f"{codon}{acid}" for codon in texts("codon") for acid in AMINO_ACIDS if acid != codon[0]}
    return VariantGroup(
        genes=texts("gene"),
        edits=texts("edit"),
        first=int(first("first-residue") or 0),
        last=int(first("last-residue") or 0),
        changes=texts("change") | changed,
        consequences=texts("consequence"),
        exons=frozenset(map(int, texts("exon"))),
        copies=first("copy-change"),
        fusion="True" in texts("fusion"),
        origin=first("origin"),
        oncogenic="True" in texts("oncogenic"),
        frequency=Decimal(first("minimum-allelic-frequency") or 0),
        categories=texts("category"),
        partner=first("partner"),
        effect=first("effect"),
    )


_READERS: Mapping[Concept, Callable[[Resource, Terminology], Test]] = {
    Concept(LOINC, "29308-4"): _diagnosis,
    Concept(LOINC, "30525-0"): _age,
    Concept(LOINC, "46098-0"): _sex,
    Concept(LOINC, "76689-9"): _sex,
    Concept(LOINC, VARIANT): _variant,
    Concept(LOINC, "10160-0"): _therapy,
    Concept(LOINC, "47519-4"): _therapy,
    Concept(KIND, "metastatic"): _metastatic,
    Concept(KIND, "brain-metastases"): _brain,
    Concept(KIND, "biospecimen"): _specimen,
    Concept(KIND, "location"): _place,
    **dict.fromkeys(STAGES, _stage),
}
