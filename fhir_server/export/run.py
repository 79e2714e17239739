"""Who works on which export, and when: any process, a few at a time, clients in turn.

A process takes an export of the client who has the fewest under way, of these of who has waited longest for a turn.
Between two files one that is under way stops for a client who has none. https://hl7.org/fhir/uv/bulkdata/STU2/export.html
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fhir_server.access import OPERATOR
from fhir_server.access.asking import caller_for
from fhir_server.export.files import remove, sweep
from fhir_server.export.job import EXPORTS, Export, Issue
from fhir_server.export.perform import Writing
from fhir_server.fhir.outcome import FhirError
from fhir_server.interactions.custom import rewired
from fhir_server.interactions.job_run import NOBODY, stop
from fhir_server.interactions.lease import Lease, Superseded
from fhir_server.interactions.refusal import EXPECTED, refusal
from fhir_server.server import Server
from fhir_server.store.seam import Busy, StoreError

LOOK = 2.0  # seconds between two looks for exports that nobody works on
SWEEP = 20.0  # seconds between two looks for files to remove
ATTEMPTS = 4  # at an export while the store is busy
SECOND = 1_000_000

log = logging.getLogger("fhir_server")


class GivenWay(Exception):
    """The export stops here for another client's, and goes on later."""


@asynccontextmanager
async def exporting(server: Server) -> AsyncIterator[None]:
    """While the server serves: work on exports, and remove what has expired."""
    tasks = [asyncio.create_task(_look(server)), asyncio.create_task(_sweep(server))]
    try:
        yield
    finally:
        await stop(*tasks, *server.exports)


async def schedule(server: Server) -> None:
    """Begin as many exports as this process has places for."""
    places = server.settings.export_jobs - len(server.exports)
    if places <= 0:
        return
    mine = {task.get_name() for task in server.exports}
    busy: Counter[str] = Counter()
    served: Counter[str] = Counter()  # when each client last had a turn
    waiting: list[tuple[str, Export]] = []
    for id in await EXPORTS.open(server):
        kept = await EXPORTS.read(server, id)
        if kept is None or kept[0].ended:  # whoever ended it died before it could say so
            await server.store.delete_state(EXPORTS.open_key(id))
            continue
        job = kept[0]
        served[job.caller] = max(served[job.caller], job.turn)
        if job.lease >= server.clock() or id in mine:
            busy[job.caller] += 1
        else:
            waiting.append((id, job))
    while waiting and len(server.exports) < server.settings.export_jobs:
        waiting.sort(key=lambda one: (busy[one[1].caller], served[one[1].caller], one[1].turn, one[1].kicked))
        id, job = waiting.pop(0)
        busy[job.caller] += 1
        if id not in {task.get_name() for task in server.exports}:
            task = asyncio.create_task(_run(server, id), name=id)
            server.exports.add(task)
            task.add_done_callback(partial(_done, server))


def cancel(server: Server, id: str) -> None:
    """Stop working on an export, if this process does."""
    for task in server.exports:
        if task.get_name() == id:
            task.cancel()


async def _look(server: Server) -> None:
    while True:
        server.export_place.clear()
        with contextlib.suppress(Busy, StoreError):
            await schedule(server)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(LOOK, server.settings.job_lease)):
                await server.export_place.wait()


async def _sweep(server: Server) -> None:
    while True:
        with contextlib.suppress(Busy, StoreError, OSError, FhirError):
            await sweep(server)
        await asyncio.sleep(SWEEP)


async def _run(server: Server, id: str) -> None:
    kept = await EXPORTS.read(server, id)
    if kept is None or kept[0].ended or kept[0].lease >= server.clock():
        return
    job, holder = kept[0], asyncio.current_task()
    assert holder is not None
    lease = Lease(server, EXPORTS.key(id), job, kept[1])
    beat: asyncio.Task[None] | None = None
    try:
        job.turn = server.clock()
        await lease.renew()
        beat = asyncio.create_task(lease.keep(holder))
        await _end(server, id, lease, job, await _performed(server, id, lease, job))
    except Superseded:
        await _withdrawn(server, id)
    except (GivenWay, Busy):  # whoever looks next goes on
        with contextlib.suppress(Busy):  # then when the lease has run out
            await lease.release()
    except asyncio.CancelledError:  # the server is stopping, the export was deleted, or its lease was lost
        with contextlib.suppress(Busy, StoreError, Superseded):
            await lease.release()
            await _withdrawn(server, id)
        raise
    except Exception as error:  # whatever it is, the client is told that it ended
        log.error("export %s failed: %s", id, type(error).__name__, exc_info=error)
        failure = FhirError(500, (), {})
        with contextlib.suppress(Exception):
            await _end(server, id, lease, job, failure)
    finally:
        if beat is not None:
            beat.cancel()


def _done(server: Server, task: "asyncio.Task[None]") -> None:
    """There is a place again."""
    server.exports.discard(task)
    server.export_place.set()


async def _performed(server: Server, id: str, lease: Lease, job: Export) -> FhirError | None:
    """None when all is written; the refusal that ended it."""
    server = await rewired(server)
    caller = OPERATOR if job.caller == OPERATOR.id else await caller_for(server, job.grant or NOBODY)

    async def give_way() -> None:
        if await _others_wait(server, job):
            raise GivenWay

    failed = 0  # times since a file was whole
    while True:
        files = len(job.files)
        try:
            await Writing(server, caller, lease, job, id, give_way).perform()
            return None
        except Busy as error:
            failed = 1 if len(job.files) > files else failed + 1
            if failed == ATTEMPTS:
                return refusal(error)
            await asyncio.sleep(0.1 * 2**failed)
        except EXPECTED as error:
            return refusal(error)


async def _others_wait(server: Server, job: Export) -> bool:
    """Whether a client waits who has no export under way, and this process has no place left."""
    if len(server.exports) < server.settings.export_jobs:
        return False
    served, waiting = {job.caller}, set[str]()
    for id, one in (await EXPORTS.open(server)).items():
        if one.caller != job.caller and (kept := await EXPORTS.read(server, id)) is not None:
            (served if kept[0].lease >= server.clock() else waiting).add(one.caller)
    return bool(waiting - served)


async def _end(server: Server, id: str, lease: Lease, job: Export, refused: FhirError | None) -> None:
    """Say how it ended, however busy the store is, and keep the files for their lifetime from now on."""
    job.ended = server.clock()
    job.expires = job.ended + server.settings.export_lifetime * SECOND
    if refused is not None:
        issue = refused.issues[0] if refused.issues else None
        text = issue.diagnostics if issue else f"The server failed; its log has more of export {id}."
        job.status, job.failed = refused.status, Issue(issue.code if issue else "exception", text, severity="error")
    for number in range(1, ATTEMPTS + 1):
        try:
            await lease.renew()
            await server.store.delete_state(EXPORTS.open_key(id))
            break
        except Busy:
            if number == ATTEMPTS:
                raise
            await asyncio.sleep(0.1 * 2**number)
    if refused is not None:
        await remove(server, id)


async def _withdrawn(server: Server, id: str) -> None:
    """Remove the files of an export that is not there any more."""
    if await EXPORTS.read(server, id) is None:
        await remove(server, id)
