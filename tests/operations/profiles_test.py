"""$validate against profiles, and what the setting `profiles` refuses, over HTTP on both stores. https://hl7.org/fhir/R4/profiling.html"""

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fhir_server.cli import main
from fhir_server.settings import Settings
from tests.client import BASE, Client, refusal
from tests.operations.profile_cases import CASES, CODED, CODES, OBSERVATION, OTHERS, SET, SITE, changed, profile


def errors(client: Client, resource: dict[str, Any], url: str = "") -> list[tuple[str, str]]:
    """Where and why, of each error."""
    answer = client("POST", f"{resource['resourceType']}/$validate{url and '?profile='}{url}", resource)
    assert answer.status_code == 200, answer.text
    issues = answer.json()["issue"]
    return [(one.get("expression", [""])[0], one["diagnostics"]) for one in issues if one["severity"] == "error"]


def put(client: Client, *resources: dict[str, Any]) -> None:
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
        for one in resources
    ]
    answer = client("POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert answer.status_code == 200, answer.text


def test_what_profiles_say(client: Client) -> None:
    made = {name: profile(f"p{number}", "Observation", *case[0]) for number, (name, case) in enumerate(CASES.items())}
    for one in made.values():  # an element that the case gives for the root replaces it
        elements = one["snapshot"]["element"]
        if any(element["id"] == "Observation" for element in elements[1:]):
            del elements[0]
    put(client, CODES, SET, *OTHERS, *made.values())
    for name, (_, good, bad, place, why) in CASES.items():
        url = made[name]["url"]
        assert errors(client, good, url) == [], name
        found = errors(client, bad, url)
        assert found, name
        assert all(where == place for where, _ in found), (name, found)
        assert any(why in text for _, text in found), (name, found)


def test_what_is_told_beside_errors(client: Client) -> None:
    bound = {"strength": "required", "valueSet": "http://x.example/ValueSet/unknown"}
    put(client, CODES, SET, profile("p", "Observation", {"id": "Observation.code", "binding": bound},
        {"id": "Observation.method", "mustSupport": True},
        {"id": "Observation.category", "binding": {"strength": "extensible", "valueSet": SET["url"]}}))  # fmt: skip
    answer = client("POST", f"Observation/$validate?profile={SITE}p", changed(category=[CODED]))
    told = [(one["severity"], one["diagnostics"]) for one in answer.json()["issue"]]
    assert (
        "warning",
        "Observation.category[0] should be a code of http://x.example/ValueSet/s, if one fits, not urn:c|b.",
    ) in told
    assert any("Not checked" in text and "unknown" in text for severity, text in told if severity == "information")
    assert any("Observation.method" in text for severity, text in told if severity == "information")


def test_claims_are_checked_wherever_they_stand(client: Client) -> None:
    put(client, profile("p", "Observation", {"id": "Observation.method", "min": 1}))
    claim = {"meta": {"profile": [SITE + "p"]}}
    assert [place for place, _ in errors(client, {**OBSERVATION, **claim})] == ["Observation.method"]
    inside = {**OBSERVATION, **claim, "id": "o"}
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"fullUrl": "urn:uuid:1", "resource": inside}]}
    assert [place for place, _ in errors(client, bundle)] == ["Bundle.entry[0].resource.method"]
    report = {"resourceType": "DiagnosticReport", "status": "final", "code": {"text": "t"}, "contained": [inside],
              "result": [{"reference": "#o"}]}  # fmt: skip
    assert [place for place, _ in errors(client, report)] == ["DiagnosticReport.contained[0].method"]


def test_profiles_that_are_not_known_or_for_another_type(client: Client) -> None:
    put(
        client,
        profile("p", "Patient"),
        {**profile("q", "Observation"), "snapshot": None}
        | {"snapshot": {"element": [{"path": "Observation", "id": "Observation.x"}]}},
    )
    assert errors(client, OBSERVATION, SITE + "nosuch")[0][1].startswith("The profile")
    assert "must be a Patient" in errors(client, OBSERVATION, SITE + "p")[0][1]
    assert "is no Patient" in errors(client, OBSERVATION, "http://hl7.org/fhir/StructureDefinition/Patient")[0][1]
    assert errors(client, OBSERVATION, "http://hl7.org/fhir/StructureDefinition/Observation") == []
    assert errors(client, OBSERVATION, SITE + "q")[0][1].startswith("The profile")
    answer = client("POST", "Observation/$validate", {**OBSERVATION, "meta": {"profile": [SITE + "nosuch"]}})
    assert [one["severity"] for one in answer.json()["issue"] if one["code"] == "not-found"] == ["warning"]


@pytest.fixture
def strict(store_url: str) -> Iterator[Client]:
    required = f"Observation={SITE}required"
    opened = Client(
        Settings(
            store=store_url,
            base_url=BASE,
            auth="open",
            access_log=False,
            profiles="enforce",
            required_profiles=required,
        )
    )
    put(opened, profile("required", "Observation", {"id": "Observation.subject", "min": 1}),
        profile("p", "Observation", {"id": "Observation.method", "min": 1}))  # fmt: skip
    yield opened
    opened.close()


def test_what_is_enforced(strict: Client) -> None:
    good, claim = changed(method=CODED, id="o"), {"meta": {"profile": [SITE + "p"]}}
    before = strict.versions()
    bad = {**OBSERVATION, **claim}
    patient = {"resourceType": "Patient", "id": "x"}

    def entries(*made: dict[str, Any]) -> dict[str, Any]:
        requests = [{"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"} for one in made]
        listed = [{"resource": one, "request": request} for one, request in zip(made, requests, strict=True)]
        return {"resourceType": "Bundle", "type": "transaction", "entry": listed}

    for method, path, body in (
        ("POST", "Observation", bad),
        ("PUT", "Observation/o", {**bad, "id": "o"}),
        ("PUT", "Observation?code=zzz", bad),
        ("POST", "Observation", changed(subject=None)),
        ("POST", "Observation", {**good, "meta": {"profile": [SITE + "nosuch"]}}),
        ("POST", "", entries(patient, {**bad, "id": "o"})),
    ):
        answer = strict(method, path, body)
        assert answer.status_code == 422, (method, path, answer.text)
        refusal(answer)
    assert strict.versions() == before
    answer = strict("POST", "", entries(patient, {**bad, "id": "o"}))
    assert answer.json()["issue"][0]["expression"] == ["Bundle.entry[1].resource.method"]
    assert strict("PUT", "Observation/o", {**good, **claim}).status_code == 201
    assert strict("POST", "", entries(patient, {**good, **claim})).status_code == 200
    assert strict("POST", "Observation", changed(code="x")).json()["issue"][0]["expression"] == ["Observation.code"]


def test_patches_and_labels_are_enforced_too(strict: Client) -> None:
    claim = {"meta": {"profile": [SITE + "p"]}}
    assert strict("PUT", "Observation/o", {**changed(method=CODED, id="o"), **claim}).status_code == 201
    assert strict("PUT", "Observation/q", changed(id="q")).status_code == 201
    patch = {"content-type": "application/json-patch+json"}
    away, there = (
        json.dumps([{"op": "remove", "path": "/method"}]),
        json.dumps([{"op": "replace", "path": "/status", "value": "amended"}]),
    )
    for path in ("Observation/o", "Observation?_id=o"):
        assert strict("PATCH", path, away, headers=patch).status_code == 422
        assert strict("PATCH", path, there, headers=patch).status_code == 200
    label = {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"profile": [SITE + "p"]}}]}
    assert strict("POST", "Observation/q/$meta-add", label).status_code == 422
    assert strict("POST", "Observation/o/$meta-add", label).status_code == 200


def test_a_warning_lets_it_pass(store_url: str, caplog: pytest.LogCaptureFixture) -> None:
    client = Client(Settings(store=store_url, base_url=BASE, auth="open", access_log=False, profiles="warn"))
    put(client, profile("p", "Observation", {"id": "Observation.method", "min": 1}))
    client.create({**OBSERVATION, "meta": {"profile": [SITE + "p"]}})
    assert "Observation.method" in caplog.text
    client.close()


def archive(path: Path, name: str, version: str, *resources: dict[str, Any]) -> Path:
    files = {"package.json": {"name": name, "version": version}}
    files |= {f"{one['resourceType']}-{one['id']}.json": one for one in resources}
    with tarfile.open(path, "w:gz") as made:
        for file, content in files.items():
            member = tarfile.TarInfo(f"package/{file}")
            body = json.dumps(content).encode()
            member.size = len(body)
            made.addfile(member, io.BytesIO(body))
    return path


def test_a_package_is_effective_at_once(
    client: Client, store_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    method = profile("p", "Observation", {"id": "Observation.method", "min": 1})
    patient = {"resourceType": "Patient", "id": "none", "url": "x"}
    first = archive(tmp_path / "g-1.tgz", "guide", "1", CODES, SET, method, patient)
    assert errors(client, OBSERVATION, SITE + "p")[0][1].startswith("The profile")
    assert main(["package", "add", str(first), "--store", store_url]) == 0
    assert "added, 3 resources stored, 0 refused" in capsys.readouterr().out
    client.app.endpoint.server.known.clear()  # what was looked up is used for a second
    assert [place for place, _ in errors(client, OBSERVATION, SITE + "p")] == ["Observation.method"]
    assert client("GET", "Patient/none").status_code == 404
    assert main(["package", "add", str(first), "--store", store_url]) == 0
    assert "added before" in capsys.readouterr().out
    second = archive(
        tmp_path / "g-2.tgz", "guide", "2", profile("p", "Observation", {"id": "Observation.note", "min": 1})
    )
    other = {**profile("p", "Observation"), "url": "http://y.example/p"}
    third = archive(tmp_path / "h-1.tgz", "other", "1", other)
    assert main(["package", "add", str(second), str(third), "--store", store_url]) == 0
    client.app.endpoint.server.known.clear()
    assert [place for place, _ in errors(client, OBSERVATION, SITE + "p")] == ["Observation.note"]
    assert errors(client, OBSERVATION, "http://y.example/p") == []
    capsys.readouterr()
    assert main(["package", "list", "--store", store_url]) == 0
    assert [line.split("\t")[:2] for line in capsys.readouterr().out.splitlines()] == [["guide", "2"], ["other", "1"]]


def test_what_is_no_package(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = f"sqlite:///{tmp_path}/fhir.db"
    bad = tmp_path / "bad.tgz"
    bad.write_bytes(b"no archive")
    assert main(["package", "add", str(bad), "--store", store]) == 2
    assert "no .tgz archive" in capsys.readouterr().err
    broken = {**CODES, "status": "odd"}
    assert main(["package", "add", str(archive(tmp_path / "b.tgz", "b", "1", broken)), "--store", store]) == 1
    assert "refused: CodeSystem/c" in capsys.readouterr().err
    assert main(["package", "list", "--store", store]) == 0
    assert capsys.readouterr().out == ""
