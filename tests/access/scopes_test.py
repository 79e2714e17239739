"""fhir_server/access/scopes.py: what is a scope, and what is left of it. https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html"""

import pytest

from fhir_server.access.scopes import grantable, narrower, read_scope
from fhir_server.fhir.definitions import load


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("patient/Observation.read", "rs"),
        ("patient/Observation.write", "cud"),
        ("user/*.*", "cruds"),
        ("system/Patient.rs", "rs"),
        ("system/*.cruds", "cruds"),
        ("patient/Observation.rs?category=laboratory", "rs"),
        ("patient/Observation.s?category=http://a.example|b&status=final", "s"),
    ],
)
def test_scopes_of_both_versions_are_read(text: str, letters: str) -> None:
    scope = read_scope(load(), text)
    assert scope is not None
    assert scope.letters == letters


@pytest.mark.parametrize(
    "text",
    [
        "patient/Observation.dus",  # out of order (S-29 of the launch specification)
        "patient/Observation.",
        "patient/Observation.x",
        "patient/Observations.rs",
        "Patient/Observation.rs",
        "system/UnknownResource.read",
        "patient/Observation.read?category=laboratory",  # a query belongs to version 2
        "patient/*.rs?category=laboratory",
        "patient/Observation.rs?subject.name=Eve",  # a chain is not enforced, so it is not granted
        "patient/Observation.rs?code:in=http://a.example/vs",
        "patient/Observation.rs?_filter=code eq 1",
        "patient/Observation.rs?_has:Provenance:target:agent=1",
        "patient/Observation.rs?_sort=date",
        "patient/Observation.rs?_include=Observation:subject",
        "patient/Observation.rs?colour=red",
        "patient/Observation.rs?date=yesterday",
        "patient/Observation.rs?category=",
        "openid",
    ],
)
def test_what_is_no_scope_or_cannot_be_enforced_is_not_read(text: str) -> None:
    assert read_scope(load(), text) is None


@pytest.mark.parametrize(
    ("asked", "most", "granted"),
    [
        ("patient/Patient.read", "patient/*.rs", "patient/Patient.read"),
        ("system/*.*", "system/Patient.rs system/Group.read", "system/Patient.read system/Group.read"),
        ("system/*.cruds", "system/Patient.rs", "system/Patient.rs"),
        ("system/Patient.write", "system/*.rs", ""),
        ("system/Patient.cruds", "system/*.rs", "system/Patient.rs"),
        ("user/Patient.rs", "patient/*.rs", ""),
        ("patient/Observation.rs", "patient/Observation.rs?status=final", "patient/Observation.rs?status=final"),
        (
            "patient/Observation.rs?category=a",
            "patient/Observation.rs?status=final",
            "patient/Observation.rs?category=a&status=final",
        ),
        ("openid launch/patient offline_access", "openid launch/patient patient/*.rs", "openid launch/patient"),
        ("system/A.read system/Patient.read system/Encounter.rs", "system/*.rs", "system/Patient.read system/Encounter.rs"),  # noqa: E501
        ("", "system/*.rs", ""),
    ],
)  # fmt: skip
def test_scopes_are_narrowed_to_what_a_client_may_have(asked: str, most: str, granted: str) -> None:
    assert " ".join(grantable(load(), asked, most.split())) == granted


def test_a_refresh_may_ask_for_less_but_not_for_more() -> None:
    definitions, granted = load(), ("patient/Observation.rs", "offline_access")
    assert narrower(definitions, "patient/Observation.r", granted)
    assert narrower(definitions, "", granted)
    assert not narrower(definitions, "patient/Observation.cruds", granted)
    assert not narrower(definitions, "patient/Patient.rs", granted)
