"""What a view looks at, by structure: a resource is decoded so far and no further.

Two thirds of a resource are mostly passed over (narrative, displays, extensions): not making values of them halves
the time that a view takes. https://jcristharif.com/msgspec/supported-types.html#typeddict
"""

from collections.abc import Callable
from decimal import Decimal
from types import GenericAlias
from typing import Any, TypedDict

import msgspec

from fhir_server.fhir.definitions import Definitions


class Looked:
    """The properties of each structure that the expressions of a view look at. `sure`: nothing is asked to be of a
    type where it cannot be known of which it is."""

    def __init__(self, definitions: Definitions, sure: bool = False) -> None:
        self.definitions, self.sure = definitions, sure
        self._used: dict[str, set[str]] = {}
        self._entire: set[str] = set()

    def at(self, structure: str, name: str) -> None:
        """A property is looked at."""
        self._used.setdefault(structure, set()).add(name)

    def entire(self, structure: str) -> None:
        """Everything inside is looked at, as by those who print or compare it."""
        self._entire.add(structure)

    def decoder(self, type: str) -> Callable[[bytes], Any]:
        """How the bodies of a resource type are decoded. What it makes raises msgspec.DecodeError."""
        self._used.setdefault(type, set()).update(("resourceType", "id"))
        return msgspec.json.Decoder(self._typed(type, ()), float_hook=Decimal).decode

    def _typed(self, structure: str | None, inside: tuple[str, ...]) -> Any:
        """The type of what is decoded: a dict without the properties that nobody looks at. Structures that hold
        themselves are decoded whole."""
        shape = self.definitions.structures.get(structure or "")
        if shape is None or structure is None or structure in self._entire or structure in inside:
            return Any
        if structure in ("Resource", "DomainResource"):
            return Any
        fields: dict[str, Any] = {}
        for name in sorted(self._used.get(structure, ())):
            element = shape.elements.get(name)
            inner = Any if element is None else self._typed(element.structure, (*inside, structure))
            many = element is not None and element.many and inner is not Any
            fields[name] = GenericAlias(list, (inner,)) if many else inner
        make: Any = TypedDict
        return make(structure, fields, total=False)
