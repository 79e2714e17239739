"""How often one address or client may call the authorization server. https://www.rfc-editor.org/rfc/rfc6819#section-4.4.3

Each process counts for itself, in windows of a minute. A client's count goes up only by what it did itself, proven:
nobody can lock a client out by failing in its name. Whoever guesses is stopped by address.
"""

from ipaddress import IPv6Address, ip_address

from starlette.requests import Request

from fhir_server.auth.errors import OAuthError
from fhir_server.server import Server

WINDOW = 60.0  # seconds
FAILURE = 20  # requests that one which was refused counts for


def address(request: Request) -> str:
    """Who calls, by network address: an IPv6 network of a household or host counts as one."""
    host = request.client.host if request.client else ""
    try:
        found = ip_address(host)
    except ValueError:
        return f"address/{host}"
    if isinstance(found, IPv6Address):
        return f"address/{found.ipv4_mapped or IPv6Address(int(found) >> 64 << 64)}"
    return f"address/{found}"


def count(server: Server, key: str, cost: int = 1) -> None:
    """Count a call of `key`, which is `address(...)` or `client/[id]` or another name of who acts.

    Raises OAuthError 429 with Retry-After if there were too many in this minute.
    """
    limit = server.settings.rate_limit
    if not limit:
        return
    now = server.clock() / 1_000_000
    begun, number = server.asked.get(key) or (now, 0)
    if now - begun >= WINDOW:
        begun, number = now, 0
    left = begun + WINDOW - now
    server.asked.put(key, (begun, number + cost), left)
    if number + cost > limit:
        wait = str(max(1, round(left)))
        raise OAuthError(429, "slow_down", f"Too many requests: try again in {wait} s.", {"Retry-After": wait})


def failed(server: Server, key: str) -> None:
    """Count a call that was refused; the refusal itself is answered, what comes after it may not be."""
    try:
        count(server, key, FAILURE - 1)
    except OAuthError:
        return
