"""`fhir-server load`: what it takes, what it refuses, and that a second run goes on where the first stopped."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fhir_server.access import OPERATOR
from fhir_server.app import open_server
from fhir_server.cli import main
from fhir_server.export.load import _note as note_of
from fhir_server.export.load import load as files_into
from fhir_server.interactions.ask import Ask
from fhir_server.interactions.batch import batch_or_transaction
from fhir_server.settings import Settings

PATIENT = {"resourceType": "Patient", "id": "p1", "birthDate": "1970-01-01"}


def observation(id: str, value: str = "0.47210", subject: str = "Patient/p1") -> str:
    return (
        f'{{"resourceType":"Observation","id":"{id}","status":"final","code":{{"text":"x"}},'
        f'"subject":{{"reference":"{subject}"}},"valueQuantity":{{"value":{value}}}}}'
    )


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/store/fhir.db"


def load(store: str, *arguments: str | Path) -> int:
    return main(["load", *map(str, arguments), "--store", store])


def exported(store: str, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """What the store holds, by type, as `export` writes it."""
    assert main(["export", "--out", str(folder), "--store", store]) == 0
    return {p.stem: [json.loads(line) for line in p.read_text().splitlines()] for p in folder.glob("*.ndjson")}


def write(folder: Path, name: str, content: Any) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def bundle(type: str, *entries: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": type, "entry": list(entries)}


def test_a_resource_keeps_its_id_and_its_digits(store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert load(store, write(tmp_path, "in/o.json", observation("o1"))) == 0
    assert "1 files: 1 resources stored, 0 refused" in capsys.readouterr().out
    main(["export", "--out", str(tmp_path / "out"), "--store", store])
    assert '"value":0.47210}' in (tmp_path / "out" / "Observation.ndjson").read_text()


def test_folders_are_searched_and_other_files_left_alone(store: str, tmp_path: Path) -> None:
    write(tmp_path, "in/deep/er/p.json", PATIENT)
    write(tmp_path, "in/lines.ndjson", "\n".join(observation(f"o{n}") for n in range(250)) + "\n\n")
    write(tmp_path, "in/README.md", "not data")
    assert load(store, tmp_path / "in") == 0
    found = exported(store, tmp_path / "out")
    assert {type: len(rows) for type, rows in found.items()} == {"Patient": 1, "Observation": 250}


def test_a_bad_line_is_refused_and_its_neighbours_are_stored(
    store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = '{"resourceType":"Patient","id":"p2","gender":"banana"}'
    lines = [json.dumps(PATIENT), bad, "{broken", observation("o1")]
    path = write(tmp_path, "in.ndjson", "\n".join(lines))
    assert load(store, path) == 1
    output = capsys.readouterr()
    assert "2 resources stored, 2 refused" in output.out
    assert f"{path} line 2: Patient.gender" in output.err
    assert f"{path} line 3: The body is not valid JSON" in output.err
    assert set(exported(store, tmp_path / "out")) == {"Patient", "Observation"}


def test_a_transaction_is_stored_whole_or_not_at_all(
    store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put = {"resource": PATIENT, "request": {"method": "PUT", "url": "Patient/p1"}}
    bad = {"resource": {"resourceType": "Patient", "foo": 1}, "request": {"method": "POST", "url": "Patient"}}
    assert load(store, write(tmp_path, "t.json", bundle("transaction", put, bad))) == 1
    assert "0 resources stored, 1 refused" in capsys.readouterr().out
    assert exported(store, tmp_path / "out") == {}


def test_a_batch_stores_what_it_can(store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put = {"resource": PATIENT, "request": {"method": "PUT", "url": "Patient/p1"}}
    bad = {"resource": {"resourceType": "Patient", "foo": 1}, "request": {"method": "POST", "url": "Patient"}}
    assert load(store, write(tmp_path, "b.json", bundle("batch", bad, put))) == 1
    output = capsys.readouterr()
    assert "1 resources stored, 1 refused" in output.out
    assert "entry 0: " in output.err
    assert len(exported(store, tmp_path / "out")["Patient"]) == 1


def test_a_collection_is_loaded_by_entry(store: str, tmp_path: Path) -> None:
    entries = [{"resource": PATIENT}, {"resource": json.loads(observation("o1"))}]
    assert load(store, write(tmp_path, "c.json", bundle("collection", *entries))) == 0
    found = exported(store, tmp_path / "out")
    assert [row["id"] for type in ("Patient", "Observation") for row in found[type]] == ["p1", "o1"]


def test_urns_in_a_collection_become_references(store: str, tmp_path: Path) -> None:
    urn = "urn:uuid:0b9a3b1e-5e0a-4c5e-9d35-0b6c1c3a0a01"
    entries = [
        {"fullUrl": urn, "resource": {"resourceType": "Patient"}},
        {"resource": json.loads(observation("o1", subject=urn))},
    ]
    assert load(store, write(tmp_path, "c.json", bundle("collection", *entries))) == 0
    found = exported(store, tmp_path / "out")
    assert found["Observation"][0]["subject"]["reference"] == f"Patient/{found['Patient'][0]['id']}"


def test_a_document_is_kept_as_a_bundle(store: str, tmp_path: Path) -> None:
    path = write(tmp_path, "d.json", {**bundle("collection"), "id": "d1", "type": "history", "entry": []})
    del (document := json.loads(path.read_text()))["entry"]
    assert load(store, write(tmp_path, "d.json", document)) == 0
    assert [row["id"] for row in exported(store, tmp_path / "out")["Bundle"]] == ["d1"]


def test_a_second_run_skips_what_was_loaded(store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, "p.json", PATIENT)
    assert load(store, path) == 0
    assert load(store, path) == 0
    assert "1 files, 1 of them loaded before: 0 resources stored" in capsys.readouterr().out
    assert exported(store, tmp_path / "out")["Patient"][0]["meta"]["versionId"] == "1"
    write(tmp_path, "p.json", {**PATIENT, "active": True})
    assert load(store, path) == 0
    assert exported(store, tmp_path / "out")["Patient"][0]["meta"]["versionId"] == "2"
    assert load(store, path, "--again") == 0
    assert exported(store, tmp_path / "out")["Patient"][0]["active"] is True


async def run_until(url: str, path: Path, pieces: int) -> None:
    """`load` of one file, killed when `pieces` of it are committed."""
    async with open_server(Settings(store=url)) as server:
        begun = 0

        async def execute(bundle: Any, also: Any) -> bytes:
            nonlocal begun
            begun += 1
            if begun > pieces:
                raise ConnectionAbortedError
            return (await batch_or_transaction(server, OPERATOR, Ask(resource=bundle), also=also)).body

        with pytest.raises(ConnectionAbortedError):
            await files_into(server.store, execute, [path], False, lambda progress: None)


@pytest.mark.parametrize("pieces", [0, 1, 2])
def test_a_run_after_one_that_was_killed_creates_nothing_twice(store: str, tmp_path: Path, pieces: int) -> None:
    lines = [json.dumps({"resourceType": "Patient", "birthDate": f"{1900 + n % 100}"}) for n in range(250)]
    path = write(tmp_path, "in.ndjson", "\n".join(lines))
    asyncio.run(run_until(store, path, pieces))
    assert load(store, path) == 0
    assert len(exported(store, tmp_path / "out")["Patient"]) == 250


def test_a_transaction_that_was_committed_before_its_file_was_noted_is_not_repeated(store: str, tmp_path: Path) -> None:
    post = {"resource": {"resourceType": "Patient"}, "request": {"method": "POST", "url": "Patient"}}
    path = write(tmp_path, "t.json", bundle("transaction", post))
    assert load(store, path) == 0

    async def forget() -> None:
        async with open_server(Settings(store=store)) as server:
            assert await server.store.delete_state(note_of(path))

    asyncio.run(forget())
    assert load(store, path) == 0
    assert len(exported(store, tmp_path / "out")["Patient"]) == 1
    assert load(store, path, "--again") == 0
    assert len(exported(store, tmp_path / "out2")["Patient"]) == 2


def test_a_transaction_that_needs_a_later_file_is_tried_again(store: str, tmp_path: Path) -> None:
    seen = json.loads(observation("o1", subject="Patient?identifier=s|1"))
    needs = {"resource": seen, "request": {"method": "PUT", "url": "Observation/o1"}}
    write(tmp_path, "in/1.json", bundle("transaction", needs))
    write(tmp_path, "in/2.json", {**PATIENT, "identifier": [{"system": "s", "value": "1"}]})
    assert load(store, tmp_path / "in") == 0
    assert exported(store, tmp_path / "out")["Observation"][0]["subject"]["reference"] == "Patient/p1"


def test_a_missing_file_is_wrong_usage(store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert load(store, tmp_path / "nowhere") == 2
    assert "There is no file or folder" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["oracle://x", "sqlite:///{tmp}/file/below"])
def test_an_unusable_store_is_a_sentence(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("not a folder")
    path = write(tmp_path, "p.json", PATIENT)
    assert load(url.format(tmp=tmp_path), path) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_an_unknown_variable_is_wrong_usage(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "fhir_server.cli", "load", str(tmp_path)],
        env={"FHIR_SERVER_STROE": "x"}, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (run.returncode, "Traceback" in run.stderr) == (2, False)
    assert "FHIR_SERVER_STROE" in run.stderr
