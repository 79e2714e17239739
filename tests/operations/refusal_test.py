"""Whoever does not permit matching leaves no trace: each answer is the one of a server that never knew of them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fhir_server.matching.follow import step
from fhir_server.settings import Settings
from tests.client import BASE, Client
from tests.matching import world as w
from tests.operations.match_trials_test import CHILDREN, STUDY, fill, person

CONTEXT = "http://hl7.org/fhir/StructureDefinition/consent-ResearchStudyContext"
PERMIT = {"type": "permit", "purpose": [w.purpose("HRESCH")]}
EXCEPTED = {"url": CONTEXT, "valueReference": {"reference": f"ResearchStudy/{STUDY}"}}
ASKED = (
    f"ResearchStudy/{STUDY}/$match-patients?status=all",
    f"ResearchStudy/{STUDY}/$match-patients?_count=3",
    f"ResearchStudy/{STUDY}/$match-patients?date=2030-01-01",
    f"ResearchStudy/{STUDY}/$attrition",
    f"ResearchStudy/{STUDY}/$attrition?by=sex",
    f"ResearchStudy/{STUDY}/$diversity",
    "ResearchSubject?_summary=count",
    "ResearchSubject",
    "GuidanceResponse?_summary=count",
    "Task",
    "Provenance?_summary=count",
)
NEVER = {
    "no consent": [],
    "denied": [w.consent("c", of="refuses", provision={"type": "deny"})],
    "revoked": [w.consent("c", of="refuses", status="inactive")],
    "only proposed": [w.consent("c", of="refuses", status="proposed")],
    "expired": [w.consent("c", of="refuses", provision={**PERMIT, "period": {"end": "2025-12-31"}})],
    "not yet": [w.consent("c", of="refuses", made="2090-01-01")],
    "another purpose": [w.consent("c", of="refuses", provision={"type": "permit", "purpose": [w.purpose("BIORCH")]})],
    "privacy only": [w.consent("c", of="refuses", scope="patient-privacy", provision={"type": "permit"})],
    "contradicted": [w.consent("c", of="refuses"), w.consent("d", of="refuses", policy="https://example.org/2",
                                                             provision={"type": "deny"})],
    "this study excepted": [w.consent("c", of="refuses", provision={**PERMIT, "provision": [
        {"type": "deny", "extension": [EXCEPTED]}]})],
    "of somebody else": [w.consent("other-yes", of="other")],
    "only for being told": [w.consent("c", of="refuses", provision={"type": "permit", "purpose": [
        {"system": f"{w.OWN}/CodeSystem/contact-purpose", "code": "contact-trial"}]})],
}  # fmt: skip


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Client]]:
    """Two servers with the same people; one will know of the one who refuses."""
    opened = [serving(tmp_path_factory.mktemp("refusal")) for _ in range(2)]
    for one in opened:
        fill(
            one, *w.worked_example(), w.study("young"), CHILDREN, w.patient("other"), w.consent("other-yes", of="other")
        )
        for number in range(13):
            fill(one, *person(f"p{number}", *(["ecog"] if number % 4 == 0 else [])))
    yield opened[0], opened[1]
    for one in opened:
        one.close()


def serving(folder: Path) -> Client:
    return Client(
        Settings(store=f"sqlite:///{folder / 'fhir.db'}", base_url=BASE, auth="open", access_log=False, match=False)
    )


def told(client: Client, path: str) -> str:
    """An answer without what differs from call to call."""
    answer = client("GET", path)
    assert answer.status_code == 200, (path, answer.text)
    text = re.sub(r"urn:uuid:[0-9a-f-]+|_page=[\w-]+", "", answer.text)
    body: Any = json.loads(re.sub(r'"(?:lastUpdated|occurrenceDateTime|recorded|authoredOn)":"[^"]*"', '"t":""', text))
    return json.dumps(sorted(map(json.dumps, body.get("entry", ()))) or body, sort_keys=True)


def settle(client: Client) -> None:
    """Let the matcher follow to the end."""
    server = client.app.endpoint.server
    assert server is not None
    while client.run(step(server)):
        pass


@pytest.mark.parametrize("name", NEVER)
def test_a_refuser_is_nowhere(servers: tuple[Client, Client], name: str) -> None:
    knows, knows_not = servers
    fill(knows, *person("refuses", consents=False), *NEVER[name])
    for client in servers:
        settle(client)
    if name == "this study excepted":  # other studies may be told of them
        assert "refuses" not in told(knows, ASKED[0])
    for path in ASKED:
        found = told(knows, path)
        assert "Patient/refuses" not in found, path
        assert found == told(knows_not, path), path
    for one in NEVER[name]:
        if one["id"] != "other-yes":
            knows("PUT", f"Consent/{one['id']}", {**one, "status": "entered-in-error"})
    for one in reversed(person("refuses", consents=False)):
        knows("DELETE", f"{one['resourceType']}/{one['id']}")


def test_genetic_data_that_are_excepted_are_not_looked_at(servers: tuple[Client, Client]) -> None:
    client, _ = servers
    classes = f"{w.OWN}/CodeSystem/data-class"
    without = {"type": "deny", "securityLabel": [{"system": classes, "code": "genomic"}]}
    fill(client, *person("q", consents=False), w.consent("q-yes", of="q", provision={**PERMIT, "provision": [without]}))
    bundle = client("GET", "Patient/q/$match-trials?status=all").json()
    study = next(one for one in bundle["entry"] if one["resource"]["id"] == STUDY)
    assert study["search"]["extension"][0]["valueCode"] == "possible"
    assert "Condition/q-dx" in json.dumps(bundle)
    assert "Observation/q-var" not in json.dumps(bundle)
    assert "Observation/q-region" not in json.dumps(bundle)
