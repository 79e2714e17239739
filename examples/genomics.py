"""A genomic report with its variants, pertinent negatives, regions studied, TMB and MSI. https://hl7.org/fhir/uv/genomics-reporting/"""

from datetime import date
from decimal import Decimal
from random import Random

from examples.care import organization
from examples.codes import (
    DIAGNOSTIC_SECTION,
    GENOMICS_REPORTING,
    HGNC,
    HGVS,
    LOINC,
    OBSERVATION_CATEGORY,
    SEQUENCE_ONTOLOGY,
    UCUM,
    Resource,
    concept,
    reference,
    resource,
)
from examples.tumours import PROSTATE, SOLID, Tumour
from examples.variants import GENES, PANELS, VARIANTS, Variant, label

PRESENT = concept(LOINC, "LA9633-4", "Present")
ABSENT = concept(LOINC, "LA9634-2", "Absent")
SEQUENCING = concept(LOINC, "LA26398-0", "Sequencing")
LABORATORY = concept(OBSERVATION_CATEGORY, "laboratory", "Laboratory")
GENETICS = concept(DIAGNOSTIC_SECTION, "GE", "Genetics")
HOTSPOTS = "Hotspot panel, 8 genes"


def genomic_report(
    random: Random, key: str, patient: Resource, tumour: Tumour, specimen: Resource, day: date, textbook: bool
) -> list[Resource]:
    """The DiagnosticReport and its Observations, report last; empty for the tenth of patients never sequenced.

    A textbook case has the tumour's hallmark variants and the full panel; a few others have a preliminary report.
    """
    if not textbook and random.random() < 0.1:
        return []
    small = tumour.panel == SOLID and not textbook and random.random() < 0.2
    panel = HOTSPOTS if small else tumour.panel
    found = [*tumour.hallmark] if textbook else _draw(random, tumour)
    found = [name for name in found if set(VARIANTS[name].genes) & set(PANELS[panel])]
    maker = _Observations(key, patient, specimen, day, "final" if textbook or random.random() < 0.94 else "preliminary")
    for name in found:
        maker.variant(random, name)
    for gene in _pertinent_negatives(tumour, found, panel):
        maker.absent(gene)
    maker.regions(panel)
    if panel in (SOLID, PROSTATE):
        unstable = tumour.msi_high >= 0.1 if textbook else random.random() < tumour.msi_high
        maker.msi(unstable)
        maker.mutation_burden(random, tumour, unstable)
    report = resource(
        "DiagnosticReport",
        f"{key}-genomic-report",
        f"{GENOMICS_REPORTING}/genomic-report",
        status=maker.status,
        category=[GENETICS],
        code=concept(LOINC, "51969-4", "Genetic analysis report"),
        subject=reference(patient),
        effectiveDateTime=day.isoformat(),
        issued=f"{day.isoformat()}T16:00:00Z",
        performer=[organization("laboratory")],
        specimen=[reference(specimen)],
        result=[reference(each) for each in maker.made],
        conclusion=_conclusion(found),
    )
    return [*maker.made, report]


def _draw(random: Random, tumour: Tumour) -> list[str]:
    """Which of a tumour's findings this patient has: at most one small variant of a gene."""
    found: list[str] = []
    genes: set[str] = set()
    for name, chance in tumour.findings:
        variant = VARIANTS[name]
        if random.random() < chance and not (variant.protein and genes & set(variant.genes) and name != "EGFR T790M"):
            found.append(name)
            genes |= set(variant.genes)
    if "EGFR T790M" in found and not {"EGFR L858R", "EGFR ex19del"} & set(found):
        found.remove("EGFR T790M")  # a resistance variant: it comes with a sensitising one
    return found


def _pertinent_negatives(tumour: Tumour, found: list[str], panel: str) -> list[str]:
    """Up to three genes that this tumour is always asked about, that the panel covers and that were found unchanged."""
    changed = {gene for name in found for gene in VARIANTS[name].genes}
    asked = dict.fromkeys(gene for name, _ in tumour.findings for gene in VARIANTS[name].genes)
    return [gene for gene in asked if gene in PANELS[panel] and gene not in changed][:3]


def _conclusion(found: list[str]) -> str:
    return f"Found: {', '.join(label(name) for name in found)}." if found else "No reportable variant found."


def _gene(symbol: str) -> Resource:
    """The CodeableConcept of a gene."""
    return concept(HGNC, f"HGNC:{GENES[symbol]}", symbol)


def _component(code: str, words: str, **value: object) -> Resource:
    return {"code": concept(LOINC, code, words)} | value


class _Observations:
    """The Observations of one report, in the order in which they were made."""

    def __init__(self, key: str, patient: Resource, specimen: Resource, day: date, status: str) -> None:
        self.key, self.patient, self.specimen, self.day, self.status = key, patient, specimen, day, status
        self.made: list[Resource] = []

    def _add(self, name: str, profile: str, code: Resource, **elements: object) -> None:
        observation = resource(
            "Observation",
            f"{self.key}-{name}",
            f"{GENOMICS_REPORTING}/{profile}",
            status=self.status,
            category=[LABORATORY, GENETICS],
            code=code,
            subject=reference(self.patient),
            effectiveDateTime=self.day.isoformat(),
            performer=[organization("laboratory")],
            specimen=reference(self.specimen),
            **elements,
        )
        self.made.append(observation)

    def _variant(self, value: Resource, components: list[Resource]) -> None:
        number = sum(each["code"]["coding"][0]["code"] == "69548-6" for each in self.made) + 1
        code = concept(LOINC, "69548-6", "Genetic variant assessment")
        elements = {"valueCodeableConcept": value, "method": SEQUENCING, "component": components}
        self._add(f"variant-{number}", "variant", code, **elements)

    def variant(self, random: Random, name: str) -> None:
        """A variant that was found."""
        variant = VARIANTS[name]
        components = [_component("48018-6", "Gene studied", valueCodeableConcept=_gene(each)) for each in variant.genes]
        components += _names(variant, name)
        source = ("LA6683-2", "Germline") if variant.germline else ("LA6684-0", "Somatic")
        components.append(_component("48002-0", "Genomic source class", valueCodeableConcept=concept(LOINC, *source)))
        if variant.copies is None and len(variant.genes) == 1 and variant.coding:
            low, high = (45, 55) if variant.germline else (5, 48)
            fraction = Decimal(random.randint(low, high)) / 100
            components.append(_component("81258-6", "Sample VAF", valueQuantity=_ratio(fraction)))
        if variant.germline:
            state = concept(LOINC, "LA6706-1", "Heterozygous")
            components.append(_component("53034-5", "Allelic state", valueCodeableConcept=state))
        self._variant(PRESENT, components)

    def absent(self, gene: str) -> None:
        """A gene in which nothing was found."""
        self._variant(ABSENT, [_component("48018-6", "Gene studied", valueCodeableConcept=_gene(gene))])

    def regions(self, panel: str) -> None:
        """The genes that were looked at in full."""
        genes = [_component("48018-6", "Gene studied", valueCodeableConcept=_gene(each)) for each in PANELS[panel]]
        described = _component("81293-3", "Description of ranges of DNA sequences examined", valueString=panel)
        code = concept(LOINC, "53041-0", "DNA region of interest panel")
        self._add("regions", "region-studied", code, component=[*genes, described])

    def msi(self, unstable: bool) -> None:
        """Microsatellite instability: high or stable."""
        value = concept(LOINC, "LA26203-2", "MSI-H") if unstable else concept(LOINC, "LA14122-8", "Stable")
        self._add("msi", "molecular-biomarker", concept(LOINC, "81695-9", "Microsatellite instability"),
                  valueCodeableConcept=value)  # fmt: skip

    def mutation_burden(self, random: Random, tumour: Tumour, unstable: bool) -> None:
        """Mutations per megabase; unstable tumours have many."""
        low, high = (18.0, 55.0) if unstable else tumour.mutation_burden
        # Skewed to the low end, as mutation burdens are.
        value = Decimal(round(10 * (low + (high - low) * random.random() ** 1.6))) / 10
        quantity = {"value": value, "unit": "mutations per megabase", "system": UCUM, "code": "1/1000000{Base}"}
        self._add("tmb", "molecular-biomarker", concept(LOINC, "94076-7", "Mutations/Megabase"), valueQuantity=quantity)


def _names(variant: Variant, name: str) -> list[Resource]:
    components = []
    for code, words, hgvs in (
        ("48004-6", "DNA change (c.HGVS)", variant.coding),
        ("48005-3", "Amino acid change (pHGVS)", variant.protein),
        ("81290-9", "Genomic DNA change (gHGVS)", variant.genomic),
    ):
        if hgvs:
            components.append(_component(code, words, valueCodeableConcept=concept(HGVS, hgvs, hgvs)))
    if variant.copies is not None:
        term = ("SO:0001742", "copy_number_gain") if variant.copies > 2 else ("SO:0001743", "copy_number_loss")
        change = concept(SEQUENCE_ONTOLOGY, *term)
        copies = {"value": variant.copies, "unit": "copies", "system": UCUM, "code": "1"}
        components.append(_component("48019-4", "DNA change type", valueCodeableConcept=change))
        components.append(_component("82155-3", "Genomic structural variant copy number", valueQuantity=copies))
    if not variant.coding:
        components.append(_component("81252-9", "Discrete genetic variant", valueCodeableConcept={"text": label(name)}))
    return components


def _ratio(fraction: Decimal) -> Resource:
    return {"value": fraction, "unit": "fraction", "system": UCUM, "code": "1"}
