"""Genomic criteria of CTML: a node speaks of one variant, so it is one characteristic. See docs/ctml.md"""

from collections.abc import Iterator, Mapping
from typing import Any

from fhir_server.fhir.codec import Resource
from fhir_server.matching import hgvs
from fhir_server.matching.ctml import words as w
from fhir_server.matching.ctml.clinical import RESULTS, read_keys, said_keys
from fhir_server.matching.ctml.words import Unmapped, characteristic, chosen, loinc
from fhir_server.matching.facts import HGVS, VARIANT
from fhir_server.matching.genes import HGNC, genes_of
from fhir_server.matching.leaves import AMINO_ACIDS, DESCRIBED
from fhir_server.matching.values import concepts, named
from fhir_server.terminology.codes import Concept, Terminology

LABEL = "display_name"  # shown, never judged
_ALIASES = {"true_variant_classification": "variant_classification", "true_transcript_exon": "exon"}
# What each property of a criterion-variant is in an extension, by the name of its value[x].
_VALUE = {
    **dict.fromkeys(("first-residue", "last-residue", "exon"), "valueInteger"),
    **dict.fromkeys(("change", "codon"), "valueString"),
    **dict.fromkeys(("fusion", "oncogenic"), "valueBoolean"),
}
Property = tuple[str, Any]


def read_genomic(node: Mapping[str, Any], terminology: Terminology) -> list[Resource]:
    """The criterion of a genomic node; any key with a `!` excludes the whole. Raises Unmapped."""
    results = {key.name for key in RESULTS}
    if results & node.keys():
        kept = {key: value for key, value in node.items() if key not in ("hugo_symbol", LABEL)}
        if len(kept) > 1 and any(w.negated(value)[1] for value in kept.values()):
            raise Unmapped("", "of several results in one node none can be negated: a `!` would negate them together")
        return read_keys(kept, RESULTS, terminology)
    bare = {key: w.negated(value)[0] for key, value in node.items()}
    exclude = any(w.negated(value)[1] for value in node.values())
    gene, properties = "", []  # type: str, list[Property]
    for key, value in bare.items():
        try:
            match _ALIASES.get(key, key):
                case "hugo_symbol":
                    gene = w.text(value)
                case "wildtype":
                    exclude ^= w.truth(value)
                case "display_name":
                    w.text(value)
                case known if known in _KEYS:
                    properties += _KEYS[known](value)
                case _:
                    raise Unmapped("", "it is no key that can be mapped")
        except Unmapped as error:
            raise error.within(key) from None
    return [_variant(gene, properties, exclude, terminology)]


def _category(value: Any) -> Iterator[Property]:
    for code in chosen(value, w.CATEGORIES):
        yield ("fusion", True) if code == "fusion" else ("category", code)


def _change(value: Any) -> Iterator[Property]:
    change = hgvs.parse(w.text(value))
    if change is None or change.kind != "p":
        raise Unmapped("", f"{value!r} is not one certain protein change of HGVS")
    yield "change", change.change


def _codon(value: Any) -> Iterator[Property]:
    codon = w.text(value).removeprefix("p.")
    if codon[:1] not in AMINO_ACIDS or not codon[1:].isdigit():
        raise Unmapped("", f"{value!r} is not a residue such as p.V600")
    yield "codon", codon


def _exon(value: Any) -> Iterator[Property]:
    if isinstance(value, bool) or not str(value).isdigit() or not 0 < int(value) < 1000:
        raise Unmapped("", f"{value!r} is not the number of an exon")
    yield "exon", int(value)


def _partner(value: Any) -> Iterator[Property]:
    yield "fusion", True
    if _any_gene(w.text(value)):
        return
    yield "partner", w.text(value)


def _annotated(value: Any) -> Iterator[Property]:
    chosen(value, {"Oncogenic Mutations": True})
    yield "oncogenic", True


_KEYS = {
    "variant_category": _category,
    "protein_change": _change,
    "wildcard_protein_change": _codon,
    "exon": _exon,
    "variant_classification": lambda value: iter([("consequence", chosen(value, w.CLASSES))]),
    "cnv_call": lambda value: iter([("copy-change", chosen(value, w.CALLS))]),
    "fusion_partner_hugo_symbol": _partner,
    "molecular_function": lambda value: iter([("effect", chosen(value, w.EFFECTS))]),
    "germline": lambda value: iter([("origin", "germline" if w.truth(value) else "somatic")]),
    "annotated_variant": _annotated,
}


def _any_gene(symbol: str) -> bool:
    return symbol.lower().replace(" ", "_") == "any_gene"


def _variant(gene: str, properties: list[Property], exclude: bool, terminology: Terminology) -> Resource:
    said = list(dict.fromkeys(properties))
    partner = dict(said).get("partner", "")
    if (not gene or _any_gene(gene)) and partner and partner.lower() != "intergenic":
        gene, said = partner, [one for one in said if one[0] != "partner"]
    if not gene or _any_gene(gene) or gene.lower() == "intergenic":
        raise Unmapped("hugo_symbol", "it names no gene")
    genes = genes_of(terminology)
    (id,) = genes.named([Concept(HGNC, gene)])
    codings = [{"system": HGNC, "code": id, "display": genes.symbol(id)}]
    names = {name for name, _ in said}
    if names <= {"change", "category"} and len([one for one in said if one[0] == "change"]) == 1:
        change = dict(said)["change"]
        codings.insert(0, {"system": HGVS, "code": f"{genes.symbol(id)}:p.{change}"})
        said = []
    said += _place(id, said, terminology)
    words = " ".join(filter(None, (genes.symbol(id), *_described(said))))
    value = {"coding": codings, **({"text": words} if said else {})}
    found = characteristic(loinc(VARIANT), exclude, valueCodeableConcept=value)
    if said:
        parts = [{"url": name, _VALUE.get(name, "valueCode"): code} for name, code in said]
        found["modifierExtension"] = [{"url": DESCRIBED, "extension": parts}]
    return found


def _place(gene: str, said: list[Property], terminology: Terminology) -> Iterator[Property]:
    """The residues of an exon, where a group of variants that ships names both: reports rarely name exons."""
    exons = [value for name, value in said if name == "exon"]
    for known in terminology.properties.values():
        if exons and known.get("gene") == (gene,) and known.get("exon") == tuple(exons) and known.get("last-residue"):
            yield "first-residue", known["first-residue"][0]
            yield "last-residue", known["last-residue"][0]
            return


def _described(said: list[Property]) -> Iterator[str]:
    """A criterion-variant in words."""
    for name, value in said:
        match name:
            case "exon":
                yield f"exon {value}"
            case "change" | "codon":
                yield f"p.{value}"
            case "fusion":
                yield "fusion"
            case "oncogenic":
                yield "oncogenic variant"
            case "category":
                yield {"small": "mutation", "copy-number": "copy number change"}[value]
            case "consequence":
                yield w.said(value, w.CLASSES)
            case "partner":
                yield f"with {value}"
            case "copy-change" | "effect" | "origin":
                yield str(value)


def said_genomic(found: Resource, exclude: bool, terminology: Terminology) -> dict[str, Any] | None:
    """A criterion as a genomic node; None if it is none. Raises Unmapped if CTML cannot say it."""
    result = said_keys(found, RESULTS, exclude, terminology)
    if result is not None:
        return result
    if Concept(*loinc(VARIANT)) not in concepts(found.get("code")):
        return None
    genes = genes_of(terminology)
    node: dict[str, Any] = {}
    codings = concepts(found.get("valueCodeableConcept"))
    changes = [change for coding in codings if coding.system == HGVS and (change := hgvs.parse(coding.code))]
    about = set(genes.named(codings)).union(*(genes.of_variant(change) for change in changes))
    groups = [terminology.properties.get(same, {}) for coding in codings for same in terminology.equivalents(*coding)]
    grouped = next((group for group in groups if group.get("gene")), {})
    about |= set(grouped.get("gene", ()))
    described = [e for e in found.get("modifierExtension", ()) if named(e.get("url", "")) == DESCRIBED]
    if len(about) != 1 or any(change.kind != "p" for change in changes) or len({c.change for c in changes}) > 1:
        raise Unmapped("", "CTML names one gene and one protein change in a criterion")
    node["hugo_symbol"] = genes.symbol(about.pop())
    if changes:
        node |= {"variant_category": "Mutation", "protein_change": f"p.{changes[0].change}"}
    for part in described[0].get("extension", ()) if described else ():
        value = next(value for key, value in part.items() if key.startswith("value"))
        _say(node, part["url"], value, genes.symbol)
    for name, values in grouped.items():
        for value in values if name not in ("gene", "edit") else ():
            _say(node, name, value, genes.symbol)
    if "edit" in grouped:
        kind = _EDITS.get(frozenset(grouped["edit"]))
        if kind is None or "exon" not in grouped or "change" in grouped:
            raise Unmapped("", "CTML has no word for this group of variants")
        node |= {"variant_category": "Mutation", "variant_classification": kind}
    if exclude:
        node["hugo_symbol"] = f"!{node['hugo_symbol']}"
    return node


def _say(node: dict[str, Any], name: str, value: Any, symbol: Any) -> None:
    """Add what a property says. Raises Unmapped."""
    said: dict[str, Any]
    match name:
        case "category":
            word = _CATEGORIES[value]
            before = node.pop("variant_category", word)
            said = {"variant_category": word if before == word else "Any Variation"}
        case "fusion":
            said = {"variant_category": "Structural Variation"}
        case "change":
            said = {"protein_change": f"p.{value}"}
        case "codon":
            said = {"wildcard_protein_change": f"p.{value}"}
        case "exon":
            said = {"exon": value}
        case "consequence":
            said = {"variant_classification": w.said(value, w.CLASSES)}
        case "copy-change":
            said = {"cnv_call": _CALLS.get(value) or w.said(value, {})}
        case "partner":
            said = {"fusion_partner_hugo_symbol": symbol(value)}
        case "effect":
            said = {"molecular_function": w.said(value, w.EFFECTS)}
        case "origin":
            said = {"germline": value == "germline"}
        case "oncogenic":
            said = {"annotated_variant": "Oncogenic Mutations"}
        case "first-residue" | "last-residue":
            said = {}  # told by the exon
        case _:
            raise Unmapped("", f"CTML has no word for the {name} of a variant")
    if said.keys() & node.keys():
        raise Unmapped("", f"CTML names one {name} in a criterion")
    node |= said


_EDITS = {frozenset(("del", "delins")): "In_Frame_Del", frozenset(("ins", "dup")): "In_Frame_Ins"}
_CATEGORIES = {"small": "Mutation", "copy-number": "Copy Number Variation", "fusion": "Structural Variation"}
_CALLS = {"high-gain": "High Amplification", "low-gain": "Low Amplification",
          "complete-loss": "Homozygous Deletion", "partial-loss": "Heterozygous Deletion"}  # fmt: skip
