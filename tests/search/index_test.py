"""Index entries of every parameter and data type. https://hl7.org/fhir/R4/search.html#ptypes"""

from decimal import Decimal
from typing import Any

import pytest

from fhir_server.fhir.dates import FUTURE, PAST, bounds
from fhir_server.search.aliases import aliases
from fhir_server.search.entries import LARGEST, LONGEST, fold
from fhir_server.search.index import indexer
from tests.search.ask import BASE, DEFINITIONS, INDEX, entries

LOINC = "http://loinc.org"


def observation(**more: Any) -> dict[str, Any]:
    return {"resourceType": "Observation", "code": {"coding": [{"system": LOINC, "code": "69548-6"}]}, **more}


def test_token_takes_each_coding() -> None:
    concept = {"coding": [{"system": "s", "code": "a"}, {"code": "b"}, {"system": "s"}], "text": "t"}
    assert entries(observation(code=concept), "code") == [("code", "s", "a"), ("code", "", "b"), ("code", "s", "")]
    assert entries(observation(code={"text": "t"}), "code") == [("code", "", "")]


def test_token_of_every_data_type() -> None:
    patient = {
        "resourceType": "Patient",
        "active": True,
        "gender": "female",
        "deceasedDateTime": "2020",
        "identifier": [{"system": "urn:mrn", "value": "7"}, {"value": "8"}],
        "telecom": [{"system": "phone", "value": "555"}, {"system": "email", "value": "a@b"}],
        "communication": [{"language": {"coding": [{"code": "en"}]}}],
        "meta": {
            "tag": [{"system": "t", "code": "1"}],
            "security": [{"system": "c", "code": "R"}],
            "profile": ["http://x/p|1"],
            "source": "urn:s",
        },
    }
    want = [
        ("active", "", "true"),
        ("gender", "http://hl7.org/fhir/administrative-gender", "female"),
        ("identifier", "urn:mrn", "7"),
        ("identifier", "", "8"),
        ("telecom", "", "555"),
        ("telecom", "", "a@b"),
        ("phone", "", "555"),
        ("email", "", "a@b"),
        ("language", "", "en"),
        ("deceased", "", "true"),
        ("_tag", "t", "1"),
        ("_security", "c", "R"),
        ("_profile", "http://x/p|1"),
        ("_profile", "http://x/p"),
        ("_source", "urn:s"),
    ]
    assert sorted(entries(patient, *{code for code, *_ in want})) == sorted(want)


@pytest.mark.parametrize(
    ("value", "dead"), [({}, "false"), ({"deceasedBoolean": False}, "false"), ({"deceasedBoolean": True}, "true")]
)
def test_deceased_is_always_known(value: dict[str, Any], dead: str) -> None:
    assert entries({"resourceType": "Patient", **value}, "deceased") == [("deceased", "", dead)]


@pytest.mark.parametrize(
    ("reference", "fields"),
    [
        ({"reference": "Patient/1"}, ("Patient", "1", "", "")),
        ({"reference": "Patient/1/_history/2"}, ("Patient", "1", "", "")),
        ({"reference": f"{BASE}/Patient/1"}, ("Patient", "1", "", "")),
        ({"reference": "http://other/Patient/1"}, ("", "", "http://other/Patient/1", "")),
        ({"reference": "urn:uuid:1-2"}, ("", "", "urn:uuid:1-2", "")),
        ({"reference": "#p"}, ("", "", "", "")),
        ({"display": "Ana"}, ("", "", "", "")),
    ],
)
def test_references(reference: dict[str, str], fields: tuple[str, ...]) -> None:
    assert entries(observation(subject=reference), "subject", "patient") == [("subject", *fields)]


def test_canonicals_keep_their_version() -> None:
    response = {"resourceType": "QuestionnaireResponse", "questionnaire": "http://x/q|2"}
    assert entries(response, "questionnaire") == [("questionnaire", "", "", "http://x/q", "2")]
    response["questionnaire"] = "Questionnaire/1"
    assert entries(response, "questionnaire") == [("questionnaire", "Questionnaire", "1", "", "")]


def test_resolve_filters_that_are_no_alias() -> None:
    event = {
        "resourceType": "AuditEvent",
        "agent": [{"who": {"reference": "Practitioner/1"}}, {"who": {"reference": "http://o/Patient/2"}}],
        "entity": [{"what": {"type": "Patient", "display": "x"}}, {"what": {"reference": "RelatedPerson/4"}}],
    }
    assert entries(event, "patient") == [("patient", "", "", "http://o/Patient/2", ""), ("patient", "", "", "", "")]


DAY = bounds("2024-03-09")


@pytest.mark.parametrize(
    ("key", "value", "range"),
    [
        ("effectiveDateTime", "2024-03-09", DAY),
        ("effectiveInstant", "2024-03-09T10:00:00Z", bounds("2024-03-09T10:00:00Z")),
        ("effectivePeriod", {"start": "2024-03-09", "end": "2024-03"}, (DAY[0], bounds("2024-03")[1])),
        ("effectivePeriod", {"start": "2024-03-09"}, (DAY[0], FUTURE)),
        ("effectivePeriod", {"end": "2024-03-09"}, (PAST, DAY[1])),
        ("effectivePeriod", {"start": "2024", "end": "2023"}, (bounds("2024")[0], bounds("2024")[0] + 1)),
        ("effectiveTiming", {"event": ["2024", "2025-02"]}, (bounds("2024")[0], bounds("2025-02")[1])),
        ("effectiveTiming", {"repeat": {"boundsPeriod": {"start": "2024", "end": "2024"}}}, bounds("2024")),
        ("effectiveTiming", {"code": {"text": "daily"}}, None),
    ],
)
def test_dates(key: str, value: Any, range: tuple[int, int] | None) -> None:
    assert entries(observation(**{key: value}), "date") == ([("date", *range)] if range else [])


@pytest.mark.parametrize(
    ("quantity", "fields"),
    [
        (
            {"value": Decimal("5.40"), "system": "u", "code": "mg", "unit": "milligram"},
            (5.4, 5.4, "u", "mg", "milligram"),
        ),
        ({"value": 3}, (3.0, 3.0, "", "", "")),
        ({"value": 3, "comparator": "<"}, (-LARGEST, 3.0, "", "", "")),
        ({"value": 3, "comparator": ">="}, (3.0, LARGEST, "", "", "")),
        ({"value": Decimal("-1e999999999")}, (-LARGEST, -LARGEST, "", "", "")),
        ({"value": 10**400}, (LARGEST, LARGEST, "", "", "")),
        ({"code": "mg"}, None),
    ],
)
def test_quantities(quantity: dict[str, Any], fields: tuple[Any, ...] | None) -> None:
    want = [("value-quantity", *fields)] if fields else []
    assert entries(observation(valueQuantity=quantity), "value-quantity") == want


def test_ranges_money_and_numbers() -> None:
    risk = {
        "resourceType": "RiskAssessment",
        "prediction": [{"probabilityDecimal": Decimal("0.5")}, {"probabilityRange": {"high": {"value": 2}}}],
    }
    assert entries(risk, "probability") == [("probability", 0.5, 0.5), ("probability", -LARGEST, 2.0)]
    invoice = {"resourceType": "Invoice", "totalNet": {"value": Decimal("48.5"), "currency": "EUR"}}
    assert entries(invoice, "totalnet") == [("totalnet", 48.5, 48.5, "urn:iso:std:iso:4217", "EUR", "")]
    context = {
        "code": {"system": "c", "code": "age"},
        "valueRange": {"low": {"value": 1, "code": "a"}, "high": {"value": 2, "code": "a"}},
    }
    library = {"resourceType": "Library", "useContext": [context]}
    assert entries(library, "context-quantity") == [("context-quantity", 1.0, 2.0, "", "a", "")]
    assert entries(library, "context-type-quantity") == [("context-type-quantity", "c", "age", 1.0, 2.0, "", "a", "")]


def test_strings() -> None:
    name = {"text": "Dr. Zoë  Ångström", "family": "Ångström", "given": ["Zoë", None, "B"], "prefix": ["Dr."]}
    patient = {"resourceType": "Patient", "name": [name], "address": [{"line": ["1 Main St"], "city": "Łódź"}]}
    assert entries(patient, "family") == [("family", "angstrom", "Ångström")]
    assert entries(patient, "given") == [("given", "zoe", "Zoë"), ("given", "b", "B")]
    assert {exact for _, _, exact in entries(patient, "name")} == {"Dr. Zoë  Ångström", "Ångström", "Zoë", "B", "Dr."}
    assert entries(patient, "phonetic") == []
    assert {norm for _, norm, _ in entries(patient, "address")} == {"1 main st", "łodz"}
    assert entries(patient, "address-city") == [("address-city", "łodz", "Łódź")]


def test_long_strings_are_cut() -> None:
    (entry,) = entries({"resourceType": "Organization", "name": "a" * 10_000_000}, "name")
    assert len(entry[1]) == len(entry[2]) == LONGEST


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("  A  b\tC ", "a b c"),
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
        ("İ", "i"),
        ("é", "e"),
        ("e\u0301", "e"),
        ("ﬁ", "fi"),
    ],
)
def test_folding(text: str, folded: str) -> None:
    assert fold(text) == folded == fold(folded)


def component(code: str, **value: Any) -> dict[str, Any]:
    return {"code": {"coding": [{"system": LOINC, "code": code}]}, **value}


def test_composites_pair_what_stands_together() -> None:
    gene = {"coding": [{"system": "g", "code": "HGNC:3236"}]}
    resource = observation(
        valueCodeableConcept={"coding": [{"system": LOINC, "code": "present"}]},
        component=[
            component("48018-6", valueCodeableConcept=gene),
            component("81258-6", valueQuantity={"value": Decimal("0.47210")}),
            component("empty"),
        ],
    )
    assert entries(resource, "code-value-concept") == [("code-value-concept", LOINC, "69548-6", LOINC, "present")]
    assert entries(resource, "component-code-value-concept") == [
        ("component-code-value-concept", LOINC, "48018-6", "g", "HGNC:3236")
    ]
    assert entries(resource, "component-code-value-quantity") == [
        ("component-code-value-quantity", LOINC, "81258-6", 0.4721, 0.4721, "", "", "")
    ]
    assert not [code for code, *_ in entries(resource, *aliases(DEFINITIONS, "Observation"))]


def test_composites_with_a_string_and_a_date() -> None:
    assert entries(observation(valueString="Été"), "code-value-string") == [
        ("code-value-string", LOINC, "69548-6", "ete", "Été")
    ]
    assert entries(observation(valueDateTime="2024-03-09"), "code-value-date") == [
        ("code-value-date", LOINC, "69548-6", *DAY)
    ]


def test_composites_that_look_at_the_resource() -> None:
    sequence = {
        "resourceType": "MolecularSequence",
        "coordinateSystem": 0,
        "referenceSeq": {"chromosome": {"coding": [{"code": "7"}]}, "windowStart": 1, "windowEnd": 9},
        "variant": [{"start": 2, "end": 3}, {"start": 4, "end": 5}],
    }
    assert entries(sequence, "chromosome-variant-coordinate") == [
        ("chromosome-variant-coordinate", "", "7", 2.0, 2.0, 3.0, 3.0),
        ("chromosome-variant-coordinate", "", "7", 4.0, 4.0, 5.0, 5.0),
    ]
    assert entries(sequence, "chromosome-window-coordinate") == [
        ("chromosome-window-coordinate", "", "7", 1.0, 1.0, 9.0, 9.0)
    ]


def test_relationship_pairs_reference_and_code() -> None:
    document = {
        "resourceType": "DocumentReference",
        "relatesTo": [{"code": "replaces", "target": {"reference": "DocumentReference/1"}}],
    }
    assert entries(document, "relationship") == [
        ("relationship", "DocumentReference", "1", "", "", "http://hl7.org/fhir/document-relationship-type", "replaces")
    ]


def test_the_first_resource_of_a_bundle() -> None:
    bundle = {
        "resourceType": "Bundle",
        "type": "document",
        "entry": [
            {"resource": {"resourceType": "Composition", "id": "c"}},
            {"resource": {"resourceType": "Composition", "id": "d"}},
        ],
    }
    assert entries(bundle, "composition", "message") == [("composition", "Composition", "c", "", "")]


def test_entries_are_distinct_and_share_their_parameter() -> None:
    twice = {"coding": [{"system": "s", "code": "a"}, {"system": "s", "code": "a"}]}
    found = [
        entry
        for entry in INDEX(observation(code=twice, category=[twice, twice]))
        if entry[0].code in ("code", "category")
    ]
    assert len(found) == 2
    other = indexer(DEFINITIONS, BASE)(observation(code=twice))
    assert next(entry[0] for entry in other if entry[0].code == "code") is next(
        entry[0] for entry in found if entry[0].code == "code"
    )


def test_neither_id_nor_last_updated_nor_text() -> None:
    resource = {
        "resourceType": "Location",
        "id": "1",
        "meta": {"lastUpdated": "2024-01-01T00:00:00Z"},
        "position": {"longitude": 1, "latitude": 2},
    }
    assert {entry[0].code for entry in INDEX(resource)} == {"near:latitude", "near:longitude"}


def test_nulls_in_arrays_are_passed_over() -> None:
    assert entries({"resourceType": "Patient", "name": [None, {"given": [None]}]}, "name", "given") == []
