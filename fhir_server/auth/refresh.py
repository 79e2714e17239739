"""Refresh tokens: each is used once and replaced; one that comes again ends all that was granted with it.
https://www.rfc-editor.org/rfc/rfc9700#section-4.14, https://hl7.org/fhir/smart-app-launch/app-launch.html#refresh-access-token"""

from collections.abc import Mapping
from typing import Any

import msgspec

from fhir_server.access.scopes import narrower
from fhir_server.auth.errors import OAuthError, invalid_request
from fhir_server.auth.records import Authorization, Client, digest, fresh, load, save
from fhir_server.auth.response import Context, response
from fhir_server.auth.session import lives
from fhir_server.auth.tokens import revoke
from fhir_server.auth.users import user_of
from fhir_server.server import Server

LIFETIME = 100 * 24 * 3600 * 1_000_000  # µs without use after which offline access ends
GRACE = 10 * 1_000_000  # µs in which a client that lost the answer may ask again


class Refresh(msgspec.Struct, frozen=True, kw_only=True):
    """A refresh token. State key `refresh/[digest]`."""

    authorization: str
    client: str
    scopes: tuple[str, ...]
    context: Context
    expires: int
    used: int = 0  # when it was replaced


def refreshable(client: Client, scopes: tuple[str, ...]) -> bool:
    """Whether a client that was granted these scopes is given refresh tokens."""
    return "refresh_token" in client.grants and bool({"offline_access", "online_access"} & set(scopes))


async def given(server: Server, id: str, authorization: Authorization, context: Context) -> str:
    """A new refresh token for an authorization, good for as long as that is."""
    token = fresh()
    record = Refresh(
        authorization=id,
        client=authorization.client,
        scopes=authorization.scopes,
        context=context,
        expires=authorization.expires,
    )
    await save(server.store, f"refresh/{digest(token)}", record, expires=record.expires)
    return token


async def renew(server: Server, client: Client, form: Mapping[str, str]) -> dict[str, Any]:
    """The token response for a refresh token. Raises OAuthError 400 (invalid_grant, invalid_scope and others)."""
    token = form.get("refresh_token", "")
    if not token:
        raise invalid_request("refresh_token is missing.")
    if "refresh_token" not in client.grants:
        raise OAuthError(400, "unauthorized_client", "This client is not registered for refresh tokens.")
    key = f"refresh/{digest(token)}"
    while True:
        found = await load(server.store, key, Refresh)
        if found is None or found[0].client != client.id:
            raise _bad()
        refresh, version = found
        id, now = refresh.authorization, server.clock()
        made = await load(server.store, f"authorization/{id}", Authorization)
        if made is None or refresh.expires <= now or not await _stands(server, made[0]):
            raise _bad()
        if refresh.used and now - refresh.used > GRACE:
            await revoke(server, id)
            raise _bad()
        scopes = refresh.scopes
        if asked := form.get("scope", ""):
            scopes = tuple(dict.fromkeys(asked.split()))
            if not scopes or not narrower(server.definitions, asked, refresh.scopes):
                raise OAuthError(400, "invalid_scope", "A refresh can only ask for what was granted, or for less.")
        if refresh.used:
            break
        used = msgspec.structs.replace(refresh, used=now)
        if await save(server.store, key, used, version, refresh.expires):
            break
    authorization = await _prolonged(server, id)
    answer = await response(server, id, authorization, scopes, refresh.context)
    return answer | {"refresh_token": await given(server, id, authorization, refresh.context)}


async def named(server: Server, headers: Mapping[bytes, bytes], form: dict[str, str]) -> dict[str, str]:
    """The form with the client_id that its refresh token is of, if it says nothing of who asks.

    npm's `fhirclient` leaves it out. A public client proves nothing by its id; any other still has to authenticate.
    """
    silent = not {"client_id", "client_assertion"} & form.keys() and b"authorization" not in headers
    if form.get("grant_type") != "refresh_token" or not silent:
        return form
    found = await load(server.store, f"refresh/{digest(form.get('refresh_token', ''))}", Refresh)
    return form | {"client_id": found[0].client} if found else form


async def living(server: Server, token: str) -> tuple[Refresh, Authorization] | None:
    """The records of a refresh token that could be used now, for introspection and revocation."""
    found = await load(server.store, f"refresh/{digest(token)}", Refresh)
    if found is None or found[0].used or found[0].expires <= server.clock():
        return None
    made = await load(server.store, f"authorization/{found[0].authorization}", Authorization)
    return (found[0], made[0]) if made is not None and await _stands(server, made[0]) else None


async def _stands(server: Server, authorization: Authorization) -> bool:
    """Whether the user may still act, and the session goes on if all hangs on it."""
    user = await user_of(server.store, authorization.name)
    if user is None or user.disabled or authorization.expires <= server.clock():
        return False
    return not authorization.session or await lives(server, authorization.session)


async def _prolonged(server: Server, id: str) -> Authorization:
    """The authorization, if it is an offline one from now on for another LIFETIME. Raises OAuthError if it is gone."""
    while found := await load(server.store, f"authorization/{id}", Authorization):
        authorization, version = found
        if authorization.session:
            return authorization
        longer = msgspec.structs.replace(authorization, expires=server.clock() + LIFETIME)
        if await save(server.store, f"authorization/{id}", longer, version, longer.expires):
            return longer
    raise _bad()


def _bad() -> OAuthError:
    return OAuthError(400, "invalid_grant", "The refresh token is unknown, used, expired, withdrawn or another's.")
