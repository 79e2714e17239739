"""The R4 definitions: complete, consistent with themselves, and derived from the published package."""

import gzip
import importlib.util
import re
from pathlib import Path

import pytest

from fhir_server.fhir import data
from fhir_server.fhir.data import data_path
from fhir_server.fhir.definitions import Definitions, load

ROOT = Path(__file__).parents[2]
R4 = load()


def test_holds_all_of_r4() -> None:
    assert len(R4.resources) == 146
    assert len({param.url for params in R4.search.values() for param in params.values()}) == 1375
    assert set(R4.search) == R4.resources
    assert len(R4.primitives) == 20
    assert set(R4.compartments) == {"Patient", "Encounter", "RelatedPerson", "Practitioner", "Device"}


def test_every_element_leads_somewhere() -> None:
    for structure in R4.structures.values():
        for element in structure.elements.values():
            if element.structure is None:
                assert element.type in R4.primitives, element
            else:
                assert element.structure in R4.structures, element
            assert set(element.targets) <= R4.resources, element


def test_every_choice_names_elements() -> None:
    choices = [(s, choice) for s in R4.structures.values() for choice in s.choices.values()]
    assert len(choices) > 100
    for structure, choice in choices:
        assert all(structure.elements[member].choice == choice.name for member in choice.members)


def test_elements() -> None:
    observation = R4.structures["Observation"]
    assert observation.elements["status"].min == 1
    assert observation.elements["subject"].targets == ("Device", "Group", "Location", "Patient")
    assert observation.elements["valueQuantity"].type == "Quantity"
    assert observation.elements["valueQuantity"].path == "Observation.value[x]"
    assert observation.elements["category"].many
    assert not observation.elements["status"].many
    assert R4.structures["Patient"].elements["id"].type == "id"
    assert R4.structures["HumanName"].elements["id"].type == "string"
    assert R4.structures["Extension"].elements["url"].type == "uri"
    assert R4.structures["Narrative"].elements["div"].type == "xhtml"
    assert R4.structures["Bundle.entry"].elements["resource"].type == "Resource"


def test_content_references_and_constrained_types() -> None:
    assert R4.structures["Observation.component"].elements["referenceRange"].structure == "Observation.referenceRange"
    assert R4.structures["Consent.provision"].elements["provision"].structure == "Consent.provision"
    assert R4.structures["Range"].elements["low"].structure == "SimpleQuantity"
    assert R4.structures["SimpleQuantity"].elements["comparator"].max == 0


def test_bindings() -> None:
    gender = R4.structures["Patient"].elements["gender"].binding
    assert gender is not None
    assert gender.codes == {"male", "female", "other", "unknown"}
    assert gender.system == "http://hl7.org/fhir/administrative-gender"
    when = R4.structures["Timing.repeat"].elements["when"].binding
    assert when is not None
    assert when.system is None
    assert when.systems["MORN"] == "http://hl7.org/fhir/event-timing"
    assert when.systems["HS"] == "http://terminology.hl7.org/CodeSystem/v3-TimingEvent"
    assert R4.structures["Condition"].elements["code"].binding is None  # an example binding
    content = R4.structures["Binary"].elements["contentType"].binding
    assert content is not None
    assert content.codes is None  # any MIME type


def test_invariants_stand_where_r4_states_them() -> None:
    observation = {rule.key: rule for rule in R4.structures["Observation"].invariants}
    assert observation.keys() == {"obs-3", "obs-6", "obs-7"}
    assert observation["obs-6"].severity == "error"
    assert observation["obs-3"].path == "Observation.referenceRange"
    assert {rule.key for rule in R4.structures["DomainResource"].invariants} >= {"dom-2", "dom-3", "dom-6"}


def test_search_parameters_are_cut_to_their_type() -> None:
    for type, params in R4.search.items():
        for param in params.values():
            assert param.type == type
            roots = {
                re.match(r"[(\s]*(\w+)", branch)[1] for branch in re.split(r"\|(?![^(]*\))", param.expression) if branch
            }  # type: ignore[index]
            assert roots <= {type, "Resource", "DomainResource"}, param
    assert R4.search["Observation"]["code"].expression == "Observation.code"
    assert R4.search["Observation"]["code"].url == "http://hl7.org/fhir/SearchParameter/clinical-code"


def test_only_the_parameters_without_an_expression_in_r4_lack_one() -> None:
    assert {p.code for params in R4.search.values() for p in params.values() if not p.expression} == {
        "_text",
        "_content",
        "_query",
    }


def test_parameters_of_abstract_types_reach_the_types_that_derive_from_them() -> None:
    assert R4.search["Binary"]["_id"].type == "Binary"
    assert "_text" in R4.search["Patient"]
    assert "_text" not in R4.search["Binary"]  # Binary is no DomainResource


def test_known_faults_of_r4_are_mended() -> None:
    relationship = R4.search["DocumentReference"]["relationship"]
    assert [(c.code, c.kind, c.expression) for c in relationship.components] == [
        ("relatesto", "reference", "target"),
        ("relation", "token", "code"),
    ]
    assert R4.search["Observation"]["code-value-date"].components[1].expression == (
        "value.as(dateTime) | value.as(Period)"
    )
    assert R4.search["InsurancePlan"]["name"].expression == "InsurancePlan.name | InsurancePlan.alias"


def test_compartments() -> None:
    assert R4.compartments["Patient"]["Observation"] == ("subject", "performer")
    assert "Medication" not in R4.compartments["Patient"]
    assert R4.compartments["Encounter"]["Encounter"] == ("_id",)
    for members in R4.compartments.values():
        for type, codes in members.items():
            assert all(code in R4.search[type] for code in codes), type


def test_is_read_once() -> None:
    assert load() is load()
    assert isinstance(load(), Definitions)


def test_an_installed_wheel_brings_its_own_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(data, "_PACKAGE", tmp_path / "fhir_server")
    assert data_path("profiles", "r4") == tmp_path / "fhir_server" / "_data" / "profiles" / "r4"
    (tmp_path / "profiles" / "r4").mkdir(parents=True)
    assert data_path("profiles", "r4") == tmp_path / "profiles" / "r4"


def test_the_artefact_is_small() -> None:
    assert data_path("profiles", "r4", "definitions.json.gz").stat().st_size < 500_000


def test_the_artefact_is_what_the_generator_makes(
    shared: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    spec = importlib.util.spec_from_file_location("build_definitions", ROOT / "tools" / "build_definitions.py")
    assert spec is not None
    assert spec.loader is not None
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    target = tmp_path / "definitions.json.gz"
    monkeypatch.setattr("sys.argv", ["build", str(shared / "r4-definitions"), str(target)])
    generator.main()
    # Compressed bytes may differ between versions of zlib; what they hold may not.
    assert gzip.decompress(target.read_bytes()) == gzip.decompress(
        data_path("profiles", "r4", "definitions.json.gz").read_bytes()
    )
