"""Writes docs/conformance.md: `python -m tests.conformance.table`."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.conformance.app_rows import APPS
from tests.conformance.bulk_rows import BULK
from tests.conformance.http_rows import HTTP
from tests.conformance.row import Row
from tests.conformance.search_rows import SEARCH
from tests.conformance.smart_rows import SMART
from tests.conformance.suite_rows import SUITES

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"
PARTS: Mapping[str, Mapping[str, tuple[Row, ...]]] = {
    "[Search](https://hl7.org/fhir/R4/search.html)": SEARCH,
    "[HTTP](https://hl7.org/fhir/R4/http.html)": HTTP,
    "[SMART App Launch](https://hl7.org/fhir/smart-app-launch/)": {**SMART, **APPS},
    "[Bulk Data](https://hl7.org/fhir/uv/bulkdata/)": BULK,
    "Suites": SUITES,
}
HEAD = """\
# Conformance

What of R4's pages on search and on HTTP this server supports, and which tests prove it, on SQLite and MongoDB alike.
This page is written by `python -m tests.conformance.table` from the rows in `tests/conformance`; a test compares
the two and looks every named test up. The CapabilityStatement is called in full on SQLite only. Tests of a row
that is not supported show how it is refused.
"""


def rows() -> Iterable[Row]:
    """All rows in order."""
    return [row for part in PARTS.values() for section in part.values() for row in section]


def page() -> str:
    """The whole page."""
    lines = [HEAD]
    count = {word: sum(row.supported == word for row in rows()) for word in ("yes", "partly", "no")}
    lines.append(f"{count['yes']} rows are supported, {count['partly']} partly, {count['no']} not.\n")
    for title, part in PARTS.items():
        lines.append(f"## {title}\n")
        for section, listed in part.items():
            lines += [f"### {section}\n", "| | supported | but | proven by |", "|---|---|---|---|"]
            lines += [line(row) for row in listed]
            lines.append("")
    return "\n".join(lines)


def line(row: Row) -> str:
    """One row of Markdown; cases of one test stand together."""
    by_test: dict[str, list[str]] = {}
    for test in row.tests:
        name, _, case = test.partition("[")
        by_test.setdefault(name, []).append(case.removesuffix("]"))
    tests = "; ".join(shown(name, cases) for name, cases in by_test.items())
    cells = (row.what, row.supported, row.note, tests)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def shown(name: str, cases: list[str]) -> str:
    """A test as a link to its file, with its cases."""
    path, _, function = name.partition("::")
    cases = [case for case in cases if case]
    label = f"[{function or path}](../tests/{path})"
    return label + (f": {', '.join(f'`{case}`' for case in cases)}" if cases else "")


if __name__ == "__main__":
    PAGE.write_text(page())
