"""Who works on which import, and when: any process, one at a time, in the order in which they came.

What a file's note says is written is not written again, so that whoever goes on does no harm. docs/operations/import.md
"""

import asyncio
import contextlib
import hashlib
import logging
import shutil
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from fhir_server.access import OPERATOR, Caller
from fhir_server.access.asking import caller_for
from fhir_server.export.bring import Bringing, Import, bring_file, digest_of, note_key, preparing
from fhir_server.export.import_job import IMPORTS, Brought, Importing, Source
from fhir_server.export.import_source import clear, fetched, named
from fhir_server.export.job import Issue
from fhir_server.fhir.outcome import FhirError
from fhir_server.interactions.custom import rewired
from fhir_server.interactions.job_run import NOBODY, stop
from fhir_server.interactions.lease import Lease, Superseded
from fhir_server.server import Server
from fhir_server.store.seam import Busy, StoreError

LOOK = 2.0  # seconds between two looks for imports that nobody works on
SWEEP = 20.0  # seconds between two looks for files to remove
SECOND = 1_000_000

log = logging.getLogger("fhir_server")


@asynccontextmanager
async def importing(server: Server) -> AsyncIterator[None]:
    """While the server serves: work on imports, and remove what they have fetched."""
    tasks = [asyncio.create_task(_look(server)), asyncio.create_task(_sweep(server))]
    try:
        yield
    finally:
        await stop(*tasks, *server.imports)


def cancel(server: Server, id: str) -> None:
    """Stop working on an import, if this process does."""
    for task in server.imports:
        if task.get_name() == id:
            task.cancel()


def root(server: Server) -> Path:
    """The folder for what a store's imports fetch."""
    name = hashlib.sha256(b"imports" + server.page_key).hexdigest()[:16]
    return Path(server.settings.export_folder) / name


async def schedule(server: Server) -> None:
    """Begin the import that waits longest, unless this process has one."""
    if server.imports:
        return
    for id, _ in sorted((await IMPORTS.open(server)).items(), key=lambda one: one[1].kicked):
        kept = await IMPORTS.read(server, id)
        if kept is None or kept[0].ended:  # whoever ended it died before it could say so
            await server.store.delete_state(IMPORTS.open_key(id))
        elif kept[0].lease < server.clock() and not server.imports:
            task = asyncio.create_task(_run(server, id), name=id)
            server.imports.add(task)
            task.add_done_callback(partial(_done, server))
            return


def _done(server: Server, task: "asyncio.Task[None]") -> None:
    server.imports.discard(task)
    server.import_place.set()


async def _look(server: Server) -> None:
    while True:
        server.import_place.clear()
        with contextlib.suppress(Busy, StoreError):
            await schedule(server)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(LOOK, server.settings.job_lease)):
                await server.import_place.wait()


async def _sweep(server: Server) -> None:
    while True:
        with contextlib.suppress(Busy, StoreError, OSError):
            for path in root(server).glob("*"):
                kept = await IMPORTS.read(server, path.name)
                if kept is None or kept[0].ended:
                    shutil.rmtree(path, ignore_errors=True)
        await asyncio.sleep(SWEEP)


async def _run(server: Server, id: str) -> None:
    kept = await IMPORTS.read(server, id)
    if kept is None or kept[0].ended or kept[0].lease >= server.clock():
        return
    job, holder = kept[0], asyncio.current_task()
    assert holder is not None
    lease, folder = Lease(server, IMPORTS.key(id), job, kept[1]), root(server) / id
    beat: asyncio.Task[None] | None = None
    try:
        await lease.renew()
        beat = asyncio.create_task(lease.keep(holder))
        await _perform(server, lease, job, folder)
        await _end(server, id, lease, job)
    except Superseded:
        pass
    except asyncio.CancelledError:  # the server is stopping, the import was cancelled, or its lease was lost
        with contextlib.suppress(Busy, StoreError, Superseded):
            await lease.release()
        raise
    except Exception as error:  # whatever it is, the client is told that it ended
        log.error("import %s failed: %s", id, type(error).__name__, exc_info=error)
        job.status, text = 500, f"The server failed; its log has more of import {id}."
        if isinstance(error, FhirError) and error.issues:
            job.status, text = error.status, error.issues[0].diagnostics
        job.failed = Issue("exception", text, severity="error")
        with contextlib.suppress(Exception):
            await _end(server, id, lease, job)
    finally:
        if beat is not None:
            beat.cancel()
        if (kept := await IMPORTS.read(server, id)) is None or kept[0].ended:
            shutil.rmtree(folder, ignore_errors=True)


async def _end(server: Server, id: str, lease: Lease, job: Importing) -> None:
    job.ended = server.clock()
    job.expires = job.ended + server.settings.job_lifetime * SECOND
    await lease.renew()
    await server.store.delete_state(IMPORTS.open_key(id))


async def _perform(server: Server, lease: Lease, job: Importing, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    server = await rewired(server)
    async with preparing(server, server.settings.import_processes) as pool:
        for source in job.sources[len(job.brought) :]:
            clear(folder, source)
            server = await rewired(server)
            caller = OPERATOR if job.caller == OPERATOR.id else await caller_for(server, job.grant or NOBODY)
            try:
                done = await _one(server, caller, pool, job, source, folder)
            except (FhirError, OSError) as error:
                if isinstance(error, FhirError) and error.status == 503:
                    raise
                done = _failed(error)
            job.brought = [*job.brought, done]
            job.stored = sum(one.stored for one in job.brought if not one.skipped)
            job.refused = sum(one.refused for one in job.brought)
            await lease.renew()
            clear(folder)  # only now: whoever goes on would have to fetch it again


async def _one(server: Server, caller: Caller, pool: Executor, job: Importing, source: Source, folder: Path) -> Brought:
    """One file, from wherever it is. Raises FhirError if it cannot be had."""
    path = await fetched(server.settings, source, folder)
    before, beyond = job.stored, job.refused

    def report(progress: Import) -> None:
        job.stored, job.refused = before + progress.stored, beyond + progress.refused

    keep = server.clock() + 2 * server.settings.job_lifetime * SECOND  # until after the job is forgotten
    how = Bringing(
        server, caller, pool, server.settings.import_processes, False, report, lambda one: None, source.type,
        job.origin, job.by_identifier, keep, named(source.url), folder.name,
    )  # fmt: skip
    progress = Import()
    note = await bring_file(how, path, progress)
    key = note_key(caller, await asyncio.to_thread(digest_of, path))
    return Brought(key, note.stored, note.refused, note.told, progress.files_skipped > 0)


def _failed(error: FhirError | OSError) -> Brought:
    if isinstance(error, FhirError):
        issue = error.issues[0]
        return Brought(failed=Issue(issue.code, issue.diagnostics, issue.expression, "error"))
    return Brought(failed=Issue("exception", f"The file cannot be read: {error.strerror or error}.", severity="error"))
