"""An authorization request: checked once, then kept until the person has decided.
https://hl7.org/fhir/smart-app-launch/app-launch.html#obtain-authorization-code

Until client and redirect URI are known to belong together nothing is sent to the redirect URI: a page says what is
wrong. From then on refusals go to the client, with its state and with our issuer (RFC 9207).
"""

import re
from collections.abc import Sequence
from urllib.parse import urlencode, urlsplit

import msgspec

from fhir_server.access.scopes import grantable, read_scope
from fhir_server.auth.clients import client_of
from fhir_server.auth.launch import Launch, take
from fhir_server.auth.records import Client, digest, fresh, load, save
from fhir_server.server import Server

LIFETIME = 900 * 1_000_000  # µs in which the person signs in and decides
LONGEST = 8000  # characters of all parameters
_CHALLENGE = re.compile(r"[A-Za-z0-9_\-]{43}", re.ASCII)  # SHA-256 in base64url
_LOOPBACK = re.compile(r"(http://(?:127\.0\.0\.1|\[::1\]))(?::[1-9][0-9]{0,4})?(/.*)?", re.ASCII)
_SESSION_SCOPES = frozenset({"offline_access", "online_access"})

Parameters = Sequence[tuple[str, str]]


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """A checked request. State key `flow/[digest of its id]`."""

    client: str
    redirect: str
    scopes: tuple[str, ...]  # the most that the person can grant
    challenge: str
    aud: str
    state: str | None = None
    nonce: str = ""
    launch: Launch | None = None  # what an EHR launched it with
    expires: int = 0


class Refused(Exception):
    """Shown to the person as a page, and to nobody else."""

    def __init__(self, status: int, title: str, text: str) -> None:
        super().__init__(text)
        self.status, self.title, self.text = status, title, text


class Sent(Exception):
    """The browser goes back to the client with these parameters: an error, or a code."""

    def __init__(self, server: Server, flow: Flow, **parameters: str) -> None:
        super().__init__(parameters.get("error", "code"))
        said = parameters | ({"state": flow.state} if flow.state is not None else {}) | {"iss": server.settings.issuer}
        self.url = flow.redirect + ("&" if urlsplit(flow.redirect).query else "?") + urlencode(said)


async def begun(server: Server, parameters: Parameters) -> str:
    """Check a request and keep it; returns its id. Raises Refused or Sent."""
    flow = await _checked(server, parameters)
    id = fresh()
    await save(server.store, f"flow/{digest(id)}", flow, expires=flow.expires)
    return id


async def flow_of(server: Server, id: str) -> Flow:
    """The request of an id. Raises Refused if there is none: it was answered, or too much time went by."""
    found = await load(server.store, f"flow/{digest(id)}", Flow)
    if found is None or found[0].expires <= server.clock():
        raise Refused(400, "This request is over", "It was answered already or has expired. Start again in the app.")
    return found[0]


async def ended(server: Server, id: str) -> bool:
    """Close a request; True for exactly one of those who try."""
    return await server.store.delete_state(f"flow/{digest(id)}")


def needs_patient(scopes: Sequence[str]) -> bool:
    """Whether these scopes mean one patient: then there is no token without one."""
    return any(scope == "launch/patient" or scope.startswith("patient/") for scope in scopes)


def registered(client: Client, uri: str) -> bool:
    """Whether a redirect URI is the client's, character by character.

    Only the port of a native app's loopback address is free, if it was registered without one (RFC 8252, 7.3).
    """
    if uri in client.redirects:
        return True
    found = _LOOPBACK.fullmatch(uri)
    return found is not None and client.kind == "public" and found[1] + (found[2] or "") in client.redirects


async def _checked(server: Server, parameters: Parameters) -> Flow:
    if sum(len(name) + len(value) for name, value in parameters) > LONGEST:
        raise Refused(400, "The app's request is too long", f"Its parameters exceed {LONGEST} characters.")
    given = dict(parameters)
    twice = {name for name, _ in parameters if sum(name == other for other, _ in parameters) > 1}
    client = await client_of(server.store, given.get("client_id", ""))
    if client is None or "client_id" in twice:
        raise Refused(400, "This app is not registered here", "Its client_id is missing or unknown.")
    redirect = given.get("redirect_uri", "")
    if "redirect_uri" in twice or not registered(client, redirect):
        raise Refused(400, "The app's address is not registered", "Its redirect_uri is missing or not one of its own.")
    flow = Flow(
        client=client.id,
        redirect=redirect,
        scopes=(),
        challenge=given.get("code_challenge", ""),
        aud=given.get("aud", ""),
        state=given.get("state"),
        nonce=given.get("nonce", ""),
        expires=server.clock() + LIFETIME,
    )
    error = _wrong(server, client, given, twice)
    if error:
        raise Sent(server, flow, error=error[0], error_description=error[1])
    launch = None
    if "launch" in given:
        launch = await take(server, given["launch"], client.id)
        if launch is None:
            text = "The launch is unknown, used, expired or another app's."
            raise Sent(server, flow, error="invalid_request", error_description=text)
    scopes = offered(server, client, given.get("scope", ""), launch)
    if not any(scope not in _SESSION_SCOPES for scope in scopes):
        text = "None of the scopes can be granted to this client."
        raise Sent(server, flow, error="invalid_scope", error_description=text)
    return msgspec.structs.replace(flow, scopes=scopes, launch=launch)


def _wrong(server: Server, client: Client, given: dict[str, str], twice: set[str]) -> tuple[str, str] | None:
    """What is wrong with a request: an error of RFC 6749 and its description."""
    if twice:
        return "invalid_request", "A parameter is given twice."
    if "request" in given or "request_uri" in given:
        return "request_not_supported", "Request objects are not supported."
    if not given.get("response_type"):
        return "invalid_request", "response_type is missing."
    if given["response_type"] != "code":
        return "unsupported_response_type", "The response_type must be code."
    if "authorization_code" not in client.grants:
        return "unauthorized_client", "This client is not registered for authorization codes."
    if given.get("response_mode", "query") != "query":
        return "invalid_request", "The response_mode must be query."
    if given.get("code_challenge_method") != "S256":
        return "invalid_request", "PKCE is required: code_challenge_method must be S256."
    if not _CHALLENGE.fullmatch(given.get("code_challenge", "")):
        return "invalid_request", "PKCE is required: code_challenge must be a SHA-256 in base64url, 43 characters."
    if given.get("aud", "").removesuffix("/") != server.settings.base:
        return "invalid_request", f"The aud must be {server.settings.base}"
    if "none" in given.get("prompt", "").split():
        return "interaction_required", "The person is always asked."
    return None


def offered(server: Server, client: Client, asked: str, launch: Launch | None) -> tuple[str, ...]:
    """The scopes that the person can grant: no system/ ones, none for refreshing if the client cannot refresh."""
    found = []
    for text in grantable(server.definitions, asked, client.scopes):
        scope = read_scope(server.definitions, text)
        if scope is not None and scope.context == "system":
            continue
        if text in _SESSION_SCOPES and "refresh_token" not in client.grants:
            continue
        if text == "launch" and launch is None:
            continue
        found.append(text)
    return tuple(found)
