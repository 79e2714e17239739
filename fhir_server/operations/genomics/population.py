"""How many patients have a variant, haplotype or implication: counts that name nobody. docs/operations/find.md

Who is counted is whom the caller may see, and whose observations they may see: consent is part of the search. No count
under LEAST is told, of those who have it or of those who have it not. https://hl7.org/fhir/uv/genomics-reporting/operations.html
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from fhir_server.access import READ, Caller, permitted, restrict, shown
from fhir_server.access.permit import SEARCH
from fhir_server.fhir import codec
from fhir_server.fhir.outcome import refuse
from fhir_server.fhir.references import parse
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.interactions.may import require
from fhir_server.matching.disclosure import LEAST
from fhir_server.operations.genomics.asked import groups, ranges, required, token, variant
from fhir_server.operations.genomics.found import (
    PATIENT,
    Part,
    coded,
    parameters,
    source_class,
    valued,
    variants_named,
)
from fhir_server.operations.genomics.implications import implying
from fhir_server.operations.genomics.variants import REGION
from fhir_server.operations.inputs import Inputs
from fhir_server.search.genomic import (
    CONSEQUENCES,
    DIAGNOSTIC_IMPLICATION,
    GENOTYPE,
    HAPLOTYPE,
    SUREST,
    TREATMENT_IMPLICATION,
    WIDEST,
    covering,
    overlapping,
)
from fhir_server.search.predicate import EVERYTHING, And, Has, Or, Predicate
from fhir_server.server import Server
from fhir_server.store.seam import Query

COHORT = {"genomicSourceClass": "string", "includePatientList": "boolean"}
OF_VARIANTS, OF_HAPLOTYPES = {**COHORT, "variants": "string*"}, {**COHORT, "haplotypes": "string*"}
OF_REGIONS = {**COHORT, "ranges": "string*"}
TREATMENT = {**OF_VARIANTS, "haplotypes": "string*", "treatments": "string*", "conditions": "string*"}
DIAGNOSIS = {**OF_VARIANTS, "haplotypes": "string*", "conditions": "string*"}
CONSEQUENCE = {**OF_VARIANTS, "featureConsequences": "string*"}
MOST = 20_000  # patients that are listed
Wheres = Sequence[Predicate]  # for each, a patient has an observation that matches


async def specific_variants(server: Server, caller: Caller, ask: Ask, given: Inputs) -> Answer:
    """Patients with each variant or, where the parameter is repeated, with all. Raises FhirError 400, 403 or 422."""
    required(given, "variants", "NC_000005.9:112102031:A:T")
    return await _items(
        server, caller, given, "variants", "variantItem", lambda text: (variants_named((variant(server, text),)), text)
    )


async def specific_haplotypes(server: Server, caller: Caller, ask: Ask, given: Inputs) -> Answer:
    """Patients with each haplotype or, where the parameter is repeated, with all. Raises FhirError 400, 403 or 422."""
    required(given, "haplotypes", "CYP2C19 *1/*17")

    def having(text: str) -> tuple[Predicate, str]:
        wanted = token(text)
        return And((valued(wanted), coded(GENOTYPE, HAPLOTYPE))), wanted.text

    return await _items(server, caller, given, "haplotypes", "haplotypeItem", having)


async def _items(
    server: Server,
    caller: Caller,
    given: Inputs,
    name: str,
    item: str,
    having: Callable[[str], tuple[Predicate, str]],
) -> Answer:
    """A count for each value or, of several repetitions, of those who have one of the values of each."""
    asked = [[having(text) for text in group] for group in groups(given, name)]
    if len(asked) == 1:
        items = [(text, [where]) for where, text in asked[0]]
    else:
        text = " AND ".join("|".join(text for _, text in group) for group in asked)
        items = [(text, [Or(tuple(where for where, _ in group)) for group in asked])]
    told = [
        {"name": name, "part": [{"name": item, "valueString": text}, *await _counted(server, caller, given, wheres)]}
        for text, wheres in items
    ]
    return parameters(told)


async def _regions(having: Callable[..., Predicate], server: Server, caller: Caller, ask: Ask, given: Inputs) -> Answer:
    """Patients with a structural variant in each region. Raises FhirError 400, 403 or 422."""
    told = []
    for one in ranges(server, required(given, "ranges", REGION)):
        where = Or(tuple(map(having, one.places)))
        parts = await _counted(server, caller, given, [where])
        told.append({"name": "variants", "part": [{"name": "rangeItem", "valueString": one.text}, *parts]})
    return parameters(told)


async def _implied(
    codes: tuple[str, ...], name: str, server: Server, caller: Caller, ask: Ask, given: Inputs
) -> Answer:
    """Patients with an implication. Raises FhirError 400, 403 or 422."""
    where = implying(server, codes, given)
    asked = {key: value for key, value in given.items() if key != "genomicSourceClass"}  # it is in `where`
    return parameters([{"name": name, "part": await _counted(server, caller, asked, [where])}])


intersecting = partial(_regions, partial(overlapping, WIDEST))
subsuming = partial(_regions, partial(covering, SUREST))
treatment = partial(_implied, (TREATMENT_IMPLICATION,), "implications")
diagnosis = partial(_implied, (DIAGNOSTIC_IMPLICATION,), "implications")
consequence = partial(_implied, CONSEQUENCES, "consequences")


async def _counted(server: Server, caller: Caller, given: Inputs, wheres: Wheres) -> list[Part]:
    """Numerator, denominator and, if they are asked for, the patients."""
    require(caller, "Patient", SEARCH)
    require(caller, "Observation", SEARCH)
    source = source_class(given)
    wheres = [And((where, *source)) for where in wheres]
    having = And(tuple(Has("Observation", PATIENT, where) for where in wheres))
    if caller.partly is None:
        found = await server.store.count(_patients(restrict(having, caller, ("Patient",))))
        everyone = await server.store.count(_patients(restrict(EVERYTHING, caller, ("Patient",))))
    else:
        found, everyone = await _in_part(server, caller, wheres)
    parts = [{"name": "numerator", "valueQuantity": numerator(found, everyone)}]
    if everyone >= LEAST:
        parts.append({"name": "denominator", "valueQuantity": {"value": everyone}})
    if given.get("includePatientList") and "comparator" not in parts[0]["valueQuantity"]:
        require(caller, "Patient", READ)
        parts += await _listed(server, caller, having)
    return parts


def numerator(found: int, everyone: int) -> dict[str, Any]:
    """The count as a Quantity. Where those who have it, or those who have it not, are too few, only that is told."""
    if found < LEAST:
        return {"value": LEAST, "comparator": "<"}
    if everyone - found < LEAST:
        return {"value": everyone - LEAST, "comparator": ">"}
    return {"value": found}


def _patients(where: Predicate, after: Any = None) -> Query:
    return Query(("Patient",), where, count=1000, after=after)


async def _listed(server: Server, caller: Caller, having: Predicate) -> list[Part]:
    """The ids of patients whom the caller may read, in order."""
    where = And((restrict(having, caller, ("Patient",)), permitted(caller, ("Patient",), READ)))
    ids: list[str] = []
    after = None
    while True:
        page = await server.store.search(_patients(where, after))
        ids += [row.id for row in page.rows]
        after = page.next
        if after is None:
            return [{"name": "subject", "valueString": id} for id in sorted(ids)]
        if len(ids) >= MOST:
            raise refuse(422, "too-costly", f"More than {MOST} patients: ask without includePatientList.")


async def _in_part(server: Server, caller: Caller, wheres: Wheres) -> tuple[int, int]:
    """The two counts for a caller who may have some records without identity: a search from patients to observations
    does not see those, so the observations are read."""
    people = {row.id async for row in server.store.scan(Query(("Patient",), shown(EVERYTHING, caller, ("Patient",))))}
    having = set(people)
    for where in wheres:
        found: set[str] = set()
        async for row in server.store.scan(Query(("Observation",), shown(where, caller, ("Observation",)))):
            reference = codec.decode(row.body).get("subject", {}).get("reference", "")
            target = parse(reference, server.settings.base)
            if target.local and target.type == "Patient":
                found.add(target.id)
        having &= found
    return len(having), len(people)
