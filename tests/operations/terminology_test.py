"""$lookup, $subsumes, $validate-code, $expand, $translate, $closure over HTTP on both stores. https://hl7.org/fhir/R4/terminology-service.html"""

from typing import Any
from urllib.parse import quote

import pytest

from fhir_server.terminology.add import add
from fhir_server.terminology.concepts import flat
from fhir_server.terminology.formats.content import Content
from tests.client import Client, refusal

URL, SET, MAP = "urn:tumours", "http://x/ValueSet/", "http://x/ConceptMap/"
CONCEPTS: list[dict[str, Any]] = [
    {"code": "tumour", "display": "Tumour", "property": [{"code": "notSelectable", "valueBoolean": True}], "concept": [
        {"code": "carcinoma", "display": "Carcinoma", "definition": "Of epithelium", "concept": [
            {"code": "lung", "display": "Carcinoma of lung", "designation": [
                {"language": "de", "value": "Lungenkarzinom"},
                {"language": "en", "use": {"system": "urn:use", "code": "s"}, "value": "Lung cancer"}]},
            {"code": "colon", "display": "Carcinoma of colon"},
        ]},
        {"code": "sarcoma", "display": "Sarcoma", "property": [{"code": "inactive", "valueBoolean": True}]},
    ]},
    {"code": "cold", "display": "Common cold", "property": [{"code": "season", "valueCode": "winter"}]},
    {"code": "mixed", "display": "Carcinosarcoma", "property": [
        {"code": "parent", "valueCode": "carcinoma"}, {"code": "parent", "valueCode": "sarcoma"}]},
]  # fmt: skip
SYSTEM: dict[str, Any] = {
    "resourceType": "CodeSystem", "url": URL, "version": "1", "name": "Tumours", "status": "active",
    "content": "complete", "hierarchyMeaning": "is-a",
}  # fmt: skip


def value_set(name: str, *include: dict[str, Any], **more: Any) -> dict[str, Any]:
    compose = {"include": list(include), **more}
    return {"resourceType": "ValueSet", "id": name, "url": SET + name, "status": "active", "compose": compose}


def concept_map(name: str, *groups: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "ConceptMap",
        "id": name,
        "url": MAP + name,
        "status": "active",
        "group": list(groups),
        **more,
    }


CARCINOMAS = {"system": URL, "filter": [{"property": "concept", "op": "is-a", "value": "carcinoma"}]}
SETS = (
    value_set("whole", {"system": URL}),
    value_set("carcinomas", CARCINOMAS),
    value_set(
        "named",
        {"system": URL, "concept": [{"code": "cold", "display": "A cold"}, {"code": "nosuch"}, {"code": "lung"}]},
    ),
    value_set(
        "two", {"system": URL, "concept": [{"code": "cold"}]}, {"system": "urn:else", "concept": [{"code": "x"}]}
    ),
    value_set("less", {"system": URL}, exclude=[CARCINOMAS]),
    value_set("active", {"system": URL}, inactive=False),
    value_set("open", {"system": "urn:else"}),
    value_set("filtered-open", {"system": "urn:else", "filter": [{"property": "concept", "op": "is-a", "value": "x"}]}),
    value_set("imports", {"valueSet": [SET + "carcinomas"]}),
    value_set("regex", {"system": URL, "filter": [{"property": "code", "op": "regex", "value": "l.*"}]}),
)
MAPS = (
    concept_map("to-else", {"source": URL, "target": "urn:else", "element": [
        {"code": "lung", "target": [{"code": "L", "equivalence": "equivalent"}, {"code": "T", "equivalence": "wider"}]},
        {"code": "cold", "target": [{"equivalence": "unmatched"}]},
        {"code": "colon", "target": [
            {"code": "C", "equivalence": "equal", "dependsOn": [{"property": "p", "value": "v"}]}]},
    ], "unmapped": {"mode": "fixed", "code": "?"}}, sourceUri=SET + "whole"),
    concept_map("to-third", {"source": URL, "target": "urn:third", "element": [
        {"code": "lung", "target": [{"code": "3", "equivalence": "equivalent", "product": [
            {"property": "http://x/site", "system": "urn:site", "value": "lung"}]}]}]}),
)  # fmt: skip


@pytest.fixture(params=["resource", "imported"])
def loaded(request: pytest.FixtureRequest, client: Client) -> Client:
    """The same code system as a resource, and imported: all answers are the same."""
    for resource in (*SETS, *MAPS):
        assert client("PUT", f"{resource['resourceType']}/{resource['id']}", resource).status_code == 201
    held = {"concept": CONCEPTS} if request.param == "resource" else {"content": "not-present"}
    assert client("PUT", "CodeSystem/own", {**SYSTEM, "id": "own", **held}).status_code == 201
    if request.param == "imported":
        content = Content(SYSTEM, lambda: flat(CONCEPTS), ())
        client.run(add(store_of(client).terms, content))
    return client


def store_of(client: Client) -> Any:
    return client.app.endpoint.server.store


def told(answer: Any) -> dict[str, Any]:
    """The parameters of an answer by name; those of parts and those that repeat as lists."""
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = {}
    for one in answer.json()["parameter"]:
        if "part" in one:
            found.setdefault(one["name"], []).append({p["name"]: _value(p) for p in one["part"]})
        else:
            found[one["name"]] = _value(one)
    return found


def _value(one: dict[str, Any]) -> Any:
    return next((value for key, value in one.items() if key.startswith("value")), one.get("part"))


def parameters(*named: tuple[str, str, Any]) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": [{"name": name, kind: value} for name, kind, value in named]}


def test_what_is_known_of_a_code(loaded: Client) -> None:
    found = told(loaded("GET", f"CodeSystem/$lookup?system={URL}&code=carcinoma"))
    assert (found["name"], found["version"], found["display"]) == ("Tumours", "1", "Carcinoma")
    properties = [(one["code"], one["value"], one.get("description")) for one in found["property"]]
    assert properties == [
        ("definition", "Of epithelium", None),
        ("inactive", False, None),
        ("parent", "tumour", "Tumour"),
        ("child", "lung", "Carcinoma of lung"),
        ("child", "colon", "Carcinoma of colon"),
        ("child", "mixed", "Carcinosarcoma"),
    ]
    coding = parameters(
        ("coding", "valueCoding", {"system": URL, "code": "lung"}), ("displayLanguage", "valueCode", "de")
    )
    found = told(loaded("POST", "CodeSystem/$lookup", coding))
    assert found["display"] == "Lungenkarzinom"
    assert [one["value"] for one in found["designation"]] == ["Lungenkarzinom", "Lung cancer"]
    found = told(loaded("GET", f"CodeSystem/$lookup?system={URL}&code=mixed&property=parent&property=lang.de"))
    assert [one["value"] for one in found["property"]] == ["carcinoma", "sarcoma"]
    assert ("inactive", True) in [
        (one["code"], one["value"])
        for one in told(loaded("GET", f"CodeSystem/$lookup?system={URL}&code=sarcoma"))["property"]
    ]


UNKNOWN = [
    (f"system={URL}&code=nosuch", 404),
    ("system=urn:nosuch&code=x", 404),
    (f"system={URL}&version=9&code=lung", 404),
    ("code=lung", 400),
    (f"system={URL}", 400),
]


def test_what_cannot_be_looked_up(loaded: Client) -> None:
    for query, status in UNKNOWN:
        answer = loaded("GET", f"CodeSystem/$lookup?{query}")
        assert answer.status_code == status
        refusal(answer)


OUTCOMES = [
    ("carcinoma", "lung", "subsumes"),
    ("lung", "tumour", "subsumed-by"),
    ("lung", "lung", "equivalent"),
    ("lung", "colon", "not-subsumed"),
    ("sarcoma", "mixed", "subsumes"),
    ("cold", "tumour", "not-subsumed"),
]


def test_subsumption(loaded: Client) -> None:
    for a, b, outcome in OUTCOMES:
        assert told(loaded("GET", f"CodeSystem/$subsumes?system={URL}&codeA={a}&codeB={b}")) == {"outcome": outcome}
        assert told(loaded("GET", f"CodeSystem/own/$subsumes?codeA={a}&codeB={b}")) == {"outcome": outcome}
        codings = parameters(("codingA", "valueCoding", {"system": URL, "code": a}),
                             ("codingB", "valueCoding", {"system": URL, "code": b}))  # fmt: skip
        assert told(loaded("POST", "CodeSystem/$subsumes", codings)) == {"outcome": outcome}


def test_subsumption_that_cannot_be_told(loaded: Client) -> None:
    assert loaded("GET", f"CodeSystem/$subsumes?system={URL}&codeA=lung&codeB=nosuch").status_code == 404
    assert loaded("GET", f"CodeSystem/$subsumes?system={URL}&codeA=lung").status_code == 400
    assert loaded("GET", "CodeSystem/$subsumes?codeA=lung&codeB=colon").status_code == 400
    other = parameters(("codingA", "valueCoding", {"system": URL, "code": "lung"}),
                       ("codingB", "valueCoding", {"system": "urn:else", "code": "x"}))  # fmt: skip
    assert loaded("POST", "CodeSystem/$subsumes", other).status_code == 400


def valid(client: Client, path: str, body: Any = None) -> tuple[bool, str]:
    found = told(client("POST" if body else "GET", path, body))
    return found["result"], found.get("message", "")


def test_codes_of_a_code_system(loaded: Client) -> None:
    path = f"CodeSystem/$validate-code?url={URL}&code="
    assert told(loaded("GET", path + "lung")) == {"result": True, "display": "Carcinoma of lung"}
    assert valid(loaded, path + "lung&display=LUNG%20cancer") == (True, "")
    assert valid(loaded, path + "lung&display=Cold")[0] is False
    assert valid(loaded, path + "nosuch")[0] is False
    assert valid(loaded, path + "tumour") == (False, "'tumour' is abstract: choose a code below it.")
    assert valid(loaded, path + "tumour&abstract=true") == (True, "")
    assert valid(loaded, path + "sarcoma") == (True, "'sarcoma' is inactive.")
    assert valid(loaded, "CodeSystem/own/$validate-code?code=lung") == (True, "")
    concept = {"coding": [{"system": "urn:else", "code": "x"}, {"system": URL, "code": "colon"}]}
    assert valid(
        loaded, "CodeSystem/own/$validate-code", parameters(("codeableConcept", "valueCodeableConcept", concept))
    ) == (True, "")
    given = {**SYSTEM, "url": "urn:given", "concept": [{"code": "a"}]}
    body = {
        "resourceType": "Parameters",
        "parameter": [{"name": "codeSystem", "resource": given}, {"name": "code", "valueCode": "a"}],
    }
    assert valid(loaded, "CodeSystem/$validate-code", body) == (True, "")
    assert loaded("GET", "CodeSystem/$validate-code?url=urn:nosuch&code=a").status_code == 404
    assert loaded("GET", f"CodeSystem/$validate-code?url={URL}").status_code == 400


MEMBERS = [
    ("whole", URL, "lung", True),
    ("whole", URL, "nosuch", False),
    ("whole", "urn:else", "lung", False),
    ("carcinomas", URL, "carcinoma", True),
    ("carcinomas", URL, "mixed", True),
    ("carcinomas", URL, "cold", False),
    ("named", URL, "cold", True),
    ("named", URL, "nosuch", False),
    ("named", URL, "colon", False),
    ("two", "urn:else", "x", True),
    ("less", URL, "lung", False),
    ("less", URL, "cold", True),
    ("active", URL, "sarcoma", False),
    ("open", "urn:else", "any", True),
    ("filtered-open", "urn:else", "x", False),
    ("imports", URL, "lung", True),
    ("imports", URL, "cold", False),
]


def test_codes_of_a_value_set(loaded: Client) -> None:
    for name, system, code, result in MEMBERS:
        for path in (f"ValueSet/$validate-code?url={SET}{name}&", f"ValueSet/{name}/$validate-code?"):
            assert valid(loaded, f"{path}system={system}&code={code}")[0] is result
        coding = parameters(("coding", "valueCoding", {"system": system, "code": code}))
        assert valid(loaded, f"ValueSet/{name}/$validate-code", coding)[0] is result


def test_what_a_value_set_cannot_tell_is_said(loaded: Client) -> None:
    assert "cannot be told" in valid(loaded, "ValueSet/filtered-open/$validate-code?system=urn:else&code=x")[1]
    assert "not checked" in valid(loaded, "ValueSet/open/$validate-code?system=urn:else&code=x")[1]
    assert loaded("GET", "ValueSet/$validate-code?url=urn:nosuch&code=x").status_code == 404
    genders = "http://hl7.org/fhir/ValueSet/administrative-gender"
    assert valid(loaded, f"ValueSet/$validate-code?url={genders}&code=male")[0] is True
    assert valid(loaded, f"ValueSet/$validate-code?url={genders}&code=men")[0] is False


def expansion(client: Client, path: str) -> dict[str, Any]:
    answer = client("GET", path)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["expansion"]
    return found


def codes(client: Client, path: str) -> str:
    return " ".join(one["code"] for one in expansion(client, path).get("contains", ()))


EVERYTHING = "tumour carcinoma lung colon sarcoma cold mixed"
EXPANSIONS = {
    "whole": EVERYTHING,
    "carcinomas": "carcinoma lung colon mixed",
    "named": "cold lung",
    "two": "cold x",
    "less": "tumour sarcoma cold",
    "active": "tumour carcinoma lung colon cold mixed",
    "imports": "carcinoma lung colon mixed",
}


def test_expansions(loaded: Client) -> None:
    for name, want in EXPANSIONS.items():
        assert codes(loaded, f"ValueSet/{name}/$expand") == want
        assert codes(loaded, f"ValueSet/$expand?url={SET}{name}") == want
        assert expansion(loaded, f"ValueSet/{name}/$expand")["total"] == len(want.split())
        assert codes(loaded, f"ValueSet/{name}/$expand?offset=1&count=2") == " ".join(want.split()[1:3])
        assert expansion(loaded, f"ValueSet/{name}/$expand?count=0")["total"] == len(want.split())
    assert codes(loaded, "ValueSet/whole/$expand?filter=carc") == "carcinoma lung colon mixed"
    assert codes(loaded, "ValueSet/whole/$expand?filter=LUN%20canc") == "lung"
    assert codes(loaded, "ValueSet/less/$expand?filter=com") == "cold"
    assert (
        codes(loaded, "ValueSet/whole/$expand?activeOnly=true&excludeNotForUI=true")
        == "carcinoma lung colon cold mixed"
    )
    assert codes(loaded, "ValueSet/less/$expand?activeOnly=true&excludeNotForUI=true") == "cold"
    assert codes(loaded, f"ValueSet/two/$expand?exclude-system={URL}") == "x"


def test_what_an_expansion_tells(loaded: Client) -> None:
    body = loaded(
        "GET", f"ValueSet/$expand?url={SET}whole&includeDesignations=true&displayLanguage=de&includeDefinition=true"
    ).json()
    assert body["url"] == SET + "whole"
    assert "compose" in body
    assert {"name": "version", "valueUri": f"{URL}|1"} in body["expansion"]["parameter"]
    by_code = {one["code"]: one for one in body["expansion"]["contains"]}
    assert by_code["tumour"]["abstract"] is True
    assert by_code["sarcoma"]["inactive"] is True
    assert by_code["lung"]["display"] == "Lungenkarzinom"
    assert len(by_code["lung"]["designation"]) == 2
    assert "compose" not in loaded("GET", "ValueSet/whole/$expand").json()
    named = loaded("GET", "ValueSet/named/$expand?designation=de&includeDesignations=true").json()["expansion"][
        "contains"
    ]
    assert [one["display"] for one in named] == ["A cold", "Carcinoma of lung"]
    assert [one["value"] for one in named[1]["designation"]] == ["Lungenkarzinom"]
    (top, *others) = expansion(loaded, "ValueSet/whole/$expand?excludeNested=false")["contains"]
    assert [one["code"] for one in others] == ["cold"]
    assert [one["code"] for one in top["contains"][0]["contains"]] == ["lung", "colon", "mixed"]


REFUSED = [
    ("ValueSet/$expand?url=urn:nosuch", 404, "not-found"),
    ("ValueSet/open/$expand", 400, "not-supported"),
    ("ValueSet/filtered-open/$expand", 400, "not-found"),
    ("ValueSet/regex/$expand", 400, "not-supported"),
    ("ValueSet/whole/$expand?count=x", 400, "value"),
    (f"ValueSet/whole/$expand?check-system-version={quote(URL + '|2')}", 400, "business-rule"),
    (f"ValueSet/carcinomas/$expand?force-system-version={quote(URL + '|2')}", 400, "not-found"),
    ("ValueSet/nosuch/$expand", 404, "not-found"),
]


def test_what_cannot_be_expanded(loaded: Client) -> None:
    for path, status, code in REFUSED:
        answer = loaded("GET", path)
        assert answer.status_code == status, answer.text
        assert refusal(answer)["code"] == code


def test_a_given_value_set_is_expanded(loaded: Client) -> None:
    body = {
        "resourceType": "Parameters",
        "parameter": [{"name": "valueSet", "resource": value_set("mine", CARCINOMAS)}],
    }
    answer = loaded("POST", "ValueSet/$expand", body)
    assert [one["code"] for one in answer.json()["expansion"]["contains"]] == ["carcinoma", "lung", "colon", "mixed"]


def test_too_much_at_once_is_refused_and_read_by_the_page(client: Client) -> None:
    many = [{"code": f"c{number}", "display": f"Concept {number}"} for number in range(25_100)]
    client.run(add(store_of(client).terms, Content({**SYSTEM, "url": "urn:many"}, lambda: iter(many), ())))
    for resource in (
        value_set("many", {"system": "urn:many"}),
        value_set("more", {"system": "urn:many"}, {"system": URL}),
    ):
        client("PUT", f"ValueSet/{resource['id']}", resource)
    for name in ("many", "more"):
        answer = client("GET", f"ValueSet/{name}/$expand")
        assert answer.status_code == 400
        assert refusal(answer)["code"] == "too-costly"
    found = expansion(client, "ValueSet/many/$expand?offset=25000&count=2")
    assert (found["total"], found["offset"]) == (25_100, 25_000)
    assert [one["code"] for one in found["contains"]] == ["c25000", "c25001"]
    assert codes(client, "ValueSet/many/$expand?filter=25099") == "c25099"
    assert valid(client, "ValueSet/more/$validate-code?system=urn:many&code=c25099") == (True, "")


def test_several_versions_at_once(client: Client) -> None:
    for version, above in (("2", "b"), ("1", "c")):
        listed = [
            {"code": "a", "display": version, "property": [{"code": "parent", "valueCode": above}]},
            {"code": "b"},
            {"code": "c"},
        ]
        content = Content({**SYSTEM, "url": "urn:v", "version": version}, lambda listed=listed: iter(listed), ())
        client.run(add(store_of(client).terms, content))
    path = "CodeSystem/$subsumes?system=urn:v&codeA=b&codeB=a"
    assert told(client("GET", path)) == {"outcome": "not-subsumed"}  # the one imported last answers by default
    assert told(client("GET", path + "&version=2")) == {"outcome": "subsumes"}
    below = {"system": "urn:v", "filter": [{"property": "concept", "op": "is-a", "value": "b"}]}
    client("PUT", "ValueSet/v", value_set("v", below))
    assert codes(client, "ValueSet/v/$expand") == "b"
    assert codes(client, f"ValueSet/v/$expand?system-version={quote('urn:v|2')}") == "a b"
    client("PUT", "ValueSet/v", value_set("v", {**below, "version": "2"}))
    assert codes(client, "ValueSet/v/$expand") == "a b"
    assert codes(client, f"ValueSet/v/$expand?system-version={quote('urn:v|1')}") == "a b"
    assert codes(client, f"ValueSet/v/$expand?force-system-version={quote('urn:v|1')}") == "b"


def matches(client: Client, path: str) -> list[tuple[str, str]]:
    found = told(client("GET", path)).get("match", [])
    return [(one["equivalence"], one["concept"]["code"] if "concept" in one else "") for one in found]


def test_translations(loaded: Client) -> None:
    path = f"ConceptMap/$translate?system={URL}&code="
    assert matches(loaded, path + "lung") == [("equivalent", "L"), ("wider", "T"), ("equivalent", "3")]
    assert matches(loaded, path + "lung&targetsystem=urn:third") == [("equivalent", "3")]
    assert matches(loaded, path + f"lung&url={MAP}to-third") == [("equivalent", "3")]
    assert matches(loaded, "ConceptMap/to-third/$translate?code=lung") == [("equivalent", "3")]
    assert matches(loaded, path + f"lung&source={SET}whole") == [("equivalent", "L"), ("wider", "T")]
    assert told(loaded("GET", path + "cold"))["result"] is False
    assert matches(loaded, path + "colon") == []
    assert matches(loaded, path + "sarcoma") == [("inexact", "?")]
    assert matches(loaded, "ConceptMap/$translate?system=urn:else&code=T&reverse=true") == [("narrower", "lung")]
    product = told(loaded("GET", "ConceptMap/to-third/$translate?code=lung"))["match"][0]["product"]
    assert product[1]["valueCoding"] == {"system": "urn:site", "code": "lung"}
    assert told(loaded("GET", "ConceptMap/$translate?system=http://snomed.info/sct&code=254637007"))["result"] is True
    assert loaded("GET", f"ConceptMap/$translate?code=lung&url={MAP}nosuch").status_code == 404
    assert loaded("GET", "ConceptMap/$translate?code=lung").status_code == 400


def test_a_closure_table_grows(loaded: Client) -> None:
    def ask(*given: tuple[str, str, Any]) -> dict[str, Any]:
        answer = loaded("POST", "$closure", parameters(("name", "valueString", "t"), *given))
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def pairs(body: dict[str, Any]) -> set[tuple[str, str]]:
        elements = [one for group in body.get("group", ()) for one in group["element"]]
        return {(one["code"], target["code"]) for one in elements for target in one["target"]}

    def concept(code: str) -> tuple[str, str, Any]:
        return ("concept", "valueCoding", {"system": URL, "code": code})

    assert loaded("POST", "$closure", parameters(("name", "valueString", "t"), concept("lung"))).status_code == 404
    assert ask()["version"] == "0"
    assert pairs(ask(concept("lung"), concept("tumour"))) == {("lung", "tumour")}
    second = ask(concept("carcinoma"), concept("lung"))
    assert second["version"] == "2"
    assert pairs(second) == {("lung", "carcinoma"), ("carcinoma", "tumour")}
    assert pairs(ask(concept("lung"))) == set()
    assert pairs(ask(("version", "valueString", "0"))) == {
        ("lung", "tumour"),
        ("lung", "carcinoma"),
        ("carcinoma", "tumour"),
    }
    assert pairs(ask(("version", "valueString", "1"))) == {("lung", "carcinoma"), ("carcinoma", "tumour")}
    assert ask()["version"] == "0"
    assert loaded("POST", "$closure", parameters(concept("lung"))).status_code == 400


def test_searches_use_what_was_imported(loaded: Client) -> None:
    for code in ("lung", "cold", "tumour"):
        coded = {"coding": [{"system": URL, "code": code}]}
        condition = {"resourceType": "Condition", "id": code, "subject": {"reference": "Patient/p"}, "code": coded}
        assert loaded("PUT", f"Condition/{code}", condition).status_code == 201
    for query, want in (
        (f"code:below={URL}|carcinoma", ["lung"]),
        (f"code:above={URL}|lung", ["lung", "tumour"]),
        (f"code:in={SET}carcinomas", ["lung"]),
        (f"code:not-in={SET}carcinomas", ["cold", "tumour"]),
    ):
        body = loaded("GET", f"Condition?{query}&_sort=_id").json()
        assert [one["resource"]["id"] for one in body.get("entry", ())] == want


EXTENDED = {"extension": [{"url": "http://x", "valueCode": "y"}]}


def test_what_has_extensions_only_is_no_fault_of_the_server(client: Client) -> None:
    """R4 lets extensions stand where a required primitive should: nothing may break on it."""
    concept = {
        "code": "a",
        "property": [{"code": "p", "_valueString": EXTENDED}],
        "designation": [{"_value": EXTENDED}],
    }
    system = {**SYSTEM, "id": "bare", "url": "urn:bare", "concept": [concept]}
    bare = {"system": "urn:bare", "filter": [{"property": "p", "_op": EXTENDED, "value": "x"}]}
    element = {"code": "a", "target": [{"code": "b", "_equivalence": EXTENDED}]}
    for resource in (
        system,
        value_set("bare", bare),
        value_set("nameless", {"system": "urn:bare", "concept": [{"_code": EXTENDED}]}),
        concept_map("bare", {"source": "urn:bare", "target": "urn:else", "element": [element]}),
    ):
        assert client("PUT", f"{resource['resourceType']}/{resource['id']}", resource).status_code == 201
    assert client("GET", "CodeSystem/$lookup?system=urn:bare&code=a&displayLanguage=de").status_code == 200
    for path in (
        "ValueSet/bare/$expand",
        "ValueSet/nameless/$expand",
        "ValueSet/bare/$validate-code?system=urn:bare&code=a",
        "ConceptMap/bare/$translate?code=a",
        f"Condition?code:in={SET}bare",
    ):
        answer = client("GET", path)
        assert answer.status_code == 400, (path, answer.text)
        refusal(answer)


def test_a_resource_that_makes_no_sense_is_refused(client: Client) -> None:
    twice = {**SYSTEM, "id": "twice", "url": "urn:twice", "concept": [{"code": "a"}, {"code": "a"}]}
    assert client("PUT", "CodeSystem/twice", twice).status_code == 201
    answer = client("GET", "CodeSystem/$lookup?system=urn:twice&code=a")
    assert answer.status_code == 400
    assert "comes twice" in refusal(answer)["diagnostics"]
