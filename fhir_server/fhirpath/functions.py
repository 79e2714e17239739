"""The functions of FHIRPath that views may use, as one table. https://sql-on-fhir.org/ig/StructureDefinition-ViewDefinition.html

Each is given what stands before it and its arguments, and makes a compiled expression. Those that take a criterion
or a projection compile it anew for the type that they apply it to.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from fhir_server.fhir.references import parse as parse_reference
from fhir_server.fhirpath.expr import (
    NOTHING,
    Expr,
    Run,
    child,
    entire,
    extensions_of,
    focus,
    listed,
    of_type,
    single,
)
from fhir_server.fhirpath.looked import Looked
from fhir_server.fhirpath.parse import Literal, Name, Node
from fhir_server.fhirpath.values import bounded, text_of, truth


class Around(NamedTuple):
    """What a function may need beside its arguments: `compile` makes an expression about a focus."""

    looked: Looked
    base: str
    compile: Callable[[Node, Expr], Expr]
    focus: Expr


Make = Callable[[Around, Expr, Sequence[Node]], Expr]


def _about(of: Expr) -> Expr:
    """One of the values, as what a criterion is about."""
    return focus(of.type, of.structure)


def _criterion(around: Around, of: Expr, node: Node) -> Run:
    expr = around.compile(node, _about(of))
    run = single(expr, "The criterion")
    if expr.type == "boolean":
        return lambda value, at: run(value, at) is True
    return lambda value, at: truth(run(value, at)) is True


def _where(around: Around, of: Expr, args: Sequence[Node]) -> Expr:
    run, holds = of.run, _criterion(around, of, args[0])
    if of.many:
        return Expr(
            lambda value, at: [one for one in run(value, at) if holds(one, at)], True, of.type, of.structure
        )  # fmt: skip
    return Expr(
        lambda value, at: one if (one := run(value, at)) is not None and holds(one, at) else None,
        False, of.type, of.structure,
    )  # fmt: skip


def _exists(around: Around, of: Expr, args: Sequence[Node]) -> Expr:
    found = _where(around, of, args) if args else of
    run = found.run
    if found.many:
        return Expr(lambda value, at: bool(run(value, at)), False, "boolean")
    return Expr(lambda value, at: run(value, at) is not None, False, "boolean")


def _empty(around: Around, of: Expr, args: Sequence[Node]) -> Expr:
    run = _exists(around, of, ()).run
    return Expr(lambda value, at: not run(value, at), False, "boolean")


def _all(around: Around, of: Expr, args: Sequence[Node]) -> Expr:
    run, holds = listed(of), _criterion(around, of, args[0])
    return Expr(lambda value, at: all(holds(one, at) for one in run(value, at)), False, "boolean")


def _select(around: Around, of: Expr, args: Sequence[Node]) -> Expr:
    inner = around.compile(args[0], _about(of))
    run, each = listed(of), listed(inner)
    found = Expr(lambda value, at: [item for one in run(value, at) for item in each(one, at)], True)
    return found._replace(type=inner.type, structure=inner.structure)


def _not(around: Around, of: Expr, args: Sequence[Node]) -> Expr:
    run = single(of, "What not() is asked of")
    return Expr(
        lambda value, at: None if (found := truth(run(value, at))) is None else not found, False, "boolean"
    )  # fmt: skip


def _first(around: Around, of: Expr, args: Sequence[Node]) -> Expr:
    if not of.many:
        return of
    run = of.run
    return Expr(lambda value, at: found[0] if (found := run(value, at)) else None, False, of.type, of.structure)


def _last(around: Around, of: Expr, args: Sequence[Node]) -> Expr:
    if not of.many:
        return of
    run = of.run
    return Expr(lambda value, at: found[-1] if (found := run(value, at)) else None, False, of.type, of.structure)


def _count(around: Around, of: Expr, args: Sequence[Node]) -> Expr:
    run = listed(of)
    return Expr(lambda value, at: len(run(value, at)), False, "integer")


def _distinct(around: Around, of: Expr, args: Sequence[Node]) -> Expr:
    run = listed(entire(around.looked, of))
    return Expr(lambda value, at: distinct(run(value, at)), True, of.type, of.structure)


def distinct(values: Sequence[Any]) -> list[Any]:
    """Each value once, in order."""
    found: dict[Any, Any] = {}
    for one in values:
        found.setdefault(_key(one), one)
    return list(found.values())


def _key(value: Any) -> Any:
    """What equal values share: of a long list no two are compared."""
    return _sorted.encode(value) if isinstance(value, dict | list) else (isinstance(value, bool), value)


_sorted = msgspec.json.Encoder(order="sorted", decimal_format="number")


def _join(around: Around, of: Expr, args: Sequence[Node]) -> Expr:
    run = listed(of)
    between = _text(around, args[0]) if args else (lambda value, at: "")

    def joined(value: Any, at: int) -> str:
        texts = [text_of(one) for one in run(value, at)]
        return (between(value, at) or "").join([text for text in texts if text is not None])

    return Expr(joined, False, "string")


def _extension(around: Around, of: Expr, args: Sequence[Node]) -> Expr:
    found, url = extensions_of(around.looked, of), _text(around, args[0])
    around.looked.at("Extension", "url")
    run = listed(found)

    def named(value: Any, at: int) -> list[Any]:
        wanted = url(value, at)
        return [one for one in run(value, at) if one.get("url") == wanted]

    return Expr(named, True, "Extension", "Extension")


def _of_type(around: Around, of: Expr, args: Sequence[Node]) -> Expr:
    return of_type(around.looked, of, _named(args[0]))


def _named(node: Node) -> str:
    """A type as an argument: its name, also with its namespace or in quotes."""
    if isinstance(node, Name) and (node.of is None or isinstance(node.of, Name)):
        return node.name
    if isinstance(node, Literal) and node.type == "string":
        return str(node.value)
    raise ValueError("needs the name of a type in the brackets")


def _text(around: Around, node: Node) -> Run:
    return single(around.compile(node, around.focus), "The argument")


def _boundary(high: bool) -> Make:
    def make(around: Around, of: Expr, args: Sequence[Node]) -> Expr:
        value = args[0].value if args and isinstance(args[0], Literal) else None
        digits = value if isinstance(value, int) else None
        if args and (digits is None or of.type not in ("decimal", "integer", "Quantity")):
            raise ValueError("takes the digits of a number's boundary only, written out")
        run, type = single(entire(around.looked, of), "What a boundary is asked of"), of.type
        told = {"Period": "dateTime", "instant": "dateTime"}.get(type, "decimal" if type.endswith("nt") else type)
        return Expr(
            lambda value, at: None if (one := run(value, at)) is None else bounded(one, type, high, digits),
            False, told, "Quantity" if type == "Quantity" else "",
        )  # fmt: skip

    return make


def _resource_key(around: Around, of: Expr, args: Sequence[Node]) -> Expr:
    if of.type not in around.looked.definitions.resources:
        raise ValueError("asks getResourceKey() of what is no resource")
    return child(around.looked, of, "id")._replace(type="string")


def _reference_key(around: Around, of: Expr, args: Sequence[Node]) -> Expr:
    """The id of the resource of this server that a reference names: what getResourceKey() gives there."""
    type = _named(args[0]) if args else ""
    if type and type not in around.looked.definitions.resources:
        raise ValueError(f"names the resource type {type[:40]!r}, which R4 has not")
    if of.type not in ("Reference", ""):
        raise ValueError(f"asks getReferenceKey() of a {of.type}")
    around.looked.at("Reference", "reference")
    base, local = around.base, around.looked.definitions.resources

    def key(reference: Any) -> str | None:
        text = reference.get("reference")
        if text is None:
            return None
        named, _, id = text.partition("/")
        if named in local and "/" not in id:  # nearly all are so, and then it is a third of the time
            return id if not type or named == type else None
        found = parse_reference(text, base)
        return found.id if found.type and (not type or found.type == type) else None

    run = of.run
    if of.many:
        return Expr(
            lambda value, at: [id for one in run(value, at) if (id := key(one)) is not None], True, "string"
        )  # fmt: skip
    return Expr(lambda value, at: None if (one := run(value, at)) is None else key(one), False, "string")


def _of_text(make: Callable[[str, str], Any], type: str) -> Make:
    """A function of a text, and of a text in the brackets if it takes one; nothing for what is no text."""

    def made(around: Around, of: Expr, args: Sequence[Node]) -> Expr:
        run = single(of, "What the function is asked of")
        given = _text(around, args[0]) if args else (lambda value, at: "")

        def told(value: Any, at: int) -> Any:
            one, other = run(value, at), given(value, at)
            return make(one, other) if isinstance(one, str) and isinstance(other, str) else None

        return Expr(told, False, type)

    return made


def _to_string(around: Around, of: Expr, args: Sequence[Node]) -> Expr:
    run = single(of, "What toString() is asked of")
    return Expr(lambda value, at: None if (one := run(value, at)) is None else text_of(one), False, "string")


def _iif(around: Around, of: Expr, args: Sequence[Node]) -> Expr:
    about = around.focus if of is around.focus else _about(of)
    compiled = [around.compile(node, about) for node in args]
    met = single(compiled[0], "The criterion")
    then, otherwise = listed(compiled[1]), listed(compiled[2]) if len(compiled) > 2 else (lambda value, at: NOTHING)
    inner = single(of, "What iif() is asked of")

    def chosen(value: Any, at: int) -> list[Any]:
        one = inner(value, at)
        return (then if truth(met(one, at)) is True else otherwise)(one, at)

    types = {one.type for one in compiled[1:]}
    found = Expr(chosen, True, types.pop() if len(types) == 1 else "")
    return found if any(one.many for one in compiled[1:]) else _first(around, found, ())


# Name -> fewest and most arguments, and how it is made.
FUNCTIONS: dict[str, tuple[int, int, Make]] = {
    "where": (1, 1, _where),
    "exists": (0, 1, _exists),
    "empty": (0, 0, _empty),
    "all": (1, 1, _all),
    "select": (1, 1, _select),
    "not": (0, 0, _not),
    "first": (0, 0, _first),
    "last": (0, 0, _last),
    "count": (0, 0, _count),
    "distinct": (0, 0, _distinct),
    "join": (0, 1, _join),
    "extension": (1, 1, _extension),
    "ofType": (1, 1, _of_type),
    "as": (1, 1, _of_type),
    "hasValue": (0, 0, _exists),
    "lowBoundary": (0, 1, _boundary(False)),
    "highBoundary": (0, 1, _boundary(True)),
    "getResourceKey": (0, 0, _resource_key),
    "getReferenceKey": (0, 1, _reference_key),
    "iif": (2, 3, _iif),
    "toString": (0, 0, _to_string),
    "startsWith": (1, 1, _of_text(lambda text, other: text.startswith(other), "boolean")),
    "endsWith": (1, 1, _of_text(lambda text, other: text.endswith(other), "boolean")),
    "contains": (1, 1, _of_text(lambda text, other: other in text, "boolean")),
    "upper": (0, 0, _of_text(lambda text, _: text.upper(), "string")),
    "lower": (0, 0, _of_text(lambda text, _: text.lower(), "string")),
    "length": (0, 0, _of_text(lambda text, _: len(text), "integer")),
}
