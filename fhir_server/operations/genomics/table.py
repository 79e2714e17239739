"""The literal list of the genomics operations: name, what performs it, what it takes. https://hl7.org/fhir/uv/genomics-reporting/operations.html

Their names are the ids of the guide's OperationDefinitions: the code of every one of them there is `match`.
"""

from collections.abc import Awaitable, Callable, Mapping

from fhir_server.access import Caller
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.operations.genomics import haplotypes, implications, population, study, variants
from fhir_server.operations.inputs import Inputs
from fhir_server.server import Server

Perform = Callable[[Server, Caller, Ask, Inputs], Awaitable[Answer]]

FINDING: tuple[tuple[str, Perform, Mapping[str, str]], ...] = (
    ("find-subject-variants", variants.simple, variants.SIMPLE_TAKES),
    ("find-subject-specific-variants", variants.specific, variants.SPECIFIC),
    ("find-subject-structural-intersecting-variants", variants.intersecting, variants.REGIONS),
    ("find-subject-structural-subsuming-variants", variants.subsuming, variants.REGIONS),
    ("find-subject-haplotypes", haplotypes.of_genes, haplotypes.OF_GENES),
    ("find-subject-specific-haplotypes", haplotypes.specific, haplotypes.SPECIFIC),
    ("find-subject-tx-implications", implications.treatment, implications.TREATMENT),
    ("find-subject-dx-implications", implications.diagnosis, implications.DIAGNOSIS),
    ("find-subject-molecular-consequences", implications.consequence, implications.CONSEQUENCE),
    ("find-population-specific-variants", population.specific_variants, population.OF_VARIANTS),
    ("find-population-structural-intersecting-variants", population.intersecting, population.OF_REGIONS),
    ("find-population-structural-subsuming-variants", population.subsuming, population.OF_REGIONS),
    ("find-population-specific-haplotypes", population.specific_haplotypes, population.OF_HAPLOTYPES),
    ("find-population-tx-implications", population.treatment, population.TREATMENT),
    ("find-population-dx-implications", population.diagnosis, population.DIAGNOSIS),
    ("find-population-molecular-consequences", population.consequence, population.CONSEQUENCE),
    ("find-study-metadata", study.metadata, study.TAKES),
)
