"""What happens under /fhir becomes AuditEvents, one for each agent, patient, interaction and minute. https://profiles.ihe.net/ITI/BALP/"""

from typing import Any

from fhir.resources.R4B.auditevent import AuditEvent

from fhir_server.audit.record import patients_in
from tests.audit.trail import Trail, client, count, interaction, named, queries, requests

ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
URN = "urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a"
PATCH = {"content-type": "application/json-patch+json"}


def observation(patient: str) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": f"Patient/{patient}"},
    }


def by_interaction(events: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    found = {interaction(one): one for one in events}
    assert len(found) == len(events), sorted(interaction(one) for one in events)
    return found


def test_who_is_named_by_an_operation_alone_is_found(trail: Trail) -> None:
    """A patient asked about by a bare id, in a query or a body, of whom the answer says no more than yes or no."""
    ehr = trail.bearer()
    trail.put(ehr, "Patient", "p1")
    asked = [{"name": "subject", "valueString": "p1"}, {"name": "variants", "valueString": "NC_000001.11:1:A:T"}]
    body = {"resourceType": "Parameters", "parameter": asked}
    name = "$find-subject-specific-variants"
    assert trail("GET", f"{name}?subject=p1&variants=NC_000001.11:1:A:T", headers=ehr).status_code == 200
    assert trail("POST", name, body, headers=ehr).status_code == 200
    entry = {"request": {"method": "POST", "url": name}, "resource": body}
    batch = {"resourceType": "Bundle", "type": "batch", "entry": [entry]}
    assert trail("POST", "", batch, headers=ehr).json()["entry"][0]["response"]["status"] == "200"
    (event,) = [one for one in trail.events("patient=p1") if interaction(one) != "update"]
    assert interaction(event) == name.removeprefix("$")
    assert count(event) == 3
    assert patients_in(b'{"name":"subject","valueString":"p2"}', "") == ["p2"]


def test_every_interaction_is_an_event_of_its_patient(trail: Trail) -> None:
    ehr = trail.bearer()
    trail.put(ehr, "Patient", "p1")
    trail("POST", "Observation", observation("p1"), headers={**ehr, "prefer": "return=minimal"})
    made = trail("GET", "Observation", headers=ehr).json()["entry"][0]["resource"]["id"]
    path = f"Observation/{made}"
    trail("GET", path, headers={**ehr, "x-request-id": "request-1"})
    trail("GET", f"{path}/_history/1", headers=ehr)
    trail("GET", f"{path}/_history", headers=ehr)
    trail("PATCH", path, [{"op": "replace", "path": "/code/text", "value": "y"}], headers={**ehr, **PATCH})
    trail("GET", "Observation?patient=p1&code:text=secretvalue&_summary=count", headers=ehr)
    trail("GET", "Patient/p1/$everything", headers=ehr)
    assert trail("DELETE", path, headers=ehr).status_code == 204
    events = by_interaction(trail.events("patient=p1"))
    want = {"update": "U", "create": "C", "read": "R", "vread": "R", "history-instance": "R", "patch": "U",
            "search-type": "E", "everything": "E", "delete": "D"}  # fmt: skip
    assert {name: event["action"] for name, event in events.items()} == want
    assert all(named(event, "1") == ["Patient/p1"] for event in events.values())
    for name in ("create", "read", "vread", "history-instance", "patch", "delete"):
        assert named(events[name], "4") == [path], name
    assert requests(events["read"]) == ["request-1"]
    assert sorted(queries(events["search-type"])) == ["Observation?", "Observation?patient&code:text&_summary"]
    assert {count(event) for name, event in events.items() if name != "search-type"} == {1}
    assert count(events["search-type"]) == 2
    for event in events.values():
        AuditEvent.model_validate(event)
        assert client(event) == "ehr"
        assert event["agent"][0]["role"] == [{"text": "ehr"}]
        assert event["agent"][0]["network"] == {"address": "127.0.0.1", "type": "2"}
        assert event["outcome"] == "0"


def test_the_same_again_is_counted_and_not_repeated(trail: Trail) -> None:
    ehr = trail.bearer()
    trail.put(ehr, "Patient", "p1")
    for _ in range(3):
        trail("GET", "Patient/p1", headers=ehr)
    assert trail.fold() == 4
    assert trail.fold() == 0
    for _ in range(2):
        trail("GET", "Patient/p1", headers=ehr)
    (event,) = trail.events("patient=p1&subtype=read")
    assert count(event) == 5
    assert event["meta"]["versionId"] == "2"
    assert event["period"]["start"] < event["period"]["end"] == event["recorded"]
    assert len(requests(event)) == 5
    again = trail("GET", "Patient/p1", headers=trail.bearer("another")).status_code
    assert (again, len(trail.events("patient=p1&subtype=read"))) == (200, 2)


def test_events_are_found_by_patient_agent_date_entity_and_action(trail: Trail) -> None:
    ehr = trail.bearer()
    trail.put(ehr, "Practitioner", "d1")
    trail.put(ehr, "Patient", "p1", generalPractitioner=[{"reference": "Practitioner/d1"}])
    trail.put(ehr, "Patient", "p2")
    doctor = trail.bearer("app", ("user/*.rs",), user="Practitioner/d1", purposes=("TREAT",))
    assert trail("GET", "Patient/p1", headers=doctor).status_code == 200
    (event,) = trail.events("agent=Practitioner/d1")
    assert event["agent"][2]["who"] == {"reference": "Practitioner/d1"}
    assert [agent["requestor"] for agent in event["agent"]] == [False, False, True]
    assert event["purposeOfEvent"] == [{"coding": [{"system": ACT_REASON, "code": "TREAT"}]}]
    id, day = event["id"], event["recorded"][:10]
    for query in (
        "patient=p1&action=R", f"date={day}&action=R&patient=p1", "entity=Patient/p1&action=R", "subtype=read",
        "agent:identifier=app", "outcome=0&agent=Practitioner/d1",
    ):  # fmt: skip
        assert [one["id"] for one in trail.events(query)] == [id], query
    assert trail.events("patient=p1&date=lt2020") == []
    assert {interaction(one) for one in trail.events("patient=p2")} == {"update"}


def test_refusals_are_there(trail: Trail) -> None:
    ehr = trail.bearer()
    trail.put(ehr, "Patient", "p1")
    nobody = trail("GET", "Patient/p1")
    forged = trail("GET", "Patient/p1", headers={"authorization": "Bearer a-forged-token"})
    narrow = trail("GET", "Patient/p1", headers=trail.bearer("narrow", ("system/Observation.rs",)))
    hidden = trail("GET", "Patient/p1", headers=trail.bearer("app", ("user/*.rs",), user="Practitioner/d9"))
    statuses = [one.status_code for one in (nobody, forged, narrow, hidden)]
    assert statuses == [401, 401, 403, 404]
    events = {client(one): one for one in trail.events("patient=p1&outcome=4")}
    assert {name: (one["outcomeDesc"], count(one)) for name, one in events.items()} == {
        "": ("refused with status 401", 2),
        "narrow": ("refused with status 403", 1),
        "app": ("refused with status 404", 1),
    }
    assert events[""]["agent"][0]["who"] == {"display": "unknown"}
    for event in events.values():
        AuditEvent.model_validate(event)


def test_breaking_the_glass_is_marked(trail: Trail) -> None:
    trail.put(trail.bearer(), "Patient", "p1")
    more = {"user": "Practitioner/d1", "emergency": "unconscious\n in the  ward"}
    assert trail("GET", "Patient/p1", headers=trail.bearer("app", ("user/*.rs",), **more)).status_code == 200
    (event,) = trail.events("agent=Practitioner/d1")
    assert event["purposeOfEvent"] == [{"coding": [{"system": ACT_REASON, "code": "BTG"}]}]
    assert event["outcomeDesc"] == "emergency: unconscious in the ward"


def test_the_patient_is_told_of_an_emergency_access_once(trail: Trail) -> None:
    for id in ("p1", "p2"):
        trail.put(trail.bearer(), "Patient", id)
    glass = {"user": "Practitioner/d1", "emergency": "unconscious"}
    for _ in range(2):
        for path in ("Patient/p1", "Patient/p1", "Patient/none"):
            trail("GET", path, headers=trail.bearer("app", ("user/*.rs",), **glass))
        trail.fold()
    own = trail.bearer("app", ("patient/*.rs",), user="Patient/p1", patient="p1")
    (told,) = [one["resource"] for one in trail("GET", "Communication", headers=own).json()["entry"]]
    assert told["sender"] == {"reference": "Practitioner/d1"}
    assert "unconscious" in told["payload"][0]["contentString"]
    other = trail.bearer("app", ("patient/*.rs",), user="Patient/p2", patient="p2")
    assert trail("GET", "Communication", headers=other).json()["total"] == 0


def test_a_search_is_an_event_of_each_patient_on_its_page(trail: Trail) -> None:
    ehr = trail.bearer()
    for id in ("p1", "p2", "p3"):
        trail.put(ehr, "Patient", id)
    for id in ("p1", "p2"):
        trail("POST", "Observation", observation(id), headers=ehr)
    trail("GET", "Observation", headers=ehr)
    found = trail.events("subtype=search-type")
    assert sorted(name for one in found for name in named(one, "1")) == ["Patient/p1", "Patient/p2"]
    assert {len(named(one, "1")) for one in found} == {1}, "nobody's event names another patient"


def test_each_entry_of_a_bundle_is_an_access(trail: Trail) -> None:
    ehr = trail.bearer()
    trail.put(ehr, "Patient", "p1")
    new = {"resourceType": "Patient"}
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {"fullUrl": URN, "resource": new,
             "request": {"method": "POST", "url": "Patient"}},
            {"resource": {**observation("x"), "subject": {"reference": URN}},
             "request": {"method": "POST", "url": "Observation"}},
            {"resource": observation("p1"), "request": {"method": "POST", "url": "Observation"}},
            {"request": {"method": "GET", "url": "Patient/p1"}},
        ],
    }  # fmt: skip
    answer = trail("POST", "", bundle, headers=ehr)
    assert answer.status_code == 200, answer.text
    fresh, first, second = (one["response"]["location"].split("/")[-3] for one in answer.json()["entry"][:3])
    (event,) = trail.events(f"patient={fresh}")
    assert (interaction(event), count(event)) == ("create", 2)
    assert named(event, "4") == [f"Observation/{first}"]
    events = by_interaction(trail.events("patient=p1"))
    assert named(events["create"], "4") == [f"Observation/{second}"]
    assert count(events["read"]) == 1
    removal = {"resourceType": "Bundle", "type": "batch", "entry": [
        {"request": {"method": "DELETE", "url": f"Observation/{second}"}},
        {"request": {"method": "GET", "url": "Nonsense/1"}},
        {"request": {"method": "GET", "url": "Patient/none"}}]}  # fmt: skip
    assert trail("POST", "", removal, headers=ehr).status_code == 200
    assert named(by_interaction(trail.events("patient=p1"))["delete"], "4") == [f"Observation/{second}"]
    (missing,) = trail.events("patient=none")
    assert missing["outcomeDesc"] == "refused with status 404"


def test_a_reader_of_hundreds_of_resources_has_each_of_them_named(trail: Trail) -> None:
    ehr = trail.bearer()
    trail.put(ehr, "Patient", "p1")
    ids = [f"o{number}" for number in range(230)]
    entries = [
        {"resource": {**observation("p1"), "id": id}, "request": {"method": "PUT", "url": f"Observation/{id}"}}
        for id in ids
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    assert trail("POST", "", bundle, headers=ehr).status_code == 200
    for some in (ids[:150], ids[150:]):
        for id in some:
            assert trail("GET", f"Observation/{id}", headers=ehr).status_code == 200
        trail.fold()
    events = trail.events("patient=p1&subtype=read")
    assert sorted(name for one in events for name in named(one, "4")) == sorted(f"Observation/{id}" for id in ids)
    assert sum(count(one) for one in events) == 230
    assert len(events) == 2
    assert all(len(one["entity"]) <= 212 for one in events)


def test_a_resource_that_names_thousands_of_patients_is_one_event(trail: Trail) -> None:
    ehr = trail.bearer()
    members = [{"item": {"reference": f"Patient/m{number}"}} for number in range(2500)]
    trail.put(ehr, "List", "all", status="current", mode="working", entry=members)
    (event,) = trail.events("entity=List/all")
    assert event["outcomeDesc"] == "names 2500 patients"
    assert named(event, "1") == []


def test_the_public_statement_is_no_access(trail: Trail) -> None:
    assert trail("GET", "metadata").status_code == 200
    assert trail.fold() == 0
