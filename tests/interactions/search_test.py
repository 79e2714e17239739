"""Searches and histories as clients see them: pages, links, totals, parts, includes. https://hl7.org/fhir/R4/search.html"""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.client import BASE, Client, refusal


def patient(id: str, family: str = "Chalmers", **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": id, "name": [{"family": family}], **more}


def observation(id: str, subject: str, **more: Any) -> dict[str, Any]:
    code = {"coding": [{"system": "http://loinc.org", "code": "718-7"}]}
    body = {"resourceType": "Observation", "id": id, "status": "final", "code": code, **more}
    return {**body, "subject": {"reference": subject}}


def put(client: Client, *resources: dict[str, Any]) -> None:
    for resource in resources:
        answer = client("PUT", f"{resource['resourceType']}/{resource['id']}", resource)
        assert answer.status_code in (200, 201), answer.text


def links(body: dict[str, Any]) -> dict[str, str]:
    return {link["relation"]: link["url"] for link in body["link"]}


def ids(body: dict[str, Any], mode: str = "match") -> list[str]:
    return [one["resource"]["id"] for one in body.get("entry", ()) if one["search"]["mode"] == mode]


def follow(client: Client, url: str) -> dict[str, Any]:
    assert url.startswith(BASE + "/")
    answer = client("GET", url.removeprefix(BASE + "/"))
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_pages_hold_everything_once(client: Client) -> None:
    put(client, *[patient(f"p{number}", f"Name{number % 3}") for number in range(7)])
    body = client("GET", "Patient?_count=3&_sort=family&_total=accurate").json()
    seen, pages = ids(body), 1
    assert body["total"] == 7
    while "next" in links(body):
        assert "Name" not in links(body)["next"]
        body, pages = follow(client, links(body)["next"]), pages + 1
        assert body["total"] == 7
        seen += ids(body)
    assert pages == 3
    assert sorted(seen) == [f"p{number}" for number in range(7)]
    assert [int(id[1:]) % 3 for id in seen] == sorted(int(id[1:]) % 3 for id in seen)


def test_self_link_and_post_search_give_the_same(client: Client) -> None:
    put(client, patient("a"), patient("b", "Other"))
    got = client("GET", "Patient?family=Chalmers")
    posted = client("POST", "Patient/_search?family=Chalmers", data={"gender:missing": "true"})
    assert ids(got.json()) == ids(posted.json()) == ["a"]
    query = parse_qs(urlsplit(links(posted.json())["self"]).query)
    assert query == {"family": ["Chalmers"], "gender:missing": ["true"]}
    assert links(got.json())["self"] == f"{BASE}/Patient?family=Chalmers"
    assert posted.json()["entry"][0]["fullUrl"] == f"{BASE}/Patient/a"


def test_the_next_link_of_a_post_search_keeps_its_values_to_itself(client: Client) -> None:
    put(client, patient("a"), patient("b"))
    body = client("POST", "Patient/_search", data={"family": "Chalmers", "_count": "1"}).json()
    next_link = links(body)["next"]
    assert "halmers" not in next_link
    assert ids(follow(client, next_link)) == ["b"]


def test_a_page_of_one_search_is_no_page_of_another(client: Client) -> None:
    put(client, patient("a"), patient("b"))
    token = parse_qs(urlsplit(links(client("GET", "Patient?_count=1").json())["next"]).query)["_page"][0]
    answer = client("GET", f"Observation?_page={token}")
    assert answer.status_code == 400
    refusal(answer)
    assert client("GET", f"Patient?_page={token[:-4]}AAAA").status_code == 400


def test_totals(client: Client) -> None:
    put(client, patient("a"), patient("b"))
    assert client("GET", "Patient").json()["total"] == 2
    assert "total" not in client("GET", "Patient?_count=1").json()
    assert "total" not in client("GET", "Patient?_total=none").json()
    assert client("GET", "Patient?_count=1&_total=estimate").json()["total"] == 2
    for query in ("_summary=count", "_count=0"):
        body = client("GET", f"Patient?{query}").json()
        assert (body["type"], body["total"]) == ("searchset", 2)
        assert "entry" not in body


def test_huge_counts_are_cut(client: Client) -> None:
    put(client, patient("a"))
    assert client("GET", "Patient?_count=" + "9" * 30).json()["total"] == 1
    assert client("GET", "_history?_count=" + "9" * 30).status_code == 200


@pytest.mark.parametrize(
    ("query", "members"),
    [
        ("_elements=code", {"status", "code"}),
        ("_elements=value", {"status", "code", "valueString"}),
        ("_summary=text", {"status", "code", "text"}),
        ("_summary=data", {"status", "code", "subject", "valueString", "note"}),
        ("_summary=true", {"status", "code", "subject", "valueString"}),
        ("_summary=false", {"status", "code", "subject", "valueString", "note", "text"}),
    ],
)
def test_parts_of_resources(client: Client, query: str, members: set[str]) -> None:
    div = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'}
    said = {"extension": [{"url": "urn:x", "valueString": "y"}]}
    more = {"valueString": "x", "note": [{"text": "n"}], "text": div, "_status": said}
    put(client, patient("a"), observation("o", "Patient/a", **more))
    for path in (f"Observation?{query}", f"Observation/o?{query}"):
        body = client("GET", path).json()
        resource = body["entry"][0]["resource"] if body["resourceType"] == "Bundle" else body
        found = set(resource) - {"resourceType", "id", "meta"}
        assert found == members | {"_status"}  # an extension goes where its element goes
        tags = [tag["code"] for tag in resource["meta"].get("tag", ())]
        assert tags == ([] if query == "_summary=false" else ["SUBSETTED"])


def test_includes(client: Client) -> None:
    organization = {"resourceType": "Organization", "id": "org", "name": "Clinic"}
    put(client, organization, patient("a", managingOrganization={"reference": "Organization/org"}), patient("b"))
    put(client, observation("o1", "Patient/a"), observation("o2", "Patient/a"), observation("o3", "Patient/missing"))
    body = client("GET", "Observation?_include=Observation:subject").json()
    assert ids(body) == ["o1", "o2", "o3"]
    assert ids(body, "include") == ["a"]
    assert body["total"] == 3
    deep = "Observation?_include=Observation:subject&_include:iterate=Patient:organization"
    assert sorted(ids(client("GET", deep).json(), "include")) == ["a", "org"]
    reverse = client("GET", "Patient?_id=a,b&_revinclude=Observation:subject").json()
    assert ids(reverse) == ["a", "b"]
    assert sorted(ids(reverse, "include")) == ["o1", "o2"]


def test_everything_that_refers_and_everything_referred_to(client: Client) -> None:
    organization = {"resourceType": "Organization", "id": "org", "name": "Clinic"}
    put(client, organization, patient("a", managingOrganization={"reference": "Organization/org"}))
    put(
        client,
        observation("o1", "Patient/a"),
        observation("o2", "Patient/a", hasMember=[{"reference": "Observation/o1"}]),
    )
    put(client, {"resourceType": "List", "id": "l", "status": "current", "mode": "working",
                 "entry": [{"item": {"reference": "Patient/a"}}]})  # fmt: skip
    for query, want in {
        "Patient?_revinclude=*": {"o1", "o2", "l"},
        "Patient?_revinclude=Observation:*": {"o1", "o2"},
        "Patient?_include=*&_revinclude=List:item": {"org", "l"},
        "Organization?_revinclude=*": {"a"},
        "Organization?_revinclude:iterate=*": {"a", "o1", "o2", "l"},
        "Observation?_id=o2&_include:iterate=*": {"a", "o1", "org"},
        "Observation?_id=o2&_include=Observation:has-member:Observation": {"o1"},
        "Observation?_id=o1&_revinclude=Observation:has-member": {"o2"},
    }.items():
        assert set(ids(client("GET", query).json(), "include")) == want, query


def test_sorting_by_several_parameters(client: Client) -> None:
    put(client, patient("a", "B", birthDate="1980"), patient("b", "A", birthDate="1980"), patient("c", "B"))
    assert ids(client("GET", "Patient?_sort=family,-birthdate").json()) == ["b", "a", "c"]
    assert ids(client("GET", "Patient?_sort=-family,birthdate").json()) == ["a", "c", "b"]
    assert ids(client("GET", "Patient?_sort=-birthdate,family,_id").json()) == ["b", "a", "c"]
    assert ids(client("GET", "Patient?family=A&family=B").json()) == []
    assert ids(client("GET", "Patient?family=A,B&birthdate:missing=false&_sort=_id").json()) == ["a", "b"]


def test_too_many_includes_are_cut_and_said(client: Client) -> None:
    import dataclasses

    server = client.app.endpoint.server
    few = dataclasses.replace(server.settings, max_includes=2)
    client.app.endpoint.server = dataclasses.replace(server, settings=few)
    put(client, patient("a"), *[observation(f"o{number}", "Patient/a") for number in range(4)])
    body = client("GET", "Patient?_revinclude=Observation:subject").json()
    assert len(ids(body, "include")) == 2
    outcome = body["entry"][-1]
    assert outcome["search"]["mode"] == "outcome"
    assert outcome["resource"]["issue"][0]["code"] == "too-costly"


def test_compartments(client: Client) -> None:
    put(client, patient("a"), patient("b"), observation("o1", "Patient/a"), observation("o2", "Patient/b"))
    assert ids(client("GET", "Patient/a/Observation").json()) == ["o1"]
    assert ids(client("GET", "Patient/a/Observation?code=none").json()) == []
    assert ids(client("POST", "Patient/a/Observation/_search", data={"code": "718-7"}).json()) == ["o1"]
    assert client("GET", "Patient/a/Medication").status_code == 404
    assert client("GET", "Observation/o1/Patient").status_code == 404


def test_all_types(client: Client) -> None:
    put(client, patient("a"), observation("o", "Patient/a"))
    assert sorted(ids(client("GET", "").json())) == ["a", "o"]
    assert ids(client("GET", "?_type=Observation").json()) == ["o"]
    assert ids(client("POST", "_search", data={"_type": "Patient,Observation", "_id": "a"}).json()) == ["a"]


def test_history_pages_newest_first(client: Client) -> None:
    for number in range(5):
        put(client, patient("a", f"Name{number}"))
    put(client, patient("b"))
    client("DELETE", "Patient/a")
    seen: list[tuple[str, str]] = []
    url = f"{BASE}/Patient/a/_history?_count=4"
    while url:
        body = follow(client, url)
        seen += [(one["response"]["etag"], one["request"]["method"]) for one in body["entry"]]
        url = links(body).get("next", "")
    assert seen == [('W/"6"', "DELETE")] + [(f'W/"{version}"', "PUT") for version in range(5, 0, -1)]
    assert "resource" not in client("GET", "Patient/a/_history?_count=1").json()["entry"][0]
    assert client.versions() == 7
    assert len(client("GET", "Patient/_history").json()["entry"]) == 7
    assert "entry" not in client("GET", "Observation/_history").json()
    assert "entry" not in client("GET", "Patient/_history?_since=2999-01-01").json()
    assert len(client("GET", "_history?_since=2020-01-01T00:00:00Z").json()["entry"]) == 7


@pytest.mark.parametrize("count", [1, 2, 3, 10])
def test_pages_of_all_of_a_compartment(client: Client, count: int) -> None:
    client("PUT", "Patient/p", {"resourceType": "Patient", "id": "p", "link": [LINK_TO_ITSELF]})
    client("PUT", "Patient/q", {"resourceType": "Patient", "id": "q"})
    for id in ("c1", "c2", "c3"):
        subject = {"reference": "Patient/p" if id != "c3" else "Patient/q"}
        client("PUT", f"Condition/{id}", {"resourceType": "Condition", "id": id, "subject": subject})
    found = []
    address = f"Patient/p/*?_count={count}&_total=accurate"
    while address:
        page = client("GET", address).json()
        assert page["total"] == 3
        assert len(page.get("entry", ())) <= count
        found += [entry["resource"]["id"] for entry in page.get("entry", ())]
        links = {link["relation"]: link["url"] for link in page["link"]}
        address = links.get("next", "").removeprefix(f"{BASE}/")
    assert found == ["p", "c1", "c2"]
    assert client("GET", "Patient/p/*?_summary=count").json()["total"] == 3


LINK_TO_ITSELF = {"other": {"reference": "Patient/p"}, "type": "seealso"}


def test_pages_and_totals_of_contained_resources(client: Client) -> None:
    for number in range(6):
        drug = {"resourceType": "Medication", "id": "m", "code": {"coding": [{"code": "a" if number % 2 else "b"}]}}
        other = {**drug, "id": "n", "status": "active", "code": {"coding": [{"code": "c"}]}}
        request = {"resourceType": "MedicationRequest", "id": f"r{number}", "status": "active", "intent": "order"}
        whose = {"subject": {"reference": "Patient/p"}, "medicationReference": {"reference": "#m"}}
        client("PUT", f"MedicationRequest/r{number}", {**request, **whose, "contained": [drug, other]})
    query = "Medication?_contained=true&_containedType=contained&_count=2&code=a"
    found, address = [], f"{query}&_total=accurate"
    while address:
        page = client("GET", address).json()
        assert page["total"] == 3
        found += [(entry["fullUrl"], entry["resource"]["id"]) for entry in page.get("entry", ())]
        links = {link["relation"]: link["url"] for link in page["link"]}
        address = links.get("next", "").removeprefix(f"{BASE}/")
    assert found == [(f"{BASE}/MedicationRequest/r{number}#m", "m") for number in (1, 3, 5)]
    assert client("GET", f"{query}&_summary=count").json()["total"] == 3
    assert client("GET", f"{query}&status=active&_summary=count").json()["total"] == 0
    refused = client("POST", "Medication", {"resourceType": "Medication"}, {"if-none-exist": "_contained=true&code=a"})
    assert refused.status_code == 400
    assert client("GET", "MedicationRequest?_contained=false").json()["total"] == 6
