"""Who is signed in on a browser: a cookie, a record in State, and the token that forms must carry.
https://cheatsheetseries.owasp.org/cheatsheets/Session_Management_Cheat_Sheet.html

The cookie is a fresh secret from the first page on, and another fresh one after signing in: what an attacker planted
in a browser is worth nothing afterwards.
"""

import hmac
from typing import NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from fhir_server.auth.records import User, digest, fresh, load, save
from fhir_server.auth.users import user_of
from fhir_server.server import Server

LIFETIME = 8 * 3600  # seconds


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A signed-in browser. State key `session/[digest of its cookie]`. Times are microseconds since 1970."""

    name: str  # of the User
    made: int
    expires: int


class Visit(NamedTuple):
    """A request's browser: its cookie ("" without one), and who is signed in there."""

    cookie: str
    user: User | None = None
    session: Session | None = None

    @property
    def id(self) -> str:
        """What the session is known by elsewhere: the cookie cannot be found from it."""
        return digest(self.cookie)


async def visit(server: Server, request: Request) -> Visit:
    """Whose browser this is. A session whose user is disabled or gone is none."""
    cookie = request.cookies.get(_name(server), "")
    if not cookie:
        return Visit("")
    found = await load(server.store, f"session/{digest(cookie)}", Session)
    if found is None or found[0].expires <= server.clock():
        return Visit(cookie)
    user = await user_of(server.store, found[0].name)
    return Visit(cookie) if user is None or user.disabled else Visit(cookie, user, found[0])


async def begin(server: Server, user: User) -> Visit:
    """Sign a user in, under a new cookie."""
    now = server.clock()
    session = Session(name=user.name, made=now, expires=now + LIFETIME * 1_000_000)
    cookie = fresh()
    await save(server.store, f"session/{digest(cookie)}", session, expires=session.expires)
    return Visit(cookie, user, session)


async def end(server: Server, seen: Visit) -> None:
    """Sign out."""
    await server.store.delete_state(f"session/{seen.id}")


async def lives(server: Server, id: str) -> bool:
    """Whether a session of this id (Visit.id) is still going on."""
    found = await load(server.store, f"session/{id}", Session)
    return found is not None and found[0].expires > server.clock()


def csrf(cookie: str) -> str:
    """What every form of a browser with this cookie carries: only our pages know it."""
    return digest(f"form {cookie}")


def sound(seen: Visit, token: str) -> bool:
    """Whether a form's token belongs to the browser that sends it."""
    return bool(seen.cookie) and hmac.compare_digest(csrf(seen.cookie).encode(), token.encode("utf-8", "replace"))


def give(server: Server, response: Response, cookie: str) -> None:
    """Set the cookie: out of reach of scripts, and of requests that other sites make."""
    secure = server.settings.base.startswith("https:")
    response.set_cookie(_name(server), cookie, max_age=LIFETIME, path="/", secure=secure, httponly=True, samesite="lax")


def _name(server: Server) -> str:
    """With the prefix of https, browsers take the cookie from this host and over TLS only."""
    return "__Host-fhir-session" if server.settings.base.startswith("https:") else "fhir-session"
