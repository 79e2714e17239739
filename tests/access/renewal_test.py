"""Rules are made anew by what the server knows at that time. docs/decisions/0011-consent.md"""

import asyncio
from dataclasses import replace

import pytest

from fhir_server.access import renewal
from fhir_server.access.policy import DUE
from fhir_server.access.renewal import renewing
from fhir_server.app import open_server
from fhir_server.server import Server
from fhir_server.settings import Settings


async def test_each_look_asks_for_the_site_as_it_is(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One look is of a clock by which nothing is due, the next of another."""
    monkeypatch.setattr(renewal, "PERIOD", 0.01)
    async with open_server(Settings(store=store_url, auth="open")) as server:
        at = server.clock() + 10**12
        await server.store.put_state(f"{DUE}{at:020}/p", b"", 0)
        late = replace(server, consents=replace(server.consents, clock=lambda: at))
        looks, over = [server, server, late], asyncio.Event()

        async def current() -> Server:
            if not looks:  # the last look has ended
                over.set()
                return server
            assert await server.store.list_state(DUE, 10)
            return looks.pop(0)

        async with renewing(current):
            await asyncio.wait_for(over.wait(), 20)
        assert not await server.store.list_state(DUE, 10)
