"""Everything that the CapabilityStatement claims is called,
and nothing else works. https://hl7.org/fhir/R4/capabilitystatement.html"""

import base64
import itertools
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from fhir_server.fhir.definitions import load
from fhir_server.operations.genomics.table import FINDING
from fhir_server.settings import Settings
from tests.client import BASE, Client

DEFINITIONS = load()
# Odd ones among them: no search parameter of their own, no narrative, a name that is also an address, many references.
SAMPLE: dict[str, dict[str, Any]] = {
    "Patient": {"gender": "female"},
    "Observation": {"status": "final", "code": {"text": "x"}},
    "Binary": {"contentType": "text/plain", "data": "aGk="},
    "Bundle": {"type": "collection"},
    "Parameters": {},
    "OperationOutcome": {"issue": [{"severity": "error", "code": "invalid"}]},
    "List": {"status": "current", "mode": "working"},
    "Provenance": {"target": [{"reference": "Patient/x"}], "recorded": "2026-01-01T00:00:00Z",
                   "agent": [{"who": {"display": "x"}}]},
    "CapabilityStatement": {"status": "active", "date": "2026", "kind": "requirements", "fhirVersion": "4.0.1",
                            "description": "x", "format": ["json"], "rest": [{"mode": "client",
                            "documentation": "x"}]},
    "SubstanceReferenceInformation": {},
    "Group": {"type": "person", "actual": True},
}  # fmt: skip
PLAUSIBLE = {
    "date": "ge2026-01", "number": "gt0.5", "quantity": "5.4|http://unitsofmeasure.org|mg",
        "uri": "http://example.org/x",
    "reference": "Patient/x", "string": "x", "token": "http://example.org|x", "_filter": "_id eq x", "_list": "x",
        "near": "46.9|7.4|10|km",
}  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """One empty server for all tests of this module that do not look at what the others leave."""
    folder: Path = tmp_path_factory.mktemp("capability")
    stored = {"store": f"sqlite:///{folder / 'fhir.db'}", "export_folder": str(folder / "exports")}
    opened = Client(Settings(**stored, base_url=BASE, auth="open", access_log=False))
    yield opened
    opened.close()


def statement(client: Client) -> dict[str, Any]:
    found: dict[str, Any] = client("GET", "metadata").json()["rest"][0]
    return found


def resources(client: Client) -> dict[str, dict[str, Any]]:
    return {one["type"]: one for one in statement(client)["resource"]}


@pytest.mark.parametrize("type", SAMPLE)
def test_every_interaction_claimed_works_on_odd_types(server: Client, type: str) -> None:
    body = {"resourceType": type, **SAMPLE[type]}
    id = server.create(body)
    patch = {"content-type": "application/json-patch+json"}
    tried = {
        "create": server("POST", type, body, headers={"if-none-exist": f"_id={id}"}),
        "update": server("PUT", f"{type}/{id}", {**body, "id": id}),
        "patch": server("PATCH", f"{type}/{id}", [{"op": "test", "path": "/id", "value": id}], headers=patch),
        "read": server("GET", f"{type}/{id}"),
        "vread": server("GET", f"{type}/{id}/_history/1"),
        "history-instance": server("GET", f"{type}/{id}/_history"),
        "history-type": server("GET", f"{type}/_history"),
        "search-type": server("GET", f"{type}?_id={id}"),
        "delete": server("DELETE", f"{type}/{id}"),
    }
    assert tried.keys() == {one["code"] for one in resources(server)[type]["interaction"]}
    assert {name: answer.text for name, answer in tried.items() if answer.status_code not in (200, 204)} == {}
    assert tried["search-type"].json()["total"] == 1


def value(type: str, param: dict[str, Any]) -> str:
    """What one may well search for."""
    if param["type"] != "composite":
        return PLAUSIBLE.get(param["name"], PLAUSIBLE.get(param["type"], "x"))
    components = DEFINITIONS.search[type][param["name"]].components
    return "$".join(PLAUSIBLE[component.kind] for component in components)


def test_every_search_parameter_of_every_type_is_answered(server: Client) -> None:
    asked, refused = 0, []
    for type, claimed in resources(server).items():
        for param in claimed["searchParam"]:
            queries = [{param["name"]: value(type, param)}]
            if param["type"] not in ("composite", "special") and param["name"] not in ("_text", "_content"):
                queries.append({f"{param['name']}:missing": "false"})
            for query in queries:
                asked += 1
                answer = server("GET", type, params={**query, "_count": "1"})
                if answer.status_code != 200:
                    refused.append((type, query, answer.text))
    assert refused == []
    assert asked > 5000


def test_no_search_parameter_works_that_is_not_claimed(server: Client) -> None:
    """Of the codes that any type has, those that a type does not claim are unknown to it."""
    everything = {code for params in DEFINITIONS.search.values() for code in params}
    for type, claimed in list(resources(server).items())[::40]:
        names = {param["name"] for param in claimed["searchParam"]}
        for code in sorted(everything - names):
            assert server("GET", f"{type}?{code}=x").status_code == 400, (type, code)


def test_every_search_parameter_of_the_system_works(server: Client) -> None:
    claimed = statement(server)["searchParam"]
    for param in claimed:
        answer = server("GET", "", params={param["name"]: value("Patient", param), "_count": "1"})
        assert answer.status_code == 200, (param, answer.text)
    everything = {param["name"] for one in statement(server)["resource"] for param in one["searchParam"]}
    for code in sorted(everything - {param["name"] for param in claimed}):
        assert server("GET", f"?{code}=x").status_code == 400, code


@pytest.mark.parametrize(("member", "name"), [("searchInclude", "_include"), ("searchRevInclude", "_revinclude")])
def test_every_include_works(server: Client, member: str, name: str) -> None:
    refused = []
    for type, claimed in resources(server).items():
        for some in pieces(claimed.get(member, ()), 150):
            answer = server("GET", f"{type}?_id=x&" + urlencode([(name, one) for one in some]))
            if answer.status_code != 200:
                refused.append((type, answer.text))
    assert refused == []
    for type in ("Patient", "Medication", "Parameters"):
        others = {f"{one}:{code}" for one, codes in DEFINITIONS.search.items() for code in codes}
        others -= {one for claims in resources(server).values() for one in claims.get("searchInclude", ())}
        for one in sorted(others)[::40]:
            assert server("GET", f"{type}?{name}={one}").status_code == 400, one


def pieces(items: Any, size: int) -> Iterator[Any]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


@cache
def interactions_of_r4() -> dict[str, list[tuple[str, str]]]:
    """Method and shape of address of each interaction as R4 names them. https://hl7.org/fhir/R4/http.html#summary"""
    return {
        "read": [("GET", "T/i")],
        "vread": [("GET", "T/i/_history/1")],
        "update": [("PUT", "T/i"), ("PUT", "T")],
        "patch": [("PATCH", "T/i"), ("PATCH", "T")],
        "delete": [("DELETE", "T/i"), ("DELETE", "T")],
        "history-instance": [("GET", "T/i/_history")],
        "history-type": [("GET", "T/_history")],
        "create": [("POST", "T")],
        "search-type": [
            ("GET", "T"),
            ("POST", "T/_search"),
            ("GET", "T/i/T"),
            ("POST", "T/i/T/_search"),
            ("GET", "T/i/*"),
            ("POST", "T/i/*/_search"),
        ],
        "transaction": [("POST", "")],
        "batch": [("POST", "")],
        "search-system": [("GET", ""), ("POST", "_search")],
        "history-system": [("GET", "_history")],
    }


REVOKE = {"name": "revoke", "valueBoolean": True}
CONSENT: dict[str, Any] = {
    "resourceType": "Consent",
    "status": "active",
    "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "research"}]},
    "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
    "dateTime": "2025-01-01",
    "policy": [{"uri": "https://example.org/policy"}],
    "provision": {"type": "permit"},
}


def test_every_operation_claimed_works(server: Client) -> None:
    patient, observation = SAMPLE["Patient"], SAMPLE["Observation"]
    id = server.create({"resourceType": "Patient", **patient})
    seen = {"resourceType": "Observation", **observation, "subject": {"reference": f"Patient/{id}"}}
    seen_id = server.create(seen)
    meta = {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"tag": [{"code": "t"}]}}]}
    like = {"resourceType": "Patient", "name": [{"family": "x"}], "birthDate": "2000-01-01"}
    matching = {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": like}]}
    record = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": like}]}
    given = [{"name": "trialMatchClinicalData", "resource": record}]
    brought = {"resourceType": "Parameters", "parameter": given}
    adult = {"value": 18, "comparator": ">=", "code": "a"}
    age = {"coding": [{"system": "http://loinc.org", "code": "30525-0"}]}
    criteria = {
        "type": "person",
        "actual": False,
        "characteristic": [{"code": age, "valueQuantity": adult, "exclude": False}],
    }
    group = server.create({"resourceType": "Group", **criteria})
    enrollment = [{"reference": f"Group/{group}"}]
    study = server.create({"resourceType": "ResearchStudy", "status": "active", "enrollment": enrollment})
    gone = server.create({"resourceType": "Patient", **patient})
    content = {"url": "urn:s", "status": "active", "content": "complete", "concept": [{"code": "a"}]}
    system = server.create({"resourceType": "CodeSystem", **content})
    genders, lung = "http://hl7.org/fhir/ValueSet/administrative-gender", "system=http://oncotree.mskcc.org&code=LUAD"
    table = {"resourceType": "Parameters", "parameter": [{"name": "name", "valueString": "t"}]}
    select = [{"column": [{"name": "id", "path": "id"}]}]
    view = {"resourceType": "ViewDefinition", "resource": "Patient", "select": select}
    files = {
        "inputFormat": "application/ndjson",
        "inputSource": "urn:x",
        "input": [{"type": "Basic", "url": "file:///x"}],
    }
    lines = "##fileformat=VCFv4.2\n##contig=<ID=chr1,length=248956422>\n"
    lines += "#CHROM POS ID REF ALT QUAL FILTER INFO FORMAT s\n".replace(" ", "\t")
    attachment = {"contentType": "text/x-vcf", "data": base64.b64encode(lines.encode()).decode()}
    document = {"status": "current", "subject": {"reference": f"Patient/{id}"}, "content": [{"attachment": attachment}]}
    file = server.create({"resourceType": "DocumentReference", **document})
    calls: dict[str, list[tuple[str, str, Any]]] = {
        "everything": [("GET", f"Patient/{id}/$everything", None), ("GET", "Patient/$everything", None)],
        "lastn": [("GET", f"Observation/$lastn?patient={id}&code=x", None)],
        "match": [("POST", "Patient/$match", matching), ("POST", "ResearchStudy/$match", brought)],
        "match-trials": [("GET", f"Patient/{id}/$match-trials", None)],
        "missing-data": [("GET", f"Patient/{id}/$missing-data", None)],
        "attrition": [("GET", f"ResearchStudy/{study}/$attrition", None)],
        "diversity": [("GET", f"ResearchStudy/{study}/$diversity", None)],
        "match-patients": [("GET", f"ResearchStudy/{study}/$match-patients", None)],
        "validate": [("POST", "Patient/$validate", like), ("GET", f"Observation/{seen_id}/$validate", None)],
        "meta": [("GET", "$meta", None), ("GET", "Patient/$meta", None), ("GET", f"Patient/{id}/$meta", None)],
        "meta-add": [("POST", f"Patient/{id}/$meta-add", meta)],
        "meta-delete": [("POST", f"Patient/{id}/$meta-delete", meta)],
        "choices": [("GET", f"Patient/{id}/$choices", None)],
        "choose": [("POST", f"Patient/{id}/$choose", {"resourceType": "Parameters", "parameter": [REVOKE]})],
        "accesses": [("GET", f"Patient/{id}/$accesses", None)],
        "explain": [("GET", f"Consent/$explain?patient={id}", None)],
        "preview": [("POST", "Consent/$preview", CONSENT | {"patient": {"reference": f"Patient/{id}"}})],
        "reindex": [("POST", "$reindex", None), ("POST", "Patient/$reindex", None)],
        "expunge": [("POST", f"Patient/{gone}/$expunge", None)],
        "lookup": [("GET", f"CodeSystem/$lookup?{lung}", None)],
        "subsumes": [("GET", f"CodeSystem/{system}/$subsumes?codeA=a&codeB=a", None)],
        "validate-code": [
            ("GET", f"CodeSystem/{system}/$validate-code?code=a", None),
            ("GET", f"ValueSet/$validate-code?url={genders}&code=male", None),
        ],
        "expand": [("GET", f"ValueSet/$expand?url={genders}", None)],
        "translate": [("GET", f"ConceptMap/$translate?{lung}", None)],
        "closure": [("POST", "$closure", table)],
        "viewdefinition-run": [("POST", "$viewdefinition-run", view)],
        "import": [("POST", "$import", files)],
        "convert-vcf": [("POST", f"DocumentReference/{file}/$convert-vcf", None)],
        "export": [("GET", "$export?_type=Basic", None), ("GET", "Patient/$export?_type=Basic", None)],
        "export-v4": [("GET", "$export-v4?_type=Basic", None), ("GET", "Patient/$export-v4?_type=Basic", None)],
    }
    claimed = {one["name"] for one in statement(server)["operation"]}
    claimed |= {one["name"] for resource in resources(server).values() for one in resource["operation"]}
    asked = {
        "subject": id,
        "ranges": "NC_000007.14:1-9",
        "variants": "NC_000007.14:1:A:T",
        "genes": "EGFR",
        "haplotypes": "*1",
    }
    for name, _, takes in FINDING:
        needed = {key: value for key, value in asked.items() if key in takes}
        if "implications" in name or "consequences" in name:
            needed = {key: value for key, value in needed.items() if key in ("subject", "variants")}
        calls[name] = [
            ("GET", f"{place}${name}?{urlencode(needed)}", None) for place in ("", "Observation/", "Patient/")
        ]
    assert claimed == calls.keys() | {"patient-export", "group-export"}  # other names of the same
    later = {"prefer": "respond-async"}
    for method, path, body in itertools.chain(*calls.values()):
        answer = server(method, path, body, headers=later)
        # No source is allowed here: the refusal says that the operation is there.
        expected = {"$export": 202, "$export-v4": 202, "$import": 403}.get(
            path.partition("?")[0].rpartition("/")[2], 200
        )
        assert answer.status_code == expected, (path, answer.text)


def test_nothing_works_that_is_not_claimed(server: Client) -> None:
    """Every method on every address of up to four parts: 404 or 405 unless an interaction or operation is claimed."""
    rest = statement(server)
    patient = resources(server)["Patient"]
    codes = {one["code"] for one in (*patient["interaction"], *rest["interaction"])}
    claimed = {pair for code in codes for pair in interactions_of_r4()[code]} | {("GET", "metadata")}
    operations = {one["name"] for one in (*rest["operation"], *patient["operation"])} - {"patient-export"}
    words = [
        "T",
        "i",
        "_history",
        "1",
        "_search",
        "metadata",
        "*",
        "$nothing",
        *(f"${name}" for name in operations),
    ]
    tried = 0
    for size in range(5):
        for parts in itertools.product(words[: (99, 99, 99, 8, 5)[size]], repeat=size):
            shape = "/".join(parts)
            if parts[1:2] and parts[1] in ("T", "1", "metadata", "*"):
                continue  # these are ids like any other
            path = "/".join("Patient" if part == "T" else part for part in parts)
            for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
                tried += 1
                status = server(method, path, {} if method in ("POST", "PUT", "PATCH") else None).status_code
                if (method, shape) in claimed:
                    assert status != 405, (method, path)
                elif not parts or parts[-1].removeprefix("$") not in operations:
                    assert status in (404, 405), (method, path, status)
    assert tried > 3000
