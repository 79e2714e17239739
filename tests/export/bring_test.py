"""$import: files of NDJSON brought in by a client. https://github.com/smart-on-fhir/bulk-import/blob/master/import-manifest.md"""

import asyncio
import gzip
import json
import signal
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import httpx2
import pytest

from fhir_server.export import import_source
from fhir_server.settings import Settings
from tests.auth.door import BASE as SMART
from tests.client import BASE, refusal
from tests.deep import deep
from tests.export.conftest import ASYNC, Researcher, observation, patient, settings
from tests.export.rights_test import Registry
from tests.interactions.respond_async_test import fetch
from tests.serving import served

ORIGIN = "https://hospital.example"


class Source(BaseHTTPRequestHandler):
    """What a hospital serves: files by path, each with what its query must be."""

    files: ClassVar[dict[str, tuple[int, bytes, dict[str, str]]]] = {}
    asked: ClassVar[list[str]] = []
    watched: ClassVar[Path | None] = None  # a folder
    held: ClassVar[list[set[str]]] = []  # the files in it when each was asked for

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.watched is not None:
            self.held.append({path.name for path in self.watched.rglob("*") if path.is_file()})
        status, body, headers = self.files.get(self.path.partition("?")[0], (404, b"", {}))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *told: Any) -> None:
        """Nothing."""


@pytest.fixture
def hospital() -> Iterator[str]:
    """The address of a file server on this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Source)
    Source.files, Source.asked, Source.watched, Source.held = {}, [], None, []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def ndjson(*rows: dict[str, Any] | str) -> bytes:
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows).encode()


def manifest(*inputs: tuple[str, str], **more: Any) -> dict[str, Any]:
    listed = [{"type": type, "url": url} for type, url in inputs]
    return {"inputFormat": "application/fhir+ndjson", "inputSource": ORIGIN, "input": listed, **more}


@pytest.fixture
def client(store_url: str, tmp_path: Path, hospital: str) -> Iterator[Researcher]:
    """A client of a server that reads the hospital's /out/ and the folder `incoming`."""
    (tmp_path / "incoming").mkdir()
    sources = f"{hospital}/out/ file://{tmp_path}/incoming"
    opened = Researcher(settings(store_url, tmp_path, import_sources=sources, import_file=1000))
    yield opened
    opened.close()


def kicked(client: Researcher, body: Any, **headers: str) -> httpx2.Response:
    return client("POST", "$import", body, headers={**ASYNC, "content-type": "application/json", **headers})


def ended(client: Researcher, path: str, **headers: str) -> httpx2.Response:
    deadline = time.monotonic() + 60
    while (answer := client("GET", path, headers=headers)).status_code == 202:
        assert answer.headers["retry-after"] == "2"
        assert "%" in answer.headers["x-progress"]
        assert time.monotonic() < deadline
        client.run(asyncio.sleep(0.4))
    return answer


def brought(client: Researcher, body: Any, base: str = BASE, **headers: str) -> dict[str, Any]:
    """The report of an import."""
    answer = kicked(client, body, **headers)
    assert answer.status_code == 202, answer.text
    answer = ended(client, answer.headers["content-location"].removeprefix(f"{base}/"), **headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    found: dict[str, Any] = answer.json()
    return found


def errors(client: Researcher, report: dict[str, Any], base: str = BASE, **headers: str) -> list[dict[str, Any]]:
    """All issues of a report, each of an OperationOutcome of its own."""
    found = []
    for item in report["error"]:
        answer = client("GET", item["url"].removeprefix(f"{base}/"), headers=headers)
        assert answer.headers["content-type"] == "application/fhir+ndjson"
        rows = [json.loads(line) for line in answer.text.splitlines()]
        assert len(rows) == item["count"]
        assert {row["resourceType"] for row in rows} == {"OperationOutcome"}
        found += [row["issue"][0] for row in rows]
    return found


def test_files_come_from_where_the_operator_says(client: Researcher, hospital: str, tmp_path: Path) -> None:
    folder = tmp_path / "incoming"
    (folder / "o.ndjson.gz").write_bytes(gzip.compress(ndjson(observation("o1", "p1"))))
    whole = ndjson(patient("p1", gender="male"), patient("p2", meta={"source": "urn:x"}), "", patient("p1"))
    faults = ndjson(
        patient("p3"), patient("bad", gender="x"), "{", observation("o9", "p1"), {"resourceType": "Patient"}
    )
    Source.files = {"/out/p.ndjson": (200, whole, {}), "/out/q": (200, gzip.compress(faults), {})}
    inputs = [("Patient", f"{hospital}/out/p.ndjson?sig=secret"), ("Observation", f"file://{folder}/o.ndjson.gz")]
    report = brought(client, manifest(*inputs, ("Patient", f"{hospital}/out/q")))
    assert report["request"] == f"{BASE}/$import"
    assert [(item["inputUrl"], item["count"]) for item in report["output"]] == [
        (inputs[0][1], 3),
        (inputs[1][1], 1),
        (f"{hospital}/out/q", 2),
    ]
    assert report["transactionTime"]
    told = errors(client, report)
    assert [one["diagnostics"].partition(": ")[0] for one in told] == [f"{hospital}/out/q:{n}" for n in (2, 3, 4)]
    assert told[0]["expression"] == ["Patient.gender"]
    assert "Patient" in told[2]["diagnostics"]
    first, second = (client("GET", f"Patient/{id}").json() for id in ("p1", "p2"))
    assert (first["meta"]["versionId"], first["meta"]["source"], second["meta"]["source"]) == ("2", ORIGIN, "urn:x")
    assert client("GET", "Observation/o1").status_code == 200
    assert client("GET", "Observation/o9").status_code == 404
    # The same files once more, under other names: nothing is done, and that is told.
    Source.files["/out/again"] = Source.files["/out/q"]
    before = client.versions()
    report = brought(client, manifest(("Patient", f"{hospital}/out/again")))
    assert [item["count"] for item in report["output"]] == [0]
    assert client.versions() == before
    told = errors(client, report)
    assert told[0]["severity"] == "information"
    assert len(told) == 4
    parameters = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "inputFormat", "valueCode": "application/fhir+ndjson"},
            {"name": "inputSource", "valueUri": ORIGIN},
            {"name": "input", "part": [
                {"name": "type", "valueCode": "Patient"}, {"name": "url", "valueUrl": f"{hospital}/out/new"}]},
        ],
    }  # fmt: skip
    Source.files["/out/new"] = (200, ndjson(patient("p9")), {})
    assert [item["count"] for item in brought(client, parameters)["output"]] == [1]


def test_what_has_an_identifier_that_is_known_becomes_a_new_version(client: Researcher, tmp_path: Path) -> None:
    known, other = ([{"system": "urn:mrn", "value": value}] for value in ("1", "2"))
    client.put(
        patient("here", identifier=known), patient("twin1", identifier=other), patient("twin2", identifier=other)
    )
    path = tmp_path / "incoming" / "in.ndjson"
    rows = (patient("there", identifier=known, gender="male"), patient("x", identifier=other), patient("plain"))
    nameless = {"resourceType": "Patient", "identifier": [{"system": "urn:mrn", "value": "3"}]}
    path.write_bytes(ndjson(*rows, nameless, nameless | {"gender": "female"}))
    report = brought(client, manifest(("Patient", f"file://{path}"), extension={"upsert": "identifier"}))
    assert [item["count"] for item in report["output"]] == [4]
    (told,) = errors(client, report)
    assert (told["code"], told["diagnostics"].partition(": ")[0]) == ("multiple-matches", f"file://{path}:2")
    here = client("GET", "Patient/here").json()
    assert (here["gender"], here["meta"]["versionId"]) == ("male", "2")
    assert client("GET", "Patient/there").status_code == client("GET", "Patient/x").status_code == 404
    (new,) = client("GET", "Patient?identifier=urn:mrn|3").json()["entry"]
    assert (new["resource"]["gender"], new["resource"]["meta"]["versionId"]) == ("female", "2")


@pytest.mark.parametrize(
    "url",
    [
        "https://elsewhere.example/x.ndjson",
        "{}/outside/x.ndjson",
        "{}/output.ndjson",
        "{}/out/../secret.ndjson",
        "{}/out/%2e%2e/secret.ndjson",
        "http://user:word@127.0.0.1/out/x",
        "ftp://127.0.0.1/out/x",
        "file:///etc/passwd",
        "file://host/tmp/x",
        "{}/out/x#y",
        "x.ndjson",
    ],
)
def test_nothing_is_read_from_elsewhere(client: Researcher, hospital: str, url: str) -> None:
    answer = kicked(client, manifest(("Patient", url.format(hospital))))
    assert answer.status_code in (400, 403), answer.text
    assert refusal(answer)["expression"] == ["input[0].url"]
    assert Source.asked == []


def test_by_default_nothing_is_read_at_all(tmp_path: Path) -> None:
    (tmp_path / "in.ndjson").write_bytes(ndjson(patient("p")))
    client = Researcher(settings(f"sqlite:///{tmp_path}/fhir.db", tmp_path))
    answer = kicked(client, manifest(("Patient", f"file://{tmp_path}/in.ndjson")))
    client.close()
    assert answer.status_code == 403
    assert "FHIR_SERVER_IMPORT_SOURCES" in refusal(answer)["diagnostics"]


def test_links_and_redirects_lead_nowhere(client: Researcher, hospital: str, tmp_path: Path) -> None:
    """What cannot be had is told, and does not keep the rest."""
    folder = tmp_path / "incoming"
    (tmp_path / "secret.ndjson").write_bytes(ndjson(patient("secret")))
    (folder / "link.ndjson").symlink_to(tmp_path / "secret.ndjson")
    (folder / "good.ndjson").write_bytes(ndjson(patient("good")))
    Source.files = {
        "/out/moved": (302, b"", {"location": f"{hospital}/secret"}),
        "/secret": (200, ndjson(patient("secret")), {}),
        "/out/large": (200, ndjson(*(patient(f"l{n}") for n in range(99))), {}),
    }
    names = (f"{hospital}/out/moved", f"{hospital}/out/none", f"{hospital}/out/large", f"file://{folder}/link.ndjson",
             f"file://{folder}/absent.ndjson", f"file://{folder}", f"file://{folder}/good.ndjson")  # fmt: skip
    report = brought(client, manifest(*(("Patient", name) for name in names)))
    assert [item["count"] for item in report["output"]] == [0, 0, 0, 0, 0, 0, 1]
    assert len(errors(client, report)) == 6
    assert "/secret" not in Source.asked
    assert client("GET", "Patient?_summary=count").json()["total"] == 1


@pytest.mark.parametrize(
    "change",
    [
        {"inputFormat": "text/csv"},
        {"inputSource": "x"},
        {"input": []},
        {"input": [{"type": "Patient"}]},
        {"input": ["x"]},
        {"input": [{"type": "Nonsense", "url": "file:///a/x"}]},
        {"storageDetail": {"type": "aws-s3"}},
        {"mode": "fast"},
        {"extension": {"upsert": "name"}},
        {"resourceType": "Bundle"},
    ],
)
def test_a_manifest_that_is_not_understood(client: Researcher, tmp_path: Path, change: dict[str, Any]) -> None:
    given = manifest(("Patient", f"file://{tmp_path}/incoming/x"))
    answer = kicked(client, {**given, **change})
    assert answer.status_code == 400, answer.text
    refusal(answer)


def test_it_is_asked_for_as_a_job(client: Researcher, tmp_path: Path) -> None:
    body = manifest(("Patient", f"file://{tmp_path}/incoming/x"))
    for headers in ({"accept": "application/json"}, {"prefer": "respond-async", "accept": ""}):
        answer = client("POST", "$import", body, headers={"content-type": "application/json", **headers})
        assert answer.status_code == 400, answer.text
    for bad in ("", "[]", "x", '"x"'):
        assert kicked(client, bad or None).status_code == 400
    assert client("GET", "$import", headers=ASYNC).status_code == 405


@pytest.fixture
def registry(store_url: str, tmp_path: Path) -> Iterator[Registry]:
    """Two EHRs that may write, one that reads, one asked for consent, a researcher."""
    opened = Registry(
        Settings(
            store=store_url, base_url=SMART, auth="smart", access_log=False, rate_limit=0,
            export_folder=str(tmp_path / "exports"), import_sources=f"file://{tmp_path}",
        )
    )  # fmt: skip
    for id in ("ehr", "other"):
        opened.backend(id, ("system/*.cruds",), role="ehr")
    opened.backend("reader", ("system/*.rs",), role="ehr")
    opened.backend("scientist", ("system/*.cruds",), role="researcher")
    (tmp_path / "in.ndjson").write_bytes(ndjson(*(patient(f"p{n}") for n in range(50)), "{"))
    yield opened
    opened.close()


def test_it_takes_the_right_to_write_what_is_brought(registry: Registry, tmp_path: Path) -> None:
    body = manifest(("Patient", f"file://{tmp_path}/in.ndjson"))
    for client, scope in (
        ("reader", "system/*.rs"), ("ehr", "system/Observation.cruds"), ("ehr", "system/Patient.cr"),
        ("ehr", "system/Patient.cru?gender=male"), ("scientist", "system/*.cruds"),
    ):  # fmt: skip
        answer = kicked(registry, body, **registry.bearer(client, scope))
        assert answer.status_code == 403, scope
        assert refusal(answer)["code"] == "forbidden"
    assert kicked(registry, body).status_code == 401
    held = registry.bearer("ehr", "system/Patient.cru")
    report = brought(registry, body, SMART, **held)
    assert [item["count"] for item in report["output"]] == [50]
    assert report["requiresAccessToken"] is True
    assert len(errors(registry, report, SMART, **held)) == 1


def test_an_import_is_its_clients_own(registry: Registry, tmp_path: Path) -> None:
    held, other = registry.bearer("ehr", "system/*.cruds"), registry.bearer("other", "system/*.cruds")
    answer = kicked(registry, manifest(("Patient", f"file://{tmp_path}/in.ndjson")), **held)
    status = answer.headers["content-location"].removeprefix(f"{SMART}/")
    assert ended(registry, status, **held).status_code == 200
    id = status.rpartition("/")[2]
    for method, path in (("GET", status), ("DELETE", status), ("GET", f"{status}/1")):
        mine, nowhere = (registry(method, one, headers=other) for one in (path, path.replace(id, "0" * 32)))
        assert mine.status_code == nowhere.status_code == 404
        assert mine.text.replace(id, "0" * 32) == nowhere.text
    assert registry("GET", f"{status}/1", headers=held).status_code == 200
    assert registry("GET", f"{status}/2", headers=held).status_code == 404
    assert registry("DELETE", status, headers=held).status_code == 202
    for method, path in (("GET", status), ("DELETE", status), ("GET", f"{status}/1")):
        assert registry(method, path, headers=held).status_code == 404
    # What one client was refused or permitted says nothing of another.
    report = brought(registry, manifest(("Patient", f"file://{tmp_path}/in.ndjson")), SMART, **other)
    assert [item["count"] for item in report["output"]] == [50]


def test_one_fetched_file_is_on_the_disk_at_a_time(client: Researcher, hospital: str, tmp_path: Path) -> None:
    """Each goes when it is imported, or cannot be, before the next is fetched."""
    Source.files = {f"/out/{n}": (200, ndjson(patient(f"p{n}"), "{"), {}) for n in range(4)}
    Source.files["/out/1"] = (200, gzip.compress(ndjson(patient("p1"), "{")), {})
    Source.files["/out/2"] = (200, gzip.compress(ndjson(patient("p2")))[:-9], {})  # cut off
    Source.watched = tmp_path / "exports"
    report = brought(client, manifest(*(("Patient", f"{hospital}/out/{n}") for n in range(5))))
    assert [item["count"] for item in report["output"]] == [1, 1, 0, 1, 0]
    assert Source.asked == [f"/out/{n}" for n in range(5)]
    assert Source.held == [set()] * 5


def test_what_who_died_had_fetched_is_used_or_removed(hospital: str, tmp_path: Path) -> None:
    Source.files = {"/out/a": (200, ndjson(patient("a")), {}), "/out/b": (200, gzip.compress(ndjson(patient("b"))), {})}
    given = settings("sqlite:///unused", tmp_path, import_sources=f"{hospital}/out/")
    a, b = (import_source.Source("Patient", f"{hospital}/out/{name}") for name in "ab")
    paths = [asyncio.run(import_source.fetched(given, one, tmp_path)) for one in (a, b)]
    (tmp_path / "x.part").write_bytes(b"half")
    import_source.clear(tmp_path, b)
    assert list(tmp_path.iterdir()) == [paths[1]]
    assert asyncio.run(import_source.fetched(given, b, tmp_path)) == paths[1]
    assert Source.asked == ["/out/a", "/out/b"]
    import_source.clear(tmp_path)
    assert not list(tmp_path.iterdir())


def test_one_that_is_cancelled_stops(client: Researcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fhir_server.export.bring.LINES", 50)
    path = tmp_path / "incoming" / "in.ndjson"
    path.write_bytes(ndjson(*(patient(f"p{n}") for n in range(1000))))
    asked = manifest(("Patient", f"file://{path}"))
    status = kicked(client, asked).headers["content-location"].removeprefix(f"{BASE}/")
    while not client("GET", "Patient?_summary=count").json()["total"]:
        client.run(asyncio.sleep(0.01))
    assert client("DELETE", status).status_code == 202
    assert client("GET", status).status_code == 404
    while client.server.imports:
        client.run(asyncio.sleep(0.02))
    count = client("GET", "Patient?_summary=count").json()["total"]
    assert 0 < count < 1000
    client.run(asyncio.sleep(0.2))
    assert client("GET", "Patient?_summary=count").json()["total"] == count
    # Asked for again it goes on where it was.
    assert [item["count"] for item in brought(client, asked)["output"]] == [1000]
    versions = {one["resource"]["meta"]["versionId"] for one in client("GET", "Patient?_count=1000").json()["entry"]}
    assert versions == {"1"}


@pytest.mark.timeout(deep(120, 3600))
def test_kill_9_at_any_time_loses_and_doubles_nothing(store_url: str, tmp_path: Path) -> None:
    """Each resource is there at version 1, each refusal is told once: the report is that of an undisturbed import."""
    size, random = deep(1200, 6000), Random(11)
    rows = [patient(f"p{n}") if n % 100 else patient(f"p{n}", gender="x") for n in range(size)]
    (tmp_path / "in.ndjson").write_bytes(ndjson(*rows))
    given = {
        "FHIR_SERVER_JOB_LEASE": "1", "FHIR_SERVER_ACCESS_LOG": "false", "FHIR_SERVER_BASE_URL": BASE,
        "FHIR_SERVER_EXPORT_FOLDER": str(tmp_path / "exports"), "FHIR_SERVER_IMPORT_SOURCES": f"file://{tmp_path}",
    }  # fmt: skip
    status = ""
    for _ in range(deep(1, 50)):
        with served(store_url, **given) as server:
            if not status:
                body = manifest(("Patient", f"file://{tmp_path}/in.ndjson"))
                code, headers, text = fetch(f"{server.base}/$import", body, **ASYNC)
                assert code == 202, text
                status = headers["content-location"].removeprefix(BASE)
            time.sleep(1 + random.random() * 3)
            server.process.send_signal(signal.SIGKILL)
            server.process.wait()
    with served(store_url, **given) as server:
        deadline = time.monotonic() + 100
        while (answer := fetch(server.base + status))[0] in (202, 429):
            assert time.monotonic() < deadline
            time.sleep(0.5)
        code, _, text = answer
        assert code == 200, text
        report = json.loads(text)
        assert [item["count"] for item in report["output"]] == [size - size // 100]
        assert [item["count"] for item in report["error"]] == [size // 100]
        told = [json.loads(line) for line in fetch(f"{server.base}{status}/1")[2].splitlines()]
        places = [one["issue"][0]["diagnostics"].partition(": ")[0].rpartition(":")[2] for one in told]
        assert places == [str(n) for n in range(1, size, 100)]
        found, page = [], "Patient?_count=1000"
        while page:
            bundle = json.loads(fetch(f"{server.base}/{page}")[2])
            found += [one["resource"] for one in bundle["entry"]]
            page = next((one["url"].rpartition("/fhir/")[2] for one in bundle["link"] if one["relation"] == "next"), "")
            page = page.removeprefix(BASE + "/")
        assert {one["id"] for one in found} == {f"p{n}" for n in range(size) if n % 100}
        assert {one["meta"]["versionId"] for one in found} == {"1"}
