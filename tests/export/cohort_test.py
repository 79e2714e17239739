"""Groups that describe whom they mean, looked up when the export begins. https://hl7.org/fhir/uv/bulkdata/STU3/group.html"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fhir_server.settings import Settings
from tests.auth.door import BASE
from tests.client import refusal
from tests.export.conftest import Researcher, group, observation, parameters, patient
from tests.export.consent_chain_test import consent
from tests.export.rights_test import Registry, exported, ids, kicked

FILTER = "http://hl7.org/fhir/uv/bulkdata/StructureDefinition/member-filter"
SNOMED, LOINC = "http://snomed.info/sct", "http://loinc.org"
CANCER = {"coding": [{"system": SNOMED, "code": "254637007"}]}


def searched(id: str, *queries: str, **more: Any) -> dict[str, Any]:
    """A Group of whom some searches mean."""
    filters = [
        {"url": FILTER, "valueExpression": {"language": "application/x-fhir-query", "expression": query}}
        for query in queries
    ]
    made = {"resourceType": "Group", "id": id, "type": "person", "actual": False, "modifierExtension": filters}
    return {**made, **more}


def described(id: str, *criteria: tuple[str, dict[str, Any]], **more: Any) -> dict[str, Any]:
    """A Group of whom a trial looks for."""
    listed = [
        {"code": {"coding": [{"system": LOINC, "code": code}]}, "exclude": False, **value} for code, value in criteria
    ]
    made = {"resourceType": "Group", "id": id, "type": "person", "actual": False, "characteristic": listed}
    return {**made, **more}


ADULTS = (
    "30525-0",
    {"valueQuantity": {"value": 18, "comparator": ">=", "system": "http://unitsofmeasure.org", "code": "a"}},
)
LUNG = ("29308-4", {"valueCodeableConcept": CANCER})


def condition(id: str, of: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Condition",
        "id": id,
        "subject": {"reference": f"Patient/{of}"},
        "code": CANCER,
        "clinicalStatus": {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"}]
        },
        **more,
    }


def people(client: Any) -> None:
    """Three with the disease, of whom one is a child; one without."""
    client.put(
        patient("p1", gender="female", birthDate="1960-01-01"),
        patient("p2", gender="male", birthDate="1961-01-01"),
        patient("p3", gender="female", birthDate="2020-01-01"),
        patient("p4", gender="female", birthDate="1962-01-01"),
        *(condition(f"c{n}", f"p{n}") for n in (1, 2, 3)),
        *(observation(f"o{n}", f"p{n}") for n in (1, 2, 3, 4)),
    )


def test_a_group_of_searches(client: Researcher) -> None:
    people(client)
    disease = f"Condition?code={SNOMED}|254637007&clinical-status=active"
    client.put(
        searched("ill", disease),
        searched("women", disease, "Patient?gender=female"),
        searched("none", "Patient?gender=other"),
        searched(
            "some",
            "Patient?gender=female",
            actual=True,
            member=[{"entity": {"reference": f"Patient/{id}"}} for id in ("p2", "p4")],
        ),
        searched(
            "encoded", "Condition?code=http%3A%2F%2Fsnomed.info%2Fsct%7C254637007", "Patient?birthdate=lt2000-01-01"
        ),
    )
    assert client.exported("Group/ill/$export?_type=Patient")["Patient"] == {"p1", "p2", "p3"}
    found = client.exported("Group/women/$export")
    assert (found["Patient"], found["Observation"], found["Condition"]) == ({"p1", "p3"}, {"o1", "o3"}, {"c1", "c3"})
    assert client.exported("Group/none/$export") == {}
    assert client.exported("Group/some/$export?_type=Patient")["Patient"] == {"p4"}
    assert client.exported("Group/encoded/$export?_type=Patient")["Patient"] == {"p1", "p2"}
    # Who fits later is in later exports; who does not any more, is not.
    client.put(patient("p2", gender="female", birthDate="1961-01-01"), condition("c1", "p4"))
    assert client.exported("Group/women/$export?_type=Patient")["Patient"] == {"p2", "p3", "p4"}
    only = parameters(("patient", {"reference": "Patient/p2"}), ("_type", "Patient"))
    assert client.exported("Group/women/$export", only)["Patient"] == {"p2"}
    answer = client.kick("Group/women/$export", parameters(("patient", {"reference": "Patient/p1"})))
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "made",
    [
        searched("g", "Condition?nonsense=1"),
        searched("g", "Condition?_sort=code&code=1"),
        searched("g", "Organization?name=x"),
        searched("g", "Condition"),
        searched("g", "Nonsense?x=1"),
        searched("g", "Group?member=Patient/p1"),
        searched("g", "Patient?gender=female", type="practitioner"),
        searched("g")
        | {"modifierExtension": [{"url": FILTER, "valueExpression": {"language": "text/cql", "expression": "x"}}]},
        group("g", "p1", modifierExtension=[{"url": "http://example.org/not", "valueBoolean": True}]),
        described(
            "g",
            ("1234567-8", {"valueBoolean": True}),
            modifierExtension=[{"url": "http://example.org/not", "valueBoolean": True}],
        ),
    ],
)
def test_what_cannot_be_looked_up_is_refused(client: Researcher, made: dict[str, Any]) -> None:
    client.put(patient("p1"), made)
    answer = client.kick("Group/g/$export")
    if answer.status_code == 202:  # criteria are compiled when the export begins
        answer = client.ended(answer.headers["content-location"].removeprefix("http://fhir.example:8134/odd/base/"))
    assert answer.status_code == 422, answer.text
    assert refusal(answer)["code"] == "not-supported"


def matchable(id: str, of: str) -> dict[str, Any]:
    """A Consent to being matched with trials."""
    made = consent(id, of)
    code = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "CLINTRCH"}
    return made | {"provision": {"type": "permit", "purpose": [code]}}


def test_a_group_of_criteria_holds_who_meets_them_and_permits_it(client: Researcher) -> None:
    people(client)
    client.put(described("g", LUNG, ADULTS), *(matchable(f"m{n}", f"p{n}") for n in (1, 3, 4)))
    found = client.exported("Group/g/$export?_type=Patient,Observation")
    assert found == {"Patient": {"p1"}, "Observation": {"o1"}}  # p2 does not permit it, p3 is a child, p4 is not ill
    client.put(matchable("m2", "p2"))
    assert client.exported("Group/g/$export?_type=Patient")["Patient"] == {"p1", "p2"}
    # A study that enrols the Group, and that one of them excepts.
    client.put(
        {"resourceType": "ResearchStudy", "id": "s", "status": "active", "enrollment": [{"reference": "Group/g"}]}
    )
    excepted = matchable("m2", "p2")
    about = [{"meaning": "related", "reference": {"reference": "ResearchStudy/s"}}]
    excepted["provision"]["provision"] = [{"type": "deny", "data": about}]
    client.put(excepted)
    assert client.exported("Group/g/$export?_type=Patient")["Patient"] == {"p1"}


@pytest.fixture
def registry(store_url: str, tmp_path: Path) -> Iterator[Registry]:
    """An EHR that fills, a researcher who asks."""
    opened = Registry(
        Settings(
            store=store_url,
            base_url=BASE,
            auth="smart",
            access_log=False,
            rate_limit=0,
            export_folder=str(tmp_path / "exports"),
        )
    )
    opened.backend("ehr", ("system/*.cruds",), role="ehr")
    opened.backend("scientist", ("system/*.rs",), role="researcher")
    yield opened
    opened.close()


def test_research_exports_cohorts_by_what_it_may_see_of_people(registry: Registry) -> None:
    """Whom a Group names is told by no Consent; whom it describes is found by what they permit."""
    ehr, held = registry.bearer("ehr", "system/*.cruds"), registry.bearer("scientist", "system/*.rs")

    class Ehr:
        """Stores as the EHR."""

        def put(self, *resources: dict[str, Any]) -> None:
            for one in resources:
                answer = registry("PUT", f"{one['resourceType']}/{one['id']}", one, headers=ehr)
                assert answer.is_success, answer.text

    store = Ehr()
    people(store)
    store.put(
        searched("ill", f"Condition?code={SNOMED}|254637007"),
        group("named", "p1", "p2"),
        described("fit", LUNG, ADULTS),
    )
    store.put(*(matchable(f"m{n}", f"p{n}") for n in (1, 2, 3)))
    assert registry("GET", "Group/ill", headers=held).status_code == 200
    assert registry("GET", "Group/named", headers=held).status_code == 404
    answer, absent = (kicked(registry, f"Group/{id}/$export", held) for id in ("named", "absent"))
    assert (answer.status_code, answer.text.replace("named", "absent")) == (404, absent.text)
    for id in ("ill", "fit"):
        assert exported(registry, f"Group/{id}/$export", held)[1]["output"] == []
    store.put(consent("r1", "p1"))
    hiding = consent("r2", "p2")  # but not the disease
    kind = {"system": "http://hl7.org/fhir/resource-types", "code": "Condition"}
    hiding["provision"]["provision"] = [{"type": "deny", "class": [kind]}]
    store.put(hiding)
    for id in ("ill", "fit"):
        _, manifest = exported(registry, f"Group/{id}/$export", held)
        found = ids(registry, manifest, held)
        assert (found["Patient"], found["Observation"], found["Condition"]) == ({"p1"}, {"o1"}, {"c1"})
