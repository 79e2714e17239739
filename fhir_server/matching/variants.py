"""Does a tumour have a variant? Present, shown to be absent, or not known. See docs/matching.md, Absence."""

from collections.abc import Iterable
from typing import Literal

from fhir_server.matching.facts import Facts, Found, Region
from fhir_server.matching.finding import Finding, dated, doubtful
from fhir_server.matching.hgvs import Variant, same_change
from fhir_server.matching.kinds import HasVariant

ACTION = "Order or upload a genomic report that covers it"


def has_variant(test: HasVariant, facts: Facts) -> Finding:
    """Met by a reported variant; not met only by a negative result or a region studied that covers the gene."""
    unclear: Finding | None = None
    for found in facts.variants:
        likeness = _likeness(test, found)
        if found.present and likeness == "same" and not found.source.doubt:
            return Finding("met", f"{test.text} found{dated(found.source)}", (found.source.reference,))
        if found.present is not False and likeness != "different":
            unclear = unclear or _unclear(test, found, likeness)
    if unclear:
        return unclear
    for found in facts.variants:
        if found.present is False and _excludes(test, found):
            if not found.source.doubt:
                return Finding(
                    "not-met", f"{test.text} tested and absent{dated(found.source)}", (found.source.reference,)
                )
            unclear = doubtful(f"{test.text} reported absent", found.source, ACTION)
    return unclear or _studied(test, facts.regions)


def _likeness(test: HasVariant, found: Found) -> Literal["same", "unclear", "different"]:
    """Whether a result is about what is asked: surely, perhaps (its change is not described comparably), or not."""
    if test.concepts & found.concepts:
        return "same"
    if not test.genes & found.genes:
        return "different"
    if test.whole_gene or any(_is(test, change) for change in found.changes):
        return "same"
    if not (test.changes or test.groups):
        return "unclear"  # asked for by a concept that nothing loaded describes
    held = [group.holds(found) for group in test.groups if group.genes & found.genes]
    if True in held:
        return "same"
    kinds = {change.kind for change in test.changes}
    told = any(change.kind in kinds for change in found.changes) if kinds else True
    return "different" if told and None not in held else "unclear"


def _is(test: HasVariant, change: Variant) -> bool:
    return any(same_change(required, change) and _same_transcript(required, change) for required in test.changes)


def _same_transcript(required: Variant, found: Variant) -> bool:
    """DNA positions mean something only on one transcript; a protein change is taken as one across isoforms."""
    return required.kind == "p" or required.reference == found.reference


def _unclear(test: HasVariant, found: Found, likeness: str) -> Finding:
    if found.present and likeness == "same":
        return doubtful(f"{test.text} reported", found.source, "Confirm the result")
    why = "a variant of the gene is reported without a comparable HGVS change" if found.present else "no call was made"
    text = f"{test.text} cannot be told: {why}{dated(found.source)}"
    return Finding("unknown", text, (found.source.reference,), "Complete the report with the HGVS change")


def _excludes(test: HasVariant, found: Found) -> bool:
    """Whether a negative result is about all that is asked: the very change, or the gene with no change named."""
    if found.changes:
        return bool(test.genes & found.genes) and not test.groups and any(_is(test, change) for change in found.changes)
    return bool(test.concepts & found.concepts) or bool(test.genes and test.genes <= found.genes)


def _studied(test: HasVariant, regions: Iterable[Region]) -> Finding:
    covered: set[str] = set()
    evidence: list[Region] = []
    partly: Region | None = None
    for region in regions:
        shared = test.genes & region.genes
        if not shared:
            continue
        if region.source.doubt or not (region.whole or _covered(test, region)):
            partly = partly or region
            continue
        if region.tested is not None and not _tested(test, region.tested):
            partly = partly or region
            continue
        covered |= shared
        evidence.append(region)
    if covered and covered == test.genes:
        text = f"{test.text} not reported, and the gene was studied{dated(evidence[0].source)}"
        return Finding("not-met", text, tuple(region.source.reference for region in evidence))
    if partly:
        why = partly.source.doubt or "the gene was studied in part only"
        return Finding("unknown", f"{test.text} not reported, but {why}", (partly.source.reference,), ACTION)
    return Finding("unknown", f"No result on file tells of {test.text}", (), ACTION)


def _covered(test: HasVariant, region: Region) -> bool:
    """Whether the exons that were studied are all that is asked for."""
    exons = [group.exons for group in test.groups]
    return bool(exons) and not test.changes and all(wanted and wanted <= region.exons for wanted in exons)


def _tested(test: HasVariant, tested: Iterable[Variant]) -> bool:
    return not (test.whole_gene or test.groups) and any(_is(test, change) for change in tested)
