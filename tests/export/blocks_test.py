"""organizeOutputBy=Patient: persons in blocks. https://hl7.org/fhir/uv/bulkdata/STU3/export.html#bulk-data-output-file-organization"""

import json
from pathlib import Path
from typing import Any

import pytest

from fhir_server.export import blocks
from fhir_server.export.files import patients_of
from tests.client import BASE, refusal
from tests.export.conftest import Researcher, group, observation, parameters, patient, settings
from tests.export.kick_off_test import fill
from tests.export.rights_test import PERMIT, Registry, exported, registry

__all__ = ["registry"]
Blocks = list[tuple[str, list[str]]]


def read(client: Researcher, manifest: dict[str, Any], headers: Any = None) -> list[Blocks]:
    """The blocks of each file: the person in the header, and what follows, as Type/id."""
    assert manifest["outputOrganizedBy"] == "Patient"
    files = []
    for item in manifest["output"]:
        assert "type" not in item
        answer = client("GET", "_export/" + item["url"].partition("/_export/")[2], headers=headers)
        assert answer.status_code == 200, answer.text
        found: Blocks = []
        count = 0
        for line in answer.text.splitlines():
            row = json.loads(line)
            if row["resourceType"] == "Parameters":
                (header,) = row["parameter"]
                assert header["name"] == "header"
                found.append((header["valueReference"]["reference"], []))
            else:
                found[-1][1].append(f"{row['resourceType']}/{row['id']}")
                count += 1
        assert item["count"] == count > 0
        files.append(found)
    return files


@pytest.fixture
def filled(client: Researcher) -> Researcher:
    """A client of the server that other tests fill too, with what belongs to two and to nobody."""
    fill(client)
    client.put(
        observation("both", "p1", performer=[{"reference": "Patient/p2"}]),
        {"resourceType": "PractitionerRole", "id": "r1", "practitioner": {"reference": "Practitioner/d2"}},
        observation("role", "p3", performer=[{"reference": f"{BASE}/PractitionerRole/r1"}]),
        {"resourceType": "Observation", "id": "nobody", "status": "final", "code": {"text": "x"}},
        {"resourceType": "Provenance", "id": "all", "recorded": "2026-01-01T00:00:00Z",
         "target": [{"reference": f"Observation/{id}"} for id in ("o1", "both", "role")],
         "agent": [{"who": {"display": "someone"}}]},
    )  # fmt: skip
    return client


P1 = [
    "Patient/p1", "Observation/both", "Observation/o1", "Provenance/all", "Provenance/v1", "Provenance/v2",
    "Practitioner/d1", "Practitioner/d2",
]  # fmt: skip
P2 = ["Patient/p2", "Observation/both", "Observation/o2", "Provenance/all"]
P3 = [
    "Patient/p3", "Observation/o3", "Observation/role", "Provenance/all", "Provenance/v3", "PractitionerRole/r1",
    "Practitioner/d2",
]  # fmt: skip


def sorted_rest(found: list[Blocks]) -> dict[str, list[str]]:
    """The blocks of all files by person: the Patient first."""
    told = [block for blocks in found for block in blocks]
    assert len(told) == len(dict(told))
    assert all(held[0] == person or person not in held for person, held in told)
    return {person: sorted(held) for person, held in told}


@pytest.mark.parametrize("path", ["$export", "Patient/$export"])
def test_a_block_is_a_person_whole(filled: Researcher, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "LINES", 2)  # several sorted files
    found = sorted_rest(read(filled, filled.manifest(f"{path}?organizeOutputBy=Patient")))
    assert found == {"Patient/p1": sorted(P1), "Patient/p2": sorted(P2), "Patient/p3": sorted(P3)}


def test_a_group_has_blocks_of_its_members_only(filled: Researcher) -> None:
    filled.put(group("one", "p2"))
    manifest = filled.manifest("Group/one/$export?organizeOutputBy=Patient&_type=Patient,Observation")
    assert sorted_rest(read(filled, manifest)) == {"Patient/p2": ["Observation/both", "Observation/o2", "Patient/p2"]}
    body = parameters(("organizeOutputBy", "Patient"), ("patient", {"reference": "Patient/p3"}), ("_type", "Patient"))
    assert read(filled, filled.manifest("Patient/$export", body)) == [[("Patient/p3", ["Patient/p3"])]]


def test_elements_leave_lines_where_they_belong(filled: Researcher) -> None:
    """The reference to the patient may be what was left out."""
    manifest = filled.manifest("$export?organizeOutputBy=Patient&_type=Observation&_elements=Observation.status")
    found = sorted_rest(read(filled, manifest))
    assert found["Patient/p2"] == ["Observation/both", "Observation/o2"]


def test_what_changed_since_and_what_has_gone(filled: Researcher) -> None:
    since = filled.manifest("$export?organizeOutputBy=Patient")["transactionTime"]
    filled.put(observation("o2", "p2", status="amended"))
    filled("DELETE", "Observation/o3")
    manifest = filled.manifest(f"$export?organizeOutputBy=Patient&_since={since}&_type=Patient,Observation")
    assert read(filled, manifest) == [[("Patient/p2", ["Observation/o2"])]]
    (gone,) = filled.lines(manifest, "deleted")
    assert [entry["request"]["url"] for entry in gone["entry"]] == ["Observation/o3"]


def test_what_belongs_to_nobody_any_more_has_gone(filled: Researcher) -> None:
    since = filled.manifest("$export?organizeOutputBy=Patient")["transactionTime"]
    nobody = {"resourceType": "Observation", "id": "o2", "status": "final", "code": {"text": "x"}}
    filled.put(nobody, {**nobody, "id": "nobody", "status": "amended"})
    for path in ("$export", "Patient/$export"):
        manifest = filled.manifest(f"{path}?organizeOutputBy=Patient&_since={since}")
        assert read(filled, manifest) == []
        (gone,) = filled.lines(manifest, "deleted")
        assert [entry["request"]["url"] for entry in gone["entry"]] == ["Observation/o2"]


@pytest.mark.parametrize("path", ["$export", "Patient/$export"])
def test_new_provenance_comes_to_whom_unchanged_resources_belong(filled: Researcher, path: str) -> None:
    since = filled.manifest("$export?organizeOutputBy=Patient")["transactionTime"]
    targets = [{"reference": "Observation/both"}, {"reference": f"{BASE}/Observation/o2/_history/1"}]
    filled.put(
        {"resourceType": "Provenance", "id": "new", "recorded": "2026-01-02T00:00:00Z", "target": targets,
         "agent": [{"who": {"display": "someone"}}]},
        {"resourceType": "Provenance", "id": "other", "recorded": "2026-01-02T00:00:00Z",
         "target": [{"reference": "Practitioner/d1"}], "agent": [{"who": {"display": "someone"}}]},
    )  # fmt: skip
    found = sorted_rest(read(filled, filled.manifest(f"{path}?organizeOutputBy=Patient&_since={since}")))
    assert found == {"Patient/p1": ["Provenance/new"], "Patient/p2": ["Provenance/new"]}
    filled.put(observation("o2", "p2", status="amended"))
    found = sorted_rest(read(filled, filled.manifest(f"{path}?organizeOutputBy=Patient&_since={since}")))
    assert found == {"Patient/p1": ["Provenance/new"], "Patient/p2": ["Observation/o2", "Provenance/new"]}


def test_a_reference_to_a_version_brings_what_it_refers_to(filled: Researcher) -> None:
    performers = [{"reference": "Practitioner/d1/_history/1"}, {"reference": f"{BASE}/Practitioner/d2/_history/1"}]
    filled.put(patient("p9"), observation("o9", "p9", performer=performers))
    found = sorted_rest(read(filled, filled.manifest("Patient/$export?organizeOutputBy=Patient")))
    assert found["Patient/p9"] == ["Observation/o9", "Patient/p9", "Practitioner/d1", "Practitioner/d2"]


def test_a_block_that_does_not_fit_goes_on_in_the_next_file(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Researcher(settings(store_url, tmp_path, export_file=4))
    client.put(*(patient(id) for id in ("a", "b", "c")))
    client.put(*(observation(f"{id}{n}", id) for id, most in (("a", 1), ("b", 9), ("c", 1)) for n in range(most)))
    manifest = client.manifest("$export?organizeOutputBy=Patient")
    files = read(client, manifest)
    assert [[(who[-1], len(held)) for who, held in one] for one in files] == [
        [("a", 2)],
        [("b", 4)],
        [("b", 4)],
        [("b", 2), ("c", 2)],
    ]
    urls = [item["url"] for item in manifest["output"]]
    assert [item.get("continuesInFile") for item in manifest["output"]] == [None, urls[2], urls[3], None]
    held = [one for file in files for _, some in file for one in some]
    assert len(held) == len(set(held)) == 14
    names = {path.name.partition(".ndjson")[2] for path in tmp_path.rglob("*.ndjson*")}
    assert names == {"", ".ids", ".parts", ".patients"}  # nothing is left of the files that they were made of
    assert len(list(tmp_path.rglob("*.ndjson"))) == len(urls)
    assert not list(tmp_path.rglob("blocks.*"))
    # Stopped behind every file, and gone on with from what is noted: the same.
    monkeypatch.setattr("fhir_server.export.run._others_wait", always)
    again = client.manifest("$export?organizeOutputBy=Patient")
    assert read(client, again) == files
    assert [item["url"].rpartition("/")[2] for item in again["output"]] == [url.rpartition("/")[2] for url in urls]
    client.close()


async def always(*given: Any) -> bool:
    """There is always another client who waits."""
    return True


@pytest.mark.parametrize("type", ["Practitioner", "Observation", "Nonsense"])
def test_other_types_organize_nothing(filled: Researcher, type: str) -> None:
    answer = filled.kick(f"$export?organizeOutputBy={type}")
    assert answer.status_code == 400
    assert refusal(answer)["expression"] == ["organizeOutputBy"]
    answer = filled.kick("$export?organizeOutputBy=Patient&_type=Patient,Group")
    assert answer.status_code == 400
    assert "organizeOutputBy" in refusal(answer)["diagnostics"]


def test_blocks_obey_scopes_and_consent(registry: Registry, tmp_path: Path) -> None:
    """Types that the scopes of the download leave out are 403, a revocation is 410, other names stay the same."""
    held, ehr = registry.bearer("scientist", "system/*.rs"), registry.bearer("ehr", "system/*.cruds")
    assert registry("PUT", "Consent/c1", PERMIT, headers=ehr).is_success
    path = "Patient/$export?organizeOutputBy=Patient&_type=Patient,Observation"
    _, manifest = exported(registry, path, held)
    assert sorted_rest(read(registry, manifest, held)) == {"Patient/p1": ["Observation/o1", "Patient/p1"]}
    file = "_export/" + manifest["output"][0]["url"].partition("/_export/")[2]
    assert registry("GET", file, headers=registry.bearer("scientist", "system/Patient.rs")).status_code == 403
    assert registry("GET", file).status_code == 401
    without = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentcategorycodes", "code": "rsdid"}]}
    assert registry("PUT", "Consent/c1", PERMIT | {"category": [without]}, headers=ehr).is_success
    assert registry("GET", file, headers=held).status_code == 410  # it has the names
    _, manifest = exported(registry, path, held)
    ((block,),) = read(registry, manifest, held)
    assert block[0] != "Patient/p1"
    assert block[1][0] == block[0]
    assert [one.partition("/")[0] for one in block[1]] == ["Patient", "Observation"]
    newest = max(tmp_path.rglob("*.ndjson"), key=lambda path: path.stat().st_mtime_ns)
    assert patients_of(newest) == {"p1"}  # the audit trail knows who it is
    assert registry("PUT", "Consent/c1", PERMIT | {"status": "inactive"}, headers=ehr).is_success
    assert (
        registry("GET", "_export/" + manifest["output"][0]["url"].partition("/_export/")[2], headers=held).status_code
        == 410
    )
