"""A match clause of CTML as the characteristics of a Group, and back. https://hl7.org/fhir/R4/group.html

`and` is the Group itself, `or` a contained Group of any-of. An `and` within an `and`, and the several keys of a
clinical node there, are taken apart, so that each criterion counts by itself; the clause as it was written is kept
beside them (trial.py) and said again as long as it still means the same.
"""

from collections.abc import Iterator, Mapping, Sequence
from string import ascii_lowercase
from typing import Any

from fhir_server.fhir.codec import Resource
from fhir_server.matching.criteria import DEPTH, IN_GROUP, METHOD, THRESHOLD
from fhir_server.matching.ctml.clinical import CLINICAL, TREATMENT, read_keys, said_keys
from fhir_server.matching.ctml.genomic import read_genomic, said_genomic
from fhir_server.matching.ctml.words import Unmapped, characteristic
from fhir_server.matching.expression import expressions
from fhir_server.matching.leaves import DESCRIBED
from fhir_server.matching.values import concepts, named
from fhir_server.terminology.codes import Terminology

TREATMENTS = ("prior_treatment", "prior_treatments")
Criterion = Resource | list["Criterion"]  # a characteristic, or an all-of; an any-of is wrapped:


class AnyOf(list["Criterion"]):
    """Criteria of which one must hold."""


def read_clause(clause: Any, terminology: Terminology) -> list[Criterion]:
    """The criteria of a `match` list, all of which must hold. Raises Unmapped with the path in the list."""
    return list(_members(clause, terminology, 0))


def _members(nodes: Any, terminology: Terminology, depth: int) -> Iterator[Criterion]:
    if not isinstance(nodes, list):
        raise Unmapped("", "it is not a list of criteria")
    if depth > DEPTH:
        raise Unmapped("", "criteria are nested too deep")
    for number, node in enumerate(nodes):
        try:
            yield from _node(node, terminology, depth)
        except Unmapped as error:
            raise error.within(f"[{number}]") from None


def _node(node: Any, terminology: Terminology, depth: int) -> Iterator[Criterion]:
    if not isinstance(node, Mapping) or len(node) != 1:
        raise Unmapped("", "a criterion is one of and, or, clinical, genomic and prior_treatment")
    ((kind, body),) = node.items()
    try:
        match kind:
            case "and":
                yield from _members(body, terminology, depth + 1)
            case "or":
                yield _any_of(body, terminology, depth + 1)
            case "clinical" | "genomic" | "prior_treatment" | "prior_treatments":
                yield from _leaf(kind, body, terminology)
            case _:
                raise Unmapped("", "it is no key that can be mapped")
    except Unmapped as error:
        raise error.within(str(kind)) from None


def _any_of(nodes: Any, terminology: Terminology, depth: int) -> Criterion:
    ways = []
    for number, node in enumerate(nodes if isinstance(nodes, list) else [None]):
        try:
            ways.append(list(_node(node, terminology, depth)))
        except Unmapped as error:
            raise error.within(f"[{number}]") from None
    if not ways or not all(ways):
        raise Unmapped("", "an `or` needs criteria to choose from")
    return AnyOf(way[0] if len(way) == 1 else way for way in ways)


def _leaf(kind: str, body: Any, terminology: Terminology) -> list[Resource]:
    if not isinstance(body, Mapping):
        raise Unmapped("", "it has no keys")
    if kind == "genomic":
        return read_genomic(body, terminology)
    return read_keys(body, CLINICAL if kind == "clinical" else TREATMENT, terminology)


def grouped(criteria: Sequence[Criterion], id: str = "c") -> tuple[list[Resource], list[Resource]]:
    """Criteria as characteristics with ids, and the Groups to be contained: c3, in it c3a, in that c3a1."""
    found: list[Resource] = []
    held: list[Resource] = []
    for number, criterion in enumerate(criteria, 1):
        own = f"{id}{_step(id, number)}"
        if isinstance(criterion, dict):
            found.append({"id": own, **criterion})
            continue
        inner, below = grouped(criterion, own)
        group: Resource = {"resourceType": "Group", "id": f"group-{own}", "type": "person", "actual": False}
        if isinstance(criterion, AnyOf):
            group["modifierExtension"] = [{"url": METHOD, "valueCode": "any-of"}]
        held += [{**group, "characteristic": inner}, *below]
        found.append({"id": own, **within(f"#group-{own}")})
    return found, held


def _step(id: str, number: int) -> str:
    if id[-1].isdigit():
        return ascii_lowercase[number - 1] if number <= len(ascii_lowercase) else f"-{number}"
    return str(number)


def within(reference: str) -> Resource:
    """The criterion that another Group's criteria hold."""
    return characteristic(IN_GROUP, False, valueReference={"reference": reference})


def say_clause(group: Resource, terminology: Terminology, leave_out: str = "") -> list[dict[str, Any]]:
    """A Group as a `match` list, but for the criterion with the id `leave_out`. Raises Unmapped, naming the criterion,
    for what CTML cannot say."""
    kept = [one for one in group.get("characteristic", ()) if one.get("id") != leave_out]
    nodes = _said({**group, "characteristic": kept}, group, False, terminology, 0)
    return [] if not kept else [nodes] if "and" in nodes else [{"and": [nodes]}]


def _said(group: Resource, holder: Resource, negate: bool, terminology: Terminology, depth: int) -> dict[str, Any]:
    """A Group, or the opposite of it, as one node."""
    if any(expressions(group)):
        raise Unmapped("", "CTML cannot say a characteristicExpression")
    modifiers = {named(e.get("url", "")): e for e in group.get("modifierExtension", ())}
    method = modifiers.pop(METHOD, {}).get("valueCode", "all-of")
    if modifiers.keys() - {THRESHOLD} or method not in ("all-of", "any-of"):
        raise Unmapped("", f"CTML cannot say {method}")
    nodes = []
    for one in group.get("characteristic", ()):
        try:
            nodes.append(_criterion(one, holder, negate, terminology, depth))
        except Unmapped as error:
            raise error if error.where else error.within(f"criterion {one.get('id', '?')}") from None
    return {"and" if (method == "all-of") != negate else "or": nodes}


def _criterion(one: Resource, holder: Resource, negate: bool, terminology: Terminology, depth: int) -> dict[str, Any]:
    exclude = (one.get("exclude") is True) != negate
    modifiers = {named(e.get("url", "")) for e in one.get("modifierExtension", ())}
    if modifiers - {DESCRIBED} or "period" in one:
        raise Unmapped("", "CTML knows no age of the evidence, no washout and no period")
    if IN_GROUP in concepts(one.get("code")):
        target = one.get("valueReference", {}).get("reference", "")
        inner = next((g for g in holder.get("contained", ()) if f"#{g.get('id')}" == target), None)
        if inner is None or depth > DEPTH:
            raise Unmapped("", f"only a contained Group can be said in CTML, not {target or 'none'}")
        return _said(inner, holder, exclude, terminology, depth + 1)
    clinical = said_keys(one, CLINICAL, exclude, terminology)
    if clinical is not None:
        return {"clinical": clinical}
    treatment = said_keys(one, TREATMENT, exclude, terminology)
    if treatment is not None:
        return {"prior_treatment": treatment}
    genomic = said_genomic(one, exclude, terminology)
    if genomic is not None:
        return {"genomic": genomic}
    raise Unmapped("", "CTML has no key for what it asks")
