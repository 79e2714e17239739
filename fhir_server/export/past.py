"""What participants' Consents said before: whose permissions have changed since a time, and which rules rows had.

Consents and Patients are versioned like all else, so nothing is kept beside them: what said something at a time is what
was current then. https://hl7.org/fhir/R4/consent.html, docs/decisions/0011-consent.md
"""

from collections.abc import AsyncIterator, Iterable
from typing import NamedTuple

import msgspec

from fhir_server.access.judging import POLICY, Policy, judged_among, read_policy
from fhir_server.access.policy import LINK, MOST_LINKED
from fhir_server.access.rules import OPEN
from fhir_server.access.statements import FOREVER, Person, next_edge, person_of, statement_of
from fhir_server.access.subjects import UNRULED, patients_in, patients_of
from fhir_server.export.listing import Listing, listed_by
from fhir_server.export.members import belonging_to, with_ids
from fhir_server.fhir import codec
from fhir_server.fhir.codec import Resource
from fhir_server.search.predicate import EVERYTHING, Is
from fhir_server.server import Server
from fhir_server.store.seam import Page, Position, Query, Stored

COUNT = 500  # rows read at a time
OPEN_AT_MOST = 60_000_000  # microseconds that a transaction may last: what it wrote bears an earlier time
MOST = 1000  # persons remembered
_ANYONE = Person((), None)


class _Identity(NamedTuple):
    """What of a Patient decides whose Consents count, and for how long."""

    links: frozenset[str] = frozenset()
    born: str = ""


class _Said(NamedTuple):
    """A version of a Consent: from when, about which Patients, and as it was sent."""

    updated: int
    about: frozenset[str]
    body: bytes


class _Record(NamedTuple):
    """One person over the time: all Patients that were them; versions, oldest first; when any of it was changed."""

    consents: tuple[tuple[_Said, ...], ...]
    patients: dict[str, tuple[Stored, ...]]
    times: tuple[int, ...]


class Past:
    """Consent between two times, both in µs and inclusive. `touched` are the ids of the Patients whose resources may be
    permitted otherwise than at the first: a Consent was changed, or who the person is, a period has begun or ended, or
    a report made what was there genomic, or does not any more.
    """

    def __init__(self, server: Server, since: int, until: int) -> None:
        self._server, self._since, self._until = server, since, until
        self.touched: set[str] = set()
        self._looked = since  # all that was changed up to here has been seen
        self._seen: dict[tuple[str, str], int] = {}  # the newest version of what was changed
        self._said: dict[str, set[str]] = {}  # ids of the changed Consents that named a Patient
        self._joined: dict[str, set[str]] = {}  # by links that were changed
        self._records: dict[str, _Record] = {}
        self._used: set[str] = set()  # the Patients of whom something was told
        self._listing = Listing()

    async def look(self) -> None:
        """Find who is touched."""
        seeds, _ = await self._changes()
        async for row in self._server.store.scan(Query(("Consent",), EVERYTHING)):
            waiting = patients_in(row.body) - seeds
            if waiting and self._may_turn(codec.decode(row.body)):
                seeds.update([one for one in waiting if await self._turns(one)])
        await self._touch(seeds)

    async def overtaken(self) -> bool:
        """Whether what was told since the last call may be wrong, because of whom it is about a Consent or a link was
        taken away since and could not be found: then ask again."""
        seeds, lost = await self._changes()
        await self._touch(seeds)
        if lost:
            self._records.clear()
        used, self._used = self._used, set()
        return not used.isdisjoint(lost)

    async def _changes(self) -> tuple[set[str], set[str]]:
        """Whom what has been changed since the last look concerns; and those of them of whom a search does not find any
        more what was there until the second time."""
        after, self._looked = self._looked, max(self._since, self._server.clock() - OPEN_AT_MOST)
        seeds, lost = set[str](), set[str]()
        async for now in self._changed("Consent", after):
            named: set[str] = set()
            for row in await self._versions("Consent", now.id, self._until):
                named |= patients_in(row.body)
            for patient in named:
                self._said.setdefault(patient, set()).add(now.id)
            seeds |= named
            lost |= named - patients_in(now.body)
        async for now in self._changed("Patient", after):
            if await self._policy_now(now.id) is not None:
                moved = await self._moves(now.id)
                seeds |= moved
                lost |= moved - {now.id} - _identity(now).links
        async for now in self._changed("DiagnosticReport", after):
            moved, gone = await self._relisted(now)
            seeds |= moved
            lost |= gone
        return seeds, lost

    async def _relisted(self, now: Stored) -> tuple[set[str], set[str]]:
        """Whom a changed report concerns, by Observations that were there before; and of all that it listed until the
        second time, those whom what it does not list any more concerns."""
        turned = await self._learn(now.id)
        found: dict[str, set[str]] = {}
        ids = sorted(turned)
        for start in range(0, len(ids), COUNT):
            some = ids[start : start + COUNT]
            for row in (await self._server.store.search(Query(("Observation",), with_ids(some), count=COUNT))).rows:
                about = patients_of(
                    self._server.definitions, row.type, row.id, self._server.index(codec.decode(row.body))
                )
                if row.updated <= self._since and any([await self._policy_now(one) for one in about]):
                    found[row.id] = about
        listed = listed_by(now)
        return set().union(*found.values()), set().union(*(found[id] for id in found if id not in listed))

    async def _learn(self, id: str) -> set[str]:
        return self._listing.add(id, await self._versions("DiagnosticReport", id, self._until), self._since)

    async def _touch(self, seeds: set[str]) -> None:
        found: set[str] = set()
        for id in seeds:
            if id not in found:
                found |= (await self._ever_joined(id)).keys()
        self.touched |= found

    async def rules_of(self, row: Stored) -> set[int]:
        """The numbers of the rules that a version would have had at one time or another."""
        if row.type in UNRULED:
            return {OPEN}
        consents = self._server.consents
        body = codec.decode(row.body)
        about = patients_of(consents.definitions, row.type, row.id, self._server.index(body))
        self._used |= about
        times = {time for id in about for time in (await self._record(id)).times}
        if row.type == "Observation":
            times |= self._listing.times(row.id)
        found: set[int] = set()
        now, edge, before = self._since, 0, tuple[object, ...]()
        while now <= self._until:
            policies = [await self._policy_at(id, now) for id in sorted(about)]
            state = (policies, [one.version for one in self._listing.at(row.id, now)])
            if now >= edge or state != before:
                rule, edge, _ = await judged_among(
                    _Then(self, row.id, now), consents, row.type, row.id, policies, lambda: body, now
                )
                found.add(rule if isinstance(rule, int) else consents.rules.learn(rule))
                before = state
            now = min([time for time in (*times, edge) if time > now], default=FOREVER)
        return found

    async def reports(self, id: str, now: int, query: Query) -> Page:
        """Of the reports that `query` finds to list an Observation now, those that did at a time, and those that do not
        any more."""
        rows = (await self._server.store.search(query)).rows
        for row in rows:
            if row.updated > self._since and row.id not in self._listing.known:  # since the last look
                await self._learn(row.id)
        kept = [row for row in rows if row.id not in self._listing.known]
        return Page([*kept, *self._listing.at(id, now)])

    async def _changed(self, type: str, since: int) -> AsyncIterator[Stored]:
        """The newest versions that are later and were not seen yet."""
        newest: set[str] = set()
        after: Position | None = None
        while True:
            page = await self._server.store.history(type, None, EVERYTHING, since + 1, after, COUNT)
            for row in page.rows:
                if row.id not in newest:
                    newest.add(row.id)
                    if self._seen.get((type, row.id)) != row.version:
                        self._seen[type, row.id] = row.version
                        yield row
            after = page.next
            if after is None:
                return

    async def _versions(self, type: str, id: str, until: int) -> tuple[Stored, ...]:
        """Those that were current at some time since the first and until another, oldest first."""
        rows: list[Stored] = []
        after: Position | None = None
        while True:
            between = (self._since, until + 1)
            page = await self._server.store.history(type, id, EVERYTHING, None, after, COUNT, between)
            rows += page.rows
            after = page.next
            if after is None:
                return tuple(reversed(rows))

    async def _moves(self, id: str) -> set[str]:
        """The Patient and those it is or was joined with, if that or its birth date was changed."""
        versions = await self._versions("Patient", id, FOREVER // 2)
        told = {_identity(row) for row in versions}
        if not versions or versions[0].updated > self._since:
            told.add(_Identity())
        if len(told) == 1:
            return set()
        others = {other for one in told for other in one.links}
        for other in others:
            self._joined.setdefault(id, set()).add(other)
            self._joined.setdefault(other, set()).add(id)
        return {id, *others}

    def _may_turn(self, consent: Resource) -> bool:
        """Whether time alone may have changed what a Consent says; of a guardian's the Patient knows more."""
        said = statement_of(consent, _ANYONE)
        return said is not None and (said.guardian or next_edge([said], _ANYONE, self._since) <= self._until)

    async def _turns(self, id: str) -> bool:
        policy = await self._policy_now(id)
        if policy is None:
            return False
        person, statements = read_policy(policy)
        return next_edge(statements, person, self._since) <= self._until

    async def _policy_now(self, id: str) -> bytes | None:
        found = await self._server.store.get_state(f"{POLICY}{id}")
        return found[0] if found else None

    async def _ever_joined(self, id: str) -> dict[str, tuple[Stored, ...]]:
        """All Patients that were one person with this one at some time in between, each with its versions."""
        found: dict[str, tuple[Stored, ...]] = {}
        waiting = [id]
        while waiting and len(found) < MOST_LINKED:
            one = waiting.pop()
            if one not in found:
                found[one] = await self._versions("Patient", one, self._until)
                waiting += [other for row in found[one] for other in _identity(row).links]
                where = Is(LINK, (("type", "=", "Patient"), ("id", "=", one)))
                page = await self._server.store.search(Query(("Patient",), where, count=COUNT))
                waiting += [*(row.id for row in page.rows), *self._joined.get(one, ())]
        return found

    async def _record(self, id: str) -> _Record:
        record = self._records.get(id)
        if record is None:
            if len(self._records) >= MOST:
                self._records.clear()
            record = await self._read(id)
            self._records.update(dict.fromkeys(record.patients, record))
        return record

    async def _read(self, id: str) -> _Record:
        patients = await self._ever_joined(id)
        ids = dict.fromkeys(one for patient in patients for one in self._said.get(patient, ()))
        unchanged: list[tuple[Stored, ...]] = []
        query: Query | None = Query(
            ("Consent",), belonging_to(self._server.definitions, "Consent", tuple(patients)), count=COUNT
        )
        while query is not None:
            page = await self._server.store.search(query)
            for row in page.rows:
                if row.updated > self._since:
                    ids[row.id] = None
                elif row.id not in ids:
                    unchanged.append((row,))
            query = query._replace(after=page.next) if page.next is not None else None
        consents = [*unchanged, *[await self._versions("Consent", one, self._until) for one in ids]]
        versions = (row for some in (*consents, *patients.values()) for row in some)
        times = sorted({row.updated for row in versions if self._since < row.updated <= self._until})
        said = tuple(tuple(map(self._read_consent, some)) for some in consents)
        return _Record(said, patients, tuple(times))

    def _read_consent(self, row: Stored) -> _Said:
        if row.deleted:
            return _Said(row.updated, frozenset(), b"")
        entries = self._server.index(codec.decode(row.body))
        about = patients_of(self._server.definitions, row.type, row.id, entries)
        return _Said(row.updated, frozenset(about), row.body)

    async def _policy_at(self, id: str, now: int) -> bytes | None:
        """What was known of a person then; None for one without Consents."""
        record = await self._record(id)
        person = self._person_at(record, id, now)
        said = []
        for versions in record.consents:
            one = next((one for one in reversed(versions) if one.updated <= now), None)
            if one is not None and not one.about.isdisjoint(person.ids):
                said.append(msgspec.Raw(one.body))
        return msgspec.json.encode(Policy(person.ids, person.adult, tuple(said))) if said else None

    def _person_at(self, record: _Record, id: str, now: int) -> Person:
        """Who was joined with a Patient then, and when they come of age."""
        current = {one: _at(versions, now) for one, versions in record.patients.items()}
        links = {one: _identity(row).links if row else frozenset[str]() for one, row in current.items()}
        found, waiting = set[str](), [id]
        while waiting:
            one = waiting.pop()
            if one not in found:
                found.add(one)
                waiting += [*links.get(one, ()), *(other for other, named in links.items() if one in named)]
        bodies = [codec.decode(row.body) for one in sorted(found) if (row := current.get(one)) is not None]
        return person_of(bodies, self._server.consents.adult_age)._replace(ids=tuple(sorted(found)))


class _Then:
    """The store, of which the reports that list an Observation are those of a time."""

    def __init__(self, past: Past, id: str, now: int) -> None:
        self._past, self._id, self._now = past, id, now

    async def search(self, query: Query) -> Page:
        """The reports that list it."""
        return await self._past.reports(self._id, self._now, query)


def _at(versions: Iterable[Stored], now: int) -> Stored | None:
    """The version that was current then, unless that was a deletion."""
    row = next((one for one in reversed(tuple(versions)) if one.updated <= now), None)
    return None if row is None or row.deleted else row


def _identity(row: Stored) -> _Identity:
    if row.deleted:
        return _Identity()
    body = codec.decode(row.body)
    named = (link.get("other", {}).get("reference", "") for link in body.get("link", ()))
    return _Identity(
        frozenset(one.split("/")[1] for one in named if one.startswith("Patient/")), body.get("birthDate", "")
    )
