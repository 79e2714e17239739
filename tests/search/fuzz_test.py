"""Whatever a query says, a parsed search or a FhirError 400 comes of it."""

from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.fhir.outcome import FhirError
from fhir_server.search.parse import parse_search
from fhir_server.search.predicate import matches
from tests.search.ask import BASE, DEFINITIONS, NOW, row

CODES = sorted({code for params in DEFINITIONS.search.values() for code in params})
TYPES = sorted(DEFINITIONS.resources)
WORDS = st.sampled_from(
    [
        *(*CODES, *TYPES, "_has", "_include", "_revinclude", "_sort", "_count", "_type", "_summary", "_elements"),
        *("_total", "missing", "exact", "contains", "not", "iterate", "above", "identifier"),
    ]
)
NAMES = st.lists(st.one_of(WORDS, st.sampled_from([":", "."]), st.text(max_size=3)), max_size=9).map("".join)
VALUES = st.one_of(
    st.text(max_size=20),
    st.text(alphabet="0123456789eE+-.,|$\\:/TZ gltneqsab", max_size=20),
    st.from_regex(r"(eq|ne|gt|lt|ge|le|sa|eb|ap)?[0-9]{1,4}(-[0-9]{2}){0,2}", fullmatch=True),
    st.from_regex(r"(eq|ne|gt|lt|ap)?-?[0-9]{1,45}(\.[0-9]{1,45})?(e-?[0-9]{1,9})?(\|[a-z]*\|[a-z]*)?", fullmatch=True),
    st.sampled_from(
        ["true", "false", "*", "Patient/1", "a|b", "|", "$", ",", "a$b", "1$2$3", "#x", "urn:uuid:1", "x|1|2"]
    ),
)
RESOURCE = row({"resourceType": "Patient", "name": [{"family": "x"}], "birthDate": "1980", "active": True})


@settings(max_examples=400)
@given(st.sampled_from([*TYPES, None]), st.lists(st.tuples(NAMES, VALUES), max_size=4), st.booleans())
def test_nonsense(type: str | None, pairs: list[tuple[str, str]], lenient: bool) -> None:
    check(type, pairs, lenient)


@settings(max_examples=400)
@given(
    st.data(),
    st.sampled_from(TYPES),
    VALUES,
    st.sampled_from(["", ":missing", ":not", ":exact", ":contains", ":Patient"]),
)
def test_every_parameter(data: st.DataObject, type: str, value: str, modifier: str) -> None:
    code = data.draw(st.sampled_from(sorted(DEFINITIONS.search[type])))
    check(type, [(code + modifier, value)], False)


def check(type: str | None, pairs: list[tuple[str, str]], lenient: bool) -> None:
    found, refusal = None, None
    try:
        found = parse_search(DEFINITIONS, type, pairs, lenient, NOW, BASE)
    except FhirError as error:
        refusal = error
    if found is None:
        assert refusal is not None
        assert refusal.status == 400
        assert str(refusal)
    else:
        assert matches(found.where, RESOURCE, {}) in (True, False)
        assert len(found.used) + len(found.ignored) == len(pairs)
