"""What the genomics operations search variants, haplotypes and implications by. docs/genomics-operations.md

These parameters are no SearchParameters: their values are computed from several components together, at each write, as
a custom parameter's are. An interval is indexed by its first and its last base, so that a single base is a point.
https://hl7.org/fhir/uv/genomics-reporting/operations.html
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fhir_server.genomics.alleles import spelled
from fhir_server.genomics.variant import VARIANT, Interval, codes, components, holds, place, texts
from fhir_server.search.entries import LONGEST, fold
from fhir_server.search.predicate import Entry, Is, Or, Param, Predicate

ALLELE = Param("genomics:allele", "token")  # system: accession, code: key; or no system, and HGVS as it is spelled
SPELLED = Param("genomics:spelled", "token")  # HGVS of a molecular consequence
SIMPLE = Param("genomics:simple", "token$number")
WIDEST, SUREST = Param("genomics:widest", "token$number"), Param("genomics:surest", "token$number")
NAMED = Param("genomics:named", "token$string")  # what a free token finds: code of the field, its text

GENOTYPE, HAPLOTYPE, PHASE = "84413-4", "84414-2", "82120-7"
TREATMENT_IMPLICATION, DIAGNOSTIC_IMPLICATION = "therapeutic-implication", "diagnostic-implication"
CONSEQUENCES = ("molecular-consequence", "molecular-consequences")
# Which components make which field of NAMED.
FIELDS: Mapping[str, tuple[str, ...]] = {
    "gene": ("48018-6",),
    "treatment": ("51963-7", "associated-therapy"),
    "condition": ("81259-4", "predicted-phenotype", "phenotypic-treatment-context"),
    "consequence": ("feature-consequence",),
}
_OF: Mapping[str, tuple[str, ...]] = {
    GENOTYPE: ("gene",),
    HAPLOTYPE: ("gene",),
    TREATMENT_IMPLICATION: ("treatment", "condition"),
    DIAGNOSTIC_IMPLICATION: ("condition",),
    **dict.fromkeys(CONSEQUENCES, ("consequence",)),
}
_KNOWN = frozenset({VARIANT, *_OF})


def entries(resource: Mapping[str, Any]) -> Iterator[Entry]:
    """The index entries of an Observation; none unless it is one of those that the operations look for."""
    for code in codes(resource.get("code")):
        if code not in _KNOWN:
            continue
        if code == VARIANT:
            yield from _variant(resource)
        elif holds(resource):
            yield from _named(resource, code)
        return


def _variant(resource: Mapping[str, Any]) -> Iterator[Entry]:
    found = place(resource)
    for accession, key in found.alleles:
        yield (ALLELE, accession, key)
    for text in found.spellings:
        yield (ALLELE, "", text)
    for param, intervals in ((SIMPLE, found.simple), (WIDEST, found.widest), (SUREST, found.surest)):
        for one in intervals:
            yield (param, "", one.accession, float(one.start), float(max(one.end - 1, one.start)))


def _named(resource: Mapping[str, Any], code: str) -> Iterator[Entry]:
    parts = components(resource)
    fields = {field: list(texts(parts, *FIELDS[field])) for field in _OF[code]}
    if code in (GENOTYPE, HAPLOTYPE):
        fields["haplotype"] = list(texts({"": [dict(resource)]}, ""))
    for field, found in fields.items():
        for text in dict.fromkeys(found):
            yield (NAMED, "", field, fold(text[:LONGEST]), text[:LONGEST])
    if code in CONSEQUENCES:
        for text in dict.fromkeys(filter(None, map(spelled, texts(parts, "48004-6", "48005-3")))):
            yield (SPELLED, "", text)


def overlapping(param: Param, wanted: Interval) -> Predicate:
    """Variants whose interval of `param` has a base of `wanted`, which is of one base at least."""
    end = max(wanted.end, wanted.start + 1)
    return _at(param, wanted.accession, ("2.low", "<", float(end)), ("2.high", ">=", float(wanted.start)))


def covering(param: Param, wanted: Interval) -> Predicate:
    """Variants whose interval of `param` has all bases of `wanted`."""
    last = max(wanted.end - 1, wanted.start)
    return _at(param, wanted.accession, ("2.low", "<=", float(wanted.start)), ("2.high", ">=", float(last)))


def on(param: Param, accession: str) -> Predicate:
    """Variants with an interval of `param` on a sequence."""
    return _at(param, accession)


def _at(param: Param, accession: str, *tests: tuple[str, str, float]) -> Predicate:
    return Is(param, (("1.system", "=", ""), ("1.code", "=", accession), *tests))


def naming(alleles: Iterable[tuple[str, str]]) -> Predicate:
    """Variants that name one of these alleles: (accession, key), or ("", HGVS as it is spelled)."""
    return _listed(ALLELE, alleles)


def spelling(alleles: Iterable[tuple[str, str]]) -> Predicate:
    """Molecular consequences that are described by one of these: ("", HGVS as it is spelled)."""
    return _listed(SPELLED, alleles)


def _listed(param: Param, wanted: Iterable[tuple[str, str]]) -> Predicate:
    """One value is an equality: the stores find its rows without a test on each."""
    pairs = tuple(dict.fromkeys(wanted))
    if len(pairs) > 1:
        return Is(param, (("system,code", "in", pairs),))
    return Is(param, (("system", "=", pairs[0][0]), ("code", "=", pairs[0][1]))) if pairs else Or(())


def called(field: str, text: str) -> Predicate:
    """Observations of which a field (of FIELDS, or `haplotype`) has this text in it, whatever its case."""
    return Is(NAMED, (("1.system", "=", ""), ("1.code", "=", field), ("2.norm", "contains", fold(text))))
