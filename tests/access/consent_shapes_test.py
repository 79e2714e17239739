"""Consents as others write them: HL7's examples, IHE's Privacy Consent on FHIR, forms of German university hospitals.

What can be judged decides as its authors say; what cannot is kept and permits nothing.
https://profiles.ihe.net/ITI/PCF/ https://www.medizininformatik-initiative.de/Kerndatensatz/Modul_Consent/
"""

import json
from pathlib import Path

import pytest

from fhir_server.access.statements import person_of, statement_of
from tests.access.statements_world import (
    D1,
    D3,
    PATIENT,
    Resource,
    actor,
    asks,
    coded,
    decided,
    deny,
    label,
    permit,
    privacy,
    research,
)  # fmt: skip
from tests.conftest import SHARED

MII = "urn:oid:2.16.840.1.113883.3.1937.777.24.5.3"
BASIC = {"policyRule": {"coding": [coded("http://terminology.hl7.org/CodeSystem/v3-ActCode", "OPTIN")]}}
EXAMPLES = sorted((SHARED / "data").glob("r4-core-examples/Consent-consent-example-*.json"))


def fault(consent: Resource) -> str:
    statement = statement_of(consent, person_of([PATIENT], 18))
    assert statement is not None
    return statement.fault


@pytest.mark.skipif(not EXAMPLES, reason="HL7's examples are not here")
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_hl7s_examples_never_permit(path: Path) -> None:
    consent = {**json.loads(path.read_text()), "patient": {"reference": "Patient/p"}}
    for purpose in ("HRESCH", "CLINTRCH", "contact-trial", "HMARKT"):
        assert not decided([consent], D3, asks(purpose)).permit
    opted_out = "OPTOUT" in json.dumps(consent["policyRule"])
    assert decided([consent], D3, asks("TREAT")).permit is not opted_out
    assert decided([consent], D3, asks("ETREAT")).permit is ("Out" not in path.stem)
    assert opted_out or fault(consent)


# IHE PCF: a typed root, at most one level below, recipients as IRCP.
def pcf(provision: Resource) -> Resource:
    return {
        **privacy(provision),
        "category": [{"coding": [coded("http://terminology.hl7.org/CodeSystem/v3-ActCode", "INFA")]}],
    }


def test_pcf_basic_permit_and_deny_of_treatment() -> None:
    assert decided([pcf(permit("TREAT"))], D3, asks("TREAT", treatment=False)).permit
    assert not decided([pcf(deny("TREAT"))], D3, asks("TREAT")).permit
    assert not fault(pcf(permit("TREAT")))


def test_pcf_denies_one_recipient_one_label_or_some_data() -> None:
    known = pcf(permit("TREAT", nested=[deny(actor=[actor("Practitioner/x")])]))
    assert not decided([known], D3, asks("TREAT", who="Practitioner/x")).permit
    assert decided([known], D3, asks("TREAT", who="Practitioner/y")).permit
    genetic = pcf(permit("TREAT", nested=[deny(securityLabel=[label("genomic")])]))
    assert not decided([genetic], D1, asks("TREAT")).permit
    assert decided([genetic], D3, asks("TREAT")).permit
    visit = {"meaning": "related", "reference": {"reference": "Encounter/e"}}
    of_visit = pcf(permit("TREAT", nested=[deny(data=[visit])]))
    assert not decided([of_visit], {**D3, "encounter": {"reference": "Encounter/e"}}, asks("TREAT")).permit
    assert decided([of_visit], D3, asks("TREAT")).permit
    recent = pcf(permit("TREAT", nested=[deny(dataPeriod={"end": "2024-04-30"})]))
    assert decided([recent], D3, asks("TREAT")).permit


def test_pcf_research_takes_a_research_consent() -> None:
    assert not decided([pcf(permit("HRESCH"))], D3, asks()).permit
    assert decided([research(permit("HRESCH", data=[{"meaning": "related", "reference": {
        "reference": "ResearchStudy/s"}}]))], D3, asks(study="s")).permit  # fmt: skip


def test_mii_clauses_are_kept_and_permit_nothing() -> None:
    codes = [coded(f"{MII}.1", f"{MII[8:]}.{number}") for number in (6, 8, 22)]
    clauses = [permit(code=[{"coding": [one]}], period={"end": "2055"}) for one in codes]
    consent = research(deny(nested=clauses, period={"end": "2055"}))
    assert "policies" in fault(consent)
    assert not decided([consent], D3, asks()).permit
    own = research(permit("HRESCH"), "own", policy="https://example.org/own")
    assert decided([consent, own], D3, asks()).permit, "its root is a frame around its clauses"
    refused = research(deny(nested=[*clauses, deny("HRESCH")]))
    assert not decided([refused, own], D3, asks()).permit
    assert fault(research({"purpose": permit("HRESCH")["purpose"]}, **BASIC))
