"""Who may export what: backend services, within their scopes, each its own. https://hl7.org/fhir/uv/bulkdata/STU2/authorization/"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from fhir_server.settings import Settings
from tests.auth.door import BASE, Door, claims, signed
from tests.client import refusal
from tests.export.conftest import ASYNC, Researcher, group, observation, patient

# Patient/p1 permits research.
PERMIT = {
    "resourceType": "Consent", "id": "c1", "status": "active", "patient": {"reference": "Patient/p1"},
    "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "research"}]},
    "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}], "dateTime": "2026-01-01",
    "policy": [{"uri": "https://example.org/policy"}],
    "provision": {"type": "permit", "purpose": [
        {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HRESCH"}]},
}  # fmt: skip


class Registry(Researcher, Door):
    """A server with auth smart, filled by an EHR, asked by backend services."""

    def bearer(self, client: str, scope: str) -> dict[str, str]:
        """The headers of a service with a fresh token."""
        answer = self.token(signed(claims(client)), scope)
        assert answer.status_code == 200, answer.text
        return {"authorization": f"Bearer {answer.json()['access_token']}"}


@pytest.fixture
def registry(store_url: str, tmp_path: Path) -> Iterator[Registry]:
    """Patients, Observations, Groups; an EHR, a second one, a researcher and a laboratory."""
    folder = str(tmp_path / "exports")
    opened = Registry(
        Settings(store=store_url, base_url=BASE, auth="smart", access_log=False, rate_limit=0, export_folder=folder)
    )
    for id, role in (("ehr", "ehr"), ("other", "ehr"), ("scientist", "researcher"), ("nobody", "")):
        opened.backend(id, ("system/*.cruds",), role=role)
    opened.backend("narrow", ("system/Patient.rs", "system/Observation.rs"), role="ehr")
    held = opened.bearer("ehr", "system/*.cruds")
    made = [
        patient("p1"), patient("p2"), observation("o1", "p1"), observation("o2", "p2"), group("g1", "p1"),
        {"resourceType": "Organization", "id": "clinic", "name": "Clinic"},
    ]  # fmt: skip
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}} for one in made
    ]
    answer = opened("POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": entries}, headers=held)
    assert answer.status_code == 200, answer.text
    yield opened
    opened.close()


def kicked(registry: Registry, path: str, held: dict[str, str]) -> httpx2.Response:
    return registry("GET", path, headers={**ASYNC, **held})


def exported(registry: Registry, path: str, held: dict[str, str]) -> tuple[str, dict[str, Any]]:
    """The path of the status, and the manifest."""
    answer = kicked(registry, path, held)
    assert answer.status_code == 202, answer.text
    status = answer.headers["content-location"].removeprefix(f"{BASE}/")
    told = registry.ended(status, held)
    assert told.status_code == 200, told.text
    return status, told.json()


def ids(registry: Registry, manifest: dict[str, Any], held: dict[str, str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for item in manifest["output"]:
        body = registry("GET", item["url"].removeprefix(f"{BASE}/"), headers=held).text
        found[item["type"]] = {json.loads(line)["id"] for line in body.splitlines()}
    return found


def test_an_export_holds_what_the_scopes_cover(registry: Registry) -> None:
    everything = registry.bearer("ehr", "system/*.rs")
    _, manifest = exported(registry, "$export", everything)
    assert manifest["requiresAccessToken"] is True
    found = ids(registry, manifest, everything)
    assert found.keys() >= {"Patient", "Observation", "Group", "Organization"}
    assert found["Patient"] == {"p1", "p2"}
    _, manifest = exported(registry, "Group/g1/$export", everything)
    assert ids(registry, manifest, everything) == {"Patient": {"p1"}, "Observation": {"o1"}}
    some = registry.bearer("ehr", "system/Patient.rs system/Observation.r system/Condition.s")
    _, manifest = exported(registry, "$export", some)
    assert ids(registry, manifest, some) == {"Patient": {"p1", "p2"}}  # it takes both r and s
    fine = registry.bearer("ehr", "system/Observation.rs?status=preliminary system/Patient.rs")
    _, manifest = exported(registry, "Patient/$export", fine)
    assert ids(registry, manifest, fine) == {"Patient": {"p1", "p2"}}


def test_research_gets_what_patients_permit_and_loses_what_they_revoke(registry: Registry) -> None:
    """A file that was written under a permission that is gone is not given out; the next export is without it."""
    held, ehr = registry.bearer("scientist", "system/*.rs"), registry.bearer("ehr", "system/*.cruds")
    _, manifest = exported(registry, "$export", held)
    assert ids(registry, manifest, held) == {"Organization": {"clinic"}}
    assert registry("PUT", "Consent/c1", PERMIT, headers=ehr).status_code == 201
    _, manifest = exported(registry, "$export", held)
    assert ids(registry, manifest, held)["Observation"] == {"o1"}
    assert registry("PUT", "Consent/c1", PERMIT | {"status": "inactive"}, headers=ehr).status_code == 200
    for item in manifest["output"]:
        answer = registry("GET", item["url"].removeprefix(f"{BASE}/"), headers=held)
        if item["type"] == "Organization":
            assert answer.status_code == 200
        else:
            assert answer.status_code == 410, item
            assert refusal(answer)["code"] == "suppressed"
    _, manifest = exported(registry, "$export", held)
    assert ids(registry, manifest, held) == {"Organization": {"clinic"}}
    assert kicked(registry, "Group/g1/$export", held).status_code == 404  # it names people
    # Without identity only: under other names, the same in every file and in what is read.
    without = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentcategorycodes", "code": "rsdid"}]}
    assert registry("PUT", "Consent/c1", PERMIT | {"category": [without]}, headers=ehr).status_code == 200
    for level in ("$export", "Patient/$export"):
        _, manifest = exported(registry, level, held)
        found = ids(registry, manifest, held)
        (name,) = found["Patient"]
        assert name != "p1"
        assert registry("GET", f"Patient/{name}", headers=held).status_code == 200
        files = {item["type"]: item["url"].removeprefix(f"{BASE}/") for item in manifest["output"]}
        seen = registry("GET", files["Observation"], headers=held).json()
        assert seen["subject"] == {"reference": f"Patient/{name}"}
        assert "code" not in seen  # it was free text
    # When it was changed would tell its dates: it comes whole each time.
    _, manifest = exported(registry, f"Patient/$export?_since={manifest['transactionTime']}", held)
    assert ids(registry, manifest, held)["Patient"] == {name}
    assert registry("PUT", "Consent/c1", PERMIT | {"status": "inactive"}, headers=ehr).status_code == 200
    assert registry("GET", files["Observation"], headers=held).status_code == 410


def test_a_group_takes_the_right_to_read_it(registry: Registry) -> None:
    """By the token, or by what the client is registered for: few clients ask for it."""
    held = registry.bearer("ehr", "system/Patient.rs")
    _, manifest = exported(registry, "Group/g1/$export", held)
    assert ids(registry, manifest, held) == {"Patient": {"p1"}}
    for id in ("g1", "g9"):
        answer = kicked(registry, f"Group/{id}/$export", registry.bearer("narrow", "system/Patient.rs"))
        assert answer.status_code == 403
        assert "Group" in refusal(answer)["diagnostics"]


def test_a_group_that_is_hidden_is_answered_like_none(registry: Registry) -> None:
    held = registry.bearer("ehr", "system/Group.rs?type=animal system/Patient.rs")
    answer, absent = (kicked(registry, f"Group/{id}/$export", held) for id in ("g1", "g9"))
    assert (answer.status_code, answer.text.replace("g1", "g9")) == (404, absent.text)


@pytest.mark.parametrize(
    ("scope", "path", "code"),
    [
        ("system/Observation.rs", "$export?_type=Patient", 403),
        ("system/Observation.rs", "$export?_type=Patient,Observation", 403),
        ("system/Patient.cud", "$export", 403),
    ],
)
def test_what_the_scopes_do_not_cover(registry: Registry, scope: str, path: str, code: int) -> None:
    answer = kicked(registry, path, registry.bearer("ehr", scope))
    assert answer.status_code == code, answer.text
    assert refusal(answer)["code"] == "forbidden"
    assert "insufficient_scope" in answer.headers["www-authenticate"]


def test_a_lenient_client_gets_what_it_may_have(registry: Registry) -> None:
    held = registry.bearer("ehr", "system/Observation.rs")
    headers = {**held, "prefer": "respond-async, handling=lenient"}
    status, manifest = exported(registry, "$export?_type=Patient,Observation", headers)
    assert [item["type"] for item in manifest["output"]] == ["Observation"]
    assert manifest["error"][0]["count"] == 1
    assert registry("GET", status, headers=held).json() == manifest


def test_attachments_have_addresses_that_the_same_token_reads(registry: Registry) -> None:
    ehr = registry.bearer("ehr", "system/*.cruds")
    stored = [{"attachment": {"contentType": "text/plain", "url": url}} for url in ("Binary/b1", "https://x.example/1")]
    note = {"resourceType": "DocumentReference", "id": "d1", "status": "current", "content": stored,
            "subject": {"reference": "Patient/p1"}}  # fmt: skip
    binary = {"resourceType": "Binary", "id": "b1", "contentType": "text/plain", "data": "aGVsbG8=",
              "securityContext": {"reference": "DocumentReference/d1"}}  # fmt: skip
    for one in (note, binary):
        assert registry("PUT", f"{one['resourceType']}/{one['id']}", one, headers=ehr).status_code == 201
    held = registry.bearer("ehr", "system/*.rs")
    _, manifest = exported(registry, "Patient/$export?_type=DocumentReference", held)
    (item,) = manifest["output"]
    (line,) = registry("GET", item["url"].removeprefix(f"{BASE}/"), headers=held).text.splitlines()
    urls = [one["attachment"]["url"] for one in json.loads(line)["content"]]
    assert urls == [f"{BASE}/Binary/b1", "https://x.example/1"]
    assert registry("GET", urls[0].removeprefix(f"{BASE}/"), headers=held).status_code == 200
    assert registry("GET", urls[0].removeprefix(f"{BASE}/")).status_code == 401


def test_no_token_no_export_no_file(registry: Registry) -> None:
    held = registry.bearer("ehr", "system/*.rs")
    status, manifest = exported(registry, "$export?_type=Patient", held)
    file = manifest["output"][0]["url"].removeprefix(f"{BASE}/")
    for headers in ({}, {"authorization": "Bearer wrong"}):
        for method, path in (("GET", "$export"), ("GET", status), ("DELETE", status), ("GET", file)):
            answer = registry(method, path, headers={**ASYNC, **headers})
            assert answer.status_code == 401, path
            refusal(answer)
            assert answer.headers["www-authenticate"].startswith("Bearer")
    assert registry("GET", file, headers=held).status_code == 200


def test_an_export_is_its_clients_own(registry: Registry) -> None:
    """Another client learns nothing, not even whether there is one; a later token of the same client will do."""
    status, manifest = exported(registry, "$export?_type=Patient", registry.bearer("ehr", "system/*.rs"))
    file = manifest["output"][0]["url"].removeprefix(f"{BASE}/")
    other = registry.bearer("other", "system/*.rs")
    id = status.rpartition("/")[2]
    for method, path in (("GET", status), ("DELETE", status), ("GET", file)):
        answer = registry(method, path, headers=other)
        nowhere = registry(method, path.replace(id, "0" * 32), headers=other)
        assert answer.status_code == nowhere.status_code == 404
        assert answer.text.replace(id, "0" * 32) == nowhere.text
    narrow = registry.bearer("ehr", "system/Observation.rs")
    assert registry("GET", file, headers=narrow).status_code == 403
    again = registry.bearer("ehr", "system/Patient.rs")
    assert registry("GET", file, headers=again).status_code == 200
    assert registry("DELETE", status, headers=again).status_code == 202
    assert registry("GET", file, headers=again).status_code == 404


def test_downloads_are_audited_with_their_patients(registry: Registry) -> None:
    held = registry.bearer("ehr", "system/*.rs")
    _, manifest = exported(registry, "Group/g1/$export", held)
    ids(registry, manifest, held)
    rows = registry.run(registry.server.store.list_state("audit/", 100))
    told = [one for _, value in rows for one in json.loads(value) if one[3] == "export-file"]
    assert {tuple(one[6]) for one in told} == {("p1",)}
    assert {one[10] for one in told} == {"ehr"}
