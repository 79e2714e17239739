"""Wires the server: the only module that chooses implementations."""

import asyncio
import gc
import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache, partial

from fhir_server.access.judging import Consents
from fhir_server.access.renewal import renewing
from fhir_server.access.review import ReviewGuard
from fhir_server.access.rules import Rules
from fhir_server.access.write import Guard
from fhir_server.admission import Admission
from fhir_server.audit.fold import auditing
from fhir_server.auth.bearer import bearer
from fhir_server.auth.discovery import oauth_uris
from fhir_server.export.import_run import importing
from fhir_server.export.run import exporting
from fhir_server.fhir.capability import capability_statement
from fhir_server.fhir.codec import Resource, encode
from fhir_server.fhir.definitions import Definitions, load
from fhir_server.interactions.custom import rewired
from fhir_server.interactions.job_run import working
from fhir_server.interactions.pages import shared_key
from fhir_server.matching.follow import following
from fhir_server.matching.guard import StudyGuard
from fhir_server.operations.table import claims
from fhir_server.rest.endpoint import FhirEndpoint
from fhir_server.rest.routes import ENTRY_SHAPES, INTERACTIONS, Application
from fhir_server.search.custom import check
from fhir_server.search.index import indexer
from fhir_server.server import Server
from fhir_server.settings import Settings
from fhir_server.store import open_store
from fhir_server.terminology.codes import Terminology
from fhir_server.terminology.known import known as known_terminology
from fhir_server.validation.structure import validator


def create_app(settings: Settings) -> Application:
    """The ASGI application; its lifespan opens and closes the store. ValueError for settings that cannot serve."""
    settings.check()
    logging.getLogger("fhir_server").setLevel(settings.log_level)
    endpoint = FhirEndpoint(INTERACTIONS, bearer if settings.auth == "smart" else None)

    @asynccontextmanager
    async def lifespan(app: Application) -> AsyncIterator[None]:
        async with (
            open_server(settings) as server,
            working(server, ENTRY_SHAPES),
            exporting(server),
            importing(server),
            following(server),
            renewing(partial(rewired, server)),
            auditing(server) as journal,
        ):
            endpoint.server, endpoint.journal = server, journal
            yield
        endpoint.server = endpoint.journal = None

    return Application(endpoint, settings.access_log, lifespan, settings.auth == "smart")


@asynccontextmanager
async def open_server(settings: Settings) -> AsyncIterator[Server]:
    """A Server over the store that the settings name, closed at the end. Raises StoreError with the cure."""
    definitions = load()
    written = asyncio.Event()
    store = await open_store(settings.store)
    try:
        terminology, editions = await known_terminology(store.terms)
        freeze()
        gc.set_threshold(50_000, 20, 50)  # a bundle is 100,000 objects and no cycles: loading takes an eighth less time
        names = frozenset(row.name for row in INTERACTIONS)
        oauth = oauth_uris(settings) if settings.auth == "smart" else {}

        def describe(definitions: Definitions) -> Callable[[], bytes]:
            return cache(lambda: encode(capability_statement(definitions, names, settings.base, claims(), oauth)))

        def guarded(terminology: Terminology) -> tuple[Guard, ...]:
            return StudyGuard(terminology, settings.base, written), ReviewGuard(index, clock, settings.release_days)

        index, key = indexer(definitions, settings.base), await shared_key(store)
        server = Server(
            settings=settings,
            definitions=definitions,
            terminology=terminology,
            store=store,
            index=index,
            validate=checks(),
            clock=clock,
            new_id=new_id,
            consents=Consents(
                definitions,
                terminology,
                index,
                clock,
                settings.adult_age,
                settings.treatment == "permit",
                Rules(),
                key,
                settings.clinicians_by_organization,
                settings.release_days,
            ),
            capabilities=describe(definitions),
            describe=describe,
            written=written,
            guards=guarded(terminology),
            guarded=guarded,
            editions=editions,
            admission=Admission(settings.body_room, settings.body_queue),
            page_key=key,
        )
        yield await rewired(server)
    finally:
        await store.close()


@cache
def freeze() -> None:
    """No collection need look at the definitions: they live as long as the process. Once only: frozen again, what a
    former server of the process left would never be freed."""
    gc.freeze()


@cache
def checks() -> Callable[[Resource], None]:
    """Structure first; then what a SearchParameter needs beyond it. Made once per process, as the definitions are."""
    definitions = load()
    structure = validator(definitions)

    def validate(resource: Resource) -> None:
        structure(resource)
        if resource["resourceType"] == "SearchParameter":
            check(definitions, resource)

    return validate


def clock() -> int:
    """Now, in microseconds since 1970, cut to milliseconds as FHIR instants show them."""
    return time.time_ns() // 1_000_000 * 1000


def new_id() -> str:
    """A fresh random id."""
    return str(uuid.uuid4())
