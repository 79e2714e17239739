"""The client that these tests speak through, and the researcher's side of an export."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from fhir_server.server import Server
from fhir_server.settings import Settings
from tests.client import BASE, Client

ASYNC = {"prefer": "respond-async", "accept": "application/fhir+json"}


class Researcher(Client):
    """A client that exports, with whatever headers it is given for all requests."""

    @property
    def server(self) -> Server:
        """What the endpoints work on."""
        server = self.app.endpoint.server
        assert server is not None
        return server

    def kick(self, path: str, body: Any = None, headers: Any = None, **more: Any) -> httpx2.Response:
        """A kick-off, by POST if there is a body."""
        return self("GET" if body is None else "POST", path, body, headers={**ASYNC, **(headers or {})}, **more)

    def begun(self, path: str, body: Any = None, headers: Any = None) -> str:
        """The path of the status of an export, which must have begun."""
        answer = self.kick(path, body, headers)
        assert answer.status_code == 202, answer.text
        return answer.headers["content-location"].removeprefix(f"{BASE}/")

    def ended(self, path: str, headers: Any = None) -> httpx2.Response:
        """The answer of the status when the export has ended."""
        deadline = time.monotonic() + 60
        while True:
            answer = self("GET", path, headers=headers)
            if answer.status_code == 200 or answer.status_code not in (202, 429):
                return answer
            assert time.monotonic() < deadline
            self.run(asyncio.sleep(0.05))

    def manifest(self, path: str, body: Any = None, headers: Any = None) -> dict[str, Any]:
        """The manifest of an export."""
        answer = self.ended(self.begun(path, body, headers), headers)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def lines(self, manifest: dict[str, Any], kind: str = "output", headers: Any = None) -> list[dict[str, Any]]:
        """All resources of a manifest, in order, each checked to be where it says it is."""
        found = []
        for item in manifest[kind]:
            answer = self("GET", item["url"].removeprefix(f"{BASE}/"), headers=headers)
            assert answer.status_code == 200, answer.text
            assert answer.headers["content-type"] == "application/fhir+ndjson"
            assert answer.content.endswith(b"\n")
            rows = [json.loads(line) for line in answer.content.decode().split("\n")[:-1]]
            assert len(rows) == item["count"] > 0
            assert {row["resourceType"] for row in rows} == {item["type"]}
            found += rows
        return found

    def exported(self, path: str, body: Any = None, headers: Any = None) -> dict[str, set[str]]:
        """The ids of an export by type; each resource comes once."""
        rows = self.lines(self.manifest(path, body, headers), headers=headers)
        keys = [(row["resourceType"], row["id"]) for row in rows]
        assert len(keys) == len(set(keys))
        found: dict[str, set[str]] = {}
        for type, id in keys:
            found.setdefault(type, set()).add(id)
        return found

    def put(self, *resources: dict[str, Any]) -> None:
        """Store resources under their ids."""
        entries = [
            {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
            for one in resources
        ]
        answer = self("POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": entries})
        assert answer.status_code == 200, answer.text


def settings(store_url: str, folder: Path, **more: Any) -> Settings:
    """Settings of a server whose exports lie in a folder of the test."""
    given = {"auth": "open", "access_log": False, "export_folder": str(folder / "exports"), "base_url": BASE, **more}
    return Settings(store=store_url, **given)


@pytest.fixture
def client(store_url: str, tmp_path: Path) -> Iterator[Researcher]:
    """A client of an empty server, once for each kind of store."""
    opened = Researcher(settings(store_url, tmp_path))
    yield opened
    opened.close()


def patient(id: str, **more: Any) -> dict[str, Any]:
    """A Patient."""
    return {"resourceType": "Patient", "id": id, **more}


def observation(id: str, of: str, **more: Any) -> dict[str, Any]:
    """An Observation of a patient."""
    subject = {"reference": f"Patient/{of}"}
    return {
        "resourceType": "Observation",
        "id": id,
        "status": "final",
        "code": {"text": "x"},
        "subject": subject,
        **more,
    }


def group(id: str, *members: str, **more: Any) -> dict[str, Any]:
    """A Group of patients."""
    listed = [{"entity": {"reference": f"Patient/{member}"}} for member in members]
    return {"resourceType": "Group", "id": id, "type": "person", "actual": True, "member": listed, **more}


def parameters(*pairs: tuple[str, Any]) -> dict[str, Any]:
    """Parameters, each value under value[x]."""
    made = []
    for name, value in pairs:
        key = (
            "valueReference"
            if isinstance(value, dict)
            else "valueBoolean"
            if isinstance(value, bool)
            else "valueString"
        )
        made.append({"name": name, key: value})
    return {"resourceType": "Parameters", "parameter": made}
