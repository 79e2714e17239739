"""Patient/$everything: the whole record, once, page by page. https://hl7.org/fhir/R4/patient-operation-everything.html"""

from typing import Any

import pytest

from fhir_server.fhir.definitions import load
from fhir_server.operations.record import ALWAYS, CLINICAL_DATE, groups, linking, membership
from fhir_server.search.compartment import in_compartment
from fhir_server.search.predicate import Is, Or
from tests.client import BASE, Client, refusal

CODE = {"text": "x"}


def fill(client: Client) -> None:
    """Patient a with a record in several groups of types, patient b beside it, and what both refer to."""
    a, b = {"reference": "Patient/a"}, {"reference": "Patient/b"}
    resources: list[dict[str, Any]] = [
        {"resourceType": "Organization", "id": "org", "name": "Clinic"},
        {"resourceType": "Practitioner", "id": "doc"},
        {"resourceType": "Practitioner", "id": "other"},
        {"resourceType": "Medication", "id": "org"},
        {"resourceType": "Patient", "id": "a", "managingOrganization": {"reference": "Organization/org"}},
        {"resourceType": "Patient", "id": "b", "generalPractitioner": [{"reference": "Practitioner/other"}]},
        {"resourceType": "Patient", "id": "twin", "link": [{"other": a, "type": "seealso"}]},
        {"resourceType": "Observation", "id": "o1", "status": "final", "code": CODE, "subject": a,
         "effectiveDateTime": "2020-05-01", "performer": [{"reference": f"{BASE}/Practitioner/doc"}]},
        {"resourceType": "Observation", "id": "o2", "status": "final", "code": CODE, "subject": a,
         "effectiveDateTime": "2022-05-01"},
        {"resourceType": "Observation", "id": "o3", "status": "final", "code": CODE, "subject": b,
         "effectiveDateTime": "2020-05-01"},
        {"resourceType": "Condition", "id": "c1", "subject": a},
        {"resourceType": "AllergyIntolerance", "id": "a1", "patient": a, "recorder": {"reference": "Practitioner/no"}},
        {"resourceType": "MedicationRequest", "id": "m1", "status": "active", "intent": "order", "subject": a,
         "medicationReference": {"reference": "Medication/org"}, "authoredOn": "2020-05-02"},
        {"resourceType": "Consent", "id": "con", "status": "active", "scope": CODE, "category": [CODE], "patient": b,
         "policyRule": CODE, "provision": {"actor": [{"role": CODE, "reference": a}]}},
    ]  # fmt: skip
    for resource in resources:
        answer = client("PUT", f"{resource['resourceType']}/{resource['id']}", resource)
        assert answer.status_code == 201, answer.text


def names(body: dict[str, Any], mode: str) -> set[str]:
    found = [one["resource"] for one in body.get("entry", ()) if one["search"]["mode"] == mode]
    listed = [f"{one['resourceType']}/{one['id']}" for one in found]
    assert len(listed) == len(set(listed))
    return set(listed)


def walked(client: Client, path: str) -> tuple[list[str], set[str]]:
    """All matches over all pages, and all includes."""
    matches: list[str] = []
    includes: set[str] = set()
    url = path
    while url:
        answer = client("GET", url)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        matches += sorted(names(body, "match"))
        includes |= names(body, "include")
        links = {link["relation"]: link["url"] for link in body["link"]}
        url = links.get("next", "").removeprefix(BASE + "/")
    assert len(matches) == len(set(matches))
    return matches, includes


RECORD = {"Patient/a", "Patient/twin", "Observation/o1", "Observation/o2", "Condition/c1", "AllergyIntolerance/a1",
          "MedicationRequest/m1"}  # fmt: skip
AROUND = {"Organization/org", "Practitioner/doc", "Medication/org"}


def test_a_record_and_what_it_refers_to(client: Client) -> None:
    fill(client)
    body = client("GET", "Patient/a/$everything").json()
    assert (body["type"], body["total"]) == ("searchset", len(RECORD))
    assert names(body, "match") == RECORD
    assert names(body, "include") == AROUND
    assert body["entry"][0]["fullUrl"] == f"{BASE}/Patient/a"
    stored = client("GET", "Observation/o1").text
    assert stored in client("GET", "Patient/a/$everything").text


@pytest.mark.parametrize("count", [1, 2, 3, 100])
def test_pages_hold_everything_once(client: Client, count: int) -> None:
    fill(client)
    matches, includes = walked(client, f"Patient/a/$everything?_count={count}")
    assert (set(matches), includes) == (RECORD, AROUND)


def test_the_records_of_all_patients(client: Client) -> None:
    fill(client)
    for count in (2, 100):
        url, seen = f"Patient/$everything?_count={count}", []
        while url:
            body = client("GET", url).json()
            seen += sorted(names(body, "match"))
            url = {link["relation"]: link["url"] for link in body["link"]}.get("next", "").removeprefix(BASE + "/")
        assert set(seen) == RECORD | {"Patient/b", "Observation/o3", "Consent/con"}
        assert len(seen) == len(set(seen))


def test_types_dates_and_times(client: Client) -> None:
    fill(client)

    def matches(query: str) -> set[str]:
        return names(client("GET", f"Patient/a/$everything?{query}").json(), "match")

    assert matches("_type=Observation,Condition") == {"Observation/o1", "Observation/o2", "Condition/c1"}
    dated = {"Observation/o1", "MedicationRequest/m1"}
    assert matches("start=2020-01&end=2020") == RECORD - {"Observation/o2"}
    assert matches("start=2021") == RECORD - dated
    assert matches("end=2019") == RECORD - dated - {"Observation/o2"}
    assert matches("_since=2999-01-01") == set()
    assert matches("_since=2020-01-01T00:00:00Z") == RECORD
    body = client("GET", "Patient/a/$everything?_type=Practitioner").json()
    assert (names(body, "match"), names(body, "include")) == (set(), set())  # nothing on the page refers to one


def test_post_is_the_same_and_its_pages_too(client: Client) -> None:
    fill(client)
    body = {"resourceType": "Parameters", "parameter": [{"name": "_count", "valueInteger": 2}]}
    first = client("POST", "Patient/a/$everything", body).json()
    following = {link["relation"]: link["url"] for link in first["link"]}["next"]
    rest, _ = walked(client, following.removeprefix(BASE + "/"))
    assert names(first, "match") | set(rest) == RECORD
    assert client("POST", "Patient/a/$everything").json()["total"] == len(RECORD)


def test_a_patient_that_is_not_there(client: Client) -> None:
    fill(client)
    assert client("GET", "Patient/never/$everything").status_code == 404
    client("DELETE", "Patient/a")
    assert client("GET", "Patient/a/$everything").status_code == 410
    refusal(client("GET", "Patient/b/$everything?_page=forged"))
    other = client("GET", "Patient/b/$everything?_count=1").json()
    token = {link["relation"]: link["url"] for link in other["link"]}["next"].partition("?")[2]
    assert client("GET", f"Patient/twin/$everything?{token}").status_code == 400


def test_a_hidden_resource_is_in_no_record(client: Client) -> None:
    from fhir_server.access import Caller
    from fhir_server.rest.negotiate import Headers
    from fhir_server.search.index import param_of
    from fhir_server.search.predicate import ID, Not
    from fhir_server.server import Server

    fill(client)
    hidden = Or((Is(param_of("code", "token")), Is(ID, (("id", "=", "doc"),)), Is(ID, (("id", "=", "o1"),))))
    caller = Caller("someone", lambda type, letter: Not(hidden))

    async def someone(server: Server, headers: Headers, interaction: str) -> Caller:
        return caller

    client.app.endpoint.caller_of = someone
    body = client("GET", "Patient/a/$everything").json()
    assert client("POST", "Patient/a/$expunge").status_code == 403
    assert client("GET", "Patient?_explain=true").status_code == 403
    assert "Observation/o1" not in names(body, "match")
    assert "Practitioner/doc" not in names(body, "include")


def test_groups_of_types_mean_what_the_compartment_means() -> None:
    definitions = load()
    members = definitions.compartments["Patient"].keys() - {"Patient"}
    for dated in (False, True):
        assert sorted(type for group in groups(dated=dated) for type in group.types) == sorted(members)
        for group in groups(dated=dated):
            found = membership(group, "p", ALWAYS)
            assert isinstance(found, Or)
            for type in group.types:
                wanted = in_compartment(definitions, "Patient", "p", type)
                assert isinstance(wanted, Or)
                assert set(wanted.parts) <= set(found.parts)
                for extra in set(found.parts) - set(wanted.parts):
                    assert isinstance(extra, Is)
                    param = definitions.search[type].get(extra.param.code)
                    assert param is None or "Patient" not in param.target
    assert linking("p")


def test_clinical_dates_are_date_parameters() -> None:
    definitions = load()
    assert {definitions.search[type][code].kind for type, code in CLINICAL_DATE.items()} == {"date"}
