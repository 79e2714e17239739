"""Variants and regions studied, as Genomics Reporting (STU2, STU3) and mCODE write them. https://hl7.org/fhir/uv/genomics-reporting/"""

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal

from fhir_server.fhir.codec import Resource
from fhir_server.matching import hgvs
from fhir_server.matching.facts import HGVS, Found, Region, Source
from fhir_server.matching.genes import Genes
from fhir_server.matching.hgvs import Variant
from fhir_server.matching.values import LOINC, codes, concepts
from fhir_server.terminology.codes import Concept

PRESENT, ABSENT = "LA9633-4", "LA9634-2"
# What a change of a protein is, as Sequence Ontology names its consequence.
_OF_EDIT = {
    "fs": "SO:0001589",
    "same": "SO:0001819",
    "del": "SO:0001822",
    "ins": "SO:0001821",
    "dup": "SO:0001821",
    "delins": "SO:0001822",
}
MISSENSE, NONSENSE = "SO:0001583", "SO:0001587"
# LOINC 48006-1 (amino acid change type) in reports of STU2 and before.
_CHANGE_TYPES = {"LA6698-0": MISSENSE, "LA6699-8": NONSENSE, "LA6694-9": "SO:0001589", "LA6700-4": "SO:0001819"}
_GAINS, _LOSSES = {"SO:0001742", "SO:1000035", "LA14033-7"}, {"SO:0001743", "LA14034-5"}
_FUSIONS = {"SO:0001565", "SO:0001882"}
# GA4GH names copy changes by the Experimental Factor Ontology: https://cat-vrs.readthedocs.io
_COPY_CHANGES = {
    "EFO:0030070": "gain", "EFO:0030071": "low-gain", "EFO:0030072": "high-gain", "EFO:0030067": "loss",
    "EFO:0030068": "partial-loss", "EFO:0030069": "complete-loss",
}  # fmt: skip
_EFFECTS = {"SO:0002053": "gain-of-function", "SO:0002054": "loss-of-function"}
_ORIGINS = {"LA6683-2": "germline", "LA6684-0": "somatic", "LA10429-1": "germline"}
_ONCOGENIC = {"LA6668-3", "LA26332-9"}  # pathogenic, likely pathogenic
_HARMLESS = {"LA6675-8", "LA26334-5"}  # benign, likely benign
_EXON_LIST = re.compile(r"\bexons?\s+(\d{1,3}(?:\s*(?:-|to|,|and|&)\s*\d{1,3})*)", re.I)
_WHOLE = re.compile(
    r"(?:all (?:coding )?exons|(?:whole|full|entire|complete)(?: coding)? (?:gene|region|sequence)s?)", re.I
)

# A description without one of these is the name of a panel, no limit.
_LIMIT = re.compile(
    r"exon|intron|codon|hot ?spot|residue|position|partial|part of|select|only|limit|target|amplicon|[cpg]\.\d|chr",
    re.I,
)

Parts = Mapping[str, list[Resource]]


def read_variant(resource: Resource, source: Source, genes: Genes) -> Found:
    """A variant Observation: its answer, genes, changes, and what else it says."""
    answer = codes(resource.get("valueCodeableConcept"), LOINC)
    present = True if PRESENT in answer else False if ABSENT in answer else None
    parts = _components(resource)
    changes = _changes(_coded(parts, "48005-3")) + _changes(_coded(parts, "48004-6"))
    named = genes.named(_coded(parts, "48018-6"))
    if not named:
        named = frozenset().union(*(genes.of_variant(change) for change in changes))
    others = frozenset(_coded(parts, "81252-9")) | frozenset(concepts(resource.get("valueCodeableConcept")))
    told = frozenset(c.code for kind in ("48019-4", "feature-consequence", "molecular-consequence", "48006-1")
                     for c in _coded(parts, kind))  # fmt: skip
    effects = {_EFFECTS[c.code] for c in _coded(parts, "functional-effect") if c.code in _EFFECTS}
    significance = {c.code for c in _coded(parts, "53037-8")}
    origin = {_ORIGINS[c.code] for c in _coded(parts, "48002-0") if c.code in _ORIGINS}
    consequences = frozenset(_CHANGE_TYPES.get(code, code) for code in told if code[:2] in ("SO", "LA"))
    derived = frozenset(_consequence(change) for change in changes if change.kind == "p") - {""}
    return Found(
        present,
        named,
        changes,
        others,
        source,
        consequences | derived,
        _exons(parts),
        _copies(parts, told),
        bool(told & _FUSIONS),
        origin.pop() if len(origin) == 1 else "",
        True if significance & _ONCOGENIC else False if significance & _HARMLESS else None,
        _frequency(parts),
        effects.pop() if len(effects) == 1 else "",
    )


def read_region(resource: Resource, source: Source, genes: Genes) -> Region:
    """A region-studied Observation. A gene named without limits is wholly studied; a limit in words that cannot be read
    leaves it studied in part."""
    parts = _components(resource)
    limited = any(kind in parts for kind in ("51959-5", "uncallable-regions"))
    tested = _changes(_coded(parts, "36908-2")) if "36908-2" in parts else None
    words = [str(part.get("valueString", "")) for part in parts.get("81293-3", ())]
    exons = frozenset(exon for text in words for exon in exons_in(text))
    whole = not limited and all(_WHOLE.search(text) or not _LIMIT.search(text) for text in words)
    return Region(genes.named(_coded(parts, "48018-6")), whole, tested, source, frozenset() if limited else exons)


def exons_in(text: str) -> Iterable[int]:
    """The exons that a text lists: `exons 18-21`, `exon 9, 11 and 13`."""
    for listed in _EXON_LIST.findall(text):
        for part in re.split(r",|and|&", listed):
            ends = [int(number) for number in re.findall(r"\d+", part)]
            if ends:
                yield from range(ends[0], min(ends[-1], ends[0] + 400) + 1)


def _components(resource: Resource) -> Parts:
    parts: dict[str, list[Resource]] = {}
    for component in resource.get("component", ()):
        for coding in concepts(component.get("code")):
            parts.setdefault(coding.code, []).append(component)
    return parts


def _coded(parts: Parts, code: str) -> list[Concept]:
    return [found for part in parts.get(code, ()) for found in concepts(part.get("valueCodeableConcept"))]


def _changes(codings: Iterable[Concept]) -> tuple[Variant, ...]:
    read = (hgvs.parse(coding.code) for coding in codings if coding.system == HGVS)
    return tuple(change for change in read if change is not None)


def _consequence(change: Variant) -> str:
    if change.edit == "sub":
        return NONSENSE if change.change.endswith("*") else MISSENSE
    return _OF_EDIT.get(change.edit, "")


def _exons(parts: Parts) -> frozenset[int]:
    """Exons named by LOINC 47999-8, DNA region name."""
    said = [str(part.get("valueString", part.get("valueCodeableConcept", {}).get("text", "")))
            for part in parts.get("47999-8", ())]  # fmt: skip
    return frozenset(exon for text in said for exon in exons_in(text))


def _frequency(parts: Parts) -> Decimal | None:
    for part in parts.get("81258-6", ()):
        quantity = part.get("valueQuantity", {})
        if "value" in quantity:
            return Decimal(quantity["value"]) / (100 if quantity.get("code") == "%" else 1)
    return None


def _copies(parts: Parts, told: frozenset[str]) -> str:
    said = {_COPY_CHANGES[code.upper()] for code in told if code.upper() in _COPY_CHANGES}
    if len(said) == 1:
        return said.pop()
    coded = "gain" if told & _GAINS else "loss" if told & _LOSSES else ""
    counted = next(filter(None, map(_counted, parts.get("82155-3", ()))), "")
    return counted if coded in ("", counted.partition("-")[2]) else coded


def _counted(part: Resource) -> str:
    """What a number of copies says of the two that there should be."""
    value = part.get("valueQuantity", {}).get("value")
    if value is None:
        return ""
    return "gain" if value > 2 else "none" if value == 2 else "partial-loss" if value > 0 else "complete-loss"
