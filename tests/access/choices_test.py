"""The participant's page and the Consent it is kept in say the same. docs/consent.md"""

from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.access.choices import (
    CLASSES,
    CONTACTS,
    PURPOSES,
    Choices,
    Use,
    checked,
    choices_of,
    consent_of,
)  # fmt: skip
from fhir_server.access.consent import Request, decide
from fhir_server.access.explain import samples
from fhir_server.access.facts import broader_classes
from fhir_server.access.provisions import voters
from fhir_server.access.purposes import lineage
from fhir_server.access.statements import person_of, statement_of
from tests.access.statements_world import NOW, PATIENT, TERMS, at, permit, research

RECIPIENTS = ("", "Organization/o1", "Organization/o2")
pages = st.builds(
    Choices,
    st.lists(
        st.builds(
            Use,
            st.lists(st.sampled_from(CLASSES), max_size=3).map(tuple),
            st.sampled_from(PURPOSES),
            st.sampled_from(RECIPIENTS),
            st.sampled_from(["", "2026-06-01", "2026-05-31", "2027"]),
        ),
        max_size=4,
    ).map(tuple),
    st.lists(st.sampled_from(CONTACTS), max_size=3).map(tuple),
    st.lists(st.sampled_from(["s", "t"]), max_size=2).map(tuple),
    st.booleans(),
).map(checked)


@given(pages)
@settings(max_examples=300, deadline=None)
def test_the_page_comes_back_from_its_consent(page: Choices) -> None:
    consent = consent_of(page, "p", "Patient/p", "2026-01-01")
    assert choices_of(consent) == page
    assert choices_of({**consent, "id": "1", "meta": {"versionId": "3"}}) == page
    assert choices_of({**consent, "provision": {**consent["provision"], "type": "permit"}}) is None


@given(pages, st.sampled_from(("HRESCH", "CLINTRCH", "POARCH", *CONTACTS)), st.sampled_from(RECIPIENTS[1:]),
       st.sampled_from(["s", "t", "-"]))  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_what_the_page_promises_is_what_is_decided(page: Choices, purpose: str, recipient: str, study: str) -> None:
    person = person_of([PATIENT], 18)
    statement = statement_of({**consent_of(page, "p", "Patient/p", "2026-01-01"), "id": "c"}, person)
    assert statement is not None
    for name, facts in samples(TERMS, NOW).items():
        promised = not page.paused and study not in page.without and (
            purpose in page.contact
            or any(one in lineage(purpose) for one in page.contact)
            or any(
                use.purpose in lineage(purpose)
                and use.recipient in ("", recipient)
                and (not use.data or set(use.data) & set(broader_classes(name)))
                and use.until != "2026-05-31"
                for use in page.uses
            )
        )  # fmt: skip
        request = Request(purpose, frozenset({recipient}), study=study)
        assert decide(voters([statement], person, facts, NOW), request).permit is promised, name


def test_other_consents_are_no_page() -> None:
    assert choices_of(research(permit("HRESCH"))) is None
    assert at("2026-06-01") < NOW
