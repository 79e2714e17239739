"""Key sets fetched from where a client or issuer publishes them, and from nowhere else.
https://hl7.org/fhir/smart-app-launch/client-confidential-asymmetric.html

The address is chosen by whoever registered, so it could point into our own network: a name is resolved here, every
address it has must be a public one, and the connection goes to the address that was checked, not to the name again.
"""

import asyncio
import json
import re
import socket
from functools import cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from time import monotonic
from typing import Any
from urllib.parse import SplitResult, urlsplit

import httpx2

from fhir_server.auth import jose
from fhir_server.server import Server

LARGEST = 1_000_000  # bytes
PATIENCE = 5.0  # seconds for all of it
KEPT = 300.0  # seconds, where Cache-Control says nothing
LONGEST = 3600.0  # seconds, whatever Cache-Control says
COOLDOWN = 30.0  # seconds between two fetches for keys that were not there
AFTER_FAILURE = 5.0  # seconds
_NAT64 = IPv6Network("64:ff9b::/96")
_AGE = re.compile(r"(?:^|[\s,])max-age\s*=\s*\"?(\d{1,9})", re.IGNORECASE)
VERIFIED = cache(httpx2.create_ssl_context)  # by the certificates of the system; made once, it takes 20 ms


class Unfetchable(Exception):
    """A key set that cannot be had; the message says why."""


class Fetched:
    """What is remembered of one address: the set or why there is none, and one lock for who fetches it."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.keys: dict[str, Any] | None = None
        self.failure = ""
        self.until = 0.0
        self.forced = -COOLDOWN


async def keys_for(server: Server, url: str, token: str) -> dict[str, Any]:
    """The key set at a registered address; fetched again, now and then, if it lacks the key of the token.

    Raises Unfetchable, and jose.BadToken for a set that is none.
    """
    found: Fetched = server.key_sets.get(url) or Fetched()
    server.key_sets.put(url, found, LONGEST * 24)
    async with found.lock:
        if monotonic() >= found.until:
            await _refresh(server, url, found)
        elif found.keys is not None and not jose.has_key(token, found.keys) and monotonic() >= found.forced + COOLDOWN:
            found.forced = monotonic()
            await _refresh(server, url, found)
        if found.keys is None:
            raise Unfetchable(found.failure)
        return found.keys


async def _refresh(server: Server, url: str, found: Fetched) -> None:
    found.keys, found.failure = None, ""
    try:
        found.keys, seconds = await fetch(url, frozenset(server.settings.jwks_hosts.split()))
    except (Unfetchable, jose.BadToken) as error:
        found.failure, seconds = str(error), AFTER_FAILURE
    found.until = monotonic() + seconds


def checked_url(url: str, allowed: frozenset[str]) -> SplitResult:
    """The parts of an address from which keys may be fetched, as far as its spelling tells. Raises Unfetchable."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or not url.isascii() or not url.isprintable() or " " in url or len(url) > 2000:
        raise Unfetchable("The address of the key set is no URL.")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise Unfetchable("The address of a key set has no user, password or fragment.")
    if parts.scheme != "https" and not (parts.scheme == "http" and host in allowed):
        raise Unfetchable("The address of a key set begins with https://.")
    return parts


async def fetch(url: str, allowed: frozenset[str]) -> tuple[dict[str, Any], float]:
    """The key set at an address and the seconds it may be kept. Raises Unfetchable, jose.BadToken."""
    parts = checked_url(url, allowed)
    try:
        async with asyncio.timeout(PATIENCE):
            address = await _address(parts, allowed)
            return await _get(parts, address)
    except TimeoutError:
        raise Unfetchable(f"The key set was not there within {PATIENCE:.0f} seconds.") from None
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
        raise Unfetchable(f"The key set cannot be fetched ({type(error).__name__}).") from None


async def _get(parts: SplitResult, address: str) -> tuple[dict[str, Any], float]:
    host = parts.hostname or ""
    netloc = (f"[{address}]" if ":" in address else address) + (f":{parts.port}" if parts.port else "")
    named = (f"[{host}]" if ":" in host else host) + (f":{parts.port}" if parts.port else "")
    headers = {"Accept": "application/json", "Accept-Encoding": "identity", "Host": named}
    # The certificate is checked against the name, whatever address it was found at.
    extensions = {"sni_hostname": host} if parts.scheme == "https" else {}
    target = parts._replace(netloc=netloc).geturl()
    async with (
        httpx2.AsyncClient(verify=VERIFIED(), trust_env=False, follow_redirects=False, timeout=PATIENCE) as client,
        client.stream("GET", target, headers=headers, extensions=extensions) as answer,
    ):
        if answer.status_code != 200:
            raise Unfetchable(f"The key set was answered with status {answer.status_code}.")
        body = b""
        async for chunk in answer.aiter_raw():
            body += chunk
            if len(body) > LARGEST:
                raise Unfetchable("The key set is too large.")
        try:
            found = json.loads(body.decode())
        except (ValueError, RecursionError):
            raise Unfetchable("The key set is no JSON.") from None
        if not isinstance(found, dict) or not isinstance(found.get("keys"), list):
            raise Unfetchable('The key set is not {"keys": [...]}.')
        return found, lifetime(answer.headers.get("cache-control", ""))


def lifetime(control: str) -> float:
    """The seconds for which Cache-Control allows an answer to be kept; KEPT if it does not say, never over LONGEST."""
    if re.search(r"\bno-(store|cache)\b", control, re.IGNORECASE):
        return 0.0
    age = _AGE.search(control)
    return min(float(age[1]), LONGEST) if age else KEPT


async def _address(parts: SplitResult, allowed: frozenset[str]) -> str:
    """One address of the host. Raises Unfetchable unless all that it has are public, or the host is an allowed one."""
    host, loop = parts.hostname or "", asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, parts.port or parts.scheme, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Unfetchable("The host of the key set has no address.") from None
    addresses = [str(row[4][0]).split("%")[0] for row in found]
    if not addresses or (host not in allowed and not all(public(ip_address(one)) for one in addresses)):
        raise Unfetchable("The host of the key set has no public address.")
    return addresses[0]


def public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address lies outside every private, local, reserved or translated network."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if address.teredo is not None or (inner is not None and not public(inner)):
            return False
        if inner is not None:
            return True
    return address.is_global and not address.is_multicast and not address.is_reserved
