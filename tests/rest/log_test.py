"""The access log: one JSON line per request, nothing of the patient in it."""

import json
from pathlib import Path

import pytest

from fhir_server.settings import Settings
from tests.client import Client


def test_a_line_tells_the_interaction_but_no_value(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    client = Client(Settings(store=f"sqlite:///{tmp_path / 'fhir.db'}", auth="open"))
    client("GET", "Patient?name=Secret", headers={"x-request-id": "r-1"})
    client("GET", "Patient/secret-id")
    client.close()
    text = capsys.readouterr().out
    lines = [json.loads(line) for line in text.splitlines()]
    assert [(line["interaction"], line["status"]) for line in lines] == [("search-type", 200), ("read", 404)]
    assert lines[0]["request"] == "r-1"
    assert "ecret" not in text
