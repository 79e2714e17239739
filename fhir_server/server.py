"""The one value that every interaction is given: settings, definitions, store, and the sources of time and identity."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fhir_server.access.judging import Consents
from fhir_server.access.write import Guard
from fhir_server.admission import Admission
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.definitions import Definitions
from fhir_server.recent import Recent
from fhir_server.search.known import Members
from fhir_server.search.predicate import Entry
from fhir_server.settings import Settings
from fhir_server.store.seam import Store
from fhir_server.terminology.codes import Terminology
from fhir_server.terminology.system import Seen

REQUESTED, LATELY = "", 0.05  # the only key of `requested`, and for how many seconds it is there after a request


@dataclass(frozen=True, slots=True)
class Server:
    """Everything an interaction needs, wired once by app.open_server; tests replace the clock and the ids."""

    settings: Settings
    definitions: Definitions
    terminology: Terminology
    store: Store
    index: Callable[[Resource], tuple[Entry, ...]]  # resource -> its index entries
    validate: Callable[[Resource], None]  # raises FhirError 422/400 with every issue found
    clock: Callable[[], int]  # microseconds since 1970
    new_id: Callable[[], str]
    consents: Consents  # what gives each resource that is written its rule
    capabilities: Callable[[], bytes] = lambda: b""  # the CapabilityStatement, computed when it is first asked for
    admission: Admission = field(default_factory=Admission)  # of large bodies
    requested: Recent[str, bool] = field(default_factory=lambda: Recent(1))  # whether requests come: jobs make way
    jobs: set[asyncio.Task[None]] = field(default_factory=set)  # those that this process is working on
    exports: set[asyncio.Task[None]] = field(default_factory=set)  # those that this process is working on
    export_place: asyncio.Event = field(default_factory=asyncio.Event)  # set when one of them has ended
    imports: set[asyncio.Task[None]] = field(default_factory=set)  # the one that this process is working on
    import_place: asyncio.Event = field(default_factory=asyncio.Event)  # set when it has ended, or another is there
    polls: Recent[str, Any] = field(default_factory=lambda: Recent(10_000))  # of exports, to tell the impatient
    describe: Callable[[Definitions], Callable[[], bytes]] = lambda definitions: lambda: b""  # the same for others
    editions: tuple[int, ...] = ()  # the numbers of those that were imported, of which `terminology` is made
    guarded: Callable[[Terminology], tuple[Guard, ...]] = lambda terminology: ()  # `guards` for another terminology
    custom: int = 0  # the version of the State that says which SearchParameters beyond R4 are searched
    grants: Recent[str, Any] = field(default_factory=lambda: Recent(10_000))  # of access tokens seen in this second
    key_sets: Recent[str, Any] = field(default_factory=lambda: Recent(1000))  # fetched from clients and issuers
    origins: Recent[str, Any] = field(default_factory=lambda: Recent(1))  # of the registered browser apps
    asked: Recent[str, Any] = field(default_factory=lambda: Recent(100_000))  # who called the authorization server
    systems: Recent[str, Any] = field(default_factory=lambda: Recent(500))  # code systems and profiles, made ready
    lists: Recent[tuple[str, str, int], Members] = field(default_factory=lambda: Recent(8))  # codes above or below one
    terms: Seen = field(default_factory=lambda: Recent(20_000))  # concepts of imported code systems, some 10 MB
    known: Recent[tuple[str, ...], Any] = field(default_factory=lambda: Recent(20_000))  # what they said in this second
    guards: tuple[Guard, ...] = ()  # what every transaction is held to beside access
    written: asyncio.Event = field(default_factory=asyncio.Event)  # something that candidates may have to follow
    page_key: bytes = b""  # seals `next` links; every process of one store has the same
