"""Candidates that follow every write: the change feed, in one process at a time, each change once in effect.

State `match/feed` says up to where the feed was followed and which studies are still to be compared with all patients:
whom they may concern comes first (ahead.py). A step judges a few patients, then writes State: whoever dies in between,
the step is done again, and finds that there is nothing left to write. State `match/lease` only keeps the others from
trying in vain. `match/due/TIME/PATIENT` are those whom time alone may change (due.py).
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from itertools import islice
from time import monotonic
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import msgspec

from fhir_server import __version__
from fhir_server.interactions.custom import rewired
from fhir_server.interactions.job_run import stop
from fhir_server.matching.affected import RELEVANT, affected
from fhir_server.matching.ahead import EXPUNGED, forget, hear, known_to, learning, look_around, put_first
from fhir_server.matching.criteria import asked
from fhir_server.matching.due import time_bound
from fhir_server.matching.judge import Scope, judge
from fhir_server.matching.match import MatchSummary, finish
from fhir_server.matching.records import PEOPLE, by_ids
from fhir_server.matching.studies import Registered, read_studies
from fhir_server.search.predicate import EVERYTHING
from fhir_server.server import Server
from fhir_server.store.seam import Busy, Conflict, Query, Store, StoreError, Tx
from fhir_server.terminology.codes import Terminology

FEED, HOLDER, DUE = "match/feed", "match/lease", "match/due/"
LEASE = 20_000_000  # microseconds after which another process follows in place of one that died
QUICK, SLOW = 0.1, 1.0  # seconds between two looks: soon after something happened, and else
CHANGES = 200  # looked at in one step
KEEP = 2.0  # seconds that the studies of a step serve those after it, unless the feed tells of a change
FOREVER_DIGITS = 20

log = logging.getLogger("fhir_server")


class Sweep(msgspec.Struct, frozen=True):
    """Studies (None: all) that are compared with all patients, and up to where that has come."""

    studies: tuple[str, ...] | None = None
    after: list[Any] | None = None


class Feed(msgspec.Struct, frozen=True):
    """How far the matcher has come. `engine`: what judged until now, and by which imported code systems; another
    one judges everything anew."""

    after: list[Any] | None = None
    sweeps: tuple[Sweep, ...] = ()
    engine: str = ""


class _Kept(NamedTuple):
    """The studies as they were read before the feed's step `version`, until when (monotonic seconds)."""

    version: int
    until: float
    terminology: Terminology
    studies: list[Registered]
    scope: Scope


_kept: WeakKeyDictionary[Store, _Kept] = WeakKeyDictionary()


class Lost(Exception):
    """Another process follows the feed."""


@asynccontextmanager
async def following(server: Server) -> AsyncIterator[None]:
    """While the server serves: candidates follow what is written, in the background, unless the settings say no."""
    if not server.settings.match:
        yield
        return
    process = server.new_id()
    task = asyncio.create_task(_follow_for_ever(server, process))
    try:
        yield
    finally:
        await stop(task)
        with contextlib.suppress(Busy, StoreError):
            found = await server.store.get_state(HOLDER)
            if found is not None and found[0] == process.encode():
                await server.store.delete_state(HOLDER)


async def _follow_for_ever(server: Server, process: str) -> None:
    wait = SLOW
    while True:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(server.written.wait(), wait)
        server.written.clear()
        wait = SLOW
        try:
            server = await rewired(server)
            while await _hold(server, process) and await step(server):
                wait = QUICK
        except (Lost, Busy, Conflict, StoreError) as reason:
            log.warning("matching goes on later: %s", type(reason).__name__)
        except Exception as error:  # one fault must not end it: tried again
            log.error("matching failed and is tried again: %s", type(error).__name__)


async def _hold(server: Server, process: str) -> bool:
    """Take or renew the lease; False if another process has it."""
    found = await server.store.get_state(HOLDER)
    if found is not None and found[0] != process.encode():
        forget(server)  # what the other one learns is not heard of here
        return False
    return await server.store.put_state(HOLDER, process.encode(), found[1] if found else 0, server.clock() + LEASE)


async def step(server: Server) -> bool:
    """Do a little of what is to be done: changes first, then who is due, whom a changed study may concern, a sweep, and
    to get to know everybody. False if there is nothing.

    Raises Lost if another process did it at the same time: what both wrote is the same.
    """
    feed, version, expunged = await _feed(server)
    hear(server, expunged)
    engine = " ".join(map(str, (__version__, server.settings.match_unknowns, *server.editions)))
    if version == 0 or feed.engine != engine:
        after = feed.after if version else await _end(server)
        await _note(server, Feed(after, (Sweep(),), engine), version)
        return True
    try:
        rows, after = await _changes(server, feed.after)
    except StoreError:  # the feed does not reach back so far
        forget(server)
        await _note(server, Feed(await _end(server), (Sweep(),), engine), version)
        return True
    if rows:
        found = await affected(server, rows)
        sweeps = feed.sweeps
        if any(row.type in ("ResearchStudy", "Group") for row in rows):
            _kept.pop(server.store, None)
        if found.studies:
            sweep = Sweep(tuple(found.studies))
            sweeps = (*(one for one in sweeps if one != sweep), sweep)
            await put_first(server, (await _every_study(server, version)).studies, tuple(found.studies))
        due = await _judge(server, version, tuple(found.patients), None)
        await _note(server, Feed(after, sweeps, engine), version, due)
        return True
    moved, feed = after != feed.after, Feed(after, feed.sweeps, engine)
    waiting = await server.store.list_state(DUE, CHANGES)
    now = server.clock()
    late = [key for key, _ in waiting if int(key.removeprefix(DUE).partition("/")[0]) <= now]
    if late:
        patients = dict.fromkeys(key.removeprefix(DUE).partition("/")[2] for key in late)
        await _note(server, feed, version, await _judge(server, version, tuple(patients), None))
        await asyncio.gather(*map(server.store.delete_state, late))
        return True
    known = known_to(server)
    if known.first:
        studies, first = known.first[0]
        await _note(server, feed, version, await _judge(server, version, first[:PEOPLE], studies))
        known.first[:1] = [(studies, first[PEOPLE:])] if first[PEOPLE:] else []
        return True
    if not feed.sweeps:
        if moved:
            await _note(server, feed, version)
        return not known.whole and await look_around(server, await _every_study(server, version))
    sweep, *others = feed.sweeps
    position = None if sweep.after is None else tuple(sweep.after)
    page = await server.store.search(Query(("Patient",), EVERYTHING, count=PEOPLE, after=position))
    due = await _judge(server, version, [row.id for row in page.rows], sweep.studies)
    left = [] if page.next is None else [Sweep(sweep.studies, list(page.next))]
    await _note(server, Feed(feed.after, (*left, *others), engine), version, due)
    return True


async def _feed(server: Server) -> tuple[Feed, int, int]:
    """How far it came, the version of that, and how often something was removed for good."""
    found = await server.store.get_states([FEED, EXPUNGED])
    value, version = found.get(FEED, (b"{}", 0))
    return msgspec.json.decode(value, type=Feed), version, found[EXPUNGED][1] if EXPUNGED in found else 0


async def _note(server: Server, feed: Feed, version: int, due: Iterable[tuple[int, str]] = ()) -> None:
    """Write how far it came, with those who will be due, at once. Raises Lost."""
    keys = [f"{DUE}{time:0{FOREVER_DIGITS}d}/{patient}" for time, patient in due]

    async def work(tx: Tx) -> None:  # enc_hook: a driver may count in an int type of its own
        if not await tx.put_state(FEED, msgspec.json.encode(feed, enc_hook=int), version):
            forget(server)  # what the other process learned is not heard of here
            raise Lost
        for key in keys:
            await tx.put_state(key, b"{}", 0)

    await server.store.transact(work)
    if server.store in _kept:
        _kept[server.store] = _kept[server.store]._replace(version=version + 1)


async def _end(server: Server) -> list[Any] | None:
    """Where the feed ends now."""
    last: list[Any] | None = None
    async for position, _ in server.store.changes(None):
        last = list(position)
    return last


async def _changes(server: Server, after: list[Any] | None) -> tuple[list[Any], list[Any] | None]:
    """The next changes that may concern candidates, and the position behind all that were looked at."""
    rows: list[Any] = []
    async with aclosing(server.store.changes(None if after is None else tuple(after))) as changes:  # type: ignore[type-var]
        async for position, row in changes:
            after = list(position)
            if row.type in RELEVANT:
                rows.append(row)
            if len(rows) == CHANGES:
                break
    return rows, after


async def _every_study(server: Server, version: int) -> Scope:
    """All studies. They are read again after KEEP, or when another process has taken a step since."""
    kept = _kept.get(server.store)
    if (
        kept is None
        or kept.version != version
        or kept.until < monotonic()
        or kept.terminology is not server.terminology
    ):
        until, found = monotonic() + KEEP, await read_studies(server)
        if kept is None or kept.studies is not found or kept.terminology is not server.terminology:
            every = {one.study.id: one.study for one in found}
            looked = learning(server, every, whole=True)
            scope = Scope(every, True, asked(every.values()), time_bound(every.values()), looked)
        else:
            scope = kept.scope
        kept = _kept[server.store] = _Kept(version, until, server.terminology, found, scope)
    return kept.scope


async def _judge(
    server: Server, version: int, patients: Sequence[str], studies: tuple[str, ...] | None
) -> list[tuple[int, str]]:
    """Judge patients and write what follows; returns who is due when."""
    if not patients:
        return []
    every = await _every_study(server, version)
    scope = every
    if studies is not None and every.studies.keys() >= set(studies):  # one that is gone takes its candidates along
        named = {id: every.studies[id] for id in studies}
        scope = Scope(named, False, asked(named.values()), every.timed, learning(server, named, whole=False))
    due: list[tuple[int, str]] = []
    waiting = iter(patients)
    while some := list(islice(waiting, PEOPLE)):
        rows = await by_ids(server, "Patient", some)
        known_to(server).crowd.forget(id for id in some if id not in rows)
        cases = await judge(server, scope, rows.values())
        await finish(server, scope, cases, MatchSummary())
        due += [(time, case.patient) for case in cases for time in case.due]
    return due
