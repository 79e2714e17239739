"""The literal table of interactions: what a method on a URL below the base means. https://hl7.org/fhir/R4/http.html#summary

HTTP requests and the entries of bundles are looked up here alike.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from fhir_server.access import Caller
from fhir_server.fhir.capability import IMMUTABLE, LASTING
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.interactions.capabilities import capabilities
from fhir_server.interactions.create import create
from fhir_server.interactions.delete import conditional_delete, delete
from fhir_server.interactions.history import history
from fhir_server.interactions.may import immutable, lasting, require
from fhir_server.interactions.patch import conditional_patch, patch
from fhir_server.interactions.profiles import judging
from fhir_server.interactions.read import read
from fhir_server.interactions.search import search
from fhir_server.interactions.update import conditional_update, update
from fhir_server.interactions.vread import vread
from fhir_server.server import Server

Perform = Callable[[Server, Caller, Ask], Awaitable[Answer]]


class Interaction(NamedTuple):
    """A row of the table: names in brackets are fields of Ask; `body` says what the request carries."""

    method: str
    path: str
    name: str  # as in https://hl7.org/fhir/R4/valueset-restful-interaction.html
    act: Perform
    needs: str = ""  # the rights on its type that it takes, as letters of SMART's scopes
    # "", resource, patch, form (search parameters), operation (Parameters, a resource or nothing), manifest (JSON)
    body: str = ""

    async def perform(self, server: Server, caller: Caller, ask: Ask) -> Answer:
        """Do it, if the caller may. Raises FhirError."""
        self.require(caller, ask)
        return await judging(lambda: self.act(server, caller, ask), server)

    def require(self, caller: Caller, ask: Ask) -> None:
        """Raise FhirError 403 unless the caller has the rights; criteria are a search, else they were an oracle. 405
        for a change of what nobody changes; but where everyone is let in, a copy of it is restored under its id."""
        restores = self.name == "update" and caller.free
        if ask.type in IMMUTABLE and self.needs in ("u", "d") and not restores:
            raise immutable(ask.type)
        if ask.type in LASTING and self.needs == "d":
            raise lasting(ask.type)
        conditional = ask.if_none_exist is not None or (self.needs in ("u", "d") and not ask.id)
        require(caller, ask.type, self.needs + "s" if conditional else self.needs)


TABLE: tuple[Interaction, ...] = (
    Interaction("GET", "[type]/[id]", "read", read, "r"),
    Interaction("GET", "[type]/[id]/_history/[version]", "vread", vread, "r"),
    Interaction("PUT", "[type]/[id]", "update", update, "u", "resource"),
    Interaction("PUT", "[type]", "update", conditional_update, "u", "resource"),
    Interaction("PATCH", "[type]/[id]", "patch", patch, "u", "patch"),
    Interaction("PATCH", "[type]", "patch", conditional_patch, "u", "patch"),
    Interaction("DELETE", "[type]/[id]", "delete", delete, "d"),
    Interaction("DELETE", "[type]", "delete", conditional_delete, "d"),
    Interaction("POST", "[type]", "create", create, "c", "resource"),
    Interaction("GET", "[type]", "search-type", search, "s"),
    Interaction("POST", "[type]/_search", "search-type", search, "s", "form"),
    Interaction("GET", "", "search-system", search, "s"),
    Interaction("POST", "_search", "search-system", search, "s", "form"),
    Interaction("GET", "[compartment]/[id]/[type]", "search-type", search, "s"),
    Interaction("POST", "[compartment]/[id]/[type]/_search", "search-type", search, "s", "form"),
    Interaction("GET", "[type]/[id]/_history", "history-instance", history, "r"),
    Interaction("GET", "[type]/_history", "history-type", history, "s"),
    Interaction("GET", "_history", "history-system", history, "s"),
    Interaction("GET", "metadata", "capabilities", capabilities),
)


class Found(NamedTuple):
    """What a path means: the row of each method, and the names of the path's variable parts."""

    methods: dict[str, Interaction]
    names: tuple[str, ...]


Shapes = Mapping[str, Found]


def compiled(table: tuple[Interaction, ...]) -> dict[str, Found]:
    """The table by shape of path, in which `*` stands for each variable part."""
    shapes: dict[str, Found] = {}
    for row in table:
        shape = re.sub(r"\[\w+\]", "*", row.path)
        found = shapes.setdefault(shape, Found({}, tuple(re.findall(r"\[(\w+)\]", row.path))))
        found.methods[row.method] = row
    return shapes


def shape_of(parts: list[str]) -> str:
    """The shape of a path's parts: those that begin with `_` or `$` are literal (as empty ones are), the rest vary."""
    return "/".join([part if part[:1] in LITERAL else "*" for part in parts])


LITERAL = ("_", "$", "")
SHAPES = compiled(TABLE)
