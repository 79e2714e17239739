"""The examples: the cohort is reproducible, diverse and valid R4; every open trial finds somebody who may be asked."""

import asyncio
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from examples.codes import ONCOTREE, Resource
from examples.cohort import AS_OF, TEXTBOOK, TUMOURS, TWINS, generate, write
from examples.consents import TRIALS_PERMITTED
from examples.drugs import DRUGS
from examples.variants import GENES, PANELS, VARIANTS
from fhir_server.access.consent import permits
from fhir_server.cli import main
from fhir_server.fhir.codec import decode, encode
from fhir_server.fhir.definitions import load as definitions
from fhir_server.fhir.outcome import FhirError
from fhir_server.matching.criteria import Study, compile_study
from fhir_server.matching.evaluate import evaluate_study
from fhir_server.matching.facts import Facts
from fhir_server.matching.genes import genes_of
from fhir_server.matching.permission import ASKED
from fhir_server.matching.reading import facts_of
from fhir_server.store import open_store
from fhir_server.terminology.codes import Concept, Terminology
from fhir_server.terminology.codes import load as terminology
from fhir_server.validation.structure import validator

ROOT = Path(__file__).parents[1]
TRIALS = sorted((ROOT / "examples" / "trials").glob("*.json"))
BUNDLES = sorted((ROOT / "examples" / "bundles").glob("*.json"))
COUNT = 200
NOW = int(datetime(AS_OF.year, AS_OF.month, AS_OF.day, 12, tzinfo=UTC).timestamp()) * 1_000_000
CLOSED = {"brca2-prostate", "kras-pancreas"}


def resources(bundle: Resource) -> list[Resource]:
    return [entry["resource"] for entry in bundle["entry"]]


@pytest.fixture(scope="module")
def cohort() -> list[Resource]:
    return list(generate(COUNT))


@pytest.fixture(scope="module")
def patients(cohort: list[Resource]) -> list[list[Resource]]:
    return [resources(bundle) for bundle in cohort[1:]]


@pytest.fixture(scope="module")
def trials() -> list[Resource]:
    return [resource for path in TRIALS for resource in resources(decode(path.read_bytes()))]


@pytest.fixture(scope="module")
def codes() -> Terminology:
    return terminology()


@pytest.fixture(scope="module")
def studies(trials: list[Resource], codes: Terminology) -> list[Study]:
    by_reference = {f"{each['resourceType']}/{each['id']}": (each, 1) for each in trials}
    found = [each for each in trials if each["resourceType"] == "ResearchStudy"]
    return [compile_study(study, 1, by_reference.get, codes) for study in found]


@pytest.fixture(scope="module")
def facts(patients: list[list[Resource]], codes: Terminology) -> dict[str, Facts]:
    genes = genes_of(codes)
    made = [facts_of(each[0], 1, [(r, 1) for r in each], genes, lambda _: None) for each in patients]
    return {each.id: each for each in made}


def fits(study: Study, facts: dict[str, Facts], codes: Terminology) -> set[str]:
    return {key for key, fact in facts.items() if evaluate_study(study, fact, codes, NOW)[0] == "met"}


def permitted(patients: list[list[Resource]]) -> set[str]:
    of = {each[0]["id"]: [r for r in each if r["resourceType"] == "Consent"] for each in patients}
    people = {each[0]["id"]: each[0] for each in patients}
    return {key for key, consents in of.items() if permits(consents, people[key], ASKED, NOW, 18).permit}


# --- the same seed gives the same cohort ------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    for hashing in ("1", "2"):
        command = [sys.executable, "-m", "examples.cohort", "--patients", "12", "--out", str(tmp_path / hashing)]
        subprocess.run(command, check=True, cwd=ROOT, env={"PYTHONHASHSEED": hashing}, capture_output=True)
    first, second = ({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("1", "2"))
    assert first == second
    assert len(first) == 13


def test_a_patient_does_not_depend_on_how_many_follow(cohort: list[Resource]) -> None:
    assert [encode(each) for each in generate(7)] == [encode(each) for each in cohort[:8]]


def test_another_seed_gives_other_patients(cohort: list[Resource]) -> None:
    other = list(generate(20, seed=7))
    assert all(encode(a) != encode(b) for a, b in zip(other[1:], cohort[1:21], strict=True))


def test_what_is_written_is_what_is_generated(tmp_path: Path, cohort: list[Resource]) -> None:
    total = write(tmp_path, 30, 20260101)
    read = [decode(path.read_bytes()) for path in sorted(tmp_path.iterdir())]
    assert read == cohort[:31]
    assert total == sum(len(bundle["entry"]) for bundle in read)


# --- who they are -----------------------------------------------------------------------------------------------------


def extension(patient: Resource, name: str) -> Iterator[Any]:
    for outer in patient["extension"]:
        if outer["url"].endswith(name):
            yield from (inner["valueCoding"]["code"] for inner in outer["extension"] if "valueCoding" in inner)


def test_the_cohort_is_diverse(patients: list[list[Resource]]) -> None:
    people = [each[0] for each in patients]
    races = Counter(code for person in people for code in extension(person, "us-core-race"))
    assert set(races) >= {"1002-5", "2028-9", "2054-5", "2076-8", "2106-3", "2131-1"}
    assert max(races.values()) < 0.6 * COUNT
    assert {"UNK", "ASKU"} & set(races)
    ethnicities = Counter(code for person in people for code in extension(person, "us-core-ethnicity"))
    assert ethnicities["2186-5"] > 0.1 * COUNT
    assert 0.1 * COUNT < ethnicities["2135-2"] < 0.4 * COUNT
    assert 0.35 * COUNT < sum(person["gender"] == "female" for person in people) < 0.65 * COUNT
    bands = Counter((AS_OF.year - int(person["birthDate"][:4])) // 20 for person in people)
    assert all(bands[band] >= 0.05 * COUNT for band in range(4))
    languages = {p["communication"][0]["language"]["coding"][0]["code"] for p in people}
    assert len(languages) >= 6
    assert len({person["address"][0]["state"] for person in people}) >= 10


def test_every_kind_of_tumour_occurs_and_none_prevails(patients: list[list[Resource]]) -> None:
    sites = [next(r for r in each if r["id"].endswith("-cancer")) for each in patients]
    found = Counter(c["code"] for r in sites for c in r["code"]["coding"] if c["system"] == ONCOTREE)
    assert {t.diagnosis.oncotree for t in TEXTBOOK} <= set(found)
    assert len(found) >= 30
    assert max(found.values()) < 0.2 * COUNT


def test_records_have_the_gaps_of_real_ones(patients: list[list[Resource]]) -> None:
    def lacking(code: str) -> int:
        return sum(all(r.get("code", {}).get("coding", [{}])[0].get("code") != code for r in p) for p in patients)

    assert 0 < lacking("51969-4") < 0.2 * COUNT
    assert 0 < lacking("89247-1") < 0.6 * COUNT
    assert any(len(each[0]["birthDate"]) < 10 for each in patients)
    assert any("deceasedDateTime" in each[0] for each in patients)
    assert any(r.get("status") == "preliminary" for each in patients for r in each)


def test_children_have_guardians_who_consent_for_them(patients: list[list[Resource]]) -> None:
    young = [each for each in patients if any(r["resourceType"] == "RelatedPerson" for r in each)]
    assert len(young) >= 0.08 * COUNT
    grantors = {r["performer"][0]["reference"] for each in young for r in each if r["resourceType"] == "Consent"}
    assert grantors
    assert all(re.fullmatch(r"RelatedPerson/p\d+-guardian", grantor) for grantor in grantors)


def test_about_two_thirds_permit_trial_research(patients: list[list[Resource]]) -> None:
    assert 0.55 * COUNT < len(permitted(patients)) < 0.75 * COUNT


def test_everyone_is_marked_as_synthetic(cohort: list[Resource], trials: list[Resource]) -> None:
    for resource in [*(r for bundle in cohort for r in resources(bundle)), *trials]:
        assert resource["meta"]["tag"][0]["code"] == "synthetic"


# --- what they are made of --------------------------------------------------------------------------------------------


def test_every_resource_has_the_structure_of_r4(cohort: list[Resource]) -> None:
    validate = validator(definitions())
    bundles = [*cohort, *(decode(path.read_bytes()) for path in [*TRIALS, *BUNDLES])]
    for bundle in bundles:
        for resource in [bundle, *resources(bundle)]:
            try:
                validate(resource)
            except FhirError as error:
                pytest.fail(f"{resource['resourceType']}/{resource.get('id')}: {error}")


def test_fhir_resources_reads_every_resource_as_r4b(cohort: list[Resource], trials: list[Resource]) -> None:
    some = [resource for bundle in cohort[:41] for resource in resources(bundle)]
    for resource in [*some, *trials]:
        name = resource["resourceType"]
        model = getattr(import_module(f"fhir.resources.R4B.{name.lower()}"), name)
        model.model_validate_json(encode(resource))


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield value["reference"]
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def test_every_reference_resolves_within_the_examples(cohort: list[Resource], trials: list[Resource]) -> None:
    everything = [*(r for bundle in cohort for r in resources(bundle)), *trials]
    names = [f"{each['resourceType']}/{each['id']}" for each in everything]
    assert len(names) == len(set(names))
    for resource in everything:
        inside = {f"#{held['id']}" for held in resource.get("contained", ())}
        dangling = {target for target in references(resource) if target not in inside} - set(names)
        assert not dangling, f"{resource['resourceType']}/{resource['id']}"


def test_loading_again_changes_nothing(cohort: list[Resource]) -> None:
    for bundle in cohort:
        for entry in bundle["entry"]:
            resource = entry["resource"]
            assert entry["request"] == {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"}


def test_samples_descend_from_the_patient(patients: list[list[Resource]]) -> None:
    for record in patients:
        samples = {f"Specimen/{r['id']}": r for r in record if r["resourceType"] == "Specimen"}
        derived = [r for r in samples.values() if "parent" in r]
        assert len(derived) >= 2
        for sample in derived:
            parent = samples[sample["parent"][0]["reference"]]
            assert parent["subject"] == sample["subject"]
            assert parent["collection"]["collectedDateTime"] <= sample["collection"]["collectedDateTime"]


def test_the_catalogues_agree_with_each_other_and_with_the_terminology(codes: Terminology) -> None:
    known = {body["display"]: body["code"] for body in hgnc_fragment()}
    assert {symbol: known[symbol] for symbol in GENES if symbol in known} == {
        symbol: f"HGNC:{number}" for symbol, number in GENES.items() if symbol in known
    }
    assert all(set(genes) <= set(GENES) for genes in PANELS.values())
    assert all(set(variant.genes) <= set(GENES) for variant in VARIANTS.values())
    for tumour in TUMOURS:
        diagnosis = Concept(ONCOTREE, tumour.diagnosis.oncotree)
        broader = Concept(ONCOTREE, tumour.broader.oncotree)
        assert codes.subsumes(ONCOTREE, broader.code, diagnosis.code), tumour.diagnosis.name
        names = {name for name, _ in tumour.findings} | set(tumour.hallmark)
        assert names <= set(VARIANTS)
        assert all(set(VARIANTS[name].genes) & set(PANELS[tumour.panel]) for name in names), tumour.diagnosis.name
        assert {name for name, _ in tumour.drugs} | {*tumour.asked, *tumour.taken} <= set(DRUGS)


def hgnc_fragment() -> list[Resource]:
    text = (ROOT / "terminology" / "CodeSystem-hgnc-fragment.json").read_text(encoding="utf-8")
    concepts: list[Resource] = json.loads(text)["concept"]
    return concepts


# --- the trials -------------------------------------------------------------------------------------------------------


def test_the_trials_need_no_mending(studies: list[Study]) -> None:
    assert len(studies) >= 14
    assert {study.id: study.problems for study in studies if study.problems or study.refused} == {}
    assert {study.id for study in studies if not study.open} == CLOSED


def test_a_suspended_arm_is_no_way_in(trials: list[Resource], studies: list[Study]) -> None:
    study = next(each for each in studies if each.id == "flt3-npm1-aml")
    assert [way.arm for way in study.alternatives] == ["FLT3 arm"]
    written = next(r for r in trials if r["resourceType"] == "ResearchStudy" and r["id"] == study.id)
    assert len(written["enrollment"]) == 2


def test_every_study_has_somebody_who_fits_and_may_be_asked(
    studies: list[Study], facts: dict[str, Facts], codes: Terminology, patients: list[list[Resource]]
) -> None:
    may = permitted(patients)
    alone = {study.id for study in studies if not fits(study, facts, codes) & may}
    assert alone == set()


def test_the_twins_fit_and_may_not_be_asked(
    studies: list[Study], facts: dict[str, Facts], codes: Terminology, patients: list[list[Resource]]
) -> None:
    may = permitted(patients)
    fitting = set().union(*(fits(study, facts, codes) for study in studies))
    twins = {f"p{2 * turn + 2:04d}" for turn in range(len(TWINS))}
    assert twins <= fitting
    assert not twins & may
    assert not set(TWINS) & set(TRIALS_PERMITTED)


def test_some_patients_only_lack_data(studies: list[Study], facts: dict[str, Facts], codes: Terminology) -> None:
    outcomes = Counter(evaluate_study(study, fact, codes, NOW)[0] for study in studies for fact in facts.values())
    assert outcomes["unknown"] >= 20
    assert outcomes["not-met"] > outcomes["unknown"] > outcomes["met"]


def test_the_walkthrough_prints_what_the_document_shows() -> None:
    command = [sys.executable, "-m", "examples.matching.walkthrough"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert run.returncode == 0, run.stderr
    assert f"```\n{run.stdout}```" in (ROOT / "docs" / "matching.md").read_text()


# --- the scripts ------------------------------------------------------------------------------------------------------

SCRIPTS = sorted(path for path in (ROOT / "examples" / "curl").glob("*.sh") if path.name != "fhir.sh")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server on a free port that holds the trials and a few patients; ended by its process id."""
    if not (shutil.which("curl") and shutil.which("bash")):
        pytest.skip("the scripts need bash and curl")
    folder = tmp_path_factory.mktemp("served")
    write(folder / "cohort", 6, 20260101)
    store = f"sqlite:///{folder / 'fhir.db'}"
    assert main(["load", str(ROOT / "examples" / "trials"), str(folder / "cohort"), "--store", store]) == 0
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "fhir_server.cli",
        "serve",
        "--port",
        str(port),
        "--store",
        store,
        "--auth",
        "open",
    ]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log) as server:
        try:
            for _ in range(200):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            else:
                pytest.fail((folder / "log").read_text())
            yield f"http://127.0.0.1:{port}/fhir"
        finally:
            server.terminate()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_gets_an_answer_again_and_again(served: str, script: Path) -> None:
    for _ in range(2):
        run = subprocess.run(
            ["bash", str(script)], env={**os.environ, "FHIR_BASE": served}, capture_output=True, text=True, timeout=60
        )
        assert run.returncode == 0, run.stdout + run.stderr
        assert '"OperationOutcome"' not in run.stdout
        assert run.stdout.startswith("{")


def test_a_script_fails_when_the_server_refuses(served: str) -> None:
    script = ROOT / "examples" / "curl" / "read.sh"
    run = subprocess.run(
        ["bash", str(script), "nobody"], env={**os.environ, "FHIR_BASE": served}, capture_output=True, text=True
    )
    assert run.returncode != 0
    assert '"OperationOutcome"' in run.stdout


def test_the_readme_names_every_script_and_trial() -> None:
    readme = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in SCRIPTS if f"curl/{path.name}" not in readme] == []
    named = set(re.findall(r"`([a-z0-9-]+)`", readme))
    assert {path.stem for path in TRIALS if not path.stem.startswith("0-")} <= named


# --- end to end -------------------------------------------------------------------------------------------------------


async def candidates(url: str) -> set[tuple[str, str]]:
    """(study, patient) of every ResearchSubject that the matcher wrote."""
    from fhir_server.search.predicate import And
    from fhir_server.store.seam import Query

    store = await open_store(url)
    try:
        found = set()
        async for row in store.scan(Query(types=("ResearchSubject",), where=And(()))):
            subject = decode(row.body)
            if subject["status"] in ("candidate", "potential-candidate"):
                study, patient = subject["study"]["reference"], subject["individual"]["reference"]
                found.add((study.split("/")[1], patient.split("/")[1]))
        return found
    finally:
        await store.close()


def test_the_command_line_loads_and_matches_the_examples(
    tmp_path: Path, studies: list[Study], facts: dict[str, Facts], codes: Terminology, patients: list[list[Resource]]
) -> None:
    pytest.importorskip("fhir_server.commands.match")
    write(tmp_path / "cohort", 60, 20260101)
    store = f"sqlite:///{tmp_path / 'fhir.db'}"
    assert main(["load", str(ROOT / "examples" / "trials"), str(tmp_path / "cohort"), "--store", store]) == 0
    assert main(["match", "--store", store]) == 0
    found = asyncio.run(candidates(store))
    may = permitted(patients)
    assert {study for study, _ in found} == {study.id for study in studies if study.open}
    assert {patient for _, patient in found} <= may
    some = {key: fact for key, fact in facts.items() if key <= "p0060" and key in may and not fact.deceased}
    assert found >= {(study.id, key) for study in studies if study.open for key in fits(study, some, codes)}
