"""The one value that every interaction is given: settings, definitions, store, and the sources of time and identity."""

from collections.abc import Callable
from dataclasses import dataclass

from fhir_server.fhir.codec import Resource
from fhir_server.fhir.definitions import Definitions
from fhir_server.search.predicate import Entry
from fhir_server.settings import Settings
from fhir_server.store.seam import Store
from fhir_server.terminology.codes import Terminology


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
    capabilities: bytes = b""  # the CapabilityStatement, computed once
    page_key: bytes = b""  # seals `next` links; every process of one store has the same
