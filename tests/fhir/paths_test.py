"""https://hl7.org/fhir/R4/searchparameter.html and http://hl7.org/fhirpath/N1/"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.fhir.definitions import load
from fhir_server.fhir.paths import At, Holds, Key, Refers, Where, evaluator, parse, routes

DEFINITIONS = load()


def found(expression: str, context: str) -> list[tuple[tuple[object, ...], str]]:
    return [(route.steps, route.type) for route in routes(expression, context, DEFINITIONS)]


def test_every_r4_parameter_compiles() -> None:
    compiled = 0
    for type, params in DEFINITIONS.search.items():
        for param in params.values():
            if param.expression:
                places = routes(param.expression, type, DEFINITIONS)
                assert places, param
                for component in param.components:
                    assert all(routes(component.expression, place.type, DEFINITIONS) for place in places), param
                compiled += 1
    assert compiled > 2000


@pytest.mark.parametrize(
    ("expression", "context", "want"),
    [
        ("Patient.name.family", "Patient", [((Key("name"), Key("family")), "string")]),
        ("Patient.birthDate | Practitioner.birthDate", "Patient", None),
        (
            "Observation.code|Observation.component.code",
            "Observation",
            [((Key("code"),), "CodeableConcept"), ((Key("component"), Key("code")), "CodeableConcept")],
        ),
        ("(Observation.value as Quantity)", "Observation", [((Key("valueQuantity"),), "Quantity")]),
        ("Observation.value as Quantity", "Observation", [((Key("valueQuantity"),), "Quantity")]),
        ("Observation.value.ofType(string)", "Observation", [((Key("valueString"),), "string")]),
        (
            "(Observation.value as CodeableConcept).text",
            "Observation",
            [((Key("valueCodeableConcept"), Key("text")), "string")],
        ),
        (
            "(Observation.code | Observation.method).text",
            "Observation",
            [((Key("code"), Key("text")), "string"), ((Key("method"), Key("text")), "string")],
        ),
        (
            "Patient.telecom.where(system='phone')",
            "Patient",
            [((Key("telecom"), Where("system", "phone")), "ContactPoint")],
        ),
        (
            "Observation.component.where(code.coding.exists(code = '8480-6')).code",
            "Observation",
            [((Key("component"), Where("code.coding.code", "8480-6"), Key("code")), "CodeableConcept")],
        ),
        (
            "Patient.extension.where( url = 'http://x/y' ).value.as(Coding).code",
            "Patient",
            [((Key("extension"), Where("url", "http://x/y"), Key("valueCoding"), Key("code")), "code")],
        ),
        (
            "Patient.extension('http://x/y').value.as(code)",
            "Patient",
            [((Key("extension"), Where("url", "http://x/y"), Key("valueCode")), "code")],
        ),
        (
            "Account.subject.where(resolve() is Patient)",
            "Account",
            [((Key("subject"), Refers("Patient")), "Reference")],
        ),
        ("Bundle.entry[0].resource", "Bundle", [((Key("entry"), At(0), Key("resource")), "Resource")]),
        (
            "Patient.deceased.exists() and Patient.deceased != false",
            "Patient",
            [((Holds(("deceasedBoolean", "deceasedDateTime")),), "boolean")],
        ),
        ("Resource.meta.tag", "Patient", [((Key("meta"), Key("tag")), "Coding")]),
        ("value.as(Quantity)", "Observation.component", [((Key("valueQuantity"),), "Quantity")]),
        (
            "%resource.referenceSeq.chromosome",
            "MolecularSequence.variant",
            [((Key("referenceSeq"), Key("chromosome")), "CodeableConcept")],
        ),
        ("Questionnaire.item.item.code", "Questionnaire", [((Key("item"), Key("item"), Key("code")), "Coding")]),
    ],
)
def test_shapes(expression: str, context: str, want: list[tuple[tuple[object, ...], str]] | None) -> None:
    if want is None:
        with pytest.raises(ValueError, match="not the root"):
            found(expression, context)
    else:
        assert found(expression, context) == want


def test_an_untyped_choice_is_every_member() -> None:
    members = {route.type for route in routes("Observation.value", "Observation", DEFINITIONS)}
    assert {"Quantity", "CodeableConcept", "string", "Period", "boolean"} <= members


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "Patient.",
        "Patient.name.",
        "Patient.name.first()",
        "Patient.name.where(use='a' and period.exists())",
        "Patient.name.where(use='a",
        "Patient.name)",
        "(Patient.name",
        "Patient.name + 1",
        "Patient.name.given.count() > 1",
        "Patient.name $this",
        "Patient.name.where(use!='old')",
        "Observation.component.where(code.coding.code = 'x').code",
        "Observation.component.where(code.coding.exists(code = 'x').code",
        "Observation.component.where(code.exists()).code",
        "Patient.active.exists()",
        "Patient..name",
        "Patient.name given",
        "Patient.deceased.exists() and Patient.active != false",
        "Patient.entry[x]",
        "Patient.name.where(use='a\\'b')",
        "Patient.name é",
    ],
)
def test_what_the_grammar_does_not_cover_is_refused_whole(expression: str) -> None:
    with pytest.raises(ValueError, match="outside the compiled grammar"):
        parse(expression)


@pytest.mark.parametrize(
    "expression", ["Patient.nmae", "Patient.name.use.x", "(Patient.name as Quantity)", "Observation.code"]
)
def test_what_the_structure_does_not_have_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match=r"leads nowhere|not the root"):
        routes(expression, "Patient", DEFINITIONS)


@given(
    st.lists(
        st.sampled_from(
            ["Patient", "name", ".", "(", ")", "|", "as", "where", "=", "'x'", "[", "0", "]", "is", "exists"]
        )
    )
)
def test_nonsense_raises_value_error_and_nothing_else(words: list[str]) -> None:
    try:
        parse(" ".join(words))
    except ValueError:
        return
    assert words


def test_the_rest_is_for_fhirpathpy() -> None:
    patient = {"resourceType": "Patient", "name": [{"given": ["Ana", "Bo"]}, {"given": ["Cy"]}]}
    assert evaluator("Patient.name.given.first()")(patient) == ["Ana"]
    assert evaluator("Patient.name.given.single()")(patient) == []
    assert patient == {"resourceType": "Patient", "name": [{"given": ["Ana", "Bo"]}, {"given": ["Cy"]}]}
    with pytest.raises(ValueError, match="not FHIRPath"):
        evaluator("Patient.name[")
