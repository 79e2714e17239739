"""Nobody changes an AuditEvent: not by update, patch or delete, alone or in a bundle. https://hl7.org/fhir/R4/auditevent.html"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.audit.trail import Trail, interaction
from tests.client import client

__all__ = ["client"]
PATCH = {"content-type": "application/json-patch+json"}
LABELS = {"resourceType": "Parameters", "parameter": [
    {"name": "meta", "valueMeta": {"tag": [{"system": "urn:x", "code": "y"}]}}]}  # fmt: skip


def attempts(id: str, event: dict[str, Any]) -> Iterator[tuple[str, str, Any, dict[str, str]]]:
    """Every way to change an event."""
    other = {**event, "id": id, "outcome": "0"}
    yield "PUT", f"AuditEvent/{id}", other, {}
    yield "PUT", "AuditEvent/of-my-own", {**other, "id": "of-my-own"}, {}
    yield "PUT", f"AuditEvent?_id={id}", other, {}
    yield "PATCH", f"AuditEvent/{id}", [{"op": "replace", "path": "/outcome", "value": "0"}], PATCH
    yield "PATCH", f"AuditEvent?_id={id}", [{"op": "replace", "path": "/outcome", "value": "0"}], PATCH
    yield "DELETE", f"AuditEvent/{id}", None, {}
    yield "DELETE", f"AuditEvent?_id={id}", None, {}
    yield "POST", f"AuditEvent/{id}/$meta-add", LABELS, {}
    yield "POST", f"AuditEvent/{id}/$expunge", None, {}


def entry(method: str, url: str, resource: Any) -> dict[str, Any]:
    """The same as a batch entry."""
    made: dict[str, Any] = {"request": {"method": method, "url": url}}
    return {**made, "resource": resource} if isinstance(resource, dict) else made


@pytest.mark.parametrize("role", ["ehr", "operator"])
def test_events_stay_as_they_are(trail: Trail, role: str) -> None:
    caller = trail.bearer(role, ("system/*.cruds",), role=role)
    assert trail("GET", "Patient/p1", headers=caller).status_code == 404
    (event,) = trail.events("patient=p1")
    for method, url, body, more in attempts(event["id"], event):
        answer = trail(method, url, body, headers={**caller, **more})
        refused = (405, 403) if "$expunge" in url else (405,)
        assert answer.status_code in refused, (method, url, answer.text)
        if answer.status_code == 405:
            assert answer.headers["allow"]
        for type in ("batch", "transaction"):
            if not more:
                bundle = {"resourceType": "Bundle", "type": type, "entry": [entry(method, url, body)]}
                answer = trail("POST", "", bundle, headers=caller)
                status = answer.json()["entry"][0]["response"]["status"] if type == "batch" else answer.status_code
                assert str(status) in ("405", "403", "400"), (type, method, url, answer.text)
    assert trail("GET", f"AuditEvent/{event['id']}", headers=caller).json() == event
    assert {"update", "patch", "delete"} <= {interaction(one) for one in trail.events("outcome=4")}


def test_other_systems_send_events_but_choose_no_ids(trail: Trail) -> None:
    caller = trail.bearer("lab", ("system/AuditEvent.crs",))
    theirs = {
        "resourceType": "AuditEvent",
        "id": "chosen",
        "type": {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "110112"},
        "recorded": "2026-01-01T00:00:00Z",
        "agent": [{"requestor": True, "who": {"display": "x"}}],
        "source": {"observer": {"display": "lab"}},
    }
    answer = trail("POST", "AuditEvent", theirs, headers=caller)
    assert answer.status_code == 201
    assert answer.json()["id"] != "chosen"
    assert trail("POST", "AuditEvent", theirs, headers=trail.bearer("reader", ("system/*.rs",))).status_code == 403


def test_in_open_mode_too_but_a_copy_may_be_restored(client: Any) -> None:
    event = {"resourceType": "AuditEvent", "id": "e1", "recorded": "2026-01-01T00:00:00Z",
             "type": {"code": "rest"}, "agent": [{"requestor": True}],
             "source": {"observer": {"display": "x"}}}  # fmt: skip
    assert client("PUT", "AuditEvent/e1", event).status_code == 201
    for method, url, body, more in attempts("e1", event):
        if "of-my-own" not in url:  # which restores a copy
            assert client(method, url, body, headers=more).status_code == 405, (method, url)
    assert len(client("GET", "AuditEvent/e1/_history").json()["entry"]) == 1


def test_the_statement_says_so(client: Any) -> None:
    types = client("GET", "metadata").json()["rest"][0]["resource"]
    (claim,) = [one for one in types if one["type"] == "AuditEvent"]
    assert not {"update", "patch", "delete"} & {one["code"] for one in claim["interaction"]}
    assert (claim["updateCreate"], claim["conditionalDelete"]) == (False, "not-supported")


def test_the_record_that_is_expunged_leaves_who_saw_it(trail: Trail) -> None:
    """Folded or not: what is journalled names the patient, and stays."""
    operator = trail.bearer("op", ("system/*.cruds",), role="operator")
    trail.put(operator, "Patient", "p1")
    trail.fold()
    trail("GET", "Patient/p1", headers=operator)
    answer = trail("POST", "Patient/p1/$expunge?everything=true", headers=operator)
    assert answer.status_code == 200, answer.text
    assert {interaction(one) for one in trail.events("patient=p1")} == {"update", "read", "expunge"}
