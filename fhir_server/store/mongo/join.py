"""Chains and reverse chains as `$lookup`.

https://www.mongodb.com/docs/manual/reference/operator/aggregation/lookup/
"""

from typing import Any

from fhir_server.search.predicate import Param
from fhir_server.store.mongo.document import Document
from fhir_server.store.mongo.pack import SHAPES, TAB, alias, escape

ONE: list[Document] = [{"$limit": 1}, {"$project": {"_id": 1}}]


def references_to(param: Param, type_: str, id_: str) -> list[str]:
    """The smallest set of conditions' keys under which `k` holds a reference to a resource (see pack.local)."""
    return [SHAPES[param].prefix + TAB.join((escape(id_), escape(type_), "", "")), alias(param.code, type_, id_)]


def targets(param: Param, types: tuple[str, ...]) -> Document:
    """The `_id`s that the references of `param` name, computed from `k` (id TAB type after the prefix)."""
    prefix = SHAPES[param].prefix
    mine = {"$filter": {"input": "$k", "as": "key", "cond": {"$eq": [{"$indexOfBytes": ["$$key", prefix]}, 0]}}}
    rest = {"$substrBytes": ["$$key", len(prefix.encode()), -1]}
    pair: Document = {
        "$let": {
            "vars": {"part": {"$split": [rest, TAB]}},
            "in": {"$concat": [{"$arrayElemAt": ["$$part", 1]}, "/", {"$arrayElemAt": ["$$part", 0]}]},
        }
    }
    named: Document = {"$map": {"input": mine, "as": "key", "in": pair}}
    return {
        "$filter": {
            "input": named,
            "as": "id",
            "cond": {"$in": [{"$arrayElemAt": [{"$split": ["$$id", "/"]}, 0]}, list(types)]},
        }
    }


def chain_join(
    param: Param, type_: str, pipeline: list[Document], name: str, overflows: bool
) -> tuple[list[Document], Document]:
    """Stages that look a candidate's targets up, and the condition that one was found."""
    look: Document = {
        "$lookup": {
            "from": "resource",
            "localField": name,
            "foreignField": "_id",
            "pipeline": [*pipeline, *ONE],
            "as": name,
        }
    }
    stages: list[Document] = [{"$set": {name: targets(param, (type_,))}}, look]
    found: Document = {f"{name}.0": {"$exists": True}}
    if not overflows:
        return stages, found
    more = f"{name}more"
    inside = [*stages, {"$match": found}, *ONE]
    stages = [*stages, _look("overflow", "_id", "of", inside, more)]
    return stages, {"$or": [found, {f"{more}.0": {"$exists": True}}]}


def has_join(
    param: Param, pipeline: list[Document], type_: str, name: str, overflows: bool
) -> tuple[list[Document], Document]:
    """Stages that look up who refers to a candidate, and the condition that one was found."""
    prefix = SHAPES[param].prefix
    keys: list[Any] = [
        {"$concat": [prefix, "$i", TAB, "$r", TAB, TAB]},
        {"$concat": [f"{param.code}^", "$i", TAB, "$r"]},
    ]
    stages: list[Document] = [{"$set": {name: keys}}]
    found: Document = {f"{name}found.0": {"$exists": True}}
    stages.append(_look("resource", name, "k", [*pipeline, *ONE], f"{name}found"))
    if not overflows:
        return stages, found
    inside = [
        {"$match": {"t": type_}},
        _look("resource", "of", "_id", [*pipeline, *ONE], "owner"),
        {"$match": {"owner.0": {"$exists": True}}},
        *ONE,
    ]
    stages.append(_look("overflow", name, "k", inside, f"{name}more"))
    return stages, {"$or": [found, {f"{name}more.0": {"$exists": True}}]}


def newest_join(param: Param, pipeline: list[Document], name: str) -> tuple[list[Document], Document]:
    """The same for a type without overflow and a reference that leads compartment keys, the newest first."""
    pinned = {"$concat": [f"{param.code}@", "$i", TAB, "$r"]}
    look = _look("resource", name, "c", [*pipeline, {"$sort": {"when": -1, "n": 1}}, *ONE], f"{name}found")
    return [{"$set": {name: pinned}}, look], {f"{name}found.0": {"$exists": True}}


def _look(source: str, local: str, foreign: str, pipeline: list[Document], name: str) -> Document:
    return {"$lookup": {"from": source, "localField": local, "foreignField": foreign, "pipeline": pipeline, "as": name}}
