"""JSON Patch, after the sections and appendix of RFC 6902."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.fhir.outcome import FhirError
from fhir_server.fhir.patch import apply_patch, same

BEFORE: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p",
    "name": [{"given": ["A", "B"]}, {"family": "C"}],
    "a/b": {"m~n": 1},
    "number": Decimal("1.50"),
}


@pytest.mark.parametrize(
    ("operation", "path", "expected"),
    [
        ({"op": "add", "path": "/gender", "value": "male"}, ("gender",), "male"),
        ({"op": "add", "path": "/name/1", "value": {}}, ("name",), [{"given": ["A", "B"]}, {}, {"family": "C"}]),
        ({"op": "add", "path": "/name/-", "value": {}}, ("name", 2), {}),
        ({"op": "add", "path": "/name/0/given/2", "value": "Z"}, ("name", 0, "given"), ["A", "B", "Z"]),
        ({"op": "add", "path": "/name", "value": 1}, ("name",), 1),
        ({"op": "remove", "path": "/name/0"}, ("name",), [{"family": "C"}]),
        ({"op": "replace", "path": "/a~1b/m~0n", "value": None}, ("a/b", "m~n"), None),
        ({"op": "move", "from": "/name/0/given/0", "path": "/name/1/x"}, ("name", 1), {"family": "C", "x": "A"}),
        ({"op": "move", "from": "/name/0", "path": "/name/1"}, ("name",), [{"family": "C"}, {"given": ["A", "B"]}]),
        ({"op": "copy", "from": "/name/0/given", "path": "/x"}, ("x",), ["A", "B"]),
        ({"op": "test", "path": "/number", "value": Decimal("1.5")}, ("number",), Decimal("1.50")),
        ({"op": "test", "path": "/name/1", "value": {"family": "C"}, "more": 1}, ("id",), "p"),
    ],
)  # fmt: skip
def test_operations(operation: dict[str, Any], path: tuple[Any, ...], expected: Any) -> None:
    found: Any = apply_patch(BEFORE, [operation])
    for part in path:
        found = found[part]
    assert found == expected


@pytest.mark.parametrize(
    "operation",
    [
        None,
        {},
        {"op": "add"},
        {"op": ["add"], "path": "/x", "value": 1},
        {"op": "add", "path": "/x"},
        {"op": "add", "path": "x", "value": 1},
        {"op": "add", "path": 3, "value": 1},
        {"op": "add", "path": "/x~2", "value": 1},
        {"op": "add", "path": "/name/9", "value": 1},
        {"op": "add", "path": "/name/01", "value": 1},
        {"op": "add", "path": "/name/-1", "value": 1},
        {"op": "add", "path": "/name/" + "9" * 5000, "value": 1},
        {"op": "add", "path": "/x/y", "value": 1},
        {"op": "add", "path": "/id/y", "value": 1},
        {"op": "add", "path": "", "value": []},
        {"op": "remove", "path": "/x"},
        {"op": "remove", "path": "/name/-"},
        {"op": "remove", "path": ""},
        {"op": "replace", "path": "/x", "value": 1},
        {"op": "replace", "path": "/id", "value": "q"},
        {"op": "move", "from": "/name", "path": "/name/0"},
        {"op": "move", "path": "/name"},
        {"op": "copy", "from": "/x", "path": "/y"},
        {"op": "copy", "from": None, "path": "/y"},
        {"op": "test", "path": "/number", "value": "1.50"},
        {"op": "test", "path": "/name", "value": True},
        {"op": "increment", "path": "/number", "value": 1},
    ],
)
def test_what_fails_is_422_with_its_number(operation: Any) -> None:
    with pytest.raises(FhirError) as refused:
        apply_patch(BEFORE, [{"op": "test", "path": "/id", "value": "p"}, operation])
    assert refused.value.status == 422
    assert "1" in str(refused.value) or "no resource" in str(refused.value) or "change" in str(refused.value)


def test_the_original_stays_and_values_are_not_shared() -> None:
    value: dict[str, Any] = {"family": "D"}
    operations = [
        {"op": "add", "path": "/name/-", "value": value},
        {"op": "copy", "from": "/name/2", "path": "/name/-"},
        {"op": "replace", "path": "/name/2/family", "value": "E"},
    ]
    after = apply_patch(BEFORE, operations)
    assert [name.get("family") for name in after["name"]] == [None, "C", "E", "D"]
    assert len(BEFORE["name"]) == 2
    assert value == {"family": "D"}


def test_copies_cannot_double_a_resource_without_end() -> None:
    bomb = [{"op": "add", "path": "/x", "value": ["x" * 1000]}]
    bomb += [{"op": "copy", "from": "/x", "path": "/x/-"}] * 40
    with pytest.raises(FhirError):
        apply_patch(BEFORE, bomb)


def test_true_is_not_one() -> None:
    assert not same(True, 1)
    assert not same([False], [0])
    assert same({"a": [1, None]}, {"a": [Decimal("1.0"), None]})


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(value=values, key=st.text(max_size=4))
def test_what_is_added_is_there_and_can_be_removed(value: Any, key: str) -> None:
    path = "/new" + key.replace("~", "~0").replace("/", "~1")
    operations = [{"op": "add", "path": path, "value": value}, {"op": "test", "path": path, "value": value}]
    assert apply_patch(BEFORE, operations)["new" + key] == value
    assert apply_patch(BEFORE, [*operations, {"op": "remove", "path": path}]) == BEFORE
