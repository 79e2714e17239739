"""Accesses as AuditEvents in the shapes of IHE BALP, folded: same agent, patient, interaction and outcome, one minute.

https://profiles.ihe.net/ITI/BALP/ https://hl7.org/fhir/R4/auditevent.html
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from fhir_server.access.grant import Grant
from fhir_server.audit.record import Access
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.dates import bounds, instant

COUNT = "https://participation.example/fhir/StructureDefinition/audit-count"
OURS = "https://participation.example/fhir/CodeSystem/audit-subtype"
REST = "http://hl7.org/fhir/restful-interaction"
DICOM = "http://dicom.nema.org/resources/ontology/DCM"
HL7 = "http://terminology.hl7.org/CodeSystem/"
BALP = "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType"

MINUTE = 60_000_000
DATA_DESTINATION = "16"  # a role of objects: the study that data are for
FULL = 100  # resources and queries from which an event of the minute is followed by another
REQUESTS = 10  # request ids kept of those that an event stands for

ACTIONS: Mapping[str, str] = {
    "create": "C", "read": "R", "vread": "R", "history-instance": "R", "history-type": "R", "history-system": "R",
    "update": "U", "patch": "U", "delete": "D",
}  # fmt: skip
INTERACTIONS = frozenset({*ACTIONS, "search-type", "search-system", "capabilities", "transaction", "batch"})
# DICOM's words for the two ends: where what is told comes from, and where it goes to.
SOURCE, DESTINATION = ("110153", "Source Role ID"), ("110152", "Destination Role ID")
LOGIN = {
    "auth-token": ("110122", "Login"), "auth-login": ("110122", "Login"),
    "auth-revoke": ("110123", "Logout"), "auth-logout": ("110123", "Logout"),
}  # fmt: skip
REFERENCE = re.compile(r"[A-Z][A-Za-z]{1,63}/[A-Za-z0-9\-.]{1,64}", re.ASCII)


class Key(NamedTuple):
    """What accesses have in common that are one event."""

    client: str
    user: str
    role: str
    purposes: tuple[str, ...]
    emergency: str
    actors: tuple[str, ...]
    study: str
    address: str
    patient: str
    interaction: str
    status: int  # 200 for all that succeeded
    minute: int


@dataclass(slots=True)
class Folded:
    """The accesses of one key, at most FULL different resources and queries of them."""

    first: int
    last: int
    count: int = 0
    objects: dict[tuple[str, str], None] = field(default_factory=dict)  # (type, id)
    queries: dict[tuple[str, tuple[str, ...]], None] = field(default_factory=dict)  # (type, names of parameters)
    requests: dict[str, None] = field(default_factory=dict)
    more: int = 0


def fold_into(found: dict[Key, list[Folded]], accesses: Iterable[Access]) -> dict[Key, list[Folded]]:
    """Accesses by what makes them one event; more than one Folded where there are too many objects for one."""
    for one in accesses:
        status = one.status if one.status >= 400 else 200
        for patient in one.patients or ("",):
            key = Key(
                one.client, one.user, one.role, one.purposes, one.emergency, one.actors, one.study, one.address,
                patient, one.interaction, status, one.time // MINUTE,
            )  # fmt: skip
            pieces = found.setdefault(key, [])
            if not pieces or len(pieces[-1].objects) + len(pieces[-1].queries) >= FULL:
                pieces.append(Folded(one.time, one.time))
            _add(pieces[-1], one)
    return found


def _add(to: Folded, one: Access) -> None:
    to.first, to.last = min(to.first, one.time), max(to.last, one.time)
    to.count += 1
    to.more = max(to.more, one.more)
    if one.type and one.id:
        to.objects[one.type, one.id] = None
    if one.parameters or one.interaction.startswith("search"):
        to.queries[one.type, one.parameters] = None
    if one.request and len(to.requests) < REQUESTS:
        to.requests[one.request] = None


def id_of(key: Key, part: int) -> str:
    """The id of an event: the same whenever the same key is folded."""
    return hashlib.sha256(repr((*key, part)).encode("utf-8", "surrogatepass")).hexdigest()[:40]


def is_full(event: Resource) -> bool:
    """Whether what follows goes into another event of the same minute."""
    return len(event.get("entity", ())) >= FULL


def event_of(key: Key, what: Folded, base: str, before: Resource | None = None) -> Resource:
    """The AuditEvent of a key; with `before`, what was folded already, it stands for both."""
    first, last, count = what.first, what.last, what.count
    if before is not None:
        first = min(first, bounds(before["period"]["start"])[0])
        last = max(last, bounds(before["period"]["end"])[0])
        count += count_of(before)
    entities = _entities(key, what, base, before)
    described = _described(key, what)
    return {
        "resourceType": "AuditEvent",
        "extension": [{"url": COUNT, "valueInteger": count}],
        **_kind(key.interaction),
        "action": ACTIONS.get(key.interaction, "E"),
        "period": {"start": instant(first), "end": instant(last)},
        "recorded": instant(last),
        "outcome": "0" if key.status < 400 else "4" if key.status < 500 else "8",
        **({"outcomeDesc": described} if described else {}),
        **({"purposeOfEvent": purposes} if (purposes := _purposes(key)) else {}),
        "agent": _agents(key, base),
        "source": {
            "observer": {"display": base},
            "type": [_coding(HL7 + "security-source-type", "4", "Application Server")],
        },
        **({"entity": entities} if entities else {}),
    }


def count_of(event: Resource) -> int:
    """How many accesses an event stands for."""
    return next((one.get("valueInteger", 1) for one in event.get("extension", ()) if one["url"] == COUNT), 1)


def grant_of(event: Resource) -> Grant:
    """Who an event says it was, for what purposes and study, as a grant without scopes; "" for what it does not say."""
    client, *others = event["agent"]
    named = [(one.get("requestor", False), one.get("who", {}).get("reference", "")) for one in others]
    people = [reference for requestor, reference in named if requestor and reference]
    actors = [reference for requestor, reference in named if not requestor and reference]
    entities = [(one.get("role", {}).get("code"), one.get("what", {})) for one in event.get("entity", ())]
    studies = [what.get("reference", "") for role, what in entities if role == DATA_DESTINATION]
    return Grant(
        client=client.get("who", {}).get("identifier", {}).get("value", ""),
        scopes=(),
        role=client["role"][0].get("text", "") if "role" in client else "",
        user=people[0] if people else "",
        purposes=tuple(c.get("code", "") for one in event.get("purposeOfEvent", ()) for c in one.get("coding", ())),
        actors=tuple(actors),
        study=studies[0].removeprefix("ResearchStudy/") if studies else "",
    )


def _kind(interaction: str) -> Resource:
    """What sort of event it is: type and subtype."""
    if interaction.startswith("auth-"):
        more = [_coding(DICOM, *LOGIN[interaction])] if interaction in LOGIN else []
        return {
            "type": _coding(DICOM, "110114", "User Authentication"),
            "subtype": [*more, _coding(OURS, interaction)],
        }
    if interaction in INTERACTIONS:
        subtype = [_coding(REST, interaction)]
    elif interaction:
        subtype = [_coding(REST, "operation"), _coding(OURS, interaction.removeprefix("$"))]
    else:
        subtype = [_coding(OURS, "unknown")]
    return {"type": _coding(HL7 + "audit-event-type", "rest", "Restful Operation"), "subtype": subtype}


def _described(key: Key, what: Folded) -> str:
    said = [f"refused with status {key.status}"] if key.status >= 400 else []
    said += [f"emergency: {_clean(key.emergency, 500)}"] if key.emergency else []
    said += [f"names {what.more} patients"] if what.more else []
    return "; ".join(said)


def _purposes(key: Key) -> list[Resource]:
    codes = dict.fromkeys((*(["BTG"] if key.emergency else []), *key.purposes))
    return [{"coding": [_coding(HL7 + "v3-ActReason", code)]} for code in codes if re.fullmatch(r"\w{1,40}", code)]


def _agents(key: Key, base: str) -> list[Resource]:
    """The client, this server, the organizations on whose behalf, and the person who is signed in."""
    from_us = ACTIONS.get(key.interaction) == "R"
    client, server = (DESTINATION, SOURCE) if from_us else (SOURCE, DESTINATION)
    who: Resource = {"display": "unknown"}
    if key.client:
        who = {"identifier": {"system": f"{base}/oauth-client", "value": _clean(key.client, 200)}}
    agents: list[Resource] = [
        {
            "type": {"coding": [_coding(DICOM, *client)]},
            **({"role": [{"text": _clean(key.role, 40)}]} if key.role else {}),
            "who": who,
            "requestor": not key.user,
            **({"network": {"address": key.address, "type": "2"}} if key.address else {}),
        },
        {
            "type": {"coding": [_coding(DICOM, *server)]},
            "who": {"display": base},
            "requestor": False,
            "network": {"address": base, "type": "5"},
        },
    ]
    agents += [
        {"type": {"coding": [RECIPIENT]}, "who": {"reference": actor}, "requestor": False}
        for actor in key.actors
        if REFERENCE.fullmatch(actor)
    ]
    if key.user:
        known = REFERENCE.fullmatch(key.user)
        agents.append(
            {
                "type": {"coding": [_part(key.interaction)]},
                "who": {"reference": key.user} if known else {"display": _clean(key.user, 200)},
                "requestor": True,
            }
        )
    return agents


def _part(interaction: str) -> Resource:
    return AUTHOR if ACTIONS.get(interaction) in ("C", "U", "D") else RECIPIENT


def _entities(key: Key, what: Folded, base: str, before: Resource | None) -> list[Resource]:
    """The patient, what was looked at or changed, the study it is for, queries, the first request ids; what was there
    comes first."""
    found: list[Resource] = list(before.get("entity", ())) if before is not None else []
    known = {repr(one) for one in found}
    room = REQUESTS - sum(one["type"]["code"] == "XrequestId" for one in found)
    made: list[Resource] = []
    if key.patient:
        made.append(_entity({"what": {"reference": f"Patient/{key.patient}"}}, "1", "Person", "1", "Patient"))
    for type, id in what.objects:
        if (type, id) != ("Patient", key.patient):
            made.append(_entity({"what": {"reference": f"{type}/{id}"}}, "2", "System Object", "4", "Domain Resource"))
    if key.study:
        reference = {"what": {"reference": f"ResearchStudy/{key.study}"}}
        made.append(_entity(reference, "2", "System Object", DATA_DESTINATION, "Data Destination"))
    for type, names in what.queries:
        made.append(_entity(_query(type, names), "2", "System Object", "24", "Query"))
    for request in list(what.requests)[: max(room, 0)]:
        made.append({"what": {"identifier": {"value": request}}, "type": _coding(BALP, "XrequestId")})
    return found + [one for one in made if repr(one) not in known]


def _query(type: str, names: tuple[str, ...]) -> Resource:
    """A search without its values."""
    text = f"{type}?{'&'.join(names)}"
    return {"description": text, "query": base64.b64encode(text.encode()).decode()}


def _entity(about: Resource, kind: str, called: str, role: str, playing: str) -> Resource:
    return {
        **({"what": about["what"]} if "what" in about else {}),
        "type": _coding(HL7 + "audit-entity-type", kind, called),
        "role": _coding(HL7 + "object-role", role, playing),
        **{name: value for name, value in about.items() if name != "what"},
    }


def _coding(system: str, code: str, display: str = "") -> Resource:
    return {"system": system, "code": code, **({"display": display} if display else {})}


AUTHOR = _coding(HL7 + "v3-ParticipationType", "AUT", "author (originator)")
RECIPIENT = _coding(HL7 + "v3-ParticipationType", "IRCP", "information recipient")


def _clean(text: str, most: int) -> str:
    """Text of others as FHIR takes it: no control characters, no more than `most` characters."""
    return " ".join("".join(char if char.isprintable() else " " for char in text[:most]).split()) or "?"
