"""`fhir-server serve`: what it refuses before it listens, and several workers over one store."""

import json
import urllib.request
from pathlib import Path

import pytest

from fhir_server.cli import main
from tests.serving import served


def test_two_workers_write_to_one_store(tmp_path: Path) -> None:
    with served(f"sqlite:///{tmp_path}/fhir.db", "--workers", "2") as server:
        base, ids = server.base, set()
        for number in range(40):
            body = json.dumps({"resourceType": "Patient", "identifier": [{"value": str(number)}]}).encode()
            headers = {"Content-Type": "application/fhir+json", "Connection": "close"}
            request = urllib.request.Request(f"{base}/Patient", body, headers)
            with urllib.request.urlopen(request, timeout=20) as response:
                assert response.status == 201
                ids.add(json.load(response)["id"])
        with urllib.request.urlopen(f"{base}/Patient?_summary=count", timeout=20) as response:
            assert json.load(response)["total"] == len(ids) == 40


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "0.0.0.0", "--auth", "open"], "loopback"),
        (["--host", "0.0.0.0"], "TLS"),
        (["--auth", "none"], "auth"),
        (["--store", "oracle://x"], "Unknown store"),
        (["--store", "mongodb://127.0.0.1:9/db"], "127.0.0.1:9"),
    ],
)
def test_what_cannot_be_served_is_a_sentence(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--store", f"sqlite:///{tmp_path}/fhir.db", *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error


def test_a_damaged_file_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "fhir.db").write_bytes(b"this is no database" * 1000)
    assert main(["serve", "--store", f"sqlite:///{tmp_path}/fhir.db"]) == 2
    assert "damaged or not an SQLite file" in capsys.readouterr().err
