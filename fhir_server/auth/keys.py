"""Our own signing keys, shared by all processes and renewed before they are old. https://www.rfc-editor.org/rfc/rfc7517

A key is published a day before it signs, so that nobody's copy of the set lacks it, and stays published until what it
signed has expired.
"""

import asyncio
import secrets
from itertools import zip_longest
from typing import Any

import msgspec

from fhir_server.auth.jose import SigningKey, new_keys, public
from fhir_server.auth.records import load, save
from fhir_server.store.seam import Store

STATE = "keys"
DAY = 86_400_000_000  # microseconds
IN_USE = 90 * DAY
AHEAD = DAY  # how long before its use a key is published
AFTER = DAY  # how long after its use: more than any id_token lives
CACHED = 3600  # seconds for which others may keep the published set: far less than AHEAD


class Generation(msgspec.Struct, frozen=True):
    """The keys of one period, which sign from `begins` until those of the next period do."""

    begins: int
    keys: tuple[SigningKey, ...]


class Generations(msgspec.Struct, frozen=True):
    """State `keys`: oldest first."""

    all: tuple[Generation, ...] = ()


async def signing_keys(store: Store, now: int) -> tuple[SigningKey, ...]:
    """The keys that sign at `now` (microseconds), one for each algorithm; made by whoever asks first."""
    known = await _current(store, now)
    return ([one for one in known if one.begins <= now] or [known[0]])[-1].keys


async def published(store: Store, now: int) -> dict[str, Any]:
    """The JWK set by which others check what we signed or will sign: public members only."""
    return {"keys": [public(key) for one in await _current(store, now) for key in one.keys]}


async def _current(store: Store, now: int) -> tuple[Generation, ...]:
    """All generations, after renewal if it is due."""
    while True:
        found = await load(store, STATE, Generations)
        known, version = found or (Generations(), 0)
        after = [one.begins for one in known.all[1:]]
        kept = tuple(one for one, ends in zip_longest(known.all, after) if ends is None or ends + AFTER > now)
        due = not kept or kept[-1].begins + IN_USE - AHEAD <= now
        if due:
            # The first signs at once. After a long sleep the old one signs for another day, until the new one is known.
            begins = now if not kept else max(kept[-1].begins + IN_USE, now + AHEAD)
            keys = await asyncio.to_thread(new_keys, secrets.token_hex(8))
            kept = (*kept, Generation(begins, keys))
        if kept == known.all or await save(store, STATE, Generations(kept), version):
            return kept
