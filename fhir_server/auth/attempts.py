"""How often somebody may try a password: by name, by address, and by both. https://pages.nist.gov/800-63-4/sp800-63b.html#throttle

Counted in State before the password is checked, so that many tries at once, at any number of processes, are no way
around it. The tight limit is on a name from one address: a stranger cannot lock the owner of a name out with it.
"""

import msgspec

from fhir_server.auth.records import digest, load, save
from fhir_server.auth.users import folded
from fhir_server.server import Server

WINDOW = 900 * 1_000_000  # µs
PAIR, NAME, ADDRESS = 5, 30, 100  # failures within the window


class Tries(msgspec.Struct, frozen=True):
    """Failures since the beginning of a window. State key `tries/[digest of what is counted]`."""

    count: int
    until: int


async def counted(server: Server, name: str, address: str) -> bool:
    """Count one try; False if there were too many, so that the password must not even be looked at."""
    return all([await _count(server, key, limit) for key, limit in _keys(name, address)])


async def forgiven(server: Server, name: str, address: str) -> None:
    """Take the try back that was counted: it succeeded."""
    for key, _ in _keys(name, address):
        while (found := await load(server.store, key, Tries)) is not None:
            tries, version = found
            less = Tries(max(tries.count - 1, 0), tries.until)
            if await save(server.store, key, less, version, tries.until):
                break


async def _count(server: Server, key: str, limit: int) -> bool:
    while True:
        now = server.clock()
        found = await load(server.store, key, Tries)
        tries, version = found or (Tries(0, now + WINDOW), 0)
        if tries.until <= now:
            tries = Tries(0, now + WINDOW)
        if tries.count >= limit:
            return False
        if await save(server.store, key, Tries(tries.count + 1, tries.until), version, tries.until):
            return True


def _keys(name: str, address: str) -> list[tuple[str, int]]:
    name = folded(name)
    return [
        (f"tries/{digest(f'both {name} {address}')}", PAIR),
        (f"tries/{digest(f'name {name}')}", NAME),
        (f"tries/{digest(f'address {address}')}", ADDRESS),
    ]
