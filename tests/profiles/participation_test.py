"""Our own profiles: their examples meet them, their counter-examples do not, the files are what their source says."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fhir_server.fhir import codec
from fhir_server.fhir.definitions import load
from fhir_server.settings import Settings
from fhir_server.validation.profile import compiled
from fhir_server.validation.structure import validator
from tests.client import Client
from tests.operations.profiles_test import errors
from tools.build_profiles import FOLDER, ROOT, built
from tools.elements import OURS
from tools.participation import PROFILES

Json = dict[str, Any]


def held(folder: str) -> dict[str, Json]:
    return {path.stem: json.loads(path.read_text()) for path in sorted((FOLDER / folder).glob("*.json"))}


def test_every_file_has_the_structure_of_r4() -> None:
    validate = validator(load())
    for path in FOLDER.glob("*.json"):
        validate(codec.decode(path.read_bytes()))
    for path in (ROOT / "terminology").glob("*.json"):
        validate(codec.decode(path.read_bytes()))


def test_every_structure_definition_can_be_checked_by() -> None:
    found = [json.loads(path.read_text()) for path in FOLDER.glob("StructureDefinition-*.json")]
    for resource in found:
        assert compiled(resource).root.id == resource["type"]
    assert {profile.name for profile in PROFILES} <= {resource["id"] for resource in found}


def test_examples_meet_their_profiles_and_counter_examples_do_not(client: Client) -> None:
    examples, wrong = held("examples"), held("counter-examples")
    assert set(examples) == {profile.name for profile in PROFILES}
    assert {name.rpartition("-")[0] for name in wrong} == set(examples)
    for name, resource in examples.items():
        assert errors(client, resource) == [], name
        assert errors(client, resource, OURS + name) == [], name
    for name, told in wrong.items():
        found = errors(client, told["resource"])
        assert found, name
        assert {place for place, _ in found} == {told["place"]}, (name, found)


def test_the_files_are_what_their_source_says(shared: Path) -> None:
    core = shared / "r4-definitions" / "packages" / "hl7.fhir.r4.core-4.0.1.tgz"
    different = [path.name for path, text in built(core).items() if not path.exists() or path.read_text() != text]
    assert different == [], "run python -m tools.build_profiles"


def test_the_guide_names_every_resource() -> None:
    guide = json.loads((FOLDER / "ImplementationGuide-participation.json").read_text())
    named = {one["reference"]["reference"] for one in guide["definition"]["resource"]}
    for path in FOLDER.rglob("*.json"):
        body = json.loads(path.read_text())
        if "resourceType" in body and body is not guide and body["resourceType"] != "ImplementationGuide":
            assert f"{body['resourceType']}/{body['id']}" in named, path.name


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("Patient?race=2054-5", "example-participant"),
        ("Patient?ethnicity=urn:oid:2.16.840.1.113883.6.238|2186-5", "example-participant"),
        ("Patient?race=2186-5", ""),
        ("Observation?gene=HGNC:3236", "example-genomic-variant"),
        ("Observation?gene-protein-change=HGNC:3236$NP_005219.2:p.Leu858Arg", "example-genomic-variant"),
        ("Observation?gene-protein-change=HGNC:3236$NP_005219.2:p.Thr790Met", ""),
        ("Specimen?storage-temperature=-60to-85&status=available", "example-biobank-specimen"),
        ("ResearchStudy?eligibility=Group/example", "example-recruiting-study"),
        ("Condition?code:below=http://oncotree.mskcc.org|LUNG", "example-tumour-condition"),
    ],
)
def test_searches(searched: Client, query: str, found: str) -> None:
    answer = searched("GET", query)
    assert answer.status_code == 200, answer.text
    assert " ".join(one["resource"]["id"] for one in answer.json().get("entry", ())) == found


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server with the examples that was reindexed for our SearchParameters."""
    store = f"sqlite:///{tmp_path_factory.mktemp('searched')}/fhir.db"
    opened = Client(Settings(store=store, auth="open", access_log=False))
    for path in sorted(FOLDER.glob("SearchParameter-*.json")):
        body = json.loads(path.read_text())
        answer = opened("PUT", f"SearchParameter/{body['id']}", body)
        assert answer.status_code == 201, answer.text
    for body in held("examples").values():
        assert opened("PUT", f"{body['resourceType']}/{body['id']}", body).status_code == 201
    assert opened("POST", "$reindex").status_code == 200
    yield opened
    opened.close()
