"""Recipients of data are told in a Task when a Consent takes back what they were given. docs/consent.md"""

from dataclasses import replace
from typing import Any

from fhir_server.access.pseudonyms import pseudonyms
from fhir_server.audit.recall import WAIT, recall
from tests.access.statements_world import D2, D3, Resource, deny, label, permit, research
from tests.audit.trail import Headers, Trail

GERMLINE = deny(securityLabel=[label("germline-genomic")])
BROAD = research(permit("HRESCH"), dateTime="2024-01-01")
WITHDRAWN: Resource = {**BROAD, "status": "inactive"}
STOP = "https://participation.example/fhir/CodeSystem/task-kind|stop-using"


def world(trail: Trail, *consents: Resource) -> Headers:
    """A patient with a variant and a diagnosis; returns the registry that writes."""
    registry = trail.bearer("registry", role="operator")
    trail.put(registry, "Practitioner", "gp")
    trail.put(registry, "Organization", "o1")
    trail.put(registry, "ResearchStudy", "s1", status="active")
    gp = [{"reference": "Practitioner/gp"}]
    trail.put(registry, "Patient", "p", birthDate="1960-05-01", generalPractitioner=gp)
    store(trail, registry, {**D2, "status": "final", "code": {"text": "variant"}})
    store(trail, registry, D3)
    for one in consents:
        store(trail, registry, one)
    return registry


def store(trail: Trail, registry: Headers, resource: Resource) -> None:
    more = {name: value for name, value in resource.items() if name not in ("resourceType", "id")}
    trail.put(registry, resource["resourceType"], resource["id"], **more)


def researcher(trail: Trail, client: str = "lab", **more: Any) -> Headers:
    given = {"role": "researcher", "actors": ("Organization/o1",), "study": "s1", **more}
    return trail.bearer(client, ("system/*.rs",), **given)


def look(trail: Trail, headers: Headers) -> int:
    """Read the whole record; returns how much of it there was."""
    found = (trail("GET", f"{type}?_count=50", headers=headers) for type in ("Patient", "Observation", "Condition"))
    return sum(len(answer.json().get("entry", ())) for answer in found)


def tell(trail: Trail, later: int = WAIT) -> int:
    """What the server does in the background, so much later."""
    trail.fold()
    server = trail.server
    now = server.consents.clock() + later
    return trail.run(recall(replace(server, clock=lambda: now)))


def tasks(trail: Trail, headers: Headers) -> list[Resource]:
    answer = trail("GET", f"Task?code={STOP}", headers=headers)
    assert answer.status_code == 200, answer.text
    return [entry["resource"] for entry in answer.json().get("entry", ())]


def test_who_was_given_data_is_told_when_the_permit_ends(trail: Trail) -> None:
    registry = world(trail, BROAD)
    lab, other = researcher(trail), researcher(trail, "other", study="")
    assert look(trail, lab) == 3
    assert tell(trail) == 0, "nothing has changed since"
    store(trail, registry, WITHDRAWN)
    assert tell(trail, WAIT - 10_000_000) == 0, "requests of the moment before may not be events yet"
    assert tell(trail) == 1
    assert tell(trail) == 0, "once"
    (task,) = tasks(trail, lab)
    assert task["for"] == {"reference": "Patient/p"}
    assert task["owner"]["reference"] == "Organization/o1"
    assert task["owner"]["identifier"]["value"] == "lab"
    assert [one.get("valueCode") for one in task["input"]] == [None, "Condition", "Observation", "Patient"]
    assert trail("GET", f"Task/{task['id']}", headers=lab).status_code == 200
    assert tasks(trail, other) == [], "who was given nothing is told nothing"
    assert trail("GET", f"Task/{task['id']}", headers=other).status_code == 404
    own = trail.bearer("app", ("patient/*.rs",), user="Patient/p", patient="p")
    assert [one["id"] for one in tasks(trail, own)] == [task["id"]]
    assert look(trail, lab) == 0


def test_only_what_is_lost_is_told_and_only_if_it_is(trail: Trail) -> None:
    registry = world(trail, BROAD)
    lab = researcher(trail)
    physician = trail.bearer("ehr-app", ("user/*.rs",), user="Practitioner/gp")
    assert look(trail, lab) == look(trail, physician) == 3
    store(trail, registry, research(permit("HRESCH", nested=[GERMLINE]), dateTime="2024-02-01"))
    assert tell(trail) == 1
    (task,) = tasks(trail, lab)
    assert [one["valueCode"] for one in task["input"][1:]] == ["Observation"]
    store(trail, registry, {**BROAD, "dateTime": "2024-03-01"})
    assert tell(trail) == 0, "more is permitted now"
    assert [one["id"] for one in tasks(trail, physician)] == [task["id"]], "of the patient; care goes on"


def test_a_process_that_dies_before_it_is_done_tells_nothing_twice(trail: Trail) -> None:
    registry = world(trail, BROAD)
    assert look(trail, researcher(trail)) == 3
    store(trail, registry, WITHDRAWN)
    waiting = trail.run(trail.server.store.list_state("consent/changed/", 10))
    assert tell(trail) == 1
    for key, value in waiting:
        trail.run(trail.server.store.put_state(key, value, 0))
    assert tell(trail) == 0
    assert trail.run(trail.server.store.list_state("consent/changed/", 10)) == []


def test_who_was_never_told_the_name_is_told_the_pseudonym(trail: Trail) -> None:
    category = [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentcategorycodes", "code": "rsdid"}]}]
    registry = world(trail, {**BROAD, "category": category})
    lab = researcher(trail)
    answer = trail("GET", "Observation", headers=lab).json()
    shown = answer["entry"][0]["resource"]["subject"]["reference"]
    store(trail, registry, {**WITHDRAWN, "category": category})
    assert tell(trail) == 1
    (task,) = tasks(trail, lab)
    assert "for" not in task
    assert f"Patient/{task['input'][0]['valueString']}" == shown
    assert pseudonyms(trail.server.consents.secret, "s1").name("Patient", "p") in shown


def test_accesses_name_organization_and_study(trail: Trail) -> None:
    registry = world(trail, BROAD)
    look(trail, researcher(trail))
    foreign = {"resourceType": "AuditEvent", "type": {"code": "rest"}, "recorded": "2024-01-01T00:00:00Z",
               "agent": [{"requestor": True}], "source": {"observer": {"display": "another system"}},
               "entity": [{"what": {"reference": "Patient/p"}}]}  # fmt: skip
    assert trail("POST", "AuditEvent", foreign, headers=registry).status_code == 201
    trail.fold()
    told = trail("GET", "Patient/p/$accesses", headers=registry).json()["parameter"]
    assert len(told) >= 3
    parts = [{part["name"]: part for part in one["part"]} for one in told]
    (read, *_) = [one for one in parts if one["client"]["valueString"] == "lab"]
    assert read["recipient"]["valueReference"] == {"reference": "Organization/o1"}
    assert read["study"]["valueReference"] == {"reference": "ResearchStudy/s1"}
    assert read["consent"]["valueReference"] == {"reference": "Consent/c/_history/1"}
    assert any(one["client"]["valueString"] == "unknown" for one in parts)
