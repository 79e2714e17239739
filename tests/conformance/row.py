"""A row of docs/conformance.md."""

from typing import NamedTuple


class Row(NamedTuple):
    """`tests` are addresses below tests/, `path::function` or `path::function[case]`; `note` says what is missing."""

    what: str
    supported: str  # yes, partly, no
    tests: tuple[str, ...]
    note: str = ""


def yes(what: str, *tests: str, note: str = "") -> Row:
    """A row that is supported."""
    return Row(what, "yes", tests, note)


def partly(what: str, *tests: str, note: str) -> Row:
    """A row of which something is missing."""
    return Row(what, "partly", tests, note)


def no(what: str, *tests: str, note: str) -> Row:
    """A row that is not supported; its tests, if any, show that it is refused."""
    return Row(what, "no", tests, note)


def search(*cases: str) -> tuple[str, ...]:
    """Cases of the table of searches."""
    return tuple(f"conformance/search_test.py::test_search[{case}]" for case in cases)
