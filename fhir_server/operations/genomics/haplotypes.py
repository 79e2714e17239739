"""$find-subject-haplotypes and $find-subject-specific-haplotypes. https://hl7.org/fhir/uv/genomics-reporting/OperationDefinition-find-subject-haplotypes.html"""

from collections.abc import Iterable

from fhir_server.access import Caller
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.operations.genomics.asked import required, token
from fhir_server.operations.genomics.found import (
    SUBJECT,
    Part,
    about,
    coded,
    every,
    filters,
    kind,
    of_patient,
    parameters,
    resource,
    subject,
    valued,
)
from fhir_server.operations.inputs import Inputs
from fhir_server.search.genomic import GENOTYPE, HAPLOTYPE
from fhir_server.search.predicate import And, Predicate
from fhir_server.server import Server
from fhir_server.store.seam import Stored

OF_GENES = {**SUBJECT, "genes": "string*"}
SPECIFIC = {**SUBJECT, "haplotypes": "string*"}


async def of_genes(server: Server, caller: Caller, ask: Ask, given: Inputs) -> Answer:
    """The haplotypes and genotypes of genes. Raises FhirError 400, 403, 404, 410 or 422."""
    genes = required(given, "genes", "http://www.genenames.org|HGNC:2625")
    whose = await _of(server, caller, given)
    told = []
    for one in map(token, genes):
        rows = await every(server, caller, And((*whose, about("gene", one))))
        told.append({"name": "haplotypes", "part": [{"name": "geneItem", "valueString": one.text}, *shown(rows)]})
    return parameters(told)


async def specific(server: Server, caller: Caller, ask: Ask, given: Inputs) -> Answer:
    """Whether given haplotypes or genotypes are there. Raises FhirError 400, 403, 404, 410 or 422."""
    wanted = required(given, "haplotypes", "CYP2C19 *1/*17")
    whose = await _of(server, caller, given)
    told = []
    for one in map(token, wanted):
        rows = await every(server, caller, And((*whose, valued(one))))
        parts: list[Part] = [{"name": "haplotypeItem", "valueString": one.text}]
        parts += [{"name": "presence", "valueBoolean": bool(rows)}, *shown(rows)]
        told.append({"name": "haplotypes", "part": parts})
    return parameters(told)


async def _of(server: Server, caller: Caller, given: Inputs) -> tuple[Predicate, ...]:
    return (of_patient(await subject(server, caller, given)), coded(GENOTYPE, HAPLOTYPE), *filters(given))


def shown(rows: Iterable[Stored]) -> list[Part]:
    """Haplotypes, then genotypes."""
    parts = [resource(kind(row), row) for row in rows]
    return sorted(parts, key=lambda part: part["name"] != "haplotype")
