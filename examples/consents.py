"""What participants decided about research with their data: eleven kinds of decision. https://hl7.org/fhir/R4/consent.html"""

from datetime import date, timedelta
from random import Random

from examples.care import organization
from examples.codes import ACT_CODE, ACT_REASON, BASE, LOINC, Resource, coding, concept, reference, resource
from examples.people import Person

SCOPE = "http://terminology.hl7.org/CodeSystem/consentscope"
CATEGORY = "http://terminology.hl7.org/CodeSystem/consentcategorycodes"
DATA_CLASS = f"{BASE}/CodeSystem/data-class"

RESEARCH_POLICY = "https://participation.example/policy/research-participation/1"
PRIVACY_POLICY = "https://participation.example/policy/privacy/1"

HRESCH = coding(ACT_REASON, "HRESCH", "healthcare research")
CLINTRCH = coding(ACT_REASON, "CLINTRCH", "clinical trial research")
DSRCH = coding(ACT_REASON, "DSRCH", "disease specific healthcare research")

# Kind of decision and how many in a hundred make it. The first three let the matcher look for trials, the third only
# where it can leave germline findings aside.
KINDS = {
    "all-research": 32,
    "trials": 28,
    "no-germline": 5,
    "disease-only": 6,
    "no-genomics": 3,
    "denied": 6,
    "revoked": 5,
    "expired": 4,
    "proposed": 4,
    "privacy-deny": 2,
    "none": 5,
}
TRIALS_PERMITTED = ("all-research", "trials", "no-germline")


def draw(random: Random) -> str:
    """One kind of decision, by the weights of KINDS."""
    return random.choices([*KINDS], [*KINDS.values()])[0]


def consents(random: Random, key: str, kind: str, person: Person, as_of: date) -> list[Resource]:
    """The Consents of a person who decided as `kind` says: none, one, or two that contradict each other."""
    signed = (person.died or as_of) - timedelta(days=random.randint(40, 500))
    if kind == "none":
        return []
    research = _consent(f"{key}-consent", person, "research", RESEARCH_POLICY, signed, _provision(kind, signed, as_of))
    if kind == "revoked":
        research["status"] = "inactive"
    if kind == "proposed":
        research["status"] = "proposed"
        del research["verification"]
    if kind != "privacy-deny":
        return [research]
    refusal = {"type": "deny", "purpose": [HRESCH]}
    privacy = _consent(f"{key}-privacy", person, "patient-privacy", PRIVACY_POLICY, signed, refusal)
    return [research, privacy]


def _provision(kind: str, signed: date, as_of: date) -> Resource:
    if kind == "denied":
        return {"type": "deny"}
    period = {"start": signed.isoformat()}
    if kind == "expired":
        period["end"] = (as_of - timedelta(days=20)).isoformat()
    purposes = {"trials": [CLINTRCH], "disease-only": [DSRCH]}.get(kind, [HRESCH])
    permit: Resource = {"type": "permit", "period": period, "purpose": purposes}
    germline = coding(DATA_CLASS, "germline-genomic", "Germline genomic data")
    if kind == "no-germline":
        permit["provision"] = [{"type": "deny", "securityLabel": [germline]}]
    if kind == "no-genomics":
        somatic = coding(DATA_CLASS, "somatic-genomic", "Somatic genomic data")
        sensitive = coding(ACT_CODE, "GDIS", "genetic disease information sensitivity")
        permit["provision"] = [{"type": "deny", "securityLabel": [germline, somatic, sensitive]}]
    return permit


def _consent(key: str, person: Person, scope: str, policy: str, signed: date, provision: Resource) -> Resource:
    grantor = reference(person.guardian or person.patient)
    category = concept(CATEGORY, "research") if scope == "research" else concept(LOINC, "57016-8")
    return resource(
        "Consent",
        key,
        status="active",
        scope=concept(SCOPE, scope),
        category=[category],
        patient=reference(person.patient),
        dateTime=f"{signed.isoformat()}T10:00:00Z",
        performer=[grantor],
        organization=[organization("network")],
        policy=[{"uri": policy}],
        verification=[{"verified": True, "verifiedWith": grantor, "verificationDate": signed.isoformat()}],
        provision=provision,
    )
