"""That no key is lost in silence, whatever the strings of a body hold."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.fhir.codec import FhirError, encode, read_resource

TEXTS = st.text(st.sampled_from('"\\/:,{} au0022\n'), max_size=8)
VALUES = st.dictionaries(TEXTS, TEXTS | st.lists(TEXTS, max_size=3), max_size=4)


@given(VALUES, st.booleans())
def test_a_body_is_read_whatever_its_strings_hold(value: dict[str, object], plain: bool) -> None:
    body = json.dumps({**value, "resourceType": "Basic"}, ensure_ascii=plain, indent=1).encode()
    found, encoded = read_resource(body)
    assert found == {**value, "resourceType": "Basic"}
    assert encoded == encode(found)


@given(VALUES, TEXTS, TEXTS, TEXTS)
def test_a_key_that_stands_twice_is_refused(value: dict[str, object], key: str, one: str, two: str) -> None:
    pairs = [f"{json.dumps(name)}:{json.dumps(inner)}" for name, inner in value.items() if name != key]
    pairs += [f"{json.dumps(key)}:{json.dumps(text)}" for text in (one, two)]
    body = "{" + ",".join(['"resourceType":"Basic"', *pairs]) + "}"
    with pytest.raises(FhirError, match="same key twice"):
        read_resource(body.encode())
