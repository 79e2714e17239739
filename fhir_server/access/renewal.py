"""Rules end with time: periods end, children come of age. Then they are made anew. docs/decisions/0011-consent.md

Any process does it, and two may at once: the outcome is the same. Until it is done what they concern is hidden.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from fhir_server.access.policy import DUE, Ruled
from fhir_server.access.subjects import patients_in
from fhir_server.access.write import Site, renew
from fhir_server.search.predicate import EVERYTHING
from fhir_server.store.seam import Busy, Conflict, Query, Stored, StoreError, Tx

PERIOD = 1.0  # seconds between two looks
MOST = 100  # persons in one look
BATCH = 200  # rows in one transaction

log = logging.getLogger("fhir_server")


@asynccontextmanager
async def renewing(current: Callable[[], Awaitable[Site]]) -> AsyncIterator[None]:
    """While the server serves: make rules anew when their time is over. `current`: the site as it is now, with the
    terminology imported last."""
    task = asyncio.create_task(_renew_for_ever(current))
    try:
        yield
    finally:
        while not task.done():  # once may be lost: interactions/job_run.py, stop
            task.cancel()
            await asyncio.wait([task], timeout=0.5)
        await asyncio.gather(task, return_exceptions=True)


async def _renew_for_ever(current: Callable[[], Awaitable[Site]]) -> None:
    while True:
        try:
            await renew_due(await current())
        except (Busy, Conflict, StoreError) as reason:
            log.warning("rules of consent are made anew later: %s", type(reason).__name__)
        except Exception as error:  # one fault must not keep others hidden for good
            log.error("rules of consent could not be made anew: %s", type(error).__name__)
        await asyncio.sleep(PERIOD)


async def renew_due(site: Site) -> int:
    """Make anew what is due; returns for how many persons."""
    done = 0
    for key, _ in await site.store.list_state(DUE, MOST):
        until, _, id = key.removeprefix(DUE).partition("/")
        if int(until) > site.consents.clock():
            break
        await renew(site, id)
        await site.store.delete_state(key)
        done += 1
    return done


async def rule_all(site: Site) -> int:
    """Give every resource its rule: after an upgrade, or when what rules are made of has changed; returns how many."""
    people: set[str] = set()
    async for row in site.store.scan(Query(("Consent",), EVERYTHING)):
        people |= patients_in(row.body)
    for id in sorted(people):
        with contextlib.suppress(Conflict):
            await renew(site, id)
    done, batch = 0, list[Stored]()
    async for row in site.store.scan(Query((), EVERYTHING)):
        batch.append(row)
        if len(batch) == BATCH:
            done += await _rule(site, batch)
            batch = []
    return done + (await _rule(site, batch) if batch else 0)


async def _rule(site: Site, batch: list[Stored]) -> int:
    async def work(tx: Tx) -> int:
        ruled = Ruled(tx, site.consents)
        await tx.rule([await ruled.anew(now) for row in batch if (now := await tx.read(row.type, row.id)) and now.body])
        return len(batch)

    return await site.store.transact(work)
