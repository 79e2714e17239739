"""Chains, _has, result parameters, limits. https://hl7.org/fhir/R4/search.html"""

from typing import Any

import pytest

from fhir_server.fhir.outcome import FhirError
from fhir_server.search.compartment import in_compartment
from fhir_server.search.predicate import EVERYTHING, ID, UPDATED, And, Chain, Has, Is, Or, Param, Sort
from fhir_server.search.query import Include
from tests.search.ask import BASE, DEFINITIONS, NOW, finds, search, where

SUBJECT, ORGANIZATION = Param("subject", "reference"), Param("organization", "reference")
NAME = Param("name", "string")


def named(text: str) -> Is:
    return Is(NAME, (("norm", "prefix", text),))


def refer(**links: str) -> dict[str, Any]:
    return {key: {"reference": value} for key, value in links.items()}


OBSERVATION = {"resourceType": "Observation", "id": "o", "status": "final", **refer(subject="Patient/p")}
PATIENT = {
    "resourceType": "Patient",
    "id": "p",
    "name": [{"family": "Ito"}],
    **refer(managingOrganization="Organization/c"),
}
CLINIC = {"resourceType": "Organization", "id": "c", "name": "Clinic", **refer(partOf="Organization/h")}
HOSPITAL = {"resourceType": "Organization", "id": "h", "name": "Hospital"}
EVENT = {
    "resourceType": "AuditEvent",
    "id": "e",
    "entity": [refer(what="Observation/o")],
    "agent": [refer(who="Patient/p")],
}
WORLD = (OBSERVATION, PATIENT, CLINIC, HOSPITAL, EVENT)


@pytest.mark.parametrize(
    ("resource", "query", "found"),
    [
        (OBSERVATION, "patient.name=ito", True),
        (OBSERVATION, "subject:Patient.name=ito", True),
        (OBSERVATION, "subject.name=ito", True),
        (OBSERVATION, "subject.name=x", False),
        (OBSERVATION, "subject:Group.identifier=x", False),
        (OBSERVATION, "patient.organization.name=clinic", True),
        (OBSERVATION, "patient.organization.partof.name=hosp", True),
        (OBSERVATION, "patient.organization.partof.name=clinic", False),
        (OBSERVATION, "patient._id=p", True),
        (OBSERVATION, "patient.organization=c", True),
        (OBSERVATION, "patient.organization=Organization/h", False),
        (OBSERVATION, "patient.birthdate:missing=true", True),
        (OBSERVATION, "patient._lastUpdated=2026", True),
        (OBSERVATION, "patient.name:exact=Ito,X", True),
        (OBSERVATION, "patient.name=ito&patient.organization.name=hospital", False),
        (OBSERVATION, "_has:AuditEvent:entity:agent=Patient/p", True),
        (OBSERVATION, "_has:AuditEvent:entity:agent.name=ito", True),
        (OBSERVATION, "_has:AuditEvent:entity:agent:Patient.name=ito", True),
        (PATIENT, "_has:Observation:patient:status=final", True),
        (PATIENT, "_has:Observation:subject:status=final", True),
        (PATIENT, "_has:Observation:patient:status=amended", False),
        (PATIENT, "_has:Observation:patient:status:not=amended", True),
        (PATIENT, "_has:Observation:patient:_has:AuditEvent:entity:agent:Patient._id=p", True),
        (CLINIC, "_has:Patient:organization:_has:Observation:patient:status=final", True),
        (HOSPITAL, "_has:Organization:partof:_has:Patient:organization:name=ito", True),
        (HOSPITAL, "_has:Organization:partof:_has:Patient:organization:name=x", False),
        (PATIENT, "organization._has:Patient:organization:_id=p", True),
    ],
)
def test_chains_and_has(resource: dict[str, Any], query: str, found: bool) -> None:
    assert finds(query, resource, *(one for one in WORLD if one is not resource)) is found


def test_an_untyped_chain_is_an_or_over_the_types_that_know_the_parameter() -> None:
    assert where("Observation", "patient.name=x") == Chain(SUBJECT, "Patient", named("x"))
    assert where("Observation", "subject.birthdate:missing=false") == Chain(
        SUBJECT, "Patient", Is(Param("birthdate", "date"))
    )
    assert where("Observation", "subject.name=x") == Or(
        (Chain(SUBJECT, "Location", named("x")), Chain(SUBJECT, "Patient", named("x")))
    )


def test_an_alias_in_has_is_what_it_stands_for() -> None:
    assert where("Patient", "_has:Observation:patient:_id=1") == Has(
        "Observation", SUBJECT, Is(ID, (("id", "=", "1"),))
    )


@pytest.mark.parametrize(
    ("type", "query", "says"),
    [
        ("Observation", "subject.nosuch=x", "No type that 'subject' of Observation refers to"),
        ("Observation", "patient.nosuch=x", "Patient has no"),
        ("Observation", "code.text=x", "only references can be followed"),
        ("Observation", "subject:Medication.code=x", "does not refer to a Medication"),
        ("Observation", "patient:Group.code=x", "refers to Patient, not to Group"),
        ("Observation", "nosuch.name=x", "no search parameter 'nosuch'"),
        ("Observation", "patient.birthdate=x", "Expected a date"),
        ("Observation", "subject.birthdate=x", "Expected a date"),
        ("Observation", "patient.=x", "no search parameter ''"),
        ("Observation", ".name=x", "no search parameter ''"),
        ("Observation", "=x", "no search"),
        ("Patient", "_has:Observation:patient=x", "not complete"),
        ("Patient", "_has:Observation:patient:=x", "not complete"),
        ("Patient", "_has:Nosuch:patient:code=x", "no resource type 'Nosuch'"),
        ("Patient", "_has:Observation:code:code=x", "only references"),
        ("Patient", "_has:Observation:device:code=x", "does not refer to a Patient"),
        ("Patient", "_has:Observation:patient:nosuch=x", "no search parameter"),
        ("Device", "_has:Observation:patient:code=x", "does not refer to a Device"),
        ("Patient", "_has=x", "no search parameter '_has'"),
        ("Patient", "_count=-1", "_count"),
        ("Patient", "_count=x", "_count"),
        ("Patient", "_count=²", "_count"),
        ("Patient", "_count=1&_count=2", "once only"),
        ("Patient", "_sort=nosuch", "no search parameter"),
        ("Patient", "_sort=--name", "no search parameter"),
        ("Patient", "_sort=name,", "no search"),
        ("Observation", "_sort=code-value-quantity", "cannot be sorted"),
        ("Observation", "_sort=combo-code", "cannot be sorted"),
        ("Patient", "_total=all", "none, estimate, accurate"),
        ("Patient", "_summary=yes", "true, text, data, count, false"),
        ("Patient", "_include=Patient", "Type:parameter"),
        ("Patient", "_include=Patient:name", "not a reference"),
        ("Patient", "_include=X:y", "Type:parameter"),
        ("Patient", "_include=Patient:organization:Group", "does not refer to a Group"),
        ("Patient", "_include=Patient:organization:X", "Type:parameter"),
        ("Patient", "_include:x=Patient:link", "has no modifier 'x'"),
        ("Patient", "_include=Patient:nosuch", "no search parameter"),
        ("Patient", "_type=Patient", "no search parameter '_type'"),
        (None, "_type=Nosuch", "no resource type 'Nosuch'"),
        (None, "name=x", "name the types in _type"),
        (None, "_type=Patient,Observation&name=x", "Observation has no search parameter 'name'"),
        (None, "_type=Observation,AllergyIntolerance&patient:missing=true", "means different things"),
        (None, "_type=Observation,AllergyIntolerance&_sort=patient", "not the same parameter"),
        ("Patient", "name=" + ",".join(["x"] * 201), "at most 200 values"),
        ("Patient", "&".join(["name=x"] * 201), "at most 200 values"),
        ("Organization", "partof." * 11 + "name=x", "at most 10 steps"),
        ("Observation", "focus." * 9 + "name=x", "branches too much"),
        ("Patient", "_has:Observation:subject:_has:Observation:focus:" * 9 + "code=x", ""),
    ],
)
def test_refusals(type: str | None, query: str, says: str) -> None:
    with pytest.raises(FhirError) as caught:
        search(type, query)
    assert caught.value.status == 400
    assert says in str(caught.value)


def test_ten_steps_are_allowed() -> None:
    assert where("Organization", "partof." * 9 + "name=x")


def test_lenient_leaves_out_the_unknown_but_not_the_wrong() -> None:
    found = search(
        "Patient", "nosuch=1&name:nosuch=2&gender=&name=x&_query=y&organization.nosuch=z&_count=3", lenient=True
    )
    assert found.where == named("x")
    assert found.count == 3
    assert found.ignored == ("nosuch", "name:nosuch", "gender", "_query", "organization.nosuch")
    assert found.used == (("name", "x"), ("_count", "3"))
    with pytest.raises(FhirError):
        search("Patient", "birthdate=soon", lenient=True)


def test_result_parameters() -> None:
    found = search(
        "Observation",
        "_count=0&_sort=-date,_id,patient,-_lastUpdated&_total=none&_summary=text&_elements=id,code&_format=json&_pretty=true"
        "&_include=Observation:subject:Patient&_include:iterate=Patient:organization&_include=*&_revinclude=Provenance:target"
        "&_revinclude:recurse=Observation:*&_include=Observation:*",
    )
    assert (found.types, found.where, found.count, found.total, found.summary) == (
        ("Observation",),
        EVERYTHING,
        0,
        "none",
        "text",
    )
    assert found.sort == (Sort(Param("date", "date"), True), Sort(ID), Sort(SUBJECT), Sort(UPDATED, True))
    assert found.elements == ("id", "code")
    assert found.includes == (
        Include("Observation", "subject", "Patient"),
        Include("Patient", "organization", iterate=True),
        Include("*", "*"),
        Include("Provenance", "target", reverse=True),
        Include("Observation", "*", reverse=True, iterate=True),
        Include("Observation", "*"),
    )
    assert ("_format", "json") in found.used


def test_a_search_of_nothing_in_particular() -> None:
    found = search("Patient", "")
    assert (found.where, found.sort, found.count, found.includes, found.ignored, found.used) == (
        EVERYTHING,
        (),
        None,
        (),
        (),
        (),
    )


def test_an_enormous_count_is_no_error() -> None:
    assert (search("Patient", "_count=" + "9" * 5000).count or 0) >= 10**9


def test_all_types_and_several() -> None:
    assert search(None, "_tag=x").types == ()
    found = search(None, "_type=Patient,Practitioner,Patient&name=x&_sort=name")
    assert found.types == ("Patient", "Practitioner")
    assert found.where == named("x")
    assert found.sort == (Sort(NAME),)
    patients = where(None, "_type=Observation,AllergyIntolerance&patient=1")
    assert isinstance(patients, Or)
    assert len(patients.parts) == 2


def test_criteria_are_joined_by_and() -> None:
    assert where("Patient", "name=a&name=b") == And((named("a"), named("b")))


@pytest.mark.parametrize("text", ["1", "Patient/1", f"{BASE}/Patient/1", "Patient/1/_history/2"])
def test_one_patient_by_many_names(text: str) -> None:
    assert where("Observation", f"patient={text}") == Is(SUBJECT, (("type", "=", "Patient"), ("id", "=", "1")))


def test_approximate_dates_reach_a_tenth_of_the_way_from_now() -> None:
    found = where("Patient", "birthdate=ap2016-01-01")
    assert isinstance(found, Is)
    ends = {field: value for field, _, value in found.tests}
    gap = (NOW - 1_451_606_400_000_000) // 10
    assert ends == {"high": 1_451_606_400_000_000 - gap, "low": 1_451_606_400_000_000 + 86_400_000_000 + gap}


def test_compartments() -> None:
    own = Is(ID, (("id", "=", "1"),))
    to = (("type", "=", "Patient"), ("id", "=", "1"))
    assert in_compartment(DEFINITIONS, "Patient", "1", "Patient") == Or((own, Is(Param("link", "reference"), to)))
    assert in_compartment(DEFINITIONS, "Patient", "1", "Observation") == Or(
        (Is(SUBJECT, to), Is(Param("performer", "reference"), to))
    )
    assert in_compartment(DEFINITIONS, "Patient", "1", "Organization") is None
    for name, members in DEFINITIONS.compartments.items():
        for type in members:
            assert in_compartment(DEFINITIONS, name, "1", type) is not None
