"""Manifests in pages, those of version 4, and how an export stands told apart. https://hl7.org/fhir/uv/bulkdata/STU3/export.html"""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fhir_server.export import perform
from fhir_server.export.job import EXPORTS
from tests.client import BASE, refusal
from tests.export.conftest import Researcher, observation, patient, settings

LENIENT = {"prefer": "respond-async, handling=lenient"}
SEPARATE = {"prefer": "respond-async,separate-export-status"}


def rest(client: Researcher, manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """The pages of a manifest, this one first."""
    pages = [manifest]
    while link := pages[-1].get("link"):
        (one,) = link
        assert one["relation"] == "next"
        answer = client("GET", one["url"].removeprefix(f"{BASE}/"))
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        assert "expires" in answer.headers
        pages.append(answer.json())
    return pages


@pytest.fixture
def many(store_url: str, tmp_path: Path) -> Any:
    """A client of a server that writes a file for each of ten patients."""
    client = Researcher(settings(store_url, tmp_path, export_file=1))
    client.put(*(patient(f"p{number}") for number in range(10)))
    yield client
    client.close()


def test_pages_hold_everything_once(many: Researcher) -> None:
    whole = many.manifest("$export?_type=Patient")
    assert "link" not in whole
    path = "$export?_type=Patient&allowPartialManifests=true&nonsense=1"
    pages = rest(many, many.manifest(path, headers=LENIENT))
    assert [len(page["output"]) for page in pages] == [1, 2, 4, 3]
    for page in pages:  # all but the files is alike
        assert {**page, "output": [], "link": []} == {**pages[0], "output": [], "link": []}
        assert len(page["error"]) == 1
    held = [row["id"] for page in pages for row in many.lines(page)]
    assert len(held) == len(set(held)) == 10
    assert many.lines(pages[0], "error")[0]["issue"][0]["expression"] == ["nonsense"]
    status = pages[0]["link"][0]["url"].removeprefix(f"{BASE}/").partition("?")[0]
    for page in ("5", "0", "-1", "x", "99999999", "１"):
        answer = many("GET", f"{status}?page={page}")
        assert answer.status_code == 404
        refusal(answer)
    since = many.manifest("$export")["transactionTime"]
    many("DELETE", "Patient/p0")
    many.put(patient("p1", gender="other"))
    path = f"$export?_type=Patient&allowPartialManifests=true&_since={since}"
    pages = rest(many, many.manifest(path))
    assert [(len(page["output"]), len(page["deleted"])) for page in pages] == [(1, 0), (0, 1)]


def test_files_are_given_while_others_are_written(many: Researcher, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that was shown stays as it is but for its link."""
    close, go, never = perform.Writing._close, asyncio.Semaphore(0), asyncio.Semaphore(0)

    async def slowly(writing: perform.Writing, *given: Any, **more: Any) -> None:
        await (go if writing.job.wish.partial else never).acquire()
        await close(writing, *given, **more)

    monkeypatch.setattr(perform.Writing, "_close", slowly)
    status = many.begun("$export?_type=Patient&allowPartialManifests=true")
    sealed = many.begun("$export?_type=Patient")
    first: dict[str, Any] = {}
    server, id = many.server, status.rpartition("/")[2]
    for number in range(1, 10):
        go.release()

        async def written(least: int = number) -> None:
            async with asyncio.timeout(30):
                while (kept := await EXPORTS.read(server, id)) is None or len(kept[0].files) < least:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)

        many.run(written())
        answer = many("GET", status)
        assert answer.status_code == 202
        assert "x-progress" in answer.headers
        page = answer.json()
        first = first or {**page, "link": None}
        assert {**page, "link": None} == first
        (item,) = page["output"]
        assert many("GET", item["url"].removeprefix(f"{BASE}/")).status_code == 200
        ready = [2, 4] if number >= 7 else [2] if number >= 3 else []
        assert ("link" in page) == bool(ready)
        for number_of, size in enumerate(ready, 2):
            other = many("GET", f"{status}?page={number_of}")
            assert other.status_code == 202
            assert len(other.json()["output"]) == size
        beyond = many("GET", f"{status}?page={len(ready) + 2}")
        assert (beyond.status_code, beyond.content) == (202, b"")
        assert many("GET", sealed).content == b""  # who did not allow it sees nothing before the end
    monkeypatch.undo()
    for _ in range(100):
        go.release()
        never.release()
    assert [len(page["output"]) for page in rest(many, many.ended(status).json())] == [1, 2, 4, 3]


def test_the_manifest_of_version_4(client: Researcher) -> None:
    client.put(patient("p1"), observation("o1", "p1"))
    since = client.manifest("$export-v4")["transactionTime"]
    path = "$export-v4?_type=Patient,Observation&nonsense=1"
    found = client.manifest(path, headers=LENIENT)
    assert found.keys() == {
        "manifestType", "transactionTime", "requiresAccessToken", "outputFormat", "output", "outcome", "error",
    }  # fmt: skip
    assert found["manifestType"].startswith("http://hl7.org/fhir/uv/bulkdata/")
    assert found["outputFormat"] == "application/fhir+ndjson"
    assert [item["type"] for item in found["output"]] == ["Observation", "Patient"]
    for item in [*found["output"], *found["outcome"]]:
        body = client("GET", item["url"].removeprefix(f"{BASE}/"), headers={"accept-encoding": "identity"}).content
        assert (item["fileSize"], item["count"]) == (len(body), len(body.splitlines()))
    (told,) = found["outcome"]
    assert found["error"] == found["outcome"]
    assert told["countSeverity"] == [{"code": "warning", "count": 1}]
    client("DELETE", "Observation/o1")
    found = client.manifest(f"$export-v4?_type=Observation&_since={since}")
    assert (found["output"], found["outcome"]) == ([], [])
    (gone,) = found["deleted"]
    assert json.loads(client("GET", gone["url"].removeprefix(f"{BASE}/")).text)["type"] == "transaction"
    found = client.manifest("Patient/$export-v4?organizeOutputBy=Patient")
    assert found["outputOrganizedBy"] == "Patient"
    assert found["outputOrganizedByDetail"]


@pytest.mark.parametrize("name", ["$export", "Patient/$export-v4"])
def test_how_it_stands_told_apart(client: Researcher, tmp_path: Path, name: str) -> None:
    client.put(patient("p1"))
    assert "preference-applied" not in client.kick(name).headers
    answer = client.kick(name, headers=SEPARATE)
    assert answer.status_code == 202
    applied = {one.strip() for one in answer.headers["preference-applied"].split(",")}
    assert applied == {"respond-async", "separate-export-status"}
    status = answer.headers["content-location"].removeprefix(f"{BASE}/")
    first = client("GET", status)
    assert (first.status_code, first.headers["x-export-status"]) == (200, "202 Accepted")
    assert first.content == b""
    assert int(first.headers["retry-after"]) > 0
    while (last := client("GET", status)).headers["x-export-status"] != "200 OK":
        client.run(asyncio.sleep(0.5))
    assert (last.status_code, last.headers["content-type"]) == (200, "application/json")
    assert len(last.json()["output"]) == 1
    assert client("DELETE", status).status_code == 202
    assert client("GET", status).status_code == 404  # that is about the request
    server = client.server
    (tmp_path / "nowhere").write_text("a file where the folder should be")
    client.app.endpoint.server = replace(server, settings=replace(server.settings, export_folder=f"{tmp_path}/nowhere"))
    status = client.begun(name, headers=SEPARATE)
    client("GET", status)
    while (last := client("GET", status)).headers["x-export-status"] == "202 Accepted":
        client.run(asyncio.sleep(0.5))
    assert (last.status_code, last.headers["x-export-status"]) == (200, "500 Internal Server Error")
    assert last.headers["content-type"].startswith("application/fhir+json")
    refusal(last)
