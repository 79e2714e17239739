"""Consent vectors: what permits matching (purpose CLINTRCH) and what does not. https://hl7.org/fhir/R4/consent.html"""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.access.consent import permits
from tests.matching import world as w


def at(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp() * 1_000_000)  # type: ignore[misc, arg-type]


NOW = at(2026, 6, 1, 12)
HRESCH = {"type": "permit", "purpose": [w.purpose("HRESCH")]}
GERMLINE = {"type": "deny", "securityLabel": [{"system": "urn:labels", "code": "germline"}]}
MODIFIED = {"modifierExtension": [{"url": "https://example.org/unless", "valueBoolean": True}]}
ORGANIZATION = {"role": w.concept(("urn:role", "IRCP")), "reference": {"reference": "Organization/o1"}}


def nested(root: w.Resource, *children: w.Resource) -> w.Resource:
    return {**root, "provision": list(children)}


@pytest.mark.parametrize(
    ("name", "consents", "permit"),
    [
        ("1 none", [], False),
        ("3 a narrower purpose is asked for", [w.consent("a")], True),
        (
            "3 the very purpose",
            [w.consent("a", provision={"type": "permit", "purpose": [w.purpose("CLINTRCH")]})],
            True,
        ),
        ("3 any purpose", [w.consent("a", provision={"type": "permit"})], True),
        ("4 a sibling purpose", [w.consent("a", provision={"type": "permit", "purpose": [w.purpose("DSRCH")]})], False),
        (
            "4 a narrower permit",
            [w.consent("a", provision={"type": "permit", "purpose": [w.purpose("CLINTRCHNPC")]})],
            False,
        ),
        ("5 a deny that cannot be judged counts", [w.consent("a", provision=nested(HRESCH, GERMLINE))], False),
        (
            "5 a deny for another purpose does not",
            [w.consent("a", provision=nested(HRESCH, {"type": "deny", "purpose": [w.purpose("HMARKT")]}))],
            True,
        ),
        (
            "6 deny, then permit for a class",
            [w.consent("a", provision=nested({"type": "deny"}, {**HRESCH, "class": [{"code": "Specimen"}]}))],
            False,
        ),
        ("6 deny, then permit", [w.consent("a", provision=nested({"type": "deny"}, HRESCH))], True),
        (
            "6 a weak deny does not vote",
            [
                w.consent("a", provision=nested({"type": "deny"}, {**HRESCH, "class": [{"code": "Specimen"}]})),
                w.consent("b", policy="https://example.org/2"),
            ],
            True,
        ),
        (
            "6 a plain deny does",
            [w.consent("a", provision={"type": "deny"}), w.consent("b", policy="https://example.org/2")],
            False,
        ),
        (
            "8 among siblings deny wins",
            [w.consent("a", provision=nested({"type": "permit"}, {"type": "deny"}, HRESCH))],
            False,
        ),
        (
            "9 a privacy deny binds research",
            [
                w.consent("a"),
                w.consent(
                    "b",
                    made="2024-01-01",
                    scope="patient-privacy",
                    policy="https://example.org/2",
                    provision={"type": "deny"},
                ),
            ],
            False,
        ),
        ("9 a privacy permit is no research permit", [w.consent("b", scope="patient-privacy")], False),
        (
            "10 newer supersedes older",
            [w.consent("a", made="2024-01-01", provision={"type": "deny"}), w.consent("b")],
            True,
        ),
        (
            "10 also the other way",
            [w.consent("a", made="2024-01-01"), w.consent("b", provision={"type": "deny"})],
            False,
        ),
        ("10 a tie is denied", [w.consent("a"), w.consent("b", provision={"type": "deny"})], False),
        ("11 proposed", [w.consent("a", status="proposed")], False),
        ("12 inactive", [w.consent("a", status="inactive")], False),
        (
            "12 a revocation brings no older permit back",
            [w.consent("a", made="2024-01-01"), w.consent("b", status="inactive")],
            False,
        ),
        ("12 a draft revokes nothing", [w.consent("a", made="2024-01-01"), w.consent("b", status="draft")], True),
        ("made tomorrow", [w.consent("a", made="2026-06-02")], False),
        ("no dateTime", [w.consent("a", made=None)], False),
        (
            "14 a data period cannot be judged",
            [w.consent("a", provision={**HRESCH, "dataPeriod": {"start": "2024"}})],
            False,
        ),
        ("15 unknown modifier on a permit", [w.consent("a", **MODIFIED)], False),
        ("15 unknown modifier below a permit", [w.consent("a", provision={**HRESCH, **MODIFIED})], False),
        (
            "15 unknown modifier on a deny",
            [
                w.consent("a"),
                w.consent(
                    "b", scope="patient-privacy", policy="https://example.org/2", provision={"type": "deny", **MODIFIED}
                ),
            ],
            False,
        ),
        ("16 root without type", [w.consent("a", provision={"purpose": [w.purpose("HRESCH")]})], False),
        (
            "16 root without type, nested deny",
            [w.consent("a", policy="https://example.org/2", provision={"provision": [GERMLINE]}), w.consent("b")],
            False,
        ),
        ("17 an actor cannot be judged", [w.consent("a", provision={**HRESCH, "actor": [ORGANIZATION]})], False),
        ("18 action access", [w.consent("a", provision={**HRESCH, "action": [w.concept(("urn:a", "access"))]})], True),
        (
            "18 action collect only",
            [w.consent("a", provision={**HRESCH, "action": [w.concept(("urn:a", "collect"))]})],
            False,
        ),
        ("no provision", [{k: v for k, v in w.consent("a").items() if k != "provision"}], False),
    ],
)
def test_vectors(name: str, consents: list[w.Resource], permit: bool) -> None:
    decision = permits(consents, "CLINTRCH", NOW)
    assert decision.permit is permit, name
    assert not permit or decision.consents


@pytest.mark.parametrize(
    ("end", "now", "permit"),
    [("2026-05-31", at(2026, 6, 1, 23, 59), False), ("2026-06-01", at(2026, 6, 1, 23, 59), True)],
)
def test_13_a_period_ends_with_its_last_day(end: str, now: int, permit: bool) -> None:
    assert permits([w.consent("a", provision={**HRESCH, "period": {"end": end}})], "CLINTRCH", now).permit is permit


def provisions() -> st.SearchStrategy[dict[str, Any]]:
    plain = st.fixed_dictionaries(
        {"type": st.sampled_from(["permit", "deny"])},
        optional={
            "purpose": st.sampled_from([[w.purpose("HRESCH")], [w.purpose("TREAT")]]),
            "actor": st.just([ORGANIZATION]),
        },
    )
    return st.recursive(
        plain,
        lambda below: st.builds(lambda root, kids: {**root, "provision": kids}, plain, st.lists(below, max_size=3)),
        max_leaves=8,
    )


@given(st.lists(provisions(), max_size=3))
def test_one_more_plain_deny_never_permits_and_an_unknown_modifier_never_helps(found: list[dict[str, Any]]) -> None:
    consents = [w.consent(f"c{i}", policy=f"urn:{i}", provision=provision) for i, provision in enumerate(found)]
    refusal = w.consent("no", policy="urn:no", provision={"type": "deny"})
    assert not permits([*consents, refusal], "CLINTRCH", NOW).permit
    for i, consent in enumerate(consents):
        changed = [*consents[:i], {**consent, **MODIFIED}, *consents[i + 1 :]]
        if permits(changed, "CLINTRCH", NOW).permit:
            assert permits(consents, "CLINTRCH", NOW).permit or any("deny" in str(p) for p in found)
