"""What is kept of one access, and whose record it touched. https://profiles.ihe.net/ITI/BALP/

Patients are found in the bytes of an answer, not by decoding it: naming one too many is fine, missing one is not.
Names of search parameters are kept, never their values.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from fhir_server.access.grant import Grant
from fhir_server.fhir.definitions import Definitions
from fhir_server.interactions.ask import Pairs
from fhir_server.interactions.draft import ID

MOST_PATIENTS = 2000  # of one access; what names more (a Group of a whole register) is recorded under its own name


class Access(msgspec.Struct, frozen=True, array_like=True):
    """One access, grant or refusal. `patients` are ids; `more` says how many there were, if too many to keep."""

    time: int  # microseconds since 1970
    request: str  # the X-Request-Id
    status: int
    interaction: str  # a row of the table of interactions, or auth-token and the like; "" for none
    type: str = ""
    id: str = ""
    patients: tuple[str, ...] = ()
    more: int = 0
    parameters: tuple[str, ...] = ()  # names
    address: str = ""  # of the client's host
    client: str = ""  # client_id, proven
    user: str = ""
    role: str = ""
    purposes: tuple[str, ...] = ()  # v3-ActReason
    emergency: str = ""  # the reason given for breaking the glass
    actors: tuple[str, ...] = ()  # references to the organizations on whose behalf
    study: str = ""


def access(
    time: int,
    request: str,
    address: str,
    grant: Grant | None,
    status: int,
    interaction: str,
    type: str = "",
    id: str = "",
    patients: Iterable[str] = (),
    parameters: tuple[str, ...] = (),
) -> Access:
    """An Access by whoever holds the grant; None: by someone unknown."""
    found = tuple(dict.fromkeys(patients))
    more = len(found) if len(found) > MOST_PATIENTS else 0
    if more:
        found = ()
    if grant is None:
        return Access(time, request, status, interaction, type, id, found, more, parameters, address)
    return Access(
        time, request, status, interaction, type, id, found, more, parameters, address,
        grant.client, grant.user, grant.role, grant.purposes, grant.emergency, grant.actors, grant.study,
    )  # fmt: skip


# A relative reference, the head of a Patient as the server writes it, and how $find-population-... lists one.
_NAMED = re.compile(rb'(?:"Patient(?:\\?/|","id":")|"name":"subject","valueString":")([A-Za-z0-9\-.]{1,64})')


def patients_in(text: bytes, base: str) -> list[str]:
    """The ids of Patients that a JSON text names or holds, some perhaps twice."""
    found = _NAMED.findall(text)
    if base.encode() in text:
        found += _absolute(base).findall(text)
    return [id.decode() for id in found]


@lru_cache(maxsize=4)
def _absolute(base: str) -> re.Pattern[bytes]:
    return re.compile(re.escape(f"{base}/Patient/".encode()) + rb"([A-Za-z0-9\-.]{1,64})")


def patients_asked(type: str, id: str, compartment: str, query: Pairs) -> list[str]:
    """The ids of Patients that a request itself names: in its path, or as a patient, subject or `_id` searched for."""
    found = [id] if id and "Patient" in (type, compartment) else []
    for name, value in query:
        code = name.partition(":")[0]
        for text in value.split(","):
            kind, slash, rest = text.rpartition("Patient/")
            if slash and not kind:
                text = rest
            elif code not in ("patient", "subject") and not (code == "_id" and type == "Patient"):
                continue
            if ID.fullmatch(text):
                found.append(text)
    return found


def pairs_in(parameters: Mapping[str, Any] | None) -> Pairs:
    """What the body of an operation says, as a query would: names and texts of its references and primitives."""
    listed = (parameters or {}).get("parameter", ())
    found = []
    for one in filter(lambda one: isinstance(one, dict), listed if isinstance(listed, list) else ()):
        for value in (one.get("valueReference"), one.get("valueString"), one.get("valueId")):
            text = value.get("reference") if isinstance(value, dict) else value
            if isinstance(text, str) and isinstance(one.get("name"), str):
                found.append((one["name"], text))
    return tuple(found)


# Words in names of parameters beside codes and types. https://hl7.org/fhir/R4/search.html
_WORDS = frozenset(
    """_count _sort _include _revinclude _summary _elements _total _contained _containedType _has _type _list _filter
    _since _at _text _content _query _id iterate missing exact contains text not above below in not-in identifier
    of-type type near""".split()  # noqa: SIM905
)
_SPLIT = re.compile("[:.]")


def parameter_names(definitions: Definitions, query: Pairs) -> tuple[str, ...]:
    """The names of a search's parameters. One with a word in it that means nothing is left out: it may be a value."""

    def means(word: str) -> bool:
        return (
            word in _WORDS
            or word in definitions.resources
            or any(word in params for params in definitions.search.values())
        )

    return tuple([name for name in dict.fromkeys(name for name, _ in query) if all(map(means, _SPLIT.split(name)))])
