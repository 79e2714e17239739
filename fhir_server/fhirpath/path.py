"""FHIRPath compiled to Python functions over JSON values. https://hl7.org/fhirpath/N1/

An expression is compiled once for each view, with the type of everything in it settled from R4's definitions: what is
left to do for a resource is to look into dicts. Decision 0016 has the figures.
"""

from collections.abc import Mapping
from typing import Any

from fhir_server.fhir.definitions import Definitions
from fhir_server.fhirpath.boundary import DATES
from fhir_server.fhirpath.expr import ABOVE, Expr, child, constant, entire, focus, listed, nothing, of_type, single
from fhir_server.fhirpath.functions import FUNCTIONS, Around, distinct
from fhir_server.fhirpath.looked import Looked
from fhir_server.fhirpath.parse import Binary, Call, Index, Literal, Name, Negative, Node, Variable, parse
from fhir_server.fhirpath.values import LOGIC, calculated, compared, equal, failed, same_date, truth

ROW_INDEX = "rowIndex"


class Compiler:
    """Compiles expressions about one resource type. `constants` are what `%name` stands for; `base` is our own
    address, under which references are local. `looked` is told what the expressions look at; `sure` is its."""

    def __init__(
        self, definitions: Definitions, type: str, constants: Mapping[str, Expr], base: str, sure: bool = False
    ) -> None:
        self.type, self.constants, self.base = type, constants, base
        self.looked = Looked(definitions, sure)
        self.root = focus(type, type)

    def compile(self, text: str, about: Expr) -> Expr:
        """An expression about a focus. Raises ValueError for what is none, or none that views may use."""
        return self._node(parse(text), about)

    def _node(self, node: Node, about: Expr) -> Expr:
        found = self._open(node, about)
        return found if found.of is None else entire(self.looked, found)

    def _open(self, node: Node, about: Expr) -> Expr:
        """A node, of which an element with a choice of types is left to ofType()."""
        match node:
            case Literal(value, type):
                return nothing() if value is None else constant(value, type)
            case Variable("$this"):
                return about
            case Variable(name):
                return self._variable(name)
            case Name(None, name) if name == self.type == about.type:
                return about
            case Name(of, name):
                return child(self.looked, about if of is None else self._node(of, about), name)
            case Call(of, name, args):
                compile = self._open if name in ("ofType", "as") else self._node
                return self._call(about if of is None else compile(of, about), name, args, about)
            case Index(of, at):
                return self._index(self._node(of, about), self._node(at, about))
            case Negative(of):
                return _of_two("-", constant(0, "integer"), self._node(of, about))
            case Binary(sign, left, right):
                compile = self._open if sign in ("as", "is") else self._node
                return self._binary(sign, compile(left, about), right, about)

    def _variable(self, name: str) -> Expr:
        if name == ROW_INDEX:
            return Expr(lambda value, at: at, False, "integer")
        if name not in self.constants:
            raise ValueError(f"uses {name[:40]!r}, which is no constant of the view")
        return self.constants[name]

    def _call(self, of: Expr, name: str, args: tuple[Node, ...], about: Expr) -> Expr:
        if name not in FUNCTIONS:
            raise ValueError(f"calls {name[:40]}(), which views cannot: there are {', '.join(sorted(FUNCTIONS))}")
        fewest, most, make = FUNCTIONS[name]
        if not fewest <= len(args) <= most:
            raise ValueError(f"gives {name}() {len(args)} arguments")
        return make(Around(self.looked, self.base, self._node, about), of, args)

    def _index(self, of: Expr, at: Expr) -> Expr:
        number, run = single(at, "An index"), listed(of)

        def found(value: Any, row: int) -> Any:
            place = number(value, row)
            if place is None:
                return None
            if isinstance(place, bool) or not isinstance(place, int):
                raise failed(f"An index must be a whole number, not {place!r:.40}.")
            values = run(value, row)
            return values[place] if 0 <= place < len(values) else None

        return Expr(found, False, of.type, of.structure)

    def _binary(self, sign: str, left: Expr, other: Node, about: Expr) -> Expr:
        if sign in ("is", "as"):
            assert isinstance(other, Name)
            typed = of_type(self.looked, left, other.name)
            if sign == "as":
                return typed
            there, here = listed(typed), listed(entire(self.looked, left))
            return Expr(lambda value, at: bool(there(value, at)) if here(value, at) else None, False, "boolean")
        right = self._node(other, about)
        if sign not in LOGIC:  # which asks whether something is there only
            left, right = entire(self.looked, left), entire(self.looked, right)
        if sign == "|":
            one, more = listed(left), listed(right)
            type, structure = (left.type, left.structure) if left.type == right.type else ("", "")
            return Expr(lambda value, at: distinct([*one(value, at), *more(value, at)]), True, type, structure)
        if sign in ("=", "!="):
            return _equality(left, right, sign == "=")
        if sign in ("in", "contains"):
            return _membership(left, right) if sign == "in" else _membership(right, left)
        if sign in ("~", "!~"):
            raise ValueError(f"uses {sign}, which views cannot: use = or !=")
        return _of_two(sign, left, right)


def _dates(left: Expr, right: Expr) -> bool:
    return left.type in DATES or right.type in DATES


def _equality(left: Expr, right: Expr, positive: bool) -> Expr:
    alike = same_date if _dates(left, right) else equal
    if not left.many and not right.many:
        one, other, text = left.run, right.run, right.text
        if text is not None and alike is equal:  # nearly all comparisons of views are with a text
            return Expr(
                lambda value, at: None if (a := one(value, at)) is None else (a == text) is positive, False, "boolean"
            )

        def single_equal(value: Any, at: int) -> bool | None:
            a, b = one(value, at), other(value, at)
            if a is None or b is None:
                return None
            found = alike(a, b)
            return found if positive or found is None else not found

        return Expr(single_equal, False, "boolean")
    ones, others = listed(left), listed(right)

    def lists_equal(value: Any, at: int) -> bool | None:
        a, b = ones(value, at), others(value, at)
        if not a or not b:
            return None
        if len(a) != len(b):
            return not positive
        each = [alike(x, y) for x, y in zip(a, b, strict=True)]
        found = False if False in each else None if None in each else True
        return found if positive or found is None else not found

    return Expr(lists_equal, False, "boolean")


def _membership(item: Expr, among: Expr) -> Expr:
    one, many, alike = single(item, "What is looked for"), listed(among), same_date if _dates(item, among) else equal

    def member(value: Any, at: int) -> bool | None:
        wanted = one(value, at)
        return None if wanted is None else any(alike(wanted, each) is True for each in many(value, at))

    return Expr(member, False, "boolean")


def _of_two(sign: str, left: Expr, right: Expr) -> Expr:
    """Operators that take one value on each side."""
    one, other = single(left, f"The left side of {sign}"), single(right, f"The right side of {sign}")
    if sign in LOGIC:
        logic = LOGIC[sign]
        return Expr(lambda value, at: logic(truth(one(value, at)), truth(other(value, at))), False, "boolean")
    if sign in ("<", "<=", ">", ">="):
        made, type = compared(sign, _dates(left, right)), "boolean"
    else:
        made, type = calculated(sign), _type_of(sign, left, right)
    joins = sign == "&"  # of which a side may be empty

    def both(value: Any, at: int) -> Any:
        a, b = one(value, at), other(value, at)
        if a is None or b is None:
            return made(a or "", b or "") if joins else None
        return made(a, b)

    return Expr(both, False, type)


def _type_of(sign: str, left: Expr, right: Expr) -> str:
    """The type of what is calculated."""
    types = {ABOVE.get(one.type, one.type) for one in (left, right)}
    if sign == "&":
        return "string"
    if sign in ("/", "div"):
        return "decimal" if sign == "/" else "integer"
    return types.pop() if len(types) == 1 else "decimal" if types == {"integer", "decimal"} else ""
