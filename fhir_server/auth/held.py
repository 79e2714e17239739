"""What a client may hold, by any text that it shows: for introspection and revocation. https://www.rfc-editor.org/rfc/rfc7009"""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from fhir_server.auth.records import Authorization
from fhir_server.auth.refresh import living
from fhir_server.auth.tokens import revoke, revoke_token, token_of
from fhir_server.server import Server


class Held(NamedTuple):
    """A token that lives: what it rests on, what it is good for, and how it alone is withdrawn."""

    authorization: Authorization
    scopes: tuple[str, ...]
    expires: int  # microseconds since 1970
    withdraw: Callable[[], Awaitable[None]]


async def access_token(server: Server, token: str) -> Held | None:
    """An access token of ours."""
    found = await token_of(server, token)
    if found is None:
        return None
    return Held(found[1], found[0].scopes, found[0].expires, lambda: revoke_token(server, token))


async def refresh_token(server: Server, token: str) -> Held | None:
    """A refresh token: with it go all access tokens of its authorization."""
    found = await living(server, token)
    if found is None:
        return None
    refresh, made = found
    return Held(made, refresh.scopes, refresh.expires, lambda: revoke(server, refresh.authorization))


# Every kind of token, each asked in turn.
KINDS: tuple[Callable[[Server, str], Awaitable[Held | None]], ...] = (access_token, refresh_token)


async def held(server: Server, token: str) -> Held | None:
    """The token of any kind that this text is; None if it is none that lives."""
    for kind in KINDS:
        if found := await kind(server, token):
            return found
    return None
