"""https://hl7.org/fhir/R4/search.html#include"""

from typing import Any

import pytest

from fhir_server.search.include import forward, reverse
from fhir_server.search.predicate import Is, Or, Param
from tests.search.ask import DEFINITIONS, INDEX, search

OBSERVATION = {
    "resourceType": "Observation",
    "subject": {"reference": "Patient/p"},
    "encounter": {"reference": "Encounter/e"},
    "performer": [
        {"reference": "Practitioner/a"},
        {"reference": "Patient/p"},
        {"reference": "http://o/Patient/x"},
        {"reference": "#c"},
    ],
}
GROUPED = {"resourceType": "Observation", "subject": {"reference": "Group/g"}}


def named(*queries: str, rows: tuple[dict[str, Any], ...] = (OBSERVATION, GROUPED)) -> list[str]:
    includes = search("Observation", "&".join(queries)).includes
    found = forward(DEFINITIONS, includes, [(row["resourceType"], INDEX(row)) for row in rows])
    return [f"{type}/{id}" for type, id in found]


@pytest.mark.parametrize(
    ("query", "want"),
    [
        ("_include=Observation:subject", ["Patient/p", "Group/g"]),
        ("_include=Observation:subject:Patient", ["Patient/p"]),
        ("_include=Observation:patient", ["Patient/p"]),
        ("_include=Observation:patient:Patient", ["Patient/p"]),
        ("_include=Observation:performer", ["Practitioner/a", "Patient/p"]),
        ("_include=Observation:performer:Practitioner", ["Practitioner/a"]),
        ("_include=*", ["Patient/p", "Encounter/e", "Practitioner/a", "Group/g"]),
        ("_include=Observation:*", ["Patient/p", "Encounter/e", "Practitioner/a", "Group/g"]),
        ("_include=Observation:*:Encounter", ["Encounter/e"]),
        ("_include=Patient:organization", []),
        ("_revinclude=Provenance:target", []),
    ],
)
def test_forward(query: str, want: list[str]) -> None:
    assert named(query) == want


def test_reverse_asks_once_for_each_type() -> None:
    includes = search(
        "Patient", "_revinclude=Observation:subject&_revinclude=Observation:patient&_revinclude=Condition:patient"
    ).includes
    to = (("type,id", "in", (("Patient", "a"), ("Patient", "b"))),)
    assert reverse(DEFINITIONS, includes, [("Patient", "a"), ("Patient", "b")]) == [
        ("Observation", Or((Is(Param("subject", "reference"), to),))),
        ("Condition", Or((Is(Param("subject", "reference"), to),))),
    ]


def test_reverse_keeps_to_what_can_refer() -> None:
    includes = search("Patient", "_revinclude=Observation:device&_revinclude=Observation:subject:Group").includes
    assert reverse(DEFINITIONS, includes, [("Patient", "a")]) == []
    ((type, where),) = reverse(DEFINITIONS, search("Patient", "_revinclude=Encounter:*").includes, [("Patient", "a")])
    assert type == "Encounter"
    assert where == Or((Is(Param("subject", "reference"), (("type,id", "in", (("Patient", "a"),)),)),))
    everyone = dict(reverse(DEFINITIONS, search("Patient", "_revinclude=*").includes, [("Patient", "a")]))
    assert len(everyone) > 60
    assert everyone["Encounter"] == where
