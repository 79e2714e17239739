"""A token that was withdrawn is dead in every process within a second. https://www.rfc-editor.org/rfc/rfc7009"""

import asyncio
import time

import pytest

from fhir_server.access.grant import Grant
from fhir_server.auth.records import Authorization, digest
from fhir_server.auth.tokens import authorize, grant_of, granted_to, issue, revoke, subject
from tests.auth.door import Door, smart

HOUR = 3_600_000_000


def authorization(door: Door, **more: object) -> Authorization:
    """What a clinician granted to an app."""
    given = {"client": "viewer", "scopes": ("patient/*.rs",), "patient": "p1", "user": "Practitioner/1", "name": "ann"}
    return Authorization(**{**given, "made": door.server.clock(), **more})  # type: ignore[arg-type]


def app(door: Door) -> None:
    door.register(id="viewer", redirects=("https://app.example/cb",), scopes=("patient/*.rs",))


def granted(door: Door, seconds: int = 60, **more: object) -> tuple[str, str]:
    """An authorization's id and a token."""
    made = authorization(door, **more)
    id = door.run(authorize(door.server, made))
    return id, door.run(issue(door.server, id, made, made.scopes, seconds))


def test_a_token_stands_for_what_was_granted(door: Door) -> None:
    app(door)
    id, token = granted(door, encounter="e1", purposes=("TREAT",), emergency="unconscious")
    grant = door.run(grant_of(door.server, token))
    assert isinstance(grant, Grant)
    assert (grant.id, grant.client, grant.user, grant.patient) == (id, "viewer", "Practitioner/1", "p1")
    assert (grant.encounter, grant.purposes, grant.emergency) == ("e1", ("TREAT",), "unconscious")
    assert 0 < grant.expires - door.server.clock() <= 60_000_000


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "é", "\0", "\ud800", "x" * 100_000, "..", "token/../client/viewer"])
def test_other_texts_stand_for_nothing(door: Door, text: str) -> None:
    assert door.run(grant_of(door.server, text)) is None


def test_neither_the_id_nor_the_stored_digest_is_a_token(door: Door) -> None:
    app(door)
    id, token = granted(door)
    for text in (id, digest(token), f"token/{digest(token)}", token + " ", token[:-1]):
        assert door.run(grant_of(door.server, text)) is None


def test_the_store_holds_no_token(door: Door) -> None:
    app(door)
    _, token = granted(door)
    found = door.run(door.server.store.get_state(f"token/{digest(token)}"))
    assert found is not None
    assert token.encode() not in found[0]


def test_a_token_ends_with_its_time_and_with_its_authorization(door: Door) -> None:
    app(door)
    _, short = granted(door, seconds=1)
    _, bound = granted(door, expires=door.server.clock() + 1_000_000)
    assert door.run(grant_of(door.server, short))
    assert door.run(grant_of(door.server, bound))
    time.sleep(1.1)
    assert door.run(grant_of(door.server, short)) is None
    assert door.run(grant_of(door.server, bound)) is None


def test_a_withdrawal_reaches_another_process_within_a_second(store_url: str) -> None:
    """Two applications on one store stand for two processes: they share nothing else."""
    one, two = Door(smart(store_url)), Door(smart(store_url))
    try:
        app(one)
        id, token = granted(one)
        assert one.run(grant_of(one.server, token))
        assert two.run(grant_of(two.server, token))
        one.run(revoke(one.server, id))
        withdrawn = time.monotonic()
        assert one.run(grant_of(one.server, token)) is None, "at once where it was withdrawn"
        while two.run(grant_of(two.server, token)) is not None:
            assert time.monotonic() - withdrawn < 1.05
            time.sleep(0.02)
    finally:
        one.close()
        two.close()


def test_what_is_remembered_is_bounded(door: Door) -> None:
    """A flood of tokens that are none leaves nothing behind."""

    async def flood() -> None:
        await asyncio.gather(*(grant_of(door.server, f"guess{number}") for number in range(300)))

    door.run(flood())
    assert len(door.server.grants) == 0


def test_users_see_what_they_authorized(door: Door) -> None:
    """S-55."""
    app(door)
    first, _ = granted(door)
    second, _ = granted(door, scopes=("patient/Observation.rs",))
    granted(door, name="bob", user="Patient/2")
    assert [id for id, _ in door.run(granted_to(door.server, "ann"))] == [first, second]
    door.run(revoke(door.server, first))
    assert [(id, made.scopes) for id, made in door.run(granted_to(door.server, "ann"))] == [
        (second, ("patient/Observation.rs",))
    ]
    assert door.run(granted_to(door.server, "nobody")) == []


def test_authorizations_at_once_are_all_listed(door: Door) -> None:
    async def many() -> list[str]:
        return list(await asyncio.gather(*(authorize(door.server, authorization(door)) for _ in range(12))))

    made = door.run(many())
    assert {id for id, _ in door.run(granted_to(door.server, "ann"))} == set(made)


def test_a_subject_is_stable_and_not_the_login_name(door: Door) -> None:
    one, two = authorization(door), authorization(door, client="other", name="bob")
    assert subject(one) == subject(authorization(door, scopes=()))
    assert subject(one) != subject(two)
    assert "ann" not in subject(one)
