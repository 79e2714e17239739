"""`Prefer: respond-async`: bundles performed after the answer. https://hl7.org/fhir/R4/async.html"""

import asyncio
import json
import signal
import time
import urllib.error
import urllib.request
from typing import Any

import httpx2
import pytest

from fhir_server.access import OPERATOR, Caller
from fhir_server.admission import Room
from fhir_server.fhir.outcome import FhirError
from fhir_server.interactions import job_run
from fhir_server.interactions.ask import Ask
from fhir_server.interactions.job_state import open_jobs, read_job, write_job
from fhir_server.interactions.jobs import accept, forget, status
from fhir_server.rest.routes import ENTRY_SHAPES
from fhir_server.server import Server
from tests.client import BASE, Client, refusal
from tests.serving import Served, served

LATER = {"prefer": "respond-async"}
PATIENT = {"resourceType": "Patient", "identifier": [{"system": "urn:s", "value": "1"}]}


def bundle(type: str, count: int, **more: Any) -> dict[str, Any]:
    entry = {"resource": PATIENT, "request": {"method": "POST", "url": "Patient"}}
    return {"resourceType": "Bundle", "type": type, "entry": [entry] * count, **more}


def begun(client: Client, given: Any, **headers: str) -> str:
    """The path of the job, below the base."""
    answer = client("POST", "", given, headers={**LATER, **headers})
    assert answer.status_code == 202, answer.text
    address = answer.headers["content-location"]
    assert address.startswith(f"{BASE}/_async/")
    return address.removeprefix(f"{BASE}/")


def ended(client: Client, path: str) -> httpx2.Response:
    deadline = time.monotonic() + 100  # only when something hangs
    while True:
        answer = client("GET", path)
        if answer.status_code != 202:
            return answer
        assert answer.headers["x-progress"]
        assert int(answer.headers["retry-after"]) >= 1
        assert time.monotonic() < deadline
        client.run(_pause())


async def _pause() -> None:

    await asyncio.sleep(0.02)


def waiting(client: Client, given: Any) -> tuple[str, Room]:
    """The path of a job that waits for room, and the room that it gets when that is left."""
    server = server_of(client)
    held = server.admission.room(10**9)
    client.run(held.__aenter__())
    answer = client.run(accept(server, OPERATOR, Ask(resource=given), ENTRY_SHAPES))
    client.run(_pause())
    return dict(answer.headers)["Content-Location"].removeprefix(f"{BASE}/"), held


def server_of(client: Client) -> Server:
    server = client.app.endpoint.server
    assert server is not None
    return server


@pytest.mark.parametrize("type", ["batch", "transaction"])
def test_the_response_is_what_it_would_have_been_at_once(client: Client, type: str) -> None:
    path = begun(client, bundle(type, 30), prefer="respond-async, return=representation")
    answer = ended(client, path)
    assert answer.status_code == 200, answer.text
    assert "GMT" in answer.headers["expires"]
    response = answer.json()
    assert response["type"] == f"{type}-response"
    assert [entry["response"]["status"] for entry in response["entry"]] == ["201"] * 30
    assert response["entry"][0]["resource"]["resourceType"] == "Patient"
    assert client("GET", "Patient?_summary=count").json()["total"] == 30
    assert client("GET", path).json() == response  # as often as one likes
    assert client("GET", path, headers={"accept": "application/fhir+xml"}).text.lstrip().startswith("<")
    while server_of(client).jobs:  # it clears away after its commit
        client.run(_pause())
    assert client.run(open_jobs(server_of(client))) == []


def test_a_refused_transaction_is_told_and_leaves_nothing(client: Client) -> None:
    bad = bundle("transaction", 2)
    wrong = {"resource": {"resourceType": "Patient", "gender": "x"}, "request": {"method": "POST", "url": "Patient"}}
    bad["entry"] = [*bad["entry"], wrong]
    answer = ended(client, begun(client, bad))
    assert answer.status_code == 422
    assert "Bundle.entry[2]" in refusal(answer)["expression"][0]
    assert client.versions() == 0


def test_what_is_no_bundle_is_refused_at_once(client: Client) -> None:
    for given, code in (
        ({"resourceType": "Patient"}, 400),
        (bundle("collection", 1), 400),
        (bundle("batch", 10_001), 413),
    ):
        answer = client("POST", "", given, headers=LATER)
        assert answer.status_code == code
        refusal(answer)


def test_versions_cannot_be_read_in_a_transaction_that_is_answered_later(client: Client) -> None:
    given = bundle("transaction", 1)
    given["entry"] = [*given["entry"], {"request": {"method": "GET", "url": "Patient/_history"}}]
    answer = ended(client, begun(client, given))
    assert (answer.status_code, client.versions()) == (400, 0)


def test_a_response_of_many_megabytes_comes_whole(client: Client) -> None:
    text = "x" * 900_000
    resource = {**PATIENT, "name": [{"text": text}]}
    given = {"resourceType": "Bundle", "type": "transaction", "entry": [
        {"resource": resource, "request": {"method": "POST", "url": "Patient"}}] * 20}  # fmt: skip
    answer = ended(client, begun(client, given, prefer="respond-async, return=representation"))
    assert [entry["resource"]["name"][0]["text"] for entry in answer.json()["entry"]] == [text] * 20


def test_delete_forgets_and_others_see_nothing(client: Client) -> None:
    path = begun(client, bundle("transaction", 1))
    ended(client, path)
    server, other = server_of(client), Caller("another")
    ask = Ask(id=path.removeprefix("_async/"))
    for act in (status(server, other, ask, ENTRY_SHAPES), forget(server, other, ask)):
        with pytest.raises(FhirError) as refused:
            client.run(act)
        assert refused.value.status == 404
    assert client("DELETE", path).status_code == 202
    for method in ("GET", "DELETE"):
        assert client(method, path).status_code == 404
    assert client("GET", "_async/none").status_code == 404
    assert client("GET", "Patient?_summary=count").json()["total"] == 1


def test_a_cancelled_transaction_leaves_nothing(client: Client) -> None:
    server = server_of(client)
    path, held = waiting(client, bundle("transaction", 900))
    assert client("GET", path).status_code == 202
    assert client("DELETE", path).status_code == 202
    client.run(held.__aexit__(None, None, None))
    client.run(_pause())
    assert client("GET", path).status_code == 404
    assert client.versions() == 0
    assert client.run(open_jobs(server)) == []


@pytest.mark.parametrize(
    ("type", "began", "code"), [("transaction", False, 200), ("batch", False, 200), ("batch", True, 500)]
)
def test_a_job_whose_process_died_is_taken_over_or_reported(client: Client, type: str, began: bool, code: int) -> None:
    """What a dead process leaves: a job that nobody works on, whose lease runs out."""
    server = server_of(client)
    path, held = waiting(client, bundle(type, 700))
    id = path.removeprefix("_async/")
    for task in list(server.jobs):
        task.cancel()
    client.run(_pause())
    kept = client.run(read_job(server, id))
    assert kept is not None
    job, version = kept
    job.lease, job.began, job.done = server.clock() + 500_000, began, 3
    assert client.run(write_job(server, id, job, version))
    client.run(held.__aexit__(None, None, None))
    assert client("GET", path).status_code == 202
    assert not server.jobs  # the lease is respected
    answer = ended(client, path)
    assert answer.status_code == code
    if code == 500:
        assert "3 or more of 700" in refusal(answer)["diagnostics"]
    assert client("GET", "Patient?_summary=count").json()["total"] == (700 if code == 200 else 0)


def test_two_attempts_at_a_transaction_commit_once(client: Client) -> None:
    """A process that was only slow finds that another has performed its job."""
    server = server_of(client)
    path = begun(client, bundle("transaction", 5))
    id = path.removeprefix("_async/")
    job = client.run(read_job(server, id))
    assert job is not None
    asked = Ask(resource=bundle("transaction", 5))
    assert ended(client, path).status_code == 200
    with pytest.raises(job_run.Superseded):
        client.run(job_run._transacted(server, OPERATOR, id, job[0], asked, ENTRY_SHAPES))
    assert client("GET", "Patient?_summary=count").json()["total"] == 5


def fetch(url: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data, {"content-type": "application/fhir+json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, {}, error.read()


def test_a_job_survives_the_death_of_its_server(store_url: str) -> None:
    """kill -9 at once after the 202; the next server finishes it, once, though nobody asks for it."""
    settings = {"FHIR_SERVER_JOB_LEASE": "1", "FHIR_SERVER_ACCESS_LOG": "false"}
    with served(store_url, **settings) as first:
        code, headers, _ = fetch(first.base, bundle("transaction", 1500), prefer="respond-async")
        assert code == 202
        time.sleep(0.2)
        first.process.send_signal(signal.SIGKILL)
        first.process.wait()
    path = "/_async/" + headers["content-location"].rpartition("/")[2]
    with served(store_url, **settings) as second:
        assert wait_for_total(second, 1500) == 1500
        code, _, body = fetch(second.base + path)
        deadline = time.monotonic() + 20
        while code == 202 and time.monotonic() < deadline:
            time.sleep(0.1)
            code, _, body = fetch(second.base + path)
        assert code == 200
        assert len(json.loads(body)["entry"]) == 1500
        assert wait_for_total(second, 1500) == 1500


def wait_for_total(server: Served, wanted: int) -> int:
    deadline = time.monotonic() + 40
    while True:
        total = int(json.loads(fetch(f"{server.base}/Patient?_summary=count")[2])["total"])
        if total >= wanted or time.monotonic() > deadline:
            return total
        time.sleep(0.2)
