"""`fhir-server import`: NDJSON in, whatever happens in between. https://hl7.org/fhir/R4/nd-json.html"""

import gzip
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fhir_server.cli import main
from tests.deep import deep

KILLS, ROWS = deep(1, 100), deep(2500, 6000)


def rows(count: int, language: str = "en") -> list[dict[str, Any]]:
    return [{"resourceType": "Patient", "id": f"p{number}", "language": language} for number in range(count)]


def written(path: Path, made: list[Any]) -> Path:
    text = "".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in made).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def imported(store: str, *arguments: str | Path) -> int:
    return main(["import", *map(str, arguments), "--store", store, "--processes", "1"])


def exported(store: str, folder: Path) -> dict[str, list[dict[str, Any]]]:
    assert main(["export", "--out", str(folder), "--store", store]) == 0
    return {p.stem: [json.loads(line) for line in p.read_text().splitlines()] for p in folder.glob("*.ndjson")}


def test_lines_are_stored_or_told_and_files_known_by_their_content(
    store_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, refused = tmp_path / "in", tmp_path / "refused.ndjson"
    folder.mkdir()
    first: list[Any] = [
        *rows(3),
        "",
        {"resourceType": "Patient", "gender": "x", "id": "bad"},
        "{",
        {"resourceType": "X"},
    ]
    first += [
        {"resourceType": "Basic", "code": {"text": "no id"}},
        {"resourceType": "Patient", "id": "p0", "active": True},
    ]
    written(folder / "a.ndjson", first)
    written(
        folder / "b.ndjson.gz", [{"resourceType": "Observation", "id": "o", "status": "final", "code": {"text": "x"}}]
    )
    assert imported(store_url, folder, "--refused", refused) == 1
    assert "6 resources stored, 3 refused" in capsys.readouterr().out
    told = [json.loads(line) for line in refused.read_text().splitlines()]
    assert [one["resourceType"] for one in told] == ["OperationOutcome"] * 3
    places = [one["issue"][0]["diagnostics"].split(": ")[0].rpartition(":")[2] for one in told]
    assert places == ["5", "6", "7"]
    assert told[0]["issue"][0]["expression"] == ["Patient.gender"]
    found = exported(store_url, tmp_path / "out")
    assert {row["id"]: row["meta"]["versionId"] for row in found["Patient"]} == {"p0": "2", "p1": "1", "p2": "1"}
    assert len(found["Observation"]) == len(found["Basic"]) == 1
    (folder / "a.ndjson").rename(folder / "renamed.ndjson")
    assert imported(store_url, folder) == 0
    assert "2 of them imported before" in capsys.readouterr().out
    assert exported(store_url, tmp_path / "out") == found
    assert imported(store_url, folder, "--again") == 1
    again = exported(store_url, tmp_path / "out")
    assert {row["id"] for row in again["Basic"]} == {row["id"] for row in found["Basic"]}
    assert {row["id"]: row["meta"]["versionId"] for row in again["Patient"]} == {"p0": "4", "p1": "2", "p2": "2"}


@pytest.mark.timeout(deep(180, 3600))
def test_kill_9_at_any_time_loses_and_doubles_nothing(store_url: str, tmp_path: Path) -> None:
    """Each resource is there at version 1 in the end: it was written once."""
    path, random = written(tmp_path / "in.ndjson", rows(ROWS)), Random(3)
    command = [sys.executable, "-m", "fhir_server.cli", "import", path, "--store", store_url, "--processes", "1"]
    for _ in range(KILLS):
        process = subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.DEVNULL)
        time.sleep(2 + random.random() * 3)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert imported(store_url, path) == 0
    found = exported(store_url, tmp_path / "out")["Patient"]
    assert len(found) == ROWS
    assert {row["meta"]["versionId"] for row in found} == {"1"}


def test_what_is_no_ndjson_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = f"sqlite:///{tmp_path}/fhir.db"
    (tmp_path / "a.json").write_text("{}")
    assert imported(store, tmp_path / "a.json") == 2
    assert "load" in capsys.readouterr().err
    assert imported(store, tmp_path / "none.ndjson") == 2
