"""Errors as values: OperationOutcome and the one exception that carries it. https://hl7.org/fhir/R4/operationoutcome.html"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Issue:
    """One OperationOutcome.issue; `code` is from https://hl7.org/fhir/R4/valueset-issue-type.html."""

    code: str
    diagnostics: str
    expression: tuple[str, ...] = ()
    severity: str = "error"


class FhirError(Exception):
    """A refusal that a client can act on: an HTTP status, the issues, and response headers (`Retry-After`, ...)."""

    def __init__(self, status: int, issues: Iterable[Issue], headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.issues = tuple(issues)
        self.headers = dict(headers or {})
        super().__init__("; ".join(issue.diagnostics for issue in self.issues))


def refuse(status: int, code: str, diagnostics: str, *expression: str, **headers: str) -> FhirError:
    """The common case of FhirError: a single issue. Header names are given with `_` for `-`."""
    return FhirError(
        status, (Issue(code, diagnostics, expression),), {k.replace("_", "-"): v for k, v in headers.items()}
    )


def operation_outcome(issues: Iterable[Issue]) -> dict[str, Any]:
    """The issues as an OperationOutcome resource (a plain dict)."""
    return {"resourceType": "OperationOutcome", "issue": [_issue(issue) for issue in issues]}


def _issue(issue: Issue) -> dict[str, Any]:
    body: dict[str, Any] = {"severity": issue.severity, "code": issue.code, "diagnostics": issue.diagnostics}
    if issue.expression:
        body["expression"] = list(issue.expression)
    return body
