"""Whose data a resource is: which resources of a type belong to the patients that a predicate picks.

Membership is exactly that of R4's Patient compartment, https://hl7.org/fhir/R4/compartmentdefinition-patient.html, with
the differences that BESIDE and SHARED state. A type that is in none of them belongs to nobody: only callers without any
restriction see it.
"""

from collections.abc import Callable, Mapping

from fhir_server.fhir.definitions import Definitions
from fhir_server.search.context import stand_ins
from fhir_server.search.index import param_of
from fhir_server.search.predicate import EVERYTHING, NOTHING, Chain, Is, Not, Or, Param, Predicate

# A condition on the patients themselves, as a function of what a resource refers to them by.
Patients = Callable[[Param], Predicate]

# Types that R4 leaves out of the compartment although each is about one patient.
BESIDE: Mapping[str, tuple[str, ...]] = {
    "Contract": ("patient",),
    "GuidanceResponse": ("patient",),
    "Task": ("patient",),
}
# Types that hold no patient's data, visible to whoever has a scope for them.
SHARED = frozenset(
    """ActivityDefinition CapabilityStatement ChargeItemDefinition CodeSystem CompartmentDefinition ConceptMap
    DeviceDefinition EffectEvidenceSynthesis Endpoint EventDefinition Evidence EvidenceVariable ExampleScenario
    GraphDefinition HealthcareService ImplementationGuide InsurancePlan Library Location Measure Medication
    MedicationKnowledge MedicinalProduct MedicinalProductAuthorization MedicinalProductContraindication
    MedicinalProductIndication MedicinalProductIngredient MedicinalProductInteraction MedicinalProductManufactured
    MedicinalProductPackaged MedicinalProductPharmaceutical MedicinalProductUndesirableEffect MessageDefinition
    NamingSystem ObservationDefinition OperationDefinition Organization OrganizationAffiliation PlanDefinition
    Practitioner PractitionerRole Questionnaire ResearchDefinition ResearchElementDefinition ResearchStudy
    RiskEvidenceSynthesis SearchParameter Slot SpecimenDefinition StructureDefinition StructureMap Substance
    SubstanceNucleicAcid SubstancePolymer SubstanceProtein SubstanceReferenceInformation SubstanceSourceMaterial
    SubstanceSpecification TerminologyCapabilities ValueSet""".split()  # noqa: SIM905  # sixty words in twelve lines
)


def belonging(definitions: Definitions, type: str, themselves: Predicate, of: Patients) -> Predicate:
    """Which resources of `type` belong to certain patients: `themselves` picks them among Patients, `of` a resource by
    one of its references to a Patient."""
    if type in SHARED:
        return EVERYTHING
    if type == "Group":  # its members are other people; one that only describes whom a trial looks for has none
        return Is(param_of("actual", "token"), (("system", "=", ""), ("code", "=", "false")))
    if type == "Device":  # an implant is its patient's, a sequencer or a program nobody's
        (patient,) = references(definitions, type, "patient")
        return Or((of(patient), Not(Is(patient))))
    codes = BESIDE.get(type, definitions.compartments["Patient"].get(type, ()))
    links = [of(param) for code in codes if code != "_id" for param in references(definitions, type, code)]
    found = dict.fromkeys([themselves, *links] if type == "Patient" else links)
    return Or(tuple(found)) if found else NOTHING


def references(definitions: Definitions, type: str, code: str) -> tuple[Param, ...]:
    """The parameters under which the index holds what `code` says of a Patient."""
    params, restricted = stand_ins(definitions, definitions.search[type][code])
    return tuple(param_of(param.code, "reference") for param in params) if restricted in ("", "Patient") else ()


def of_one(id: str) -> Patients:
    """Resources that refer to one patient."""
    return lambda param: Is(param, (("type", "=", "Patient"), ("id", "=", id)))


def of_those(where: Predicate) -> Patients:
    """Resources that refer to a patient whom `where` picks."""
    return lambda param: where if where in (EVERYTHING, NOTHING) else Chain(param, "Patient", where)
