"""Access tokens: made, looked up, withdrawn. https://www.rfc-editor.org/rfc/rfc6750

A token of ours is 256 random bits: it holds nothing to forge or to read, and is dead within a second of its withdrawal
in every process, because none trusts what it remembers for longer.
"""

import asyncio
from time import monotonic

import msgspec

from fhir_server.access.grant import Grant
from fhir_server.auth.issuers import foreign
from fhir_server.auth.records import Authorization, Token, digest, fresh, load, save
from fhir_server.server import Server

REMEMBERED = 1.0  # seconds that a process trusts what it read of a token
SECOND = 1_000_000
MOST_APPS = 500


class Apps(msgspec.Struct, frozen=True):
    """State `apps/[user name]`: the ids of what a user has authorized, oldest first."""

    ids: tuple[str, ...] = ()


async def authorize(server: Server, authorization: Authorization) -> str:
    """Keep what was granted, so that tokens can be issued for it; returns its id."""
    id = fresh()
    await _keep(server, id, authorization)
    if authorization.name:
        await _list(server, authorization.name, id)
    return id


async def issue_alone(server: Server, authorization: Authorization, seconds: int) -> str:
    """The one access token of a new authorization without a user: both are written at once, in one commit at best."""
    id = fresh()
    work = issue(server, id, authorization, authorization.scopes, seconds)
    token, _ = await asyncio.gather(work, _keep(server, id, authorization))
    return token


async def issue(server: Server, id: str, authorization: Authorization, scopes: tuple[str, ...], seconds: int) -> str:
    """A new access token for an authorization, good for that many seconds at most."""
    token = fresh()
    expires = server.clock() + seconds * SECOND
    if authorization.expires:
        expires = min(expires, authorization.expires)
    record = Token(authorization=id, scopes=scopes, expires=expires)
    await save(server.store, f"token/{digest(token)}", record, 0, expires)
    return token


async def grant_of(server: Server, token: str) -> Grant | None:
    """What a token stands for; None if it is unknown, withdrawn or expired, or not for this server."""
    key = digest(token)
    grant: Grant | None = server.grants.get(key)
    if grant is None:
        read = monotonic()
        grant = await (foreign(server, token) if token.count(".") == 2 else _ours(server, key))
        if grant is None:
            return None
        server.grants.put(key, grant, REMEMBERED - (monotonic() - read))
    return grant if grant.expires > server.clock() else None


async def token_of(server: Server, token: str) -> tuple[Token, Authorization] | None:
    """The records of an access token of ours; None unless both it and what it rests on are there."""
    return await _records(server, digest(token))


async def revoke(server: Server, authorization_id: str) -> None:
    """Withdraw an authorization: all its tokens are dead within a second."""
    await server.store.delete_state(f"authorization/{authorization_id}")
    server.grants.clear()


async def revoke_token(server: Server, token: str) -> None:
    """Withdraw one access token."""
    await server.store.delete_state(f"token/{digest(token)}")
    server.grants.clear()


async def granted_to(server: Server, name: str) -> list[tuple[str, Authorization]]:
    """What a user has authorized and not withdrawn, with its ids, oldest first."""
    found = await load(server.store, f"apps/{name}", Apps)
    rows = [(id, await load(server.store, f"authorization/{id}", Authorization)) for id in (found or (Apps(),))[0].ids]
    return [(id, row[0]) for id, row in rows if row is not None]


def subject(authorization: Authorization) -> str:
    """The `sub` of a user, in id tokens and introspection alike: the same for all apps, and not the login name."""
    return digest(f"sub\n{authorization.name or authorization.user}")[:32]


async def _keep(server: Server, id: str, authorization: Authorization) -> None:
    await save(server.store, f"authorization/{id}", authorization, 0, authorization.expires or None)


async def _records(server: Server, key: str) -> tuple[Token, Authorization] | None:
    token = await load(server.store, f"token/{key}", Token)
    if token is None or token[0].expires <= server.clock():
        return None
    found = await load(server.store, f"authorization/{token[0].authorization}", Authorization)
    if found is None or 0 < found[0].expires <= server.clock():
        return None
    # A client that was removed takes its tokens along.
    if await server.store.get_state(f"client/{found[0].client}") is None:
        return None
    return token[0], found[0]


async def _ours(server: Server, key: str) -> Grant | None:
    records = await _records(server, key)
    if records is None:
        return None
    token, made = records
    return Grant(
        client=made.client,
        scopes=token.scopes,
        id=token.authorization,
        user=made.user,
        patient=made.patient,
        encounter=made.encounter,
        role=made.role,
        purposes=made.purposes,
        actors=made.actors,
        study=made.study,
        emergency=made.emergency,
        expires=token.expires,
    )


async def _list(server: Server, name: str, id: str) -> None:
    """Add an authorization to those of its user; those that have ended make room."""
    while True:
        found = await load(server.store, f"apps/{name}", Apps)
        ids, version = (found[0].ids, found[1]) if found else ((), 0)
        if len(ids) >= MOST_APPS:
            ids = tuple([one for one, _ in await granted_to(server, name)])
        if await save(server.store, f"apps/{name}", Apps((*ids, id)), version):
            return
