"""A ViewDefinition compiled: the columns of its table, and the rows that it makes of a resource. https://sql-on-fhir.org/ig/StructureDefinition-ViewDefinition.html"""

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from fhir_server.fhir.definitions import Definitions
from fhir_server.fhir.outcome import FhirError
from fhir_server.fhirpath.expr import Expr, Run, constant, single
from fhir_server.fhirpath.parse import LONGEST
from fhir_server.fhirpath.path import ROW_INDEX, Compiler
from fhir_server.fhirpath.values import failed
from fhir_server.views.selects import NAME, Column, Part, Row, Rows, compiled, joined, listed_in, selected, wrong


class View(NamedTuple):
    """The resource type, the columns, and the functions of a resource: decoded as far as the view looks at it."""

    name: str
    type: str
    columns: tuple[Column, ...]
    decode: Callable[[bytes], dict[str, Any]]
    rows: Callable[[dict[str, Any]], list[Row]]


def view_of(definitions: Definitions, definition: Any, base: str) -> View:
    """Compile a ViewDefinition; `base` is our own address, under which references are local.

    Raises FhirError 422 with the place of what is wrong.
    """
    at = "ViewDefinition"
    if not isinstance(definition, dict) or definition.get("resourceType", at) != at:
        raise wrong("it must be an object, with the resourceType ViewDefinition if it has one.", at)
    type = definition.get("resource")
    if not isinstance(type, str) or type not in definitions.resources:
        raise wrong("resource must name a resource type of R4.", f"{at}.resource")
    name = definition.get("name", "view")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise wrong("the name of a view is of letters, digits and _, and begins with a letter.", f"{at}.name")
    compiler = Compiler(definitions, type, _constants(definition, at), base)
    selects = listed_in(definition, "select", at)
    if not selects:
        raise wrong("a view has at least one select.", f"{at}.select")
    whole = joined([selected(compiler, one, compiler.root, place) for one, place in selects], f"{at}.select")
    where = [_condition(compiler, one, place) for one, place in listed_in(definition, "where", at)]
    return View(name, type, whole.columns, compiler.looked.decoder(type), _rows(type, whole.rows, where))


def _constants(definition: Mapping[str, Any], at: str) -> dict[str, Expr]:
    found: dict[str, Expr] = {}
    for one, place in listed_in(definition, "constant", at):
        name = one.get("name")
        if not isinstance(name, str) or not NAME.fullmatch(name) or name == ROW_INDEX or name in found:
            raise wrong("a constant needs a name of its own, of letters, digits and _.", f"{place}.name")
        held = [(key, value) for key, value in one.items() if key.startswith("value")]
        if len(held) != 1 or not isinstance(held[0][1], str | int | Decimal) or held[0][1] == "":
            raise wrong("a constant needs one value[x] of a primitive type.", place)
        if len(str(held[0][1])) > LONGEST:
            raise wrong(f"a constant is longer than {LONGEST} characters.", place)
        key, value = held[0]
        kind = "boolean" if isinstance(value, bool) else key[5:6].lower() + key[6:]
        found[name] = constant(value, kind)
    return found


def _condition(compiler: Compiler, where: Mapping[str, Any], at: str) -> Run:
    """A condition on the resource, which must be true or false if it is anything."""
    expr = compiled(compiler, where.get("path"), compiler.root, f"{at}.path")
    if expr.type not in ("boolean", ""):
        raise wrong(f"a condition is true or false, and this is a {expr.type}: ask for exists().", f"{at}.path")
    run, path = single(expr, f"The condition {where['path'][:100]}"), where["path"][:100]

    def holds(value: Any, at: int) -> bool:
        found = run(value, at)
        if found is not None and not isinstance(found, bool):
            raise failed(f"The condition {path} is neither true nor false.")
        return found is True

    return holds


def _rows(type: str, rows: Rows, where: list[Run]) -> Callable[[dict[str, Any]], list[Row]]:
    def of(resource: dict[str, Any]) -> list[Row]:
        try:
            if resource.get("resourceType") != type or not all(holds(resource, 0) for holds in where):
                return []
            return rows(resource, 0)
        except FhirError as error:
            raise failed(f"{resource.get('resourceType')}/{resource.get('id', '')}: {error}") from None
        except (AttributeError, TypeError, LookupError, ValueError, ArithmeticError, RecursionError) as error:
            # What was stored has the structure of its type; what comes with a request may have any.
            text = f"{resource.get('resourceType')}/{resource.get('id', '')} is not as R4 says: {error}"
            raise failed(text) from None

    return of


def each(view: View, bodies: list[bytes]) -> Iterator[Row]:
    """The rows of many resources."""
    decode, rows = view.decode, view.rows
    for body in bodies:
        try:
            resource = decode(body)
        except msgspec.DecodeError as error:
            raise failed(f"A {view.type} is not as R4 says: {error}") from None
        yield from rows(resource)


__all__ = ["Column", "Part", "Row", "View", "each", "view_of"]
