"""https://hl7.org/fhir/R4/references.html#literal"""

import pytest

from fhir_server.fhir.references import Reference, canonical, parse

BASE = "http://host:8080/odd-base-17/fhir"


@pytest.mark.parametrize(
    ("text", "type", "id", "version"),
    [
        ("Patient/1", "Patient", "1", ""),
        ("Patient/a-b.C", "Patient", "a-b.C", ""),
        ("Patient/1/_history/3", "Patient", "1", "3"),
        (f"{BASE}/Patient/1", "Patient", "1", ""),
        (f"{BASE}/Patient/1/_history/3", "Patient", "1", "3"),
    ],
)
def test_local_references(text: str, type: str, id: str, version: str) -> None:
    assert parse(text, BASE) == Reference(type, id, version, "")
    assert parse(text, BASE).local


@pytest.mark.parametrize(
    "text",
    [
        "http://elsewhere/fhir/Patient/1",
        "https://host:8080/odd-base-17/fhir/Patient/1",
        f"{BASE}x/Patient/1",
        f"{BASE}Patient/1",
        "urn:uuid:9d1fe3a4-0000-4000-8000-000000000000",
        "urn:oid:1.2.3",
        "#p1",
        "patient/1",
        "Patient",
        "Patient/",
        "Patient/1/2",
        "Patient/1/_history/",
        "Patient/" + "x" * 65,
        "Patient/a_b",
        "Patient?identifier=x|1",
        "",
        "/Patient/1",
        "Patient/1\n",
        "Patient/é",
    ],
)
def test_all_else_is_a_url_kept_as_written(text: str) -> None:
    assert parse(text, BASE) == Reference("", "", "", text)
    assert not parse(text, BASE).local


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("http://x/q", ("http://x/q", "")),
        ("http://x/q|2.0", ("http://x/q", "2.0")),
        ("http://x/q|2#a", ("http://x/q", "2")),
    ],
)
def test_canonicals_may_name_a_version(text: str, parts: tuple[str, str]) -> None:
    assert canonical(text) == parts
