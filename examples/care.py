"""Hospitals, laboratory, biobank, clinicians and the participation network that all patients share."""

from datetime import date, timedelta
from random import Random

from examples.codes import ACT_CODE, BASE, SNOMED, US_CORE, Resource, coding, concept, reference, resource
from examples.people import Person
from examples.tumours import Tumour

NPI = "https://participation.example/clinician"

HOSPITALS = (
    ("hospital-lakeshore", "Lakeshore University Hospital (synthetic)", "Chicago", "IL"),
    ("hospital-bayou", "Bayou Cancer Institute (synthetic)", "Houston", "TX"),
    ("hospital-cedar-valley", "Cedar Valley Community Oncology (synthetic)", "Billings", "MT"),
    ("hospital-sunrise-children", "Sunrise Children's Hospital (synthetic)", "Atlanta", "GA"),
)
OTHERS = (
    ("laboratory", "Example Molecular Pathology Laboratory (synthetic)", "Bethesda", "MD"),
    ("biobank", "Example Moonshot Biobank (synthetic)", "Bethesda", "MD"),
    ("network", "Participation Network (synthetic)", "Bethesda", "MD"),
)
CHILDRENS = 3

# One oncologist for each hospital in the order of HOSPITALS; then pathologist and research nurse.
CLINICIANS = (
    ("oncologist-lakeshore", "Okonkwo", "Ngozi", "394593009", "Medical oncology"),
    ("oncologist-bayou", "Delgado", "Inés", "394593009", "Medical oncology"),
    ("oncologist-cedar-valley", "Lindqvist", "Per", "394593009", "Medical oncology"),
    ("oncologist-sunrise", "Rao", "Meera", "394593009", "Medical oncology"),
    ("pathologist", "Moreau", "Camille", "394915009", "General pathology"),
)

ORGANIZATION_TYPE = "http://terminology.hl7.org/CodeSystem/organization-type"
NETWORK_STUDY = "participation-network"


def shared() -> list[Resource]:
    """What every patient's bundle refers to: organizations, practitioners and their roles, the network's registry."""
    organizations = [_organization(*each, "prov") for each in HOSPITALS]
    organizations += [_organization(*each, "other") for each in OTHERS]
    by_id = {each["id"]: each for each in organizations}
    people: list[Resource] = []
    for position, (key, family, given, code, words) in enumerate(CLINICIANS):
        place = HOSPITALS[position][0] if position < len(HOSPITALS) else "laboratory"
        practitioner = resource(
            "Practitioner",
            key,
            f"{US_CORE}/us-core-practitioner",
            identifier=[{"system": NPI, "value": f"SYN-{position + 1:04d}"}],
            active=True,
            name=[{"family": family, "given": [given], "prefix": ["Dr."]}],
        )
        role = resource(
            "PractitionerRole",
            f"{key}-role",
            f"{US_CORE}/us-core-practitionerrole",
            active=True,
            practitioner=reference(practitioner, f"Dr. {given} {family}"),
            organization=reference(by_id[place]),
            specialty=[concept(SNOMED, code, words)],
            telecom=[{"system": "email", "value": f"{key}@participation.example"}],
        )
        people += [practitioner, role]
    return [*organizations, *people, _network_study(by_id["network"])]


def _organization(key: str, name: str, city: str, state: str, kind: str) -> Resource:
    return resource(
        "Organization",
        key,
        f"{US_CORE}/us-core-organization",
        identifier=[{"system": f"{BASE}/organization", "value": key}],
        active=True,
        type=[concept(ORGANIZATION_TYPE, kind)],
        name=name,
        telecom=[{"system": "email", "value": f"{key}@participation.example"}],
        address=[{"city": city, "state": state, "country": "US"}],
    )


def _network_study(network: Resource) -> Resource:
    return resource(
        "ResearchStudy",
        NETWORK_STUDY,
        identifier=[{"system": "https://participation.example/trial", "value": "NETWORK-REGISTRY"}],
        title="Participation network: registry of people willing to be asked about trials (synthetic)",
        # It has no criteria of its own: an active study without any would be reported as one to mend.
        status="closed-to-accrual",
        sponsor=reference(network),
        description="Pre-registration: members may be contacted when a trial fits. Intake is complete.",
    )


def pre_registration(patient: Resource, signed: date, consent: Resource) -> Resource:
    """The network membership of a participant who asked to hear of trials."""
    return resource(
        "ResearchSubject",
        f"{patient['id']}-network",
        identifier=[{"system": f"{BASE}/network-member", "value": f"NM-{patient['id']}"}],
        status="on-study",
        period={"start": signed.isoformat()},
        study={"reference": f"ResearchStudy/{NETWORK_STUDY}"},
        individual=reference(patient),
        consent=reference(consent),
    )


def hospital_of(random: Random, person: Person, age: int) -> int:
    """The index in HOSPITALS of a patient's hospital: children go to the children's hospital."""
    return CHILDRENS if age < 18 else random.randrange(CHILDRENS)


def oncologist(hospital: int) -> Resource:
    """A Reference to the oncologist of a hospital."""
    key, family, given, *_ = CLINICIANS[hospital]
    return {"reference": f"Practitioner/{key}", "display": f"Dr. {given} {family}"}


def organization(key: str) -> Resource:
    """A Reference to one of the shared organizations."""
    return {"reference": f"Organization/{key}"}


def encounter(key: str, patient: Resource, hospital: int, day: date, reason: Resource) -> Resource:
    """A finished outpatient visit."""
    return resource(
        "Encounter",
        key,
        f"{US_CORE}/us-core-encounter",
        status="finished",
        **{"class": coding(ACT_CODE, "AMB", "ambulatory")},
        type=[concept(SNOMED, "185349003", "Encounter for check up")],
        subject=reference(patient),
        participant=[{"individual": oncologist(hospital)}],
        period={"start": day.isoformat(), "end": day.isoformat()},
        reasonReference=[reference(reason)],
        serviceProvider=organization(HOSPITALS[hospital][0]),
    )


def care_team(person: Person, hospital: int, since: date) -> Resource:
    """The treating team: patient, guardian if there is one, oncologist, hospital."""
    patient = person.patient
    members = [{"member": reference(patient)}]
    if person.guardian:
        members.append({"member": reference(person.guardian)})
    members.append({"member": oncologist(hospital), "onBehalfOf": organization(HOSPITALS[hospital][0])})
    return resource(
        "CareTeam",
        f"{patient['id']}-team",
        f"{US_CORE}/us-core-careteam",
        status="active",
        name="Oncology team",
        subject=reference(patient),
        period={"start": since.isoformat()},
        participant=[{"role": [{"text": role}]} | member for role, member in zip(_roles(person), members, strict=True)],
        managingOrganization=[organization(HOSPITALS[hospital][0])],
    )


def _roles(person: Person) -> list[str]:
    return ["Patient", *(["Guardian"] if person.guardian else []), "Oncologist"]


def procedures(
    random: Random, key: str, patient: Resource, tumour: Tumour, condition: Resource, diagnosed: date
) -> list[Resource]:
    """The biopsy that made the diagnosis, and for some tumours an operation afterwards."""
    site = concept(SNOMED, *tumour.site)
    biopsy = resource(
        "Procedure",
        f"{key}-biopsy",
        f"{US_CORE}/us-core-procedure",
        status="completed",
        code=concept(SNOMED, "86273004", "Biopsy"),
        subject=reference(patient),
        performedDateTime=diagnosed.isoformat(),
        reasonReference=[reference(condition)],
        bodySite=[site],
    )
    if not tumour.stages or random.random() < 0.5:
        return [biopsy]
    operated = diagnosed + timedelta(days=random.randint(14, 60))
    operation = resource(
        "Procedure",
        f"{key}-surgery",
        f"{US_CORE}/us-core-procedure",
        status="completed",
        code=concept(SNOMED, "387713003", "Surgical procedure") | {"text": "Resection of the primary tumour"},
        subject=reference(patient),
        performedDateTime=operated.isoformat(),
        reasonReference=[reference(condition)],
        bodySite=[site],
    )
    return [biopsy, operation]
