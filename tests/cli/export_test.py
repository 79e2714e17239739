"""`fhir-server export` and `reindex`: what is written for whom."""

import json
from pathlib import Path

import pytest

from fhir_server.cli import main

GROUP = {
    "resourceType": "Group", "id": "g1", "type": "person", "actual": True,
    "member": [{"entity": {"reference": "Patient/p1"}}, {"entity": {"reference": "Patient/p2"}, "inactive": True}],
}  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> str:
    """Three patients with a Condition each, one Condition that names two of them, a Practitioner, and a Group."""
    rows = [GROUP, {"resourceType": "Practitioner", "id": "d1"}]
    for name in ("p1", "p2", "p3"):
        rows.append({"resourceType": "Patient", "id": name})
        rows.append({"resourceType": "Condition", "id": f"c-{name}", "subject": {"reference": f"Patient/{name}"}})
    rows.append(
        {"resourceType": "Condition", "id": "both", "subject": {"reference": "Patient/p3"},
         "asserter": {"reference": "Patient/p1"}}
    )  # fmt: skip
    path = tmp_path / "in.ndjson"
    path.write_text("\n".join(map(json.dumps, rows)))
    url = f"sqlite:///{tmp_path}/fhir.db"
    assert main(["load", str(path), "--store", url]) == 0
    return url


def ids(folder: Path) -> dict[str, set[str]]:
    return {p.stem: {json.loads(line)["id"] for line in p.read_text().splitlines()} for p in folder.glob("*.ndjson")}


def test_everything_by_type(store: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["export", "--out", str(out), "--store", store]) == 0
    assert {type: len(found) for type, found in ids(out).items()} == {
        "Patient": 3, "Condition": 4, "Practitioner": 1, "Group": 1,
    }  # fmt: skip


def test_only_some_types_and_nothing_stale(store: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "Observation.ndjson").write_text("{}\n")
    assert main(["export", "--out", str(out), "--store", store, "--type", "Patient", "Observation"]) == 0
    assert ids(out) == {"Patient": {"p1", "p2", "p3"}}


def test_a_group_is_its_active_members_and_their_compartments(store: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["export", "--out", str(out), "--store", store, "--group", "g1"]) == 0
    found = ids(out)
    assert found["Patient"] == {"p1"}
    assert found["Condition"] == {"c-p1", "both"}
    assert "Practitioner" not in found


@pytest.mark.parametrize(
    ("arguments", "words"), [(["--type", "Nonsense"], "Nonsense"), (["--group", "g9"], "Group/g9")]
)
def test_wrong_names_are_said(
    arguments: list[str], words: str, store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "--out", str(tmp_path / "out"), "--store", store, *arguments]) == 2
    assert words in capsys.readouterr().err


def test_reindex_counts_what_it_did(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reindex", "--store", store]) == 0
    assert capsys.readouterr().out.startswith("9 resources indexed")
    assert main(["reindex", "--store", store, "--type", "Condition"]) == 0
    assert capsys.readouterr().out.startswith("4 resources indexed")
    assert main(["reindex", "--store", store, "--type", "Conditoin"]) == 2
