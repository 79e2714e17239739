"""$expunge: gone from every answer, and consistently. https://hl7.org/fhir/R4/http.html#delete"""

from typing import Any

from fhir_server.search.predicate import EVERYTHING
from fhir_server.store.seam import Query
from tests.client import Client

CODE = {"text": "x"}
ALL = {"resourceType": "Parameters", "parameter": [{"name": "everything", "valueBoolean": True}]}


def put(client: Client, kind: str, id: str, **more: Any) -> None:
    answer = client("PUT", f"{kind}/{id}", {"resourceType": kind, "id": id, **more})
    assert answer.status_code in (200, 201), answer.text


def observation(client: Client, id: str, patient: str, **more: Any) -> None:
    put(client, "Observation", id, status="final", code=CODE, subject={"reference": f"Patient/{patient}"}, **more)


def said(answer: Any) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = {"remaining": []}
    for one in answer.json()["parameter"]:
        if one["name"] == "remaining":
            found["remaining"].append(one["valueString"])
        else:
            found[one["name"]] = one["valueInteger"]
    return found


def test_one_resource(client: Client) -> None:
    put(client, "Patient", "p", gender="female")
    put(client, "Patient", "p", gender="male")
    put(client, "Patient", "q")
    assert said(client("POST", "Patient/p/$expunge")) == {"resources": 1, "versions": 2, "remaining": []}
    for path in ("Patient/p", "Patient/p/_history", "Patient/p/_history/1", "Patient/p/$everything", "Patient/p/$meta"):
        assert client("GET", path).status_code == 404, path
    assert client("GET", "Patient?gender=male").json()["total"] == 0
    assert client.versions() == 1
    assert client("POST", "Patient/p/$expunge").status_code == 404
    assert client("POST", "Observation/p/$expunge", ALL).status_code == 400
    put(client, "Patient", "p")
    assert client("GET", "Patient/p").json()["meta"]["versionId"] == "1"


def test_a_deleted_resource_too(client: Client) -> None:
    put(client, "Patient", "p")
    client("DELETE", "Patient/p")
    assert client("GET", "Patient/p").status_code == 410
    assert said(client("POST", "Patient/p/$expunge"))["versions"] == 2
    assert client("GET", "Patient/p").status_code == 404


def test_a_record(client: Client) -> None:
    put(client, "Patient", "p")
    put(client, "Patient", "child")
    put(client, "Practitioner", "doc")
    observation(client, "mine", "p", performer=[{"reference": "Practitioner/doc"}])
    observation(client, "mine", "p")
    observation(client, "deleted", "p")
    client("DELETE", "Observation/deleted")
    observation(client, "corrected", "p")
    observation(client, "corrected", "child")
    observation(client, "reported", "child", performer=[{"reference": "Patient/p"}])
    both = [{"entity": {"reference": f"Patient/{id}"}} for id in ("p", "child")]
    put(client, "Group", "both", type="person", actual=True, member=both)
    put(client, "Group", "alone", type="person", actual=True, member=both[:1])
    told = said(client("POST", "Patient/p/$expunge", ALL))
    assert (told["resources"], told["versions"]) == (4, 6)
    assert sorted(told["remaining"]) == ["Group/both", "Observation/corrected", "Observation/reported"]
    for path in ("Patient/p", "Observation/mine", "Observation/deleted", "Observation/deleted/_history", "Group/alone"):
        assert client("GET", path).status_code == 404, path
    for path in ("Patient/child", "Practitioner/doc", "Observation/corrected", "Observation/reported", "Group/both"):
        assert client("GET", path).status_code == 200, path

    async def bodies() -> list[bytes]:
        store = client.app.endpoint.server.store
        return [row.body async for _, row in store.changes(None) if row.id in ("p", "mine", "deleted", "alone")]

    assert client.run(bodies()) == []


def test_explain_tells_predicate_and_plan(client: Client) -> None:
    observation(client, "o", "p")
    answer = client("GET", "Observation?subject=Patient/p&status:not=final&_sort=-date&_explain=true")
    told = {
        one["name"]: next(value for key, value in one.items() if key != "name") for one in answer.json()["parameter"]
    }
    assert told["predicate"] == "subject[type = 'Patient' and id = 'p'] and not (status[code = 'final'])"
    assert (told["types"], told["sort"], told["rows"]) == ("Observation", "date descending", 0)
    assert len(told["plan"]) > 100
    assert client("GET", "Observation?_explain=false").json()["resourceType"] == "Bundle"
    assert client.run(client.app.endpoint.server.store.count(Query((), EVERYTHING))) == 1
