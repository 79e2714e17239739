"""docs/conformance.md is what its rows say, and the rows name tests that exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.conformance.cases import CASES
from tests.conformance.row import Row
from tests.conformance.table import PAGE, page, rows

TESTS = Path(__file__).parents[1]


@cache
def functions(path: str) -> frozenset[str]:
    tree = ast.parse((TESTS / path).read_text())
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.what)
def test_a_row_names_tests_that_exist(row: Row) -> None:
    assert row.supported == "no" or row.tests
    assert row.supported == "yes" or row.note
    for test in row.tests:
        path, _, rest = test.partition("::")
        function, _, case = rest.partition("[")
        assert not function or function in functions(path), test
        if function == "test_search":
            assert case.removesuffix("]") in CASES, test
        elif case:
            name, text = case.removesuffix("]"), (TESTS / path).read_text()
            assert f'id="{name}"' in text or f'    "{name}": ' in text, test  # a parameter, or a row of a table


def test_every_search_of_the_table_proves_a_row() -> None:
    named = {match[1] for row in rows() for test in row.tests if (match := re.search(r"test_search\[(.*)\]", test))}
    assert CASES.keys() - named == set()


def test_the_page_is_what_the_rows_say() -> None:
    assert PAGE.read_text() == page(), "write it anew: python -m tests.conformance.table"
