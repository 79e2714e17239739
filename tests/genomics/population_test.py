"""Counts of patients: they obey consent, and none under 11 is told. docs/operations/find.md"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.access.consent_http_test import House
from tests.access.rights_test import Somebody
from tests.access.statements_world import deny, label, permit, research
from tests.auth.door import smart
from tests.client import Client
from tests.genomics import world as w
from tests.genomics.find_test import told

COMMON, OTHER, ALL = "NC_000001.11:100:A:T", "NC_000002.12:200:C:G", "NC_000003.12:300:G:A"
RSDID = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentcategorycodes", "code": "rsdid"}]}
CARRIERS = [f"c{number:02}" for number in range(12)]
OTHERS = [f"n{number:02}" for number in range(12)]
FEW = {"value": 11, "comparator": "<"}


def record(id: str) -> list[w.Resource]:
    """A carrier has one of each, the others have their own variant, and raw data that says what a
    carrier has; everybody has the last."""
    made = [w.patient(id), w.simple(f"{id}-all", id, ALL, source=w.GERMLINE)]
    if id in OTHERS:
        return [
            *made,
            w.simple(f"{id}-other", id, OTHER),
            w.simple(f"{id}-raw", id, COMMON, **w.RAW),
            w.observation(
                f"{id}-rh", id, "84413-4", valueCodeableConcept=w.concept("urn:star", "CYP2C19 *1/*17"), **w.RAW
            ),
        ]
    base = [{"reference": f"Observation/{id}-v"}]
    return [
        *made,
        w.simple(f"{id}-v", id, COMMON),
        w.structural(f"{id}-s", id, "NC_000013.11", w.ends("81302-2", 1000, 2000)),
        w.observation(f"{id}-h", id, "84413-4", valueCodeableConcept=w.concept("urn:star", "CYP2C19 *1/*17")),
        w.observation(f"{id}-t", id, "therapeutic-implication", w.coded("51963-7", "urn:rx", "1", "Osimertinib"),
                      system=w.TBD, derivedFrom=base),
        w.observation(f"{id}-d", id, "diagnostic-implication", w.coded("81259-4", "urn:dx", "8", "Syndrome"),
                      system=w.TBD, derivedFrom=base),
        w.observation(f"{id}-m", id, "molecular-consequence", w.coded("feature-consequence", "urn:so", "1", "missense"),
                      system=w.TBD, derivedFrom=base),
    ]  # fmt: skip


def consent(id: str, *nested: Any, **more: Any) -> w.Resource:
    agreed = research(permit("HRESCH", nested=list(nested)), f"{id}-yes", **more)
    return {**agreed, "patient": {"reference": f"Patient/{id}"}}


@pytest.fixture
def house(store_url: str) -> Iterator[House]:
    opened = House(smart(store_url, audit=False, match=False))
    opened.register(id="app", redirects=("https://app.example/",))
    people = [*CARRIERS, *OTHERS]
    organization = {"resourceType": "Organization", "id": "o1"}
    w.fill(opened.registry, organization, *map(consent, people), *(one for id in people for one in record(id)))
    yield opened
    opened.close()


def counted(somebody: Somebody | Client, path: str) -> list[dict[str, Any]]:
    """Each item: its parts by name, all subjects as a list."""
    answer = somebody("GET", path)
    assert answer.status_code == 200, (path, answer.text)
    found = []
    for parameter in answer.json()["parameter"]:
        parts: dict[str, Any] = {}
        for part in parameter["part"]:
            value = next(value for key, value in part.items() if key.startswith("value"))
            if part["name"] == "subject":
                parts.setdefault("subject", []).append(value)
            else:
                parts[part["name"]] = value
        found.append(parts)
    return found


def test_counts_of_patients(house: House) -> None:
    every_operation_counts(house.registry)
    several_variants(house.registry)
    who_may_ask(house)
    consent_decides_who_is_counted(house)
    data_without_identity_are_counted(house)


def every_operation_counts(operator: Somebody) -> None:
    whole = {"numerator": {"value": 12}, "denominator": {"value": 24}}
    for kind, query, item in (
        ("specific-variants", f"variants={COMMON}", {"variantItem": COMMON}),
        ("specific-variants", "variants=NC_000001.11:g.101A>T", {"variantItem": "NC_000001.11:g.101A>T"}),
        ("structural-intersecting-variants", "ranges=NC_000013.11:1999-9999", {"rangeItem": "NC_000013.11:1999-9999"}),
        ("structural-subsuming-variants", "ranges=NC_000013.11:1500-1600", {"rangeItem": "NC_000013.11:1500-1600"}),
        ("specific-haplotypes", "haplotypes=cyp2c19", {"haplotypeItem": "cyp2c19"}),
        ("tx-implications", "treatments=urn:rx|1", {}),
        ("tx-implications", f"variants={COMMON}&treatments=osi", {}),
        ("dx-implications", "conditions=syndrome", {}),
        ("dx-implications", f"variants={COMMON}&genomicSourceClass=somatic", {}),
        ("molecular-consequences", "featureConsequences=urn:so|1", {}),
    ):
        path = f"$find-population-{kind}?{query}"
        assert counted(operator, path) == [{**item, **whole}], path
        (listed,) = counted(operator, f"{path}&includePatientList=true")
        assert listed["subject"] == CARRIERS
    for kind, query in (
        ("specific-variants", f"variants={COMMON}&genomicSourceClass=germline"),
        ("specific-variants", "variants=NC_000001.11:100:A:G"),
        ("structural-subsuming-variants", "ranges=NC_000013.11:1500-2001"),
        ("tx-implications", f"variants={OTHER}"),
        ("dx-implications", "genomicSourceClass=germline"),
        ("tx-implications", "haplotypes=CYP2C19"),
    ):
        (one,) = counted(operator, f"$find-population-{kind}?{query}&includePatientList=true")
        assert (one["numerator"], one["denominator"], "subject" in one) == (FEW, {"value": 24}, False), query


def several_variants(operator: Somebody) -> None:
    path = "$find-population-specific-variants?variants="
    common, other = counted(operator, f"{path}{COMMON},{OTHER}")
    assert (common["variantItem"], other["variantItem"]) == (COMMON, OTHER)
    assert common["numerator"] == other["numerator"] == {"value": 12}
    (both,) = counted(operator, f"{path}{COMMON}&variants={OTHER}")
    assert both == {"variantItem": f"{COMMON} AND {OTHER}", "numerator": FEW, "denominator": {"value": 24}}
    (both,) = counted(operator, f"{path}{COMMON}&variants={ALL},{OTHER}&includePatientList=true")
    assert both["variantItem"] == f"{COMMON} AND {ALL}|{OTHER}"
    assert (both["numerator"], both["subject"]) == ({"value": 12}, CARRIERS)
    (everyone,) = counted(operator, f"{path}{ALL}&includePatientList=true")
    assert everyone == {  # who does not have it is too few to be told
        "variantItem": ALL, "numerator": {"value": 13, "comparator": ">"}, "denominator": {"value": 24}}  # fmt: skip


def who_may_ask(house: House) -> None:
    path = f"$find-population-specific-variants?variants={COMMON}"
    for scopes in ("system/Observation.rs", "system/Patient.rs", "system/Patient.r system/Observation.r"):
        assert house.as_(scopes, role="operator")("GET", path).status_code == 403, scopes
    count_only = house.as_("system/Observation.s system/Patient.s", role="operator")
    assert counted(count_only, path)[0]["numerator"] == {"value": 12}
    assert count_only("GET", f"{path}&includePatientList=true").status_code == 403
    assert house("GET", path).status_code == 401
    app = house.as_("patient/Observation.rs", patient="c00", user="Patient/c00")
    path_of = "$find-subject-specific-variants?subject={}&variants=" + COMMON
    assert [told(app, path_of.format(id))[0]["presence"] for id in ("c00", "c01", "nobody")] == [True, False, False]
    assert house.as_("patient/*.rs", patient="c00", user="Patient/c00")("GET", path_of.format("c01")).status_code == 404
    assert house.as_("patient/Patient.rs", patient="c00")("GET", path_of.format("c00")).status_code == 403
    one = house.as_("patient/*.rs", patient="c00", user="Patient/c00")
    assert counted(one, path) == [{"variantItem": COMMON, "numerator": FEW}], "of one's own record alone"


def consent_decides_who_is_counted(house: House) -> None:
    path = f"$find-population-specific-variants?variants={COMMON}&includePatientList=true"
    researcher = house.researcher()
    (one,) = counted(researcher, path)
    assert (one["numerator"], one["subject"]) == ({"value": 12}, CARRIERS)
    (one,) = counted(house.researcher("HMARKT"), path)
    assert one == {"variantItem": COMMON, "numerator": FEW}, "nobody agreed to that"
    house.say(*(consent(id, deny(securityLabel=[label("genomic")])) for id in CARRIERS[:3]))
    (one,) = counted(researcher, path)
    assert one == {"variantItem": COMMON, "numerator": FEW, "denominator": {"value": 24}}, "9 of 12 are left"
    for kind, query in (
        ("structural-intersecting-variants", "ranges=NC_000013.11:1-9999"),
        ("specific-haplotypes", "haplotypes=CYP2C19"),
        ("tx-implications", "treatments=urn:rx|1"),
        ("dx-implications", f"variants={COMMON}"),
        ("molecular-consequences", "featureConsequences=missense"),
    ):
        (one,) = counted(researcher, f"$find-population-{kind}?{query}&includePatientList=true")
        assert one["numerator"] == FEW, kind
        assert "subject" not in one
    (mine,) = told(researcher, f"$find-subject-specific-variants?subject=c00&variants={COMMON}")
    assert not mine["presence"], "what is denied is answered like what is not there"
    (mine,) = told(researcher, f"$find-subject-specific-variants?subject=c05&variants={COMMON}")
    assert mine["presence"]


def data_without_identity_are_counted(house: House) -> None:
    """Who permits no more than data without identity is counted, and not listed."""
    house.say(*(consent(id, category=[RSDID]) for id in [*CARRIERS, *OTHERS]))
    path = f"$find-population-specific-variants?variants={COMMON}"
    whole = {"variantItem": COMMON, "numerator": {"value": 12}, "denominator": {"value": 24}}
    assert counted(house.researcher(), path) == [whole]
    assert counted(house.researcher(), f"{path}&includePatientList=true") == [whole]
    answer = house.researcher()("GET", f"$find-subject-specific-variants?subject=c05&variants={COMMON}")
    assert answer.status_code == 404, "their ids are not theirs"
