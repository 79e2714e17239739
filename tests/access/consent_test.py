"""The consent engine: worked cases of what a patient's Consents permit. https://hl7.org/fhir/R4/consent.html

The numbers are those of the cases in docs/consent.md.
"""

from typing import Any

import pytest

from fhir_server.access.consent import Request
from tests.access.statements_world import (
    D1,
    D2,
    D3,
    D4,
    D5,
    NOW,
    O1,
    O2,
    O3,
    PATIENT,
    UNKNOWN_MODIFIER,
    Resource,
    action,
    actor,
    asks,
    at,
    confidentiality,
    decided,
    deny,
    gdis,
    kind,
    label,
    permit,
    privacy,
    research,
)  # fmt: skip

OTHER = "https://example.org/other"
BROAD = research(permit("HRESCH"))
SECOND = research(permit("HRESCH"), "second", policy=OTHER)
STUDY_S = {
    "url": "http://hl7.org/fhir/StructureDefinition/consent-ResearchStudyContext",
    "valueReference": {"reference": "ResearchStudy/s"},
}
FOR_S = {"extension": [STUDY_S]}
GERMLINE = deny(securityLabel=[label("germline-genomic")])
GUARDIAN = research(permit("HRESCH"), performer=[{"reference": "RelatedPerson/mother"}], dateTime="2020-01-01")
BORN = {**PATIENT, "birthDate": "2008-05-01"}
BTG = privacy(deny("TREAT", nested=[permit("BTG")]))
OPTIN = {"policyRule": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "OPTIN"}]}}
OPTOUT = {"policyRule": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "OPTOUT"}]}}

CASES: list[tuple[str, list[Resource], Resource, Request, bool]] = [
    ("1 nobody said anything", [], D3, asks(), False),
    ("2 care is permitted by policy", [], D3, asks("TREAT"), True),
    ("2 unless the policy is another", [], D3, asks("TREAT", treatment=False), False),
    ("3 a narrower purpose", [BROAD], D3, asks("CLINTRCH"), True),
    ("4 a broader purpose than permitted", [research(permit("DSRCH"))], D3, asks(), False),
    ("5a germline data excepted", [research(permit("HRESCH", nested=[GERMLINE]))], D2, asks(), False),
    ("5b somatic data not", [research(permit("HRESCH", nested=[GERMLINE]))], D1, asks(), True),
    ("6a a frame of denial around a permit", [research(deny(nested=[permit("HRESCH", class_=[kind("Specimen")])]))],
     D4, asks(), True),
    ("6b for that alone", [research(deny(nested=[permit("HRESCH", class_=[kind("Specimen")])]))], D3, asks(), False),
    ("6c is no vote against another permit",
     [research(deny(nested=[permit("HRESCH", class_=[kind("Specimen")])])), SECOND], D3, asks(), True),
    ("6d a plain denial is", [research(deny()), SECOND], D3, asks(), False),
    ("7a an exception from an exception",
     [research(permit(nested=[deny(securityLabel=[label("genomic")], nested=[permit(actor=[actor(O1)])])]))],
     D1, asks(), True),
    ("7b for one alone",
     [research(permit(nested=[deny(securityLabel=[label("genomic")], nested=[permit(actor=[actor(O1)])])]))],
     D1, asks(who=O2), False),
    ("8 among siblings a denial wins",
     [research(permit(nested=[deny(actor=[actor("Group/commercial")]), permit(class_=[kind("Observation")])]))],
     D1, asks(who=O2), False),
    ("9 a privacy denial binds research", [BROAD, privacy(deny(), dateTime="2024-01-01")], D3, asks(), False),
    ("9 a privacy permit does not open it", [privacy(permit("HRESCH"))], D3, asks(), False),
    ("10 newer supersedes older", [research(deny(), "old", dateTime="2024-01-01"), BROAD], D3, asks(), True),
    ("10 the other way too", [research(permit("HRESCH"), "old", dateTime="2024-01-01"), research(deny())],
     D3, asks(), False),
    ("10 of two at once the denial", [BROAD, research(deny(), "b")], D3, asks(), False),
    ("11 proposed", [research(permit("HRESCH"), status="proposed")], D3, asks(), False),
    ("12 revoked", [research(permit("HRESCH"), status="inactive")], D3, asks(), False),
    ("12 what was revoked does not bring back the older",
     [research(permit("HRESCH"), "old", dateTime="2024-01-01"), research(None, status="inactive")], D3, asks(), False),
    ("12 a draft revokes nothing", [BROAD, research(None, "new", dateTime="2025-02-01", status="draft")],
     D3, asks(), True),
    ("14a data before the period", [research(permit("HRESCH", dataPeriod={"start": "2024-01-01"}))], D4, asks(), False),
    ("14b data in it", [research(permit("HRESCH", dataPeriod={"start": "2024-01-01"}))], D3, asks(), True),
    ("14c data without a date", [research(permit("HRESCH", dataPeriod={"start": "2024-01-01"}))], D5, asks(), False),
    ("14 are in every denied period", [research(permit("HRESCH", nested=[deny(dataPeriod={"start": "2024"})]))],
     D5, asks(), False),
    ("15a an unknown modifier", [research(permit("HRESCH"), **UNKNOWN_MODIFIER)], D3, asks(), False),
    ("15 deep inside", [research(permit("HRESCH", nested=[permit(**UNKNOWN_MODIFIER)]))], D3, asks(), False),
    ("15b does not weaken a denial", [privacy(deny("TREAT", **UNKNOWN_MODIFIER))], D3, asks("TREAT"), False),
    ("16a a root without type", [research({"purpose": permit("HRESCH")["purpose"]}, **OPTIN)], D3, asks(), False),
    ("16b its denials count", [research({"provision": [GERMLINE]}, **OPTIN), SECOND], D2, asks(), False),
    ("16c where they apply", [research({"provision": [GERMLINE]}, **OPTIN), SECOND], D1, asks(), True),
    ("16 opting out is a denial", [research({}, **OPTOUT), SECOND], D1, asks(), False),
    ("16 nobody who opted out is seen in everyday care", [privacy({"purpose": permit("ETREAT")["purpose"]}, **OPTOUT)],
     D3, asks("TREAT"), False),
    ("16 but in an emergency, where they named that", [privacy({"purpose": permit("ETREAT")["purpose"]}, **OPTOUT)],
     D3, asks("BTG"), True),
    ("a permit for one study", [research(permit("HRESCH", **FOR_S))], D3, asks(study="s"), True),
    ("is for no other", [research(permit("HRESCH", **FOR_S))], D3, asks(study="t"), False),
    ("nor for none", [research(permit("HRESCH", **FOR_S))], D3, asks(study=""), False),
    ("a denial of one study", [research(permit("HRESCH", nested=[deny(**FOR_S)]))], D3, asks(study="s"), False),
    ("is of no other", [research(permit("HRESCH", nested=[deny(**FOR_S)]))], D3, asks(study="t"), True),
    ("but of whose study is not known",
     [research(permit("HRESCH", nested=[deny(**FOR_S)]))], D3, asks(study=""), False),
    ("one of another study does not supersede it",
     [research(permit("HRESCH", **FOR_S), "old", dateTime="2024-01-01"),
      research(permit("HRESCH", extension=[{**STUDY_S, "valueReference": {"reference": "ResearchStudy/t"}}]))],
     D3, asks(study="s"), True),
    ("a permit whose study cannot be read", [research(permit("HRESCH", extension=[{"url": STUDY_S["url"]}]))],
     D3, asks(study="s"), False),
    ("a denial whose study cannot be read",
     [research(permit("HRESCH", nested=[deny(extension=[{"url": STUDY_S["url"]}])]))], D3, asks(study="s"), False),
    ("17a a member of a group", [research(permit("HRESCH", actor=[actor("Group/net")]))], D3, asks(), True),
    ("17b nobody else", [research(permit("HRESCH", actor=[actor("Group/net")]))], D3, asks(who=O3), False),
    ("17 a denial of one binds who is unknown", [research(permit("HRESCH", nested=[deny(actor=[actor(O2)])]))],
     D3, Request("HRESCH"), False),
    ("17 a custodian is no recipient", [research(permit("HRESCH", actor=[actor(O1, "CST")]))], D3, asks(), False),
    ("18a handing on is not among the actions",
     [research(permit("HRESCH", action=action("collect", "access")))], D3, asks(action="disclose"), False),
    ("18b access is", [research(permit("HRESCH", action=action("collect", "access")))], D3, asks(), True),
    ("20a breaking the glass", [BTG], D3, asks("BTG"), True),
    ("20b everyday care", [BTG], D3, asks("TREAT"), False),
    ("20d a privacy permit for research", [privacy(permit("HRESCH"))], D3, asks(), False),
    ("a study denied", [research(permit("HRESCH", nested=[deny(data=[{"meaning": "related", "reference": {
        "reference": "ResearchStudy/s"}}])]))], D3, asks(study="s"), False),
    ("and not the other", [research(permit("HRESCH", nested=[deny(data=[{"meaning": "related", "reference": {
        "reference": "ResearchStudy/s"}}])]))], D3, asks(study="t"), True),
    ("nor one that is not told", [research(permit("HRESCH", nested=[deny(data=[{"meaning": "related", "reference": {
        "reference": "ResearchStudy/s"}}])]))], D3, asks(), False),
    ("a study denied by its address", [research(permit("HRESCH", nested=[deny(data=[{"meaning": "related",
        "reference": {"reference": "https://here.example/fhir/ResearchStudy/s"}}])]))], D3, asks(study="s"), False),
    ("a recipient denied by an address and a version", [research(permit("HRESCH", nested=[deny(actor=[
        actor("https://here.example/fhir/Organization/o1/_history/2")])]))], D3, asks(), False),
    ("an address permits nobody", [research(permit("HRESCH", actor=[actor("https://x.example/fhir/Organization/o1")]))],
     D3, asks(), False),
    ("what refers to denied data by an address", [research(permit("HRESCH", nested=[deny(data=[{
        "meaning": "related", "reference": {"reference": "Encounter/e"}}])]))],
     {**D3, "encounter": {"reference": "https://here.example/fhir/Encounter/e"}}, asks(), False),
    ("one resource denied", [research(permit("HRESCH", nested=[deny(data=[{"meaning": "instance", "reference": {
        "reference": "Condition/d3"}}])]))], D3, asks(), False),
    ("only one permitted", [research(permit("HRESCH", data=[{"meaning": "instance", "reference": {
        "reference": "Condition/d3"}}]))], D4, asks(), False),
    ("HL7's label of genetic data", [research(permit("HRESCH", nested=[deny(securityLabel=[gdis("GDIS")])]))],
     D1, asks(), False),
    ("a raw sequence tells the germline", [research(permit("HRESCH", nested=[GERMLINE]))],
     {"resourceType": "MolecularSequence", "id": "m"}, asks(), False),
    ("a permit for the normal covers the normal", [research(permit("HRESCH", securityLabel=[confidentiality("N")]))],
     D3, asks(), True),
    ("and not what was marked as restricted", [research(permit("HRESCH", securityLabel=[confidentiality("N")]))],
     {**D3, "meta": {"security": [confidentiality("R")]}}, asks(), False),
    ("which a denial of the restricted meets", [research(permit("HRESCH", nested=[deny(securityLabel=[
        confidentiality("R")])]))], {**D3, "meta": {"security": [confidentiality("R")]}}, asks(), False),
    ("a sender cannot mark data as less", [research(permit("HRESCH", securityLabel=[confidentiality("L")]))],
     {**D3, "meta": {"security": [confidentiality("L")]}}, asks(), False),
    ("nor as another class", [research(permit("HRESCH", securityLabel=[label("clinical")]))],
     {**D2, "meta": {"security": [label("clinical")]}}, asks(), False),
    ("contact is a purpose of its own", [BROAD], PATIENT, asks("contact-trial-direct"), False),
    ("too deep to judge", [research(permit(nested=[permit(nested=[permit(nested=[permit(nested=[permit(nested=[
        permit()])])])])]))], D3, asks(), False),
    ("no date", [{key: value for key, value in BROAD.items() if key != "dateTime"}], D3, asks(), False),
    ("made tomorrow", [research(permit("HRESCH"), dateTime="2026-06-02")], D3, asks(), False),
    ("granted by nobody entitled", [research(permit("HRESCH"), performer=[{"reference": "Practitioner/x"}])],
     D3, asks(), False),
    ("nothing provided", [research(None)], D3, asks(), False),
]  # fmt: skip


@pytest.mark.parametrize(("consents", "resource", "request_", "permitted"), [case[1:] for case in CASES],
                         ids=[case[0] for case in CASES])  # fmt: skip
def test_a_case(consents: list[Resource], resource: Resource, request_: Request, permitted: bool) -> None:
    decision = decided(consents, resource, request_)
    assert decision.permit is permitted
    assert all(found.vote == ("permit" if permitted else "deny") for found in decision.by)


@pytest.mark.parametrize(("end", "permitted"), [("2026-05-31", False), ("2026-06-01", True)])
def test_13_a_period_ends_with_its_last_day(end: str, permitted: bool) -> None:
    consent = research(permit("HRESCH", period={"end": end}))
    assert decided([consent], D3, asks(), at("2026-06-01T23:59:00")).permit is permitted


@pytest.mark.parametrize(
    ("now", "permitted"),
    [("2026-06-01T00:00:00", False), ("2026-05-01T00:00:00", False), ("2026-04-30T23:59:59", True)],
)
def test_19_what_a_guardian_permitted_ends_at_adulthood(now: str, permitted: bool) -> None:
    assert decided([GUARDIAN], D3, asks(), at(now), BORN).permit is permitted
    refused = {**GUARDIAN, "provision": deny()}
    assert not decided([refused, SECOND], D3, asks(), at(now), BORN).permit, "what they denied stays"


def test_the_decision_names_the_provision() -> None:
    consent = research(permit("HRESCH", nested=[permit(class_=[kind("Patient")]), GERMLINE]))
    (found,) = decided([consent], D2, asks()).by
    assert found == ("Consent/c", "provision.provision[1]", "deny")
    (found,) = decided([consent], D1, asks()).by
    assert found == ("Consent/c", "provision", "permit")


def test_de_identified_use_is_an_obligation_of_the_permit() -> None:
    codes: dict[str, Any] = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentcategorycodes",
                                         "code": "rsdid"}]}  # fmt: skip
    decision = decided([{**BROAD, "category": [codes]}], D3, asks())
    assert (decision.permit, decision.deidentified) == (True, True)
    assert decided([BROAD], D3, asks()).deidentified is False
    assert decided([BROAD], D3, asks(), NOW).permit
