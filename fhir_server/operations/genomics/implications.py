"""What variants, haplotypes and genotypes mean for a patient: for treatment, for diagnosis, for the molecule.

https://hl7.org/fhir/uv/genomics-reporting/OperationDefinition-find-subject-tx-implications.html
"""

from collections.abc import Collection
from functools import partial

from fhir_server.access import Caller
from fhir_server.fhir.outcome import refuse
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.operations.genomics.asked import listed, ranges, tokens, variants
from fhir_server.operations.genomics.found import (
    DERIVED,
    SUBJECT,
    Part,
    about,
    coded,
    derived_from,
    every,
    filters,
    kind,
    of_patient,
    parameters,
    resource,
    source_class,
    sources,
    subject,
    valued,
    variants_named,
)
from fhir_server.operations.inputs import Inputs
from fhir_server.search.genomic import (
    CONSEQUENCES,
    DIAGNOSTIC_IMPLICATION,
    GENOTYPE,
    HAPLOTYPE,
    SIMPLE,
    TREATMENT_IMPLICATION,
    overlapping,
)
from fhir_server.search.predicate import And, Chain, Or, Predicate
from fhir_server.server import Server

BASES = {"variants": "string*", "ranges": "string*"}
TREATMENT = {**SUBJECT, **BASES, "haplotypes": "string*", "treatments": "string*", "conditions": "string*"}
DIAGNOSIS = {**SUBJECT, **BASES, "conditions": "string*"}
CONSEQUENCE = {**SUBJECT, **BASES, "featureConsequences": "string*"}
# The lists that say what is implied, and the field of components each asks about.
IMPLIED = {"treatments": "treatment", "conditions": "condition", "featureConsequences": "consequence"}


async def _implied(
    codes: tuple[str, ...],
    name: str,
    kinds: Collection[str],
    server: Server,
    caller: Caller,
    ask: Ask,
    given: Inputs,
) -> Answer:
    """Implications, each followed by the observations (of `kinds`) that it is derived from, but for those before.

    Raises FhirError 400, 403, 404, 410 or 422."""
    id = await subject(server, caller, given)
    rows = await every(server, caller, And((of_patient(id), implying(server, codes, given), *_tested(given))))
    basis = {row.id: row for row in await sources(server, caller, rows)}
    told: list[Part] = []
    for row in rows:
        told.append(resource(name, row))
        for source in filter(None, (basis.pop(one, None) for one in derived_from(server, row))):
            if kind(source) in kinds:
                told.append(resource(kind(source), source))
    return parameters(told)


def implying(server: Server, codes: tuple[str, ...], given: Inputs) -> Predicate:
    """Implications of these codes that say what is asked, and are derived from what is asked. Raises FhirError 400."""
    parts: list[Predicate] = []  # what is selective first: a store may begin with it
    for name, field in IMPLIED.items():
        wanted = listed(given, name)
        if wanted:
            parts.append(Or(tuple(about(field, one) for one in tokens(wanted))))
    basis = (*_basis(server, given), *source_class(given))
    if basis:
        parts.append(Chain(DERIVED, "Observation", And(basis)))
    return And((*parts, coded(*codes)))


def _basis(server: Server, given: Inputs) -> tuple[Predicate, ...]:
    """What an implication must be derived from: variants, variants of regions, or haplotypes."""
    named = [name for name in ("variants", "ranges", "haplotypes") if listed(given, name)]
    if len(named) > 1:
        raise refuse(400, "invalid", f"Give {' or '.join(named)}, not both.", named[1])
    if named == ["variants"]:
        return (variants_named(variants(server, listed(given, "variants"))),)
    if named == ["ranges"]:
        asked = ranges(server, listed(given, "ranges"))
        return (Or(tuple(overlapping(SIMPLE, at) for one in asked for at in one.places)),)
    if named == ["haplotypes"]:
        wanted = Or(tuple(valued(one) for one in tokens(listed(given, "haplotypes"))))
        return (wanted, coded(GENOTYPE, HAPLOTYPE))
    return ()


def _tested(given: Inputs) -> tuple[Predicate, ...]:
    """What is asked of test, date and specimen: of the implication, or of what it is derived from."""
    asked = filters({name: value for name, value in given.items() if name != "genomicSourceClass"})
    return (Or((And(asked), Chain(DERIVED, "Observation", And(asked)))),) if asked else ()


treatment = partial(_implied, (TREATMENT_IMPLICATION,), "implication", ("variant", "haplotype", "genotype"))
diagnosis = partial(_implied, (DIAGNOSTIC_IMPLICATION,), "implication", ("variant",))
consequence = partial(_implied, CONSEQUENCES, "consequence", ("variant",))
