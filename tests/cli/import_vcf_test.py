"""`fhir-server import vcf` and $convert-vcf: what comes in, once, and who is told. docs/genomics.md"""

import base64
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fhir_server.cli import main
from tests.access.gate_test import WORLD, Ward
from tests.auth.door import smart
from tests.client import refusal
from tests.genomics.vcf_test import DEPTHS, vcf

CONTENT = vcf(
    "7 55191822 . T G . PASS . GT:AD 0/1:60,40",
    "1 9 . A C . lowq . GT 0/1",
    "17 7675088 . C T . PASS . GT:AD 0/1:10,5",
    header=("##reference=GRCh38", DEPTHS),
)


def test_a_vcf_comes_in_once(store_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world, file = tmp_path / "world.ndjson", tmp_path / "calls.vcf.gz"
    world.write_text("\n".join(map(json.dumps, WORLD)))
    file.write_bytes(gzip.compress(CONTENT))
    store = ["--store", store_url, "--processes", "1"]
    call = ["import", "vcf", str(file), "--patient", "p", "--order", "order", "--source", "somatic", *store]
    assert main(call) == 2
    assert "There is no Patient/p in the store" in capsys.readouterr().err
    assert main(["import", str(world), *store]) == 0
    capsys.readouterr()
    assert main(call) == 0
    told = capsys.readouterr().out
    assert "2 variants" in told
    assert "left out: 1 failed a filter of the caller" in told
    assert "1 files: 3 resources stored, 0 refused" in told
    assert main(call) == 0
    assert "1 of them imported before: 0 resources stored" in capsys.readouterr().out
    assert main(["export", "--out", str(tmp_path / "out"), "--store", store_url]) == 0
    observations = [json.loads(line) for line in (tmp_path / "out/Observation.ndjson").read_text().splitlines()]
    (report,) = map(json.loads, (tmp_path / "out/DiagnosticReport.ndjson").read_text().splitlines())
    assert {one["reference"] for one in report["result"]} == {
        f"Observation/{one['id']}" for one in observations if one["id"].startswith("vcf-")
    }
    (task,) = map(json.loads, (tmp_path / "out/Task.ndjson").read_text().splitlines())
    assert task["focus"]["reference"] == f"DiagnosticReport/{report['id']}"
    assert task["owner"]["reference"] == "Practitioner/oncologist"


def test_ndjson_only_and_what_is_asked_wrongly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = tmp_path / "calls.vcf", tmp_path / "calls.ndjson"
    file.write_bytes(CONTENT)
    assert main(["import", "vcf", str(file), "--patient", "Patient/p", "--ndjson", str(out)]) == 0
    assert len(out.read_text().splitlines()) == 3
    capsys.readouterr()
    for arguments, said in (
        (["vcf", str(file)], "--patient"),
        (["vcf", str(file), str(file), "--patient", "p"], "one FILE"),
        (["vcf", str(file), "--patient", "p", "--assembly", "GRCh37", "--ndjson", str(out)], "GRCh38"),
        (["vcf", str(out), "--patient", "p", "--ndjson", str(tmp_path / "x")], "fileformat"),
        (["vcf", str(file), "--patient", "p", "--uncallable", str(file)], "BED"),
        ([str(out), "--patient", "p"], "import vcf"),
    ):
        assert main(["import", *arguments]) == 2
        assert said in capsys.readouterr().err


@pytest.fixture
def ward(store_url: str) -> Iterator[Ward]:
    opened = Ward(smart(store_url, audit=False, match=False))
    opened.register(id="app", redirects=("https://app.example/",))
    opened.put(*WORLD)
    yield opened
    opened.close()


def document(id: str, **attachment: Any) -> dict[str, Any]:
    return {"resourceType": "DocumentReference", "id": id, "status": "current", "subject": {"reference": "Patient/p"},
            "content": [{"attachment": {"contentType": "text/vcf", **attachment}}]}  # fmt: skip


def values(answer: Any) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    return {one["name"]: next((value for key, value in one.items() if key.startswith("value")), None)
            for one in answer.json()["parameter"]}  # fmt: skip


def test_a_stored_vcf_is_converted(ward: Ward) -> None:
    inside = base64.b64encode(CONTENT).decode()
    beside = base64.b64encode(gzip.compress(CONTENT)).decode()
    ward.put(document("inside", data=inside), document("beside", url="Binary/calls"),
             {"resourceType": "Binary", "id": "calls", "contentType": "application/gzip", "data": beside,
              "securityContext": {"reference": "DocumentReference/beside"}})  # fmt: skip
    order = {"resourceType": "Parameters", "parameter": [{"name": "order", "valueString": "ServiceRequest/order"}]}
    told = values(ward.lab("POST", "DocumentReference/beside/$convert-vcf", order))
    assert (told["assembly"], told["variants"], told["written"]) == ("GRCh38", 2, 3)
    again = values(ward.lab("POST", "DocumentReference/inside/$convert-vcf", order))
    assert (again["variants"], again["written"], again["report"]) == (2, 0, told["report"])
    (task,) = ward.reviews()
    assert task["focus"] == told["report"]
    assert task["owner"] == {"reference": "Practitioner/oncologist"}
    assert ward.participant.sees("Observation") == {"old"}
    ward.review()
    assert len(ward.participant.sees("Observation")) == 3


def test_who_may_not_and_what_cannot(ward: Ward) -> None:
    ward.put(document("d", data=base64.b64encode(CONTENT).decode()), document("none", url="https://x.example/a.vcf"),
             document("text", data=base64.b64encode(b"hello").decode()))  # fmt: skip
    convert = "DocumentReference/{}/$convert-vcf"
    assert ward.participant("POST", convert.format("d")).status_code == 403
    assert ward.as_("system/*.rs", role="laboratory")("POST", convert.format("d")).status_code == 403
    assert ward.lab("POST", convert.format("absent")).status_code == 404
    assert ward.lab("POST", convert.format("none")).status_code == 422
    assert "fileformat" in refusal(ward.lab("POST", convert.format("text")))["diagnostics"]
    for name, value in (("assembly", "hg19"), ("source", "x"), ("assembly", "GRCh37"), ("sample", "other")):
        wrong = {"resourceType": "Parameters", "parameter": [{"name": name, "valueString": value}]}
        assert ward.lab("POST", convert.format("d"), wrong).status_code in (400, 422)
    assert ward.lab("GET", "DiagnosticReport?_summary=count").json()["total"] == 0
