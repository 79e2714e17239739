"""What views make of resources. https://sql-on-fhir.org/ig/StructureDefinition-ViewDefinition.html"""

import json
from typing import Any

import pytest

from fhir_server.fhir.codec import encode
from fhir_server.fhir.definitions import load
from fhir_server.fhir.outcome import FhirError
from fhir_server.views.view import each, view_of
from tests.views.case_files import Case, cases

BASE = "http://127.0.0.1:8080/fhir"


@pytest.mark.parametrize("case", list(cases()), ids=lambda case: case.name)
def test_a_case(case: Case) -> None:
    """Once on decoded resources, once from their bytes, of which only what the view looks at is decoded."""
    if case.test.get("expectError"):
        with pytest.raises(FhirError) as refused:
            found_by(case, False)
        assert refused.value.status == 422
        return
    for bytes_ in (False, True):
        columns, rows = found_by(case, bytes_)
        if "expectColumns" in case.test:
            assert columns == case.test["expectColumns"]
        if "expectCount" in case.test:
            assert len(rows) == case.test["expectCount"]
        if "expect" in case.test:
            assert in_order(rows) == in_order(case.test["expect"])


def found_by(case: Case, bytes_: bool) -> tuple[list[str], list[dict[str, Any]]]:
    view = view_of(load(), case.test["view"], BASE)
    resources = [one for one in case.resources if one["resourceType"] == view.type]
    if bytes_:
        rows = list(each(view, [encode(one) for one in resources]))
    else:
        rows = [row for one in resources for row in view.rows(one)]
    names = [column.name for column in view.columns]
    return names, [dict(zip(names, row, strict=True)) for row in rows]


def in_order(rows: list[dict[str, Any]]) -> list[str]:
    """The rows in an order of their own; 1 and 1.0 are the same number, 1 and true are not."""
    return sorted(json.dumps(row, sort_keys=True, default=float) for row in map(floats, rows))


def floats(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: floats(one) for key, one in value.items()}
    if isinstance(value, list):
        return [floats(one) for one in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
