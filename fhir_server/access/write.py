"""A transaction that holds a caller to their rights: both what is replaced and what replaces it must be theirs.

Every write of an interaction goes through `transact`; none can forget to ask. What a caller may see of the old version
is another question (interactions/visible.py). https://hl7.org/fhir/R4/security.html
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Protocol, TypeVar

from fhir_server.access.caller import Caller
from fhir_server.access.judging import Consents
from fhir_server.access.policy import Ruled
from fhir_server.fhir.outcome import FhirError, refuse
from fhir_server.search.predicate import EVERYTHING, ID, And, Is
from fhir_server.store.seam import Change, Page, Query, Store, Stored, Tx

T = TypeVar("T")

CHUNK = 500  # resources asked about in one query


class Guard(Protocol):
    """What else every transaction is held to."""

    async def check(self, tx: Tx, changes: Sequence[Change]) -> None:
        """Look at what was written, in its transaction, before it commits; raises FhirError to refuse all of it."""
        ...

    def committed(self, changes: Sequence[Change]) -> None:
        """Hear of what was committed."""
        ...


class Site(Protocol):
    """What a write takes of the server."""

    @property
    def store(self) -> Store: ...

    @property
    def consents(self) -> Consents: ...

    @property
    def guards(self) -> Sequence[Guard]: ...


async def transact(site: Site, caller: Caller, work: Callable[[Tx], Awaitable[T]], about: Collection[str] = ()) -> T:
    """As Store.transact, the one way to write resources: each gets its rule (policy.py). `about`: ids of Patients, as
    far as it is known beforehand whom the writes concern: their Consents are asked for at once, which is sooner.

    Raises FhirError 403, and leaves nothing, if `work` writes what the caller may not.
    """

    changes: list[Change] = []

    async def watched(tx: Tx) -> T:
        changes.clear()  # it may run again
        ruled = Ruled(tx, site.consents, changes)
        await ruled.policies(about)
        if caller.free:
            result = await work(ruled)
        else:
            watch = _Watched(ruled, caller)
            result = await work(watch)
            await watch.settle()  # before a Consent among the writes counts: who records a denial may be denied by it
        for guard in site.guards:
            await guard.check(ruled, changes)
        await ruled.settle()
        return result

    result = await site.store.transact(watched)
    for guard in site.guards:
        guard.committed(changes)
    return result


async def renew(site: Site, id: str) -> None:
    """Make the policy of one person, and the rules of all that is about them, anew."""
    await site.store.transact(lambda tx: Ruled(tx, site.consents).renew(id, always=True))


def forbidden(type: str, letter: str) -> FhirError:
    """The 403 of a resource, rather than a type, that lies outside the caller's rights."""
    doing = {"c": "create", "u": "update", "d": "delete"}[letter]
    text = f"You may not {doing} this {type}: your scopes cover others of its type only."
    return refuse(403, "forbidden", text, WWW_Authenticate='Bearer error="insufficient_scope"')


class _Watched:
    """A Tx that remembers what was written, to look at it once all is there that it may refer to."""

    def __init__(self, tx: Tx, caller: Caller) -> None:
        self._tx, self._caller = tx, caller
        self._written: dict[tuple[str, str], list[str]] = {}  # (type, letter) -> ids
        self.read, self.read_all, self.search, self.rule = tx.read, tx.read_all, tx.search, tx.rule
        self.share, self.own = tx.share, tx.own
        self.get_state, self.get_states, self.put_state = tx.get_state, tx.get_states, tx.put_state
        self.began = tx.began

    async def write(self, change: Change) -> Stored:
        """Raises Conflict, and FhirError 403 for an old version that is not the caller's to change."""
        letter = "d" if change.method == "DELETE" else "c" if change.version == 1 else "u"
        permit = self._caller.permit(change.type, letter)
        if permit != EVERYTHING:
            if letter != "c" and not await self._all(change.type, letter, [change.id]):
                raise forbidden(change.type, letter)
            if letter != "d":
                self._written.setdefault((change.type, letter), []).append(change.id)
        return await self._tx.write(change)

    async def expunge(self, resources: Sequence[tuple[str, str]], now: int) -> int:
        """For operators only: their operations check it."""
        if not self._caller.operator:
            raise refuse(403, "forbidden", "Only operators of this server remove resources for good.")
        return await self._tx.expunge(resources, now)

    async def settle(self) -> None:
        """Raise FhirError 403 unless all that was written is the caller's as it is now."""
        for (type, letter), ids in self._written.items():
            for at in range(0, len(ids), CHUNK):
                if not await self._all(type, letter, ids[at : at + CHUNK]):
                    raise forbidden(type, letter)

    async def _all(self, type: str, letter: str, ids: Sequence[str]) -> bool:
        wanted = Is(ID, (("id", "in", tuple((id,) for id in dict.fromkeys(ids))),))
        where = And((wanted, self._caller.permit(type, letter)))
        found: Page = await self._tx.search(Query((type,), where, count=CHUNK))
        return len(found.rows) == len(set(ids))
