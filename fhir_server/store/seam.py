"""What a store is: two protocols and the values that cross them. SQLite and MongoDB implement exactly this.

All times are microseconds since 1970-01-01T00:00Z as int. A store knows index entries and predicates, not FHIR.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from fhir_server.search.predicate import Entry, Predicate, Sort
from fhir_server.store.terms import Terms

T = TypeVar("T")
Value = bytes | Callable[[], bytes]  # of State; a function is called when the store is about to write
Position = tuple[Any, ...]  # where a page ended: opaque to callers, JSON-able (str, int, float, None)


class Stored(NamedTuple):
    """One version of a resource. `body` is empty for a deletion; `method` is POST, PUT, PATCH or DELETE; `rule` is the
    resource's (see Ruling) where it was read as it is now, 0 where a version was asked for."""

    type: str
    id: str
    version: int
    updated: int
    method: str
    body: bytes
    rule: int = 0

    @property
    def deleted(self) -> bool:
        """Whether this version is a deletion."""
        return self.method == "DELETE"


class Change(NamedTuple):
    """A write: it makes exactly `version`. The store raises Conflict unless the current version is `version - 1`
    (0: the resource never existed). A deletion has an empty body and no entries."""

    type: str
    id: str
    version: int
    updated: int
    method: str
    body: bytes
    entries: tuple[Entry, ...]
    rule: int = 0
    until: int = 0


class Ruling(NamedTuple):
    """What the patients of a resource permit: the number of a rule, good up to an instant.

    Columns of the resource, not of its versions: they change without one."""

    type: str
    id: str
    rule: int
    until: int


class Conflict(Exception):
    """Another writer was first: the version written does not follow the current one."""


class Busy(Exception):
    """The store cannot take this now (queue full, transient errors used up): answered 503 with Retry-After."""


class TooLarge(Exception):
    """The transaction exceeds what the store commits in one piece: answered 413."""


class StoreError(Exception):
    """The store cannot be used: the message says why and gives the cure (command line and /readyz)."""


class Query(NamedTuple):
    """A search over one or several types (empty: all). Rows come by `sort`, ties and the unsorted in order of
    creation. At most `count` rows; `after` is the `next` of the page before. `total` asks for an exact total."""

    types: tuple[str, ...]
    where: Predicate
    sort: tuple[Sort, ...] = ()
    count: int = 50  # type: ignore[assignment]  # a field of the seam, not tuple.count
    after: Position | None = None
    total: bool = False


class Page(NamedTuple):
    """Rows, the position after them (None at the end) and the total if it was asked for."""

    rows: list[Stored]
    next: Position | None = None
    total: int | None = None


class Lines(NamedTuple):
    """The bodies of a page put together, "\\n" between them; the ids of their resources; the position after them."""

    text: bytes
    ids: list[str]
    next: Position | None = None


class Tx(Protocol):
    """One transaction. Everything read in it is one snapshot plus its own writes."""

    began: int  # when this attempt began, cut to milliseconds: what it writes bears no earlier time (Store.settled)

    async def read(self, type: str, id: str) -> Stored | None:
        """The current version, a deletion included; None if it never existed."""
        ...

    async def read_all(self, keys: Sequence[tuple[str, str]]) -> list[Stored]:
        """As `read`, of many (type, id) at once, which is sooner; those that never existed are left out."""
        ...

    async def search(self, query: Query) -> Page:
        """As Store.search; two transactions whose criteria overlap are serialised (conditional interactions)."""
        ...

    async def write(self, change: Change) -> Stored:
        """Create, update or delete: the resource, its index entries, history and change log. Raises Conflict."""
        ...

    async def expunge(self, resources: Sequence[tuple[str, str]], now: int) -> int:
        """Remove resources (type, id) as if they had never been: all versions, index entries, and State that names
        them; returns how many versions. What stays is a tombstone of type, keyed hash, time and count."""
        ...

    async def rule(self, rulings: Sequence[Ruling]) -> None:
        """Set the rule of resources; what does not exist is passed over."""
        ...

    async def share(self, keys: Sequence[str]) -> None:
        """Hold to what was read under these keys until the commit, beside others who do."""
        ...

    async def own(self, keys: Sequence[str]) -> None:
        """Hold the keys alone: of this transaction and one that shares or owns one of them, the later runs again."""
        ...

    async def get_state(self, key: str) -> tuple[bytes, int] | None:
        """As Store.get_state, in the snapshot of the transaction."""
        ...

    async def get_states(self, keys: Sequence[str]) -> dict[str, tuple[bytes, int]]:
        """As Store.get_states, in the snapshot of the transaction."""
        ...

    async def put_state(self, key: str, value: bytes, version: int, expires: int | None = None) -> bool:
        """As Store.put_state, committed together with the writes: a note of them that cannot lie."""
        ...


class Store(Protocol):
    """A database of resources; every method may be called concurrently."""

    @property
    def terms(self) -> Terms:
        """The large code systems that were imported."""
        ...

    async def transact(self, work: Callable[[Tx], Awaitable[T]]) -> T:
        """Run `work` all or nothing; returns its result after the commit is durable. `work` awaits nothing but its
        Tx and may be run again. Exceptions of `work` roll back and pass through; raises Busy, TooLarge."""
        ...

    async def read(self, type: str, id: str, where: Predicate, version: int | None = None) -> Stored | None:
        """The current or the given version, if today's resource matches `where` (EVERYTHING: no condition).

        A deletion is returned as such; a deleted resource matches only EVERYTHING."""
        ...

    async def search(self, query: Query) -> Page:
        """One page; deleted resources are never found."""
        ...

    async def lines(self, query: Query, at: int | None = None) -> Lines:
        """As search in order of creation, for who passes bodies on as they are: without those that are later than `at`.
        The page may be shorter than `count` for it, even empty, or for its bytes (pace.py), and others follow. Sort and
        total are ignored."""
        ...

    async def count(self, query: Query) -> int:
        """How many resources match; sort, count and after are ignored."""
        ...

    async def history(
        self,
        type: str | None,
        id: str | None,
        where: Predicate,
        since: int | None,
        after: Position | None,
        count: int,
        at: tuple[int, int] | None = None,
    ) -> Page:
        """Versions, newest first, of an instance, a type or (None, None) everything; `since` is inclusive. `at`: only
        those that were current at some time in [low, high), and deletions made in it."""
        ...

    def scan(self, query: Query) -> AsyncIterator[Stored]:
        """All current resources that match, in order of creation, in bounded memory; sort, count, after ignored."""
        ...

    def changes(self, after: Position | None) -> AsyncIterator[tuple[Position, Stored]]:
        """Committed versions in commit order after a position (None: from the first), ending when caught up."""
        ...

    async def settled(self) -> int:
        """A time, not long before the call: all versions that bear it or an earlier one are committed and visible,
        those written later bear a later one. Waits until the transactions that were open have ended."""
        ...

    async def explain(self, query: Query) -> dict[str, Any]:
        """How the store would run the query: its statements and its planner's words."""
        ...

    async def reindex(self, entries: Callable[[bytes], tuple[Entry, ...]], types: tuple[str, ...]) -> int:
        """Compute all index entries anew from the stored bodies (all types if empty); returns how many resources."""
        ...

    async def check(self) -> None:
        """Raise StoreError unless the store answers (readiness)."""
        ...

    async def close(self) -> None:
        """Finish what was accepted, then let go of files and connections."""
        ...

    # State: codes, tokens, leases, jobs, cursors; small JSON values outside the resources.
    async def get_state(self, key: str) -> tuple[bytes, int] | None:
        """The value and its version; None if absent or expired."""
        ...

    async def get_states(self, keys: Sequence[str]) -> dict[str, tuple[bytes, int]]:
        """As `get_state`, of many keys at once, which is sooner; those that are absent are left out."""
        ...

    async def list_state(self, prefix: str, count: int) -> list[tuple[str, bytes]]:
        """The first `count` keys that begin with `prefix`, in order, and their values; none that has expired."""
        ...

    async def put_state(self, key: str, value: Value, version: int, expires: int | None = None) -> bool:
        """Write if the current version is `version` (0: absent); False if it is not.

        A `value` that is a function is called once, when the store is about to write: what gathers while it commits
        for others goes along."""
        ...

    async def delete_state(self, key: str) -> bool:
        """Remove; False if it was absent."""
        ...
