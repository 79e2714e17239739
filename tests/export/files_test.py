"""The files of exports and their end. https://hl7.org/fhir/uv/bulkdata/STU2/export.html#bulk-data-output-file-request"""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from fhir_server.access import OPERATOR, Caller
from fhir_server.access.grant import Grant
from fhir_server.access.rights import caller_of
from fhir_server.export.download import download
from fhir_server.export.files import patients_of, sweep
from fhir_server.export.job import EXPORTS
from fhir_server.export.kick_off import kick_off
from fhir_server.export.run import schedule
from fhir_server.export.status import export_status, forget_export
from fhir_server.fhir.outcome import FhirError
from fhir_server.interactions.ask import Ask
from tests.client import BASE, refusal
from tests.export.conftest import Researcher, group, observation, patient, settings


@pytest.fixture
def exported(client: Researcher) -> tuple[str, str]:
    """The paths of an export's status and of its one file."""
    client.put(*(patient(f"p{number}") for number in range(200)))
    status = client.begun("$export?_type=Patient")
    item = client.ended(status).json()["output"][0]
    return status, item["url"].removeprefix(f"{BASE}/")


def test_gzip_ranges_and_what_a_client_holds(client: Researcher, exported: tuple[str, str]) -> None:
    _, path = exported
    whole = client("GET", path, headers={"accept-encoding": "identity"})
    assert whole.status_code == 200
    assert int(whole.headers["content-length"]) == len(whole.content)
    assert whole.headers["accept-ranges"] == "bytes"
    assert whole.headers["cache-control"] == "no-store"
    packed = client("GET", path, headers={"accept-encoding": "gzip"})
    assert (packed.headers["content-encoding"], packed.content) == ("gzip", whole.content)
    size = len(whole.content)
    for asked, start, end in (
        ("bytes=0-9", 0, 10), ("bytes=100-", 100, size), ("bytes=-7", size - 7, size), (f"bytes=5-{size * 2}", 5, size),
    ):  # fmt: skip
        part = client("GET", path, headers={"range": asked})
        assert part.status_code == 206
        assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
        assert part.content == whole.content[start:end]
    beyond = client("GET", path, headers={"range": f"bytes={size}-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{size}")
    for nonsense in ("bytes=-", "lines=1-2", "bytes=1-2,4-5", "bytes=9-2"):
        assert client("GET", path, headers={"range": nonsense}).status_code in (200, 416)
    etag = whole.headers["etag"]
    assert client("GET", path, headers={"range": "bytes=0-1", "if-range": '"other"'}).status_code == 200
    assert client("GET", path, headers={"range": "bytes=0-1", "if-range": etag}).status_code == 206
    assert client("GET", path, headers={"if-none-match": etag}).status_code == 304
    assert client("HEAD", path).content == b""
    assert client("GET", path, headers={"accept": "application/fhir+ndjson"}).status_code == 200
    assert client("POST", path).status_code == 405


def test_files_go_with_their_export(client: Researcher, exported: tuple[str, str], tmp_path: Path) -> None:
    status, path = exported
    assert list(tmp_path.rglob("*.ndjson"))
    assert client("DELETE", status).status_code == 202
    assert not list(tmp_path.rglob("*.ndjson*"))
    for method, gone in (("GET", status), ("DELETE", status), ("GET", path)):
        answer = client(method, gone)
        assert answer.status_code == 404
        refusal(answer)


def test_files_are_removed_when_they_expire(client: Researcher, exported: tuple[str, str], tmp_path: Path) -> None:
    status, path = exported
    server = client.server
    folder = next(tmp_path.rglob("*.ndjson")).parent
    assert client.run(sweep(server)) == 0
    later = replace(server, clock=lambda: server.clock() + (server.settings.export_lifetime + 1) * 1_000_000)
    client.app.endpoint.server = later
    for gone in (status, path):
        assert client("GET", gone).status_code == 404
    client.app.endpoint.server = server
    client.run(server.store.delete_state(EXPORTS.key(folder.name)))  # as the store does when it expires
    assert client.run(sweep(server)) == 1
    assert not folder.exists()


def test_one_client_knows_nothing_of_another(client: Researcher, exported: tuple[str, str]) -> None:
    status, path = exported
    server, other = client.server, Caller("another")
    id, name = status.rpartition("/")[2], path.rpartition("/")[2]
    assert client.run(download(server, OPERATOR, id, name)).file.count == 200
    absent = "0" * 32
    for who, number, file in ((other, id, name), (OPERATOR, absent, name), (OPERATOR, id, "2.Patient.ndjson")):
        with pytest.raises(FhirError) as refused:
            client.run(download(server, who, number, file))
        assert refused.value.status == 404
    for ask in (Ask(id=id), Ask(id=absent)):
        for act in (export_status, forget_export):
            with pytest.raises(FhirError) as refused:
                client.run(act(server, other, ask))
            assert refused.value.status == 404
    told = {str(refused.value).replace(id, "").replace(absent, "")}
    assert len(told) == 1
    for name in ("1.Patient.ndjson.patients", "members", "..%2f..%2fx", "1.Patient.ndjson.ids", ".."):
        assert client("GET", f"_export/{id}/{name}").status_code == 404


def test_a_file_is_known_by_the_patients_it_names(client: Researcher, tmp_path: Path) -> None:
    absolute = observation("o3", "x")
    absolute["subject"] = {"reference": f"{BASE}/Patient/far"}
    client.put(patient("p1"), observation("o1", "p1"), observation("o2", "p2", focus=[{"reference": "Patient/p3"}]),
               absolute, group("g", "p9"))  # fmt: skip
    client.manifest("$export")
    found = {path.name.split(".")[1]: patients_of(path) for path in tmp_path.rglob("*.ndjson")}
    assert found["Patient"] == {"p1"}
    assert found["Observation"] == {"p1", "p2", "p3", "far"}
    assert found["Group"] == {"p9"}


def test_a_client_may_have_so_many_and_polls_so_often(client: Researcher) -> None:
    server = client.server
    client.app.endpoint.server = replace(server, settings=replace(server.settings, export_jobs=0))
    paths = [client.begun("$export?_type=Patient") for _ in range(4)]
    refused = client.kick("$export?_type=Patient")
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0
    refusal(refused)
    client("DELETE", paths[0])
    paths[0] = client.begun("$export?_type=Patient")
    polls = [client("GET", paths[0]) for _ in range(60)]
    assert polls[0].status_code == 202
    assert polls[-1].status_code == 429
    assert int(polls[-1].headers["retry-after"]) > 0
    refusal(polls[-1])
    assert client("GET", f"{paths[1]}?page=2").status_code == 202
    assert [client("GET", f"{paths[1]}?page=2") for _ in range(60)][-1].status_code == 429
    for path in paths:
        assert client("DELETE", path).status_code == 202
    assert client.run(EXPORTS.read(server, paths[0].rpartition("/")[2])) is None


def test_an_export_gives_way_to_another_client(store_url: str, tmp_path: Path) -> None:
    """One place, and exports of many files under way: who comes last is not done last."""
    client = Researcher(settings(store_url, tmp_path, export_jobs=1, export_file=1))
    client.put(*(patient(f"p{number}") for number in range(12)))
    server, ids = client.server, list[str]()

    async def in_order() -> list[str]:
        for name in ("first", "first", "second"):
            caller = caller_of(server.definitions, Grant(client=name, scopes=("system/*.rs",), role="ehr"))
            answer = await kick_off(server, caller, Ask(later=True, accept="*/*"), [("_type", "Patient", "")])
            ids.append(dict(answer.headers)["Content-Location"].rpartition("/")[2])
        ended: list[str] = []
        async with asyncio.timeout(60):
            while len(ended) < 3:
                for id in ids:
                    kept = await EXPORTS.read(server, id)
                    assert kept is not None
                    if kept[0].ended and id not in ended:
                        assert len(kept[0].files) == 12
                        ended.append(id)
                await asyncio.sleep(0.005)
        return ended

    ended = client.run(in_order())
    client.close()
    assert ended[-1] != ids[2]


def test_an_export_that_cannot_be_written_says_so(client: Researcher, tmp_path: Path) -> None:
    client.put(patient("p1"))
    (tmp_path / "exports").write_text("a file where the folder should be")
    answer = client.ended(client.begun("$export?_type=Patient"))
    assert answer.status_code == 500
    assert "log" in refusal(answer)["diagnostics"]


def test_what_a_process_left_that_died_at_the_end_is_cleared(client: Researcher, exported: tuple[str, str]) -> None:
    """Else it would count among the client's exports for ever."""
    status, path = exported
    server, id = client.server, status.rpartition("/")[2]
    client.run(server.store.put_state(EXPORTS.open_key(id), b'{"caller":"operator","kicked":0}', 0))
    client.run(schedule(server))
    assert client.run(EXPORTS.open(server)) == {}
    assert client("GET", path).status_code == 200
