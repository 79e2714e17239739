"""Consent at every door, over HTTP with tokens, on both stores: what is denied is not there. docs/consent.md"""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from fhir_server.access.renewal import renew_due, rule_all
from fhir_server.search.predicate import EVERYTHING
from fhir_server.store.seam import Query, Ruling, Tx
from tests.access.rights_test import Desk, Somebody
from tests.access.statements_world import (
    D1,
    D2,
    D3,
    D4,
    Resource,
    about,
    actor,
    deny,
    label,
    permit,
    privacy,
    research,
)  # fmt: skip
from tests.auth.door import smart

FHIR = {"content-type": "application/fhir+json"}
GP = [{"reference": "Practitioner/gp"}]
WORLD: list[Resource] = [
    {"resourceType": "Patient", "id": "p", "name": [{"family": "Fir"}], "birthDate": "1960-05-01",
     "generalPractitioner": GP},
    {"resourceType": "Patient", "id": "q", "name": [{"family": "Oak"}]},
    {"resourceType": "Practitioner", "id": "gp"},
    {"resourceType": "Organization", "id": "o1"},
    {"resourceType": "ResearchStudy", "id": "s1", "status": "active"},
    {"resourceType": "ResearchStudy", "id": "s2", "status": "active"},
    {**D1, "status": "final", "code": {"text": "variant"}, "specimen": {"reference": "Specimen/d4"}},
    {**D2, "status": "final", "code": {"text": "variant"}},
    D3,
    D4,
    {"resourceType": "Observation", "id": "other", "status": "final", "code": {"text": "x"},
     "subject": {"reference": "Patient/q"}},
    {"resourceType": "ResearchSubject", "id": "r1", "status": "candidate", "study": {"reference": "ResearchStudy/s1"},
     "individual": {"reference": "Patient/p"}},
    {"resourceType": "DocumentReference", "id": "sequence", "status": "current",
     "subject": {"reference": "Patient/p"}, "content": [{"attachment": {"url": "Binary/reads"}}]},
    {"resourceType": "Binary", "id": "reads", "contentType": "application/octet-stream", "data": "QQ==",
     "securityContext": {"reference": "DocumentReference/sequence"}},
]  # fmt: skip
BROAD = research(permit("HRESCH"))
GERMLINE = deny(securityLabel=[label("germline-genomic")])


class House(Desk):
    """The server with its cast."""

    def say(self, *consents: Resource) -> None:
        """What a participant says, as the registry that keeps it writes it down."""
        for one in consents:
            answer = self.registry("PUT", f"Consent/{one['id']}", one)
            assert answer.status_code in (200, 201), answer.text

    @property
    def registry(self) -> Somebody:
        return self.as_("system/*.cruds", role="operator")

    def researcher(self, *purposes: str, who: str = "Organization/o1", study: str = "") -> Somebody:
        more: Any = {"purposes": purposes, "actors": (who,) if who else ()}
        return self.as_("system/*.rs", role="researcher", study=study, **more)


@pytest.fixture
def house(store_url: str) -> Iterator[House]:
    opened = House(smart(store_url, audit=False))
    opened.register(id="app", redirects=("https://app.example/",))
    entries = [{"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
               for one in WORLD]  # fmt: skip
    answer = opened.registry("POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert answer.status_code == 200, answer.text
    yield opened
    opened.close()


def test_nobody_permitted_anything(house: House) -> None:
    researcher = house.researcher()
    assert researcher.sees("Patient") == researcher.sees("Observation") == set()
    assert researcher("GET", "Patient/p").status_code == 404
    assert researcher("GET", "Patient?_summary=count").json()["total"] == 0
    assert researcher.sees("ResearchStudy") == {"s1", "s2"}
    assert researcher.sees("Task") == set(), "only what tells them to stop"
    for type in ("AuditEvent", "Consent", "Provenance"):
        assert researcher("GET", type).status_code == 403, "paperwork is no research data"


def test_a_broad_permit_and_its_exception(house: House) -> None:
    house.say(research(permit("HRESCH", nested=[GERMLINE])))
    researcher = house.researcher()
    assert researcher.sees("Patient") == {"p"}
    assert researcher.sees("Observation") == {"d1"}
    assert researcher("GET", "Observation?_summary=count").json()["total"] == 1
    assert researcher("GET", "Observation?_total=accurate&_count=1").json()["total"] == 1
    assert researcher("GET", "Observation/d2").status_code == 404
    assert researcher("GET", "Observation/d2/_history").status_code == 404
    assert {e["resource"]["id"] for e in researcher("GET", "_history").json()["entry"]} >= {"p", "d1", "d3"}
    assert "d2" not in {e["resource"]["id"] for e in researcher("GET", "_history").json()["entry"]}
    assert researcher.sees("Patient/p/$everything") == {"p", "d1", "d3", "d4", "r1", "gp", "s1"}
    assert researcher.sees("Patient?_revinclude=Observation:subject") == {"p", "d1"}
    assert researcher.sees("Patient?_has:Observation:patient:_id=d2") == set(), "what is denied is no criterion"
    assert researcher.sees("Patient?_has:Observation:patient:_id=d1") == {"p"}
    assert researcher.sees("Observation?patient.family=Oak") == set()
    assert researcher("GET", "Binary/reads").status_code == 404, "a Binary is what its document is"


def test_an_include_of_what_is_denied_changes_no_total(house: House) -> None:
    specimens = deny(class_=[{"system": "http://hl7.org/fhir/resource-types", "code": "Specimen"}])
    house.say(research(permit("HRESCH", nested=[specimens])))
    answer = house.researcher()("GET", "Observation?_include=Observation:specimen&_total=accurate").json()
    assert {entry["resource"]["id"] for entry in answer["entry"]} == {"d1", "d2"}
    assert answer["total"] == 2


def test_a_revocation_is_in_force_at_once_at_every_door(house: House) -> None:
    house.say(BROAD)
    researcher = house.researcher()
    first = researcher("GET", "Observation?_count=1").json()
    following = next(link["url"] for link in first["link"] if link["relation"] == "next").split("/fhir/")[1]
    assert researcher("GET", "Observation/d1/_history/1").status_code == 200
    house.say({**BROAD, "status": "inactive"})
    assert researcher("GET", "Observation/d1").status_code == 404
    assert researcher("GET", following).json().get("entry", []) == []
    assert researcher("GET", "Observation/d1/_history/1").status_code == 404
    for feed in ("_history", "Observation/_history", "Patient/_history"):
        named = {e["resource"]["resourceType"] for e in researcher("GET", feed).json().get("entry", ())}
        assert named.isdisjoint({"Patient", "Observation", "Condition"})
    house.say({**BROAD, "dateTime": "2025-06-01"})
    assert researcher("GET", "Observation/d1").status_code == 200, "and given again"


def test_an_update_and_an_old_version_are_judged_for_themselves(house: House) -> None:
    house.say(research(permit("HRESCH", nested=[GERMLINE])))
    researcher = house.researcher()
    somatic, germline = (next(one for one in WORLD if one["id"] == id) for id in ("d1", "d2"))
    house.registry("PUT", "Observation/d1", {**germline, "id": "d1"})
    assert researcher("GET", "Observation/d1").status_code == 404
    house.registry("PUT", "Observation/d1", somatic)
    assert researcher("GET", "Observation/d1").status_code == 200
    versions = researcher("GET", "Observation/d1/_history").json()["entry"]
    assert {one["resource"]["meta"]["versionId"] for one in versions} == {"1", "3"}
    assert researcher("GET", "Observation/d1/_history/2").status_code == 404


def test_care_goes_on_unless_it_is_denied(house: House) -> None:
    clinician = house.as_("user/*.rs", user="Practitioner/gp")
    participant = house.as_("patient/*.rs", user="Patient/p", patient="p")
    assert clinician.sees("Patient") == {"p"}
    house.say(privacy(deny("TREAT", nested=[permit("BTG")])))
    assert clinician.sees("Patient") == clinician.sees("Observation") == set()
    assert clinician("GET", "Condition/d3").status_code == 404
    assert participant.sees("Observation") == {"d1", "d2"}, "their own record"
    opened = house.as_("user/*.rs", user="Practitioner/gp", emergency="unconscious")
    assert opened.sees("Patient") >= {"p"}
    house.say({**privacy(deny("TREAT")), "dateTime": "2026-01-01"})
    assert "p" not in opened.sees("Patient")
    assert house.as_("system/*.rs", role="ehr").sees("Patient") == {"p", "q"}, "who holds the record"


def test_purpose_and_study_come_with_the_client(house: House) -> None:
    named = deny(data=[{"meaning": "related", "reference": {"reference": "ResearchStudy/s2"}}])
    house.say(research(permit("CLINTRCH", actor=[actor("Organization/o1")], nested=[named])))
    assert house.researcher("CLINTRCH", study="s1").sees("Patient") == {"p"}
    assert house.researcher("CLINTRCH", study="s2").sees("Patient") == set()
    assert house.researcher("CLINTRCH").sees("Patient") == set(), "a study that is not told may be the one"
    assert house.researcher("CLINTRCH", "POARCH", study="s1").sees("Patient") == set(), "all of its purposes"
    assert house.researcher("CLINTRCH", who="Organization/o2", study="s1").sees("Patient") == set()
    assert house.researcher("HRESCH", study="s1").sees("Patient") == set()
    team: Any = {"role": "study-team", "study": "s1", "actors": ("Organization/o1",)}
    assert house.as_("system/*.rs", **team).sees("ResearchSubject") == {"r1"}


def test_members_of_a_network(house: House) -> None:
    house.say(research(permit("HRESCH", actor=[actor("Organization/net")])))
    researcher = house.researcher()
    assert researcher.sees("Patient") == set()
    affiliation = {"resourceType": "OrganizationAffiliation", "id": "a", "active": True,
                   "participatingOrganization": {"reference": "Organization/o1"},
                   "network": [{"reference": "Organization/net"}]}  # fmt: skip
    assert house.registry("PUT", "Organization/net", {"resourceType": "Organization", "id": "net"}).status_code == 201
    assert house.registry("PUT", "OrganizationAffiliation/a", affiliation).status_code == 201
    house.server.consents.rules.belonging.clear()  # what a second of waiting does
    assert researcher.sees("Patient") == {"p"}
    house.registry("PUT", "OrganizationAffiliation/a", {**affiliation, "active": False})
    house.server.consents.rules.belonging.clear()
    assert researcher.sees("Patient") == set()


def test_no_consent_is_deleted(house: House) -> None:
    house.say(BROAD)
    for somebody in (house.registry, house.as_("system/*.cruds", role="ehr")):
        assert somebody("DELETE", "Consent/c").status_code == 405
        assert somebody("DELETE", "Consent?patient=p").status_code == 405
        entry = [{"request": {"method": "DELETE", "url": "Consent/c"}}]
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entry}
        assert somebody("POST", "", bundle).status_code == 405
    assert house.researcher().sees("Patient") == {"p"}


def test_several_patients_must_each_permit(house: House) -> None:
    house.say(BROAD)
    targets = [{"reference": f"Patient/{id}"} for id in ("p", "q")]
    appointment = {"resourceType": "Appointment", "id": "both", "status": "booked",
                   "participant": [{"actor": one, "status": "accepted"} for one in targets]}  # fmt: skip
    assert house.registry("PUT", "Appointment/both", appointment).status_code == 201
    assert house.researcher().sees("Appointment") == set()
    house.say({**BROAD, "id": "q", "patient": {"reference": "Patient/q"}})
    assert house.researcher().sees("Appointment") == {"both"}
    house.say({**BROAD, "status": "inactive"})
    assert house.researcher().sees("Appointment") == set()


def test_records_joined_by_link_are_one_person(house: House) -> None:
    house.say(BROAD, research(deny(), "no", patient={"reference": "Patient/q"}, policy="https://example.org/2"))
    researcher = house.researcher()
    assert researcher.sees("Patient") == {"p"}
    other = {"resourceType": "Patient", "id": "q", "link": [{"other": {"reference": "Patient/p"}, "type": "seealso"}]}
    house.registry("PUT", "Patient/q", other)
    assert researcher.sees("Patient") == researcher.sees("Condition") == set()
    house.registry("PUT", "Patient/q", {"resourceType": "Patient", "id": "q"})
    assert researcher.sees("Patient") == {"p"}


def test_a_consent_that_comes_to_concern_another(house: House) -> None:
    house.say(BROAD)
    house.say({**BROAD, "patient": {"reference": "Patient/q"}})
    assert house.researcher().sees("Patient") == {"q"}
    assert house.researcher().sees("Observation") == {"other"}


def test_a_period_ends_while_the_server_runs(house: House) -> None:
    house.say(research(permit("HRESCH", period={"end": "2030-06-30"})))
    researcher, endpoint, server = house.researcher(), house.app.endpoint, house.server
    assert researcher.sees("Patient") == {"p"}
    later = server.clock() + 10 * 365 * 86_400 * 1_000_000

    def clock() -> int:
        return later

    endpoint.server = replace(server, consents=replace(server.consents, clock=clock))
    assert researcher.sees("Patient") == set(), "before anything is made anew"
    assert house.run(renew_due(endpoint.server)) == 1
    assert house.run(renew_due(endpoint.server)) == 0
    assert researcher.sees("Patient") == set()
    clinician = house.as_("user/*.rs", user="Practitioner/gp")
    assert clinician.sees("Patient") == {"p"}, "care, which nothing was said of, goes on"
    endpoint.server = server


def test_a_period_begins(house: House) -> None:
    house.say(research(permit("HRESCH", period={"start": "2030-06-30"})))
    researcher, endpoint, server = house.researcher(), house.app.endpoint, house.server
    assert researcher.sees("Patient") == set()
    later = server.clock() + 10 * 365 * 86_400 * 1_000_000
    endpoint.server = replace(server, consents=replace(server.consents, clock=lambda: later))
    house.run(renew_due(endpoint.server))
    assert researcher.sees("Patient") == {"p"}
    endpoint.server = server


def test_data_written_while_consent_is_withdrawn_are_not_left_behind(house: House) -> None:
    house.say(BROAD)
    registry = house.registry

    async def put(path: str, body: Resource) -> None:
        answer = await house.http.put(f"/fhir/{path}", json=body, headers={**registry.header, **FHIR})
        assert answer.status_code in (200, 201), answer.text

    async def race(number: int, status: str) -> None:
        conditions = [about("Condition", f"c{number}-{n}") for n in range(16)]
        writes = [put(f"Condition/{one['id']}", one) for one in conditions]
        said = {**BROAD, "dateTime": f"2025-02-{number + 1:02}", "status": status}
        await asyncio.gather(*writes[:8], put("Consent/c", said), *writes[8:])

    for number, status in enumerate(("inactive", "active") * 3):
        house.run(race(number, status))
        rules = {row.rule for row in house.run(_rows(house)) if row.type == "Condition"}
        assert len(rules) == 1, "one rule for all conditions of one patient"
        expected = 0 if status == "inactive" else 16 * (number + 1) + 1
        assert len(house.researcher().sees("Condition?_count=1000")) == expected


async def _rows(house: House) -> list[Any]:
    return [row async for row in house.server.store.scan(Query((), EVERYTHING))]


def test_reindexing_gives_every_resource_its_rule(house: House) -> None:
    house.say(research(permit("HRESCH", nested=[GERMLINE])))
    server, researcher = house.server, house.researcher()
    before = {(row.type, row.id): row.rule for row in house.run(_rows(house))}

    async def forget(tx: Tx) -> None:
        await tx.rule([Ruling(type, id, 0, 0) for type, id in before])

    house.run(server.store.transact(forget))
    assert researcher.sees("Observation") == set(), "no rule, no sight"
    assert house.run(rule_all(server)) == len(before)
    assert {(row.type, row.id): row.rule for row in house.run(_rows(house))} == before
    assert researcher.sees("Observation") == {"d1"}


def test_a_search_for_someone_hidden_creates_as_if_they_were_not_there(house: House) -> None:
    """If-None-Exist by who may create but not see: the same answer as for no match."""
    clerk: Any = {"role": "ehr", "purposes": ("HRESCH",)}
    answer = house.as_("system/Patient.cs", **clerk)(
        "POST", "Patient", {"resourceType": "Patient"}, headers={"if-none-exist": "family=Fir"}
    )
    assert answer.status_code == 201
