"""Processes of their own: two workers, and kill -9 between journal and fold. https://www.rfc-editor.org/rfc/rfc5424"""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from fhir_server.app import open_server
from fhir_server.audit.fold import HOLDER, fold
from fhir_server.audit.journal import PREFIX
from fhir_server.auth.clients import register
from fhir_server.auth.records import Authorization, Client
from fhir_server.auth.tokens import authorize, issue
from fhir_server.fhir.codec import decode
from fhir_server.search.predicate import EVERYTHING
from fhir_server.server import Server
from fhir_server.settings import Settings
from fhir_server.store.seam import Query
from tests.audit.trail import count, interaction
from tests.serving import Served, served

SMART = {"FHIR_SERVER_AUTH": "smart", "FHIR_SERVER_ACCESS_LOG": "no"}
SCOPES = ("system/*.cruds",)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Server]:
    """The store as this process sees it."""
    async with open_server(Settings(store=url, auth="smart")) as server:
        yield server


async def token(url: str) -> dict[str, str]:
    """The header of an EHR that is registered here."""
    async with opened(url) as server:
        await register(server, Client(id="ehr", name="ehr", kind="public", scopes=SCOPES))
        made = Authorization(client="ehr", scopes=SCOPES, role="ehr")
        id = await authorize(server, made)
        return {"authorization": f"Bearer {await issue(server, id, made, SCOPES, 3600)}"}


async def reads(server: Served, headers: dict[str, str], times: int) -> int:
    """Read one patient so many times at once; how often that was answered."""
    limits = httpx2.Limits(max_connections=16)
    async with httpx2.AsyncClient(limits=limits, timeout=60, headers=headers) as client:
        asked = (client.get(f"{server.base}/Patient/p1") for _ in range(times))
        answers = await asyncio.gather(*asked, return_exceptions=True)
    return sum(isinstance(one, httpx2.Response) and one.status_code == 200 for one in answers)


async def write_patient(server: Served, headers: dict[str, str]) -> None:
    async with httpx2.AsyncClient(headers={**headers, "content-type": "application/fhir+json"}) as client:
        body = {"resourceType": "Patient", "id": "p1"}
        assert (await client.put(f"{server.base}/Patient/p1", json=body)).status_code == 201


async def events(server: Server) -> list[dict[str, Any]]:
    """All AuditEvents."""
    return [decode(row.body) async for row in server.store.scan(Query(("AuditEvent",), EVERYTHING))]


def counted(found: list[dict[str, Any]], name: str) -> int:
    return sum(count(one) for one in found if interaction(one) == name)


@pytest.mark.timeout(300)
async def test_kill_between_journal_and_fold_loses_and_doubles_nothing(store_url: str) -> None:
    """What was answered is journalled; the next process, which finds the lease of a dead one, folds it."""
    headers = await token(store_url)
    answered = 0
    with served(store_url, **SMART) as server:
        await write_patient(server, headers)
        answered += await reads(server, headers, 300)
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
    assert answered == 300
    async with opened(store_url) as here:
        assert await here.store.get_state(HOLDER) is not None, "the dead process has the lease"
        journalled = counted(await events(here), "read")
        rows = await here.store.list_state(PREFIX, 1000)
        assert journalled < 300 or not rows
        await fold(here)
        await fold(here)
        found = await events(here)
    assert counted(found, "read") == 300
    assert counted(found, "update") == 1


@pytest.mark.timeout(300)
async def test_killed_again_and_again_while_it_folds(store_url: str) -> None:
    """Every answered read is counted at least once, and none that was not asked for."""
    headers = await token(store_url)
    asked = answered = 0
    for number in range(4):
        with served(store_url, **SMART) as server:
            if not number:
                await write_patient(server, headers)
            task = asyncio.create_task(reads(server, headers, 200))
            await asyncio.sleep(0.05 + 0.1 * number)
            server.process.send_signal(signal.SIGKILL)
            server.process.wait()
            asked += 200
            answered += await task
    async with opened(store_url) as here:
        await fold(here)
        found = counted(await events(here), "read")
    assert answered <= found <= asked


@pytest.mark.timeout(300)
async def test_two_workers_make_the_events_themselves_in_time(store_url: str) -> None:
    """Nothing is driven by hand here: within 60 seconds what both journalled is there, with one fold at a time."""
    headers = await token(store_url)
    with served(store_url, "--workers", "2", **SMART) as server:
        await write_patient(server, headers)
        assert await reads(server, headers, 200) == 200
        done = time.monotonic()
        async with opened(store_url) as here:
            while counted(await events(here), "read") < 200:
                assert time.monotonic() - done < 60
                await asyncio.sleep(0.5)
            assert counted(await events(here), "read") == 200
            assert len({one["id"] for one in await events(here)}) == len(await events(here))
