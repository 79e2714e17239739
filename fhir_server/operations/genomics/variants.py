"""$find-subject-variants and its kin: is there a variant of this patient in a region, or a given one?

https://hl7.org/fhir/uv/genomics-reporting/OperationDefinition-find-subject-variants.html
"""

from collections.abc import Callable

from fhir_server.access import Caller
from fhir_server.fhir.outcome import refuse
from fhir_server.genomics.assemblies import assembly_of, other
from fhir_server.genomics.variant import VARIANT, Interval
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.operations.genomics.asked import ranges, required, variants
from fhir_server.operations.genomics.found import (
    SUBJECT,
    Part,
    coded,
    derived_from,
    every,
    filters,
    of_patient,
    parameters,
    resource,
    some,
    subject,
    variants_named,
)
from fhir_server.operations.inputs import Inputs
from fhir_server.search.genomic import PHASE, SIMPLE, SUREST, WIDEST, covering, on, overlapping
from fhir_server.search.predicate import And, Not, Or, Param, Predicate
from fhir_server.server import Server
from fhir_server.store.seam import Stored

REGIONS = {**SUBJECT, "ranges": "string*", "includeVariants": "boolean"}
SIMPLE_TAKES = {**REGIONS, "includePhasing": "boolean"}
SPECIFIC = {**SUBJECT, "variants": "string*"}
REGION = "NC_000007.14:55174721-55174820"
Lies = Callable[[Interval], Predicate]


async def simple(server: Server, caller: Caller, ask: Ask, given: Inputs) -> Answer:
    """Simple variants in regions, and how they are phased. Raises FhirError 400, 403, 404, 410 or 422."""
    return await _regions(server, caller, given, SIMPLE, lambda at: overlapping(SIMPLE, at))


async def intersecting(server: Server, caller: Caller, ask: Ask, given: Inputs) -> Answer:
    """Structural variants that may have a base of a region. Raises FhirError 400, 403, 404, 410 or 422."""
    return await _regions(server, caller, given, WIDEST, lambda at: overlapping(WIDEST, at))


async def subsuming(server: Server, caller: Caller, ask: Ask, given: Inputs) -> Answer:
    """Structural variants that surely have all of a region. Raises FhirError 400, 403, 404, 410 or 422."""
    return await _regions(server, caller, given, SUREST, lambda at: covering(SUREST, at))


async def _regions(server: Server, caller: Caller, given: Inputs, param: Param, lies: Lies) -> Answer:
    asked = ranges(server, required(given, "ranges", REGION))
    whose = await _variants_of(server, caller, given)
    phased = given.get("includePhasing", False)
    told = []
    for one in asked:
        where = And((*whose, Or(tuple(map(lies, one.places)))))
        shown = await every(server, caller, where) if phased or given.get("includeVariants") else []
        there = bool(shown) or await some(server, caller, where)
        if not there and len(one.places) == 1:
            await _told_there(server, caller, whose, param, one.at.accession, one.text)
        relations = await _phases(server, caller, given, shown) if phased and shown else []
        parts = [resource("variant", row) for row in shown]
        parts += [resource("sequencePhaseRelationship", row) for row in relations]
        told.append(_item("rangeItem", one.text, there, parts))
    return parameters(told)


async def specific(server: Server, caller: Caller, ask: Ask, given: Inputs) -> Answer:
    """Given variants. Raises FhirError 400, 403, 404, 410 or 422."""
    asked = variants(server, required(given, "variants", "NC_000005.9:112102031:A:T"))
    whose = await _variants_of(server, caller, given)
    told = []
    for one in asked:
        shown = await every(server, caller, And((*whose, variants_named((one,)))))
        if not shown and one.allele is not None and not one.both:
            await _told_there(server, caller, whose, SIMPLE, one.allele.accession, one.text)
        told.append(_item("variantItem", one.text, bool(shown), [resource("variant", row) for row in shown]))
    return parameters(told)


def _item(name: str, text: str, there: bool, parts: list[Part]) -> Part:
    return {
        "name": "variants",
        "part": [{"name": name, "valueString": text}, {"name": "presence", "valueBoolean": there}, *parts],
    }


async def _variants_of(server: Server, caller: Caller, given: Inputs) -> tuple[Predicate, ...]:
    return (of_patient(await subject(server, caller, given)), coded(VARIANT), *filters(given))


async def _told_there(
    server: Server, caller: Caller, whose: tuple[Predicate, ...], param: Param, accession: str, text: str
) -> None:
    """Raise FhirError 422 where absence cannot be told: the patient has variants of this chromosome that are placed on
    the other assembly only, and positions are not converted between the two."""
    there = other(accession)
    if there and await some(server, caller, And((*whose, on(param, there), Not(on(param, accession))))):
        said = (
            f"{text[:60]} was not found, but variants of this chromosome are described on {assembly_of(there)} only, "
        )
        said += f"and positions cannot be converted here: ask on {there}."
        raise refuse(422, "not-supported", said)


async def _phases(server: Server, caller: Caller, given: Inputs, shown: list[Stored]) -> list[Stored]:
    """The phase relations between variants that are shown."""
    ids = {row.id for row in shown}
    whose = of_patient(await subject(server, caller, given))
    found = await every(server, caller, And((whose, coded(PHASE))))
    return [row for row in found if len(sources := set(derived_from(server, row))) > 1 and sources <= ids]
