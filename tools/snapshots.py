"""Snapshots from differentials: the elements of the base with the changes of a profile. https://hl7.org/fhir/R4/profiling.html#snapshot

Only what our own profiles need: constraints, slices, elements within data types and backbone elements. Mappings,
comments and aliases of R4 are left out, as nobody checks by them.
"""

import json
import tarfile
from copy import deepcopy
from pathlib import Path
from typing import Any

Json = dict[str, Any]
BASE = "http://hl7.org/fhir/StructureDefinition/"
DROPPED = ("mapping", "comment", "requirements", "alias", "example", "extension", "orderMeaning", "meaningWhenMissing")


def definitions(archive: Path) -> dict[str, Json]:
    """R4's StructureDefinitions by URL, from the package hl7.fhir.r4.core."""
    found: dict[str, Json] = {}
    with tarfile.open(archive) as opened:
        for member in opened:
            if member.name.startswith("package/StructureDefinition-") and (file := opened.extractfile(member)):
                definition = json.load(file)
                found[definition["url"]] = definition
    return found


def snapshot(profile: Json, known: dict[str, Json]) -> list[Json]:
    """The snapshot of a profile whose base is among the known ones. ValueError for an element that is not there."""
    elements = [_kept(element) for element in known[profile["baseDefinition"]]["snapshot"]["element"]]
    for change in profile["differential"]["element"]:
        _merge(_reached(elements, change["id"], known), change)
    return elements


def _kept(element: Json) -> Json:
    kept = {key: deepcopy(value) for key, value in element.items() if key not in DROPPED}
    if "binding" in kept:
        kept["binding"] = {key: value for key, value in kept["binding"].items() if key != "extension"}
    return kept


def _merge(element: Json, change: Json) -> None:
    rules = [*element.get("constraint", ()), *change.get("constraint", ())]
    element.update(deepcopy(change))
    if rules:
        element["constraint"] = rules


def _find(elements: list[Json], id: str) -> int:
    return next((number for number, element in enumerate(elements) if element["id"] == id), -1)


def _end(elements: list[Json], at: int) -> int:
    """The place behind an element, what is inside it and its slices."""
    id = elements[at]["id"]
    inside = (f"{id}.", f"{id}:", f"{id}/")
    at += 1
    while at < len(elements) and elements[at]["id"].startswith(inside):
        at += 1
    return at


def _reached(elements: list[Json], id: str, known: dict[str, Json]) -> Json:
    """The element of this id, made if it is a slice or inside a type."""
    at = _find(elements, id)
    if at >= 0:
        return elements[at]
    above, _, last = id.rpartition(".")
    if above:
        _reached(elements, above, known)
    name, sliced, slice = last.partition(":")
    if sliced:
        host = _reached(elements, f"{above}.{name}" if above else name, known)
        made = deepcopy({key: value for key, value in host.items() if key != "slicing"})
        made |= {"id": id, "sliceName": slice, "min": 0}
        elements.insert(_end(elements, _find(elements, host["id"])), made)
        return made
    _open(elements, above, known)
    at = _find(elements, id)
    if at < 0:
        raise ValueError(f"{id}: there is no such element")
    return elements[at]


def _open(elements: list[Json], id: str, known: dict[str, Json]) -> None:
    """Put in what is inside an element: of a slice what its element has, else what its type has."""
    at = _find(elements, id)
    outer, _, last = id.rpartition(".")
    host = f"{outer}.{last.partition(':')[0]}" if ":" in last else ""
    inside = [one for one in elements if host and one["id"].startswith(f"{host}.")]
    if inside:
        source, path = inside, host
    else:
        types = elements[at]["type"]
        if len(types) != 1:
            raise ValueError(f"{id} has {len(types)} types: give one before what is inside it")
        definition = known[BASE + types[0]["code"]]
        source, path = definition["snapshot"]["element"][1:], definition["type"]
    made = []
    for one in source:
        copy = _kept(one)
        copy["id"] = id + one["id"][len(path) :]
        copy["path"] = _path(copy["id"])
        made.append(copy)
    elements[at + 1 : at + 1] = made


def _path(id: str) -> str:
    """The path of an id: without the names of slices."""
    return ".".join(part.partition(":")[0] for part in id.split("."))
