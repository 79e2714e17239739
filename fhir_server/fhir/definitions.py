"""The definitions of R4 4.0.1 as values: structures, bindings, search parameters, compartments. https://hl7.org/fhir/R4/definitions.html

They are read from one compact artefact that tools/build_definitions.py derives from the published package.
"""

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec

from fhir_server.fhir.data import data_path


@dataclass(frozen=True, slots=True)
class Binding:
    """A required binding: the codes an element may hold. https://hl7.org/fhir/R4/terminologies.html#required"""

    valueset: str  # canonical, without version
    codes: frozenset[str] | None  # None when R4 does not enumerate them (MIME types, ...)
    systems: Mapping[str, str]  # code -> its system
    system: str | None  # the one system that all codes are of


class Element(msgspec.Struct, frozen=True, gc=False):
    """One JSON property of a structure. A choice element is one Element for each of its types (`valueQuantity`).

    A msgspec.Struct because there are 8,000 of them: loading takes half the time of a frozen dataclass.
    """

    name: str  # the property as instances spell it
    path: str  # as the specification spells it: Observation.value[x]
    type: str  # code of the data type: Quantity, string, BackboneElement, Resource
    structure: str | None  # the key in Definitions.structures of what is inside; None for a primitive
    min: int  # 0 for the members of a choice: see Choice
    max: int | None  # None means any number
    many: bool  # a JSON array
    targets: tuple[str, ...]  # resource types a Reference or canonical may point at; () means any
    binding: Binding | None  # required bindings only
    choice: str | None  # "value" for valueQuantity
    summary: bool  # part of _summary=true


@dataclass(frozen=True, slots=True)
class Choice:
    """A choice element, of which an instance holds at most one member. https://hl7.org/fhir/R4/formats.html#choice"""

    name: str  # without [x]
    min: int
    members: tuple[str, ...]  # the properties


@dataclass(frozen=True, slots=True)
class Invariant:
    """A rule in FHIRPath, evaluated on the element at `path`. https://hl7.org/fhir/R4/conformance-rules.html#constraints"""

    key: str
    severity: str  # error or warning
    expression: str
    path: str


@dataclass(frozen=True, slots=True)
class Structure:
    """A resource type, a data type or a backbone element, with its properties in the order of the specification."""

    name: str  # Patient, HumanName, Patient.contact
    kind: str  # resource, type, backbone
    elements: Mapping[str, Element]
    choices: Mapping[str, Choice]
    invariants: tuple[Invariant, ...]  # those that R4 states on this type, backbone elements included


@dataclass(frozen=True, slots=True)
class Component:
    """One part of a composite parameter; `expression` is relative to what the composite's own expression selects."""

    code: str
    kind: str
    expression: str


@dataclass(frozen=True, slots=True)
class SearchParam:
    """A search parameter for one resource type. https://hl7.org/fhir/R4/searchparameter.html"""

    type: str  # the resource type, also for parameters that R4 defines on Resource
    code: str
    kind: str  # token reference date number quantity string uri composite special
    expression: str  # FHIRPath, only the branches of `type`; "" when R4 gives none (_text, _content, _query)
    target: frozenset[str]  # the types a reference parameter may point at
    components: tuple[Component, ...]  # composite only
    url: str


@dataclass(frozen=True, slots=True)
class Definitions:
    """All of R4 that the program works from."""

    resources: frozenset[str]  # the 146 concrete types
    primitives: frozenset[str]
    structures: Mapping[str, Structure]
    search: Mapping[str, Mapping[str, SearchParam]]  # resource type -> code -> parameter
    compartments: Mapping[str, Mapping[str, tuple[str, ...]]]  # compartment -> type -> codes; `_id` where R4 says {def}


@cache
def load() -> Definitions:
    """The definitions of R4, read once per process."""
    with gzip.open(data_path("profiles", "r4", "definitions.json.gz")) as file:
        raw = msgspec.json.decode(file.read())
    bindings = [_binding(*row) for row in raw["bindings"]]
    structures = {name: _structure(name, row, bindings) for name, row in raw["structures"].items()}
    resources = frozenset(raw["resources"])
    return Definitions(
        resources=resources,
        primitives=frozenset(raw["primitives"]),
        structures=structures,
        search={type: _search(type, raw["search"], raw["resources"][type]) for type in resources},
        compartments={
            name: {type: tuple(codes) for type, codes in members.items()}
            for name, members in raw["compartments"].items()
        },
    )


def _binding(valueset: str, systems: dict[str, list[str]] | None, system: str | None) -> Binding:
    by_code = {code: name for name, codes in (systems or {}).items() for code in codes}
    return Binding(valueset, None if systems is None else frozenset(by_code), by_code, system)


def _structure(name: str, row: dict[str, Any], bindings: list[Binding]) -> Structure:
    elements: dict[str, Element] = {}
    choices: dict[str, Choice] = {}
    for definition in row["elements"]:
        path, low, high, many, summary, types = definition
        last = path.rpartition(".")[2]
        stem = last.removesuffix("[x]")
        choice = stem if stem != last else None
        for type, structure, targets, binding in types:
            key = stem + type[0].upper() + type[1:] if choice else last
            elements[key] = Element(
                key,
                path,
                type,
                structure,
                0 if choice else low,
                high,
                many,
                tuple(targets),
                None if binding is None else bindings[binding],
                choice,
                summary,
            )
        if choice:
            choices[stem] = Choice(stem, low, tuple(stem + type[0][0].upper() + type[0][1:] for type in types))
    return Structure(name, row["kind"], elements, choices, tuple(Invariant(*rule) for rule in row["invariants"]))


def _search(type: str, raw: dict[str, list[list[Any]]], bases: list[str]) -> dict[str, SearchParam]:
    return {
        code: SearchParam(
            type, code, kind, expression, frozenset(target), tuple(Component(*part) for part in components), url
        )
        for base in (*bases, type)
        for code, kind, expression, target, components, url in raw.get(base, ())
    }
