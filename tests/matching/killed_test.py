"""After random edits, while the process that follows them is killed (`kill -9`) each time, a full run changes nothing.

`make test` kills a few times, `make test-deep` 100 times on each store, for 10,000 edits. docs/testing.md
"""

import asyncio
import signal
from random import Random

import pytest

from fhir_server.app import open_server
from fhir_server.fhir.codec import decode
from fhir_server.matching.follow import FEED, HOLDER
from fhir_server.matching.match import match
from fhir_server.search.predicate import EVERYTHING
from fhir_server.server import Server
from fhir_server.settings import Settings
from fhir_server.store.seam import Query
from tests.deep import deep
from tests.matching import world as w
from tests.matching.follow_test import delete, edits, settled
from tests.matching.match_test import put
from tests.serving import served

pytestmark = pytest.mark.anyio
KILLS, EDITS = deep(2, 100), deep(12, 100)
BEGUN = 60.0  # seconds in which a new process has taken its first step, at the latest


async def steps(server: Server) -> int:
    """How often anybody has noted how far the matcher came."""
    found = await server.store.get_state(FEED)
    return found[1] if found else 0


async def begun(server: Server, before: int) -> None:
    """Wait until the new process follows."""
    for _ in range(int(BEGUN * 50)):
        if await steps(server) > before:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("Nobody follows the feed.")


async def edited(server: Server, random: Random) -> None:
    changes = {(one["resourceType"], one["id"]): one for one in edits(random)}
    await put(server, *changes.values())
    if random.random() < 0.1:
        await delete(server, "Observation", random.choice(("p-tmb", "q-ecog", "r-var")))


@pytest.mark.timeout(120 + 40 * KILLS)
async def test_whoever_follows_may_be_killed_at_any_time(store_url: str) -> None:
    random, statuses = Random(3), set[str]()
    settings = Settings(store=store_url, auth="open", access_log=False, match=False)
    async with open_server(settings) as server:
        for who in ("p", "q", "r"):
            await put(server, w.patient(who), w.consent(f"{who}-yes", of=who), *w.fitting_record(who))
        await put(server, *w.worked_example())
        for kill in range(KILLS):
            before = await steps(server)
            with served(store_url, FHIR_SERVER_ACCESS_LOG="false") as child:
                await edited(server, random)
                await begun(server, before)
                for _ in range(EDITS - 1):
                    await edited(server, random)
                    await asyncio.sleep(random.random() * 0.02)
                await asyncio.sleep(random.random() * 0.2)
                child.process.send_signal(signal.SIGKILL)
                child.process.wait()
            await server.store.delete_state(HOLDER)  # as if its lease had run out
            await settled(server)
            summary = await match(server)
            assert (summary.written, summary.unfinished) == (0, 0), kill
            async for row in server.store.scan(Query(("ResearchSubject",), EVERYTHING)):
                statuses.add(decode(row.body)["status"])
    assert statuses, "there was something to follow"
