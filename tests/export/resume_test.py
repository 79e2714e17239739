"""An export outlives the process that writes it. https://hl7.org/fhir/uv/bulkdata/STU2/export.html"""

import json
import signal
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.deep import deep
from tests.interactions.respond_async_test import fetch
from tests.serving import Served, served

KILLS = deep(2, 100)
BASE = "http://127.0.0.1:8080/fhir"


def filled(server: Served, patients: int) -> None:
    """Patients with two Observations each."""
    for start in range(0, patients, 250):
        entries = []
        for number in range(start, start + 250):
            subject = {"reference": f"Patient/p{number}"}
            made: list[dict[str, Any]] = [{"resourceType": "Patient", "id": f"p{number}"}]
            made += [
                {"resourceType": "Observation", "id": f"o{number}-{n}", "status": "final", "code": {"text": "x"},
                 "subject": subject} for n in range(2)
            ]  # fmt: skip
            entries += [
                {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
                for one in made
            ]
        code, _, body = fetch(server.base, {"resourceType": "Bundle", "type": "transaction", "entry": entries})
        assert code == 200, body


def begun(server: Served, path: str = "/$export?_type=Patient,Observation") -> str:
    headers = {"prefer": "respond-async", "accept": "application/fhir+json"}
    code, told, body = fetch(server.base + path, None, **headers)
    assert code == 202, body
    return told["content-location"].rpartition("/")[2]


def ended(server: Served, id: str) -> Any:
    deadline = time.monotonic() + 60
    while True:
        code, _, body = fetch(f"{server.base}/_export/{id}")
        if code == 200:
            return json.loads(body)
        assert code in (202, 429), body
        assert time.monotonic() < deadline
        time.sleep(0.3)


@pytest.mark.timeout(deep(120, 3600))
def test_kill_9_at_any_time_leaves_the_same_manifest(store_url: str, tmp_path: Path) -> None:
    """Nothing lost, nothing doubled, and the client sees no trace of it: but for the id, what it would have seen."""
    settings = {
        "FHIR_SERVER_JOB_LEASE": "1", "FHIR_SERVER_ACCESS_LOG": "false", "FHIR_SERVER_EXPORT_FILE": "50",
        "FHIR_SERVER_EXPORT_FOLDER": str(tmp_path / "exports"), "FHIR_SERVER_BASE_URL": BASE,
    }  # fmt: skip
    random = Random(7)
    with served(store_url, **settings) as server:
        filled(server, 500)
        first = begun(server)
        expected = ended(server, first)
        assert [item["count"] for item in expected["output"]] == [50] * 30
        killed = begun(server)
        time.sleep(0.1)
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
    for _ in range(KILLS):
        with served(store_url, **settings) as server:
            time.sleep(random.random() * 0.9)
            if fetch(f"{server.base}/_export/{killed}")[0] == 200:
                require_same(server, killed, expected, first)
                killed = begun(server)
            server.process.send_signal(signal.SIGKILL)
            server.process.wait()
    with served(store_url, **settings) as server:
        require_same(server, killed, expected, first)
        assert not [*tmp_path.rglob("*.part"), *tmp_path.rglob("*.refs")]


def require_same(server: Served, id: str, expected: Any, first: str) -> None:
    """The export is the expected one but for its id and time, and its files hold everything once."""
    found = ended(server, id)
    text = json.dumps({**found, "transactionTime": ""}).replace(id, first)
    assert text == json.dumps({**expected, "transactionTime": ""})
    keys = []
    for item in found["output"]:
        code, _, body = fetch(item["url"].replace(BASE, server.base))
        assert code == 200
        rows = [json.loads(line) for line in body.splitlines()]
        assert len(rows) == item["count"]
        keys += [(row["resourceType"], row["id"]) for row in rows]
    assert len(keys) == len(set(keys)) == 1500
