"""Exports in object storage, over HTTP to a server of S3's protocol (moto). https://docs.aws.amazon.com/AmazonS3/latest/API/Welcome.html

moto does not judge signatures, so that what an address permits is the storage's to prove, not these tests'.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from fhir_server.export import bucket, files, perform
from fhir_server.export.job import EXPORTS
from fhir_server.settings import Settings
from tests.auth.door import BASE as SMART
from tests.client import BASE, refusal
from tests.export.conftest import Researcher, group, observation, patient, settings
from tests.export.consent_chain_test import consent
from tests.export.rights_test import Registry, exported

BUCKET = "exports"


@pytest.fixture(scope="module")
def storage() -> Iterator[str]:
    """The address of object storage with a bucket."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 60
    while True:
        try:
            httpx2.put(f"{address}/{BUCKET}")
            break
        except httpx2.HTTPError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    yield address
    process.terminate()
    process.wait()


@pytest.fixture
def stored(storage: str, store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Settings of a server that keeps its exports there."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", storage)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr(bucket, "ATTEMPTS", 1)
    bucket._opened.cache_clear()
    return {"store_url": store_url, "folder": tmp_path, "export_bucket": f"s3://{BUCKET}/{os.urandom(4).hex()}/x"}


@pytest.fixture
def client(stored: dict[str, Any]) -> Iterator[Researcher]:
    opened = Researcher(settings(**stored, export_file=2))
    yield opened
    opened.close()


def names(client: Researcher) -> set[str]:
    """All objects of the server's exports."""
    kept = files.kept_in(client.server)
    assert kept is not None
    return {f"{id}/{name}" for id in kept.ids() for name in kept.names(id)}


def fetched(client: Researcher, url: str, **headers: str) -> httpx2.Response:
    """A file by way of the address that the server gives."""
    answer = client("GET", "_export/" + url.partition("/_export/")[2], headers=headers)
    assert (answer.status_code, answer.content) == (307, b""), answer.text
    assert answer.headers["cache-control"] == "no-store"
    said = parse_qs(urlsplit(answer.headers["location"]).query)
    assert said["X-Amz-Expires"] == ["60"]
    assert said["X-Amz-Signature"]
    return httpx2.get(answer.headers["location"])


def test_files_are_read_where_they_are_kept(client: Researcher, tmp_path: Path) -> None:
    client.put(*(patient(f"p{n}") for n in range(5)), observation("o1", "p1"), group("g", "p1", "p2"))
    status = client.begun("Group/g/$export?_type=Patient,Observation")
    manifest = client.ended(status).json()
    held = {}
    for item in manifest["output"]:
        assert item["url"].startswith(f"{BASE}/_export/")  # nothing that would be good without being asked
        answer = fetched(client, item["url"])
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/fhir+ndjson")
        rows = [json.loads(line) for line in answer.text.splitlines()]
        assert len(rows) == item["count"]
        held |= {row["id"]: row for row in rows}
    assert held.keys() == {"p1", "p2", "o1"}
    path = "_export/" + manifest["output"][0]["url"].partition("/_export/")[2]
    head = client("HEAD", path)
    assert httpx2.head(head.headers["location"]).status_code == 200
    assert client("POST", path).status_code == 405
    assert not [*tmp_path.rglob("*.ndjson")]
    endings = {name.rpartition(".")[2].rpartition("/")[2] for name in names(client)}
    assert endings == {"ndjson", "ids", "parts", "patients", "members"}
    # Any other process finds it, whatever is on its disk.
    shutil.rmtree(tmp_path / "exports")
    assert fetched(client, manifest["output"][0]["url"]).status_code == 200
    address = client("GET", path).headers["location"]
    assert client("DELETE", status).status_code == 202
    assert names(client) == set()
    assert httpx2.get(address).status_code == 404
    answer = client("GET", path)
    assert answer.status_code == 404
    refusal(answer)


def test_what_has_expired_is_swept(client: Researcher, tmp_path: Path) -> None:
    client.put(patient("p1"))
    status = client.begun("$export?_type=Patient")
    client.ended(status)
    assert client.run(files.sweep(client.server)) == 0
    shutil.rmtree(tmp_path / "exports")
    client.run(client.server.store.delete_state(EXPORTS.key(status.rpartition("/")[2])))
    assert client.run(files.sweep(client.server)) == 1
    assert names(client) == set()


@pytest.mark.parametrize(
    "path", ["Group/g/$export?_type=Patient,Observation", "$export?organizeOutputBy=Patient&_type=Patient"]
)
def test_another_machine_goes_on(
    client: Researcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Stopped behind each file, with nothing left on the disk: the same files, everything once."""
    client.put(*(patient(f"p{n}") for n in range(3)), *(observation(f"o{n}", f"p{n}") for n in range(3)),
               group("g", "p0", "p1", "p2"))  # fmt: skip
    expected = client.manifest(path)

    async def always(*given: Any) -> bool:
        return True

    perform_ = perform.Writing.perform

    async def elsewhere(writing: perform.Writing) -> None:
        shutil.rmtree(tmp_path / "exports", ignore_errors=True)
        await perform_(writing)

    monkeypatch.setattr("fhir_server.export.run._others_wait", always)
    monkeypatch.setattr(perform.Writing, "perform", elsewhere)
    found = client.manifest(path)
    assert [{**item, "url": ""} for item in found["output"]] == [{**item, "url": ""} for item in expected["output"]]
    assert [fetched(client, item["url"]).text for item in found["output"]] == [
        fetched(client, item["url"]).text for item in expected["output"]
    ]


def test_consent_is_asked_before_an_address_is_given(stored: dict[str, Any], tmp_path: Path) -> None:
    given = Settings(
        store=stored["store_url"], base_url=SMART, auth="smart", access_log=False, rate_limit=0,
        export_folder=str(tmp_path / "exports"), export_bucket=stored["export_bucket"],
    )  # fmt: skip
    registry = Registry(given)
    for id, role in (("ehr", "ehr"), ("other", "ehr"), ("scientist", "researcher")):
        registry.backend(id, ("system/*.cruds",), role=role)
    ehr, held = registry.bearer("ehr", "system/*.cruds"), registry.bearer("scientist", "system/*.rs")
    for one in (patient("p0"), observation("o0", "p0"), consent("c", "p0")):
        assert registry("PUT", f"{one['resourceType']}/{one['id']}", one, headers=ehr).is_success
    _, manifest = exported(registry, "$export?_type=Patient,Observation", held)
    assert manifest["requiresAccessToken"] is True
    assert len(manifest["output"]) == 2
    for item in manifest["output"]:
        assert fetched(registry, item["url"], **held).status_code == 200
        path = "_export/" + item["url"].partition("/_export/")[2]
        assert registry("GET", path).status_code == 401
        assert registry("GET", path, headers=registry.bearer("other", "system/*.rs")).status_code == 404
        assert registry("GET", path, headers=registry.bearer("scientist", "system/Group.rs")).status_code == 403
    assert registry("PUT", "Consent/c", consent("c", "p0", "inactive"), headers=ehr).is_success
    for item in manifest["output"]:
        answer = registry("GET", "_export/" + item["url"].partition("/_export/")[2], headers=held)
        assert answer.status_code == 410
        assert "location" not in answer.headers
    registry.close()


def test_storage_that_does_not_answer(client: Researcher, monkeypatch: pytest.MonkeyPatch) -> None:
    client.put(patient("p1"))
    status = client.begun("$export?_type=Patient")
    item = client.ended(status).json()["output"][0]
    with monkeypatch.context() as gone:
        gone.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
        bucket._opened.cache_clear()
        shutil.rmtree(client.server.settings.export_folder)
        answer = client("GET", "_export/" + item["url"].partition("/_export/")[2])
        assert answer.status_code == 503
        assert "127.0.0.1" not in answer.text
        refusal(answer)
        answer = client.ended(client.begun("$export?_type=Patient"))
        assert answer.status_code == 503
        assert client("DELETE", status).status_code == 202
    bucket._opened.cache_clear()
    assert names(client) != set()
    client.run(files.sweep(client.server))
    assert names(client) == set()


@pytest.mark.parametrize("url", ["exports", "s3:", "s3:///x", "https://bucket/x"])
def test_a_bucket_that_is_none(url: str) -> None:
    with pytest.raises(ValueError, match="export_bucket"):
        Settings(export_bucket=url).check()
