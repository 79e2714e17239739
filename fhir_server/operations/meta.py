"""$meta, $meta-add, $meta-delete: profiles, tags and security labels. https://hl7.org/fhir/R4/resource-operations.html#meta

A change of labels makes a version: a label can decide who sees a resource, so the history must show who changed it and
when (docs/operations/meta.md).
"""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from fhir_server.access import Caller, permitted, transact
from fhir_server.fhir import codec
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.outcome import refuse
from fhir_server.interactions import update
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.interactions.draft import SERVER_META, Draft, draft
from fhir_server.interactions.preconditions import require_match
from fhir_server.interactions.profiles import require_judged
from fhir_server.interactions.read import read
from fhir_server.interactions.visible import current, gone, not_found
from fhir_server.operations.inputs import Inputs
from fhir_server.server import Server
from fhir_server.store.seam import Query, Stored, Tx

LABELS = ("profile", "security", "tag")
MOST = 200_000  # resources that are looked at for the labels of a type: a few seconds

Labels = dict[str, dict[Any, Any]]  # kind -> identity (profile's uri, coding's system and code) -> as written
Change = Callable[[Labels, Labels], None]


class _Head(msgspec.Struct):
    """What of a stored resource is decoded: msgspec skips the rest eight times as fast."""

    meta: dict[str, Any] = {}


_heads = msgspec.json.Decoder(_Head)


async def meta(server: Server, caller: Caller, ask: Ask, given: Inputs) -> Answer:
    """The Meta of a resource, or each label that is in use in a type or everywhere, once."""
    if ask.id:
        answer = await read(server, caller, Ask(type=ask.type, id=ask.id))
        return Answer(200, returned(codec.decode(answer.body).get("meta", {})))
    found: Labels = {kind: {} for kind in LABELS}
    seen = 0
    types = (ask.type,) if ask.type else ()
    async for row in server.store.scan(Query(types, permitted(caller, types, "s"))):
        seen += 1
        if seen > MOST:
            text = f"More than {MOST} resources would have to be looked at: ask for a type or a single resource."
            raise refuse(422, "too-costly", text)
        if seen % 500 == 0:
            await asyncio.sleep(0)
        for kind, labels in read_labels(_heads.decode(row.body).meta).items():
            found[kind].update(labels)
    return Answer(200, returned(_written(found)))


async def meta_add(server: Server, caller: Caller, ask: Ask, given: Inputs) -> Answer:
    """Add labels; one that is there already (a coding: same system and code) stays as it is."""
    return await _changed(server, caller, ask, given, _add)


async def meta_delete(server: Server, caller: Caller, ask: Ask, given: Inputs) -> Answer:
    """Take labels away; one that is not there is no error."""
    return await _changed(server, caller, ask, given, _remove)


def _add(have: Labels, wanted: Labels) -> None:
    for kind, labels in wanted.items():
        have[kind] = {**have[kind], **{key: label for key, label in labels.items() if key not in have[kind]}}


def _remove(have: Labels, wanted: Labels) -> None:
    for kind, labels in wanted.items():
        have[kind] = {identity: label for identity, label in have[kind].items() if identity not in labels}


async def _changed(server: Server, caller: Caller, ask: Ask, given: Inputs, apply: Change) -> Answer:
    wanted = read_labels(_asked(given))
    now = server.clock()
    seen = await server.store.read(ask.type, ask.id, caller.permit(ask.type, "u"))
    ready = _draft(server, seen, wanted, apply) if seen is not None and not seen.deleted else None

    async def work(tx: Tx) -> Stored:
        before = await current(tx, caller, ask.type, ask.id, "u")
        if before is None:
            raise not_found(ask.type, ask.id)
        if before.deleted:
            raise gone(ask.type, ask.id)
        require_match(ask.if_match, before)
        same = seen is not None and seen.version == before.version
        made = ready if same else _draft(server, before, wanted, apply)
        if made is None:
            return before
        answer = await update.apply(tx, caller, made, ask.id, now, Ask())
        return answer.stored or before

    stored = await transact(server, caller, work)
    return Answer(200, returned(codec.decode(stored.body).get("meta", {})))


def _asked(given: Inputs) -> Resource:
    labels: Resource | None = given.get("meta")
    if labels is None:
        raise refuse(400, "required", "The parameter meta (valueMeta) says which labels.", "Parameters.parameter")
    strange = labels.keys() - {*LABELS, *SERVER_META}
    if strange:
        text = f"Only profile, security and tag can be added or taken away, not {', '.join(sorted(strange))[:100]}."
        raise refuse(400, "not-supported", text, "Parameters.parameter")
    if not labels.keys() & set(LABELS):
        raise refuse(400, "required", "The parameter meta holds no profile, security or tag.", "Parameters.parameter")
    return labels


def _draft(server: Server, before: Stored, wanted: Labels, apply: Change) -> Draft | None:
    """The next version, None if nothing changes."""
    resource = codec.decode(before.body)
    have = read_labels(resource.get("meta", {}))
    wished = {kind: dict(labels) for kind, labels in have.items()}
    apply(wished, wanted)
    if wished == have:
        return None
    kept = {key: value for key, value in resource["meta"].items() if key not in LABELS}
    if wished["profile"] != have["profile"]:
        kept.pop("_profile", None)  # extensions of its items, by position
    changed = {**resource, "meta": {**kept, **_written(wished)}}
    if wished["profile"] != have["profile"]:
        require_judged(server, changed)
    return draft(server, changed, before.id)


def read_labels(meta: Resource) -> Labels:
    """The labels of a Meta by what identifies them. Raises FhirError 400 for what is none."""
    found: Labels = {}
    for kind in LABELS:
        listed = meta.get(kind, [])
        if not isinstance(listed, list) or not all(map(_is_uri if kind == "profile" else _is_coding, listed)):
            raise refuse(400, "structure", f"meta.{kind} must be an array of {_SHAPES[kind]}.", f"Meta.{kind}")
        found[kind] = {one if kind == "profile" else (one.get("system"), one.get("code")): one for one in listed}
    return found


def _is_uri(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_coding(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(key, ""), str) for key in ("system", "code"))


_SHAPES = {"profile": "canonical URLs", "security": "Codings", "tag": "Codings"}


def _written(labels: Labels) -> Resource:
    return {kind: list(found.values()) for kind, found in labels.items() if found}


def returned(meta: Resource) -> bytes:
    """The Parameters that these operations answer with; an empty Meta cannot be written in FHIR."""
    out = [{"name": "return", "valueMeta": meta}] if meta else []
    return codec.encode({"resourceType": "Parameters", **({"parameter": out} if out else {})})
