"""Invariants as Python functions, where all that they say can be one. https://hl7.org/fhirpath/N1/

Most invariants ask whether something is there or has a code: compiled (fhirpath/path.py) they take some microseconds,
where fhirpathpy takes milliseconds. Only a plain yes or no counts; what is not compiled, has no answer, or is asked of
values beside which only extensions stand (`_name`) is left to fhirpathpy, which has the last word.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from fhir_server.fhir.definitions import load
from fhir_server.fhirpath.expr import Expr, focus
from fhir_server.fhirpath.functions import FUNCTIONS
from fhir_server.fhirpath.parse import Binary, Call, Index, Literal, Name, Negative, Node, Variable, parse
from fhir_server.fhirpath.path import Compiler

Resource = Mapping[str, Any]
Run = Callable[[Any, Any], Any]
# Those that mean here just what they mean there: no functions of views alone, none on how values are written.
USED = frozenset(FUNCTIONS) & {
    "where", "exists", "empty", "all", "select", "not", "first", "last", "count", "extension", "ofType",
    "startsWith", "endsWith", "contains",
}  # fmt: skip
SIGNS = frozenset(("and", "or", "xor", "implies", "=", "!=", "<", "<=", ">", ">=", "in", "|"))
# Types that others are kinds of, and `id`, which an element named so may not be: only fhirpathpy knows.
WIDE = frozenset(
    {"Element", "BackboneElement", "Resource", "DomainResource", "Quantity", "string", "uri", "integer", "id"}
)
TYPED = frozenset({"where", "first", "last"})  # functions that give some of what they are asked of


def answer(expression: str, structure: str, value: Any, resource: Resource, whole: Resource) -> bool | None:
    """What an invariant says of an element of a `resource`, which may be inside a `whole` one; None: ask fhirpathpy."""
    run = _compiled(expression, structure, str(resource["resourceType"]), str(whole["resourceType"]))
    if run is None:
        return None
    try:
        found = run(value, (resource, whole, value))
    except Exception:  # more values than one where one must be, or a value that is none of its type
        return None
    return found if isinstance(found, bool) else None


def beside(value: Any) -> bool:
    """Whether there is an element anywhere that has extensions beside its value, or in its place."""
    stack = [value]
    while stack:
        one = stack.pop()
        if isinstance(one, dict):
            for key, inner in one.items():
                if key[:1] == "_":
                    return True
                if isinstance(inner, dict | list):
                    stack.append(inner)
        elif isinstance(one, list):
            stack += [inner for inner in one if isinstance(inner, dict | list)]
    return False


@lru_cache(maxsize=500)
def _compiled(expression: str, structure: str, resource: str, whole: str) -> Run | None:
    known = load()
    about = focus(structure, structure) if structure in known.structures else focus(structure, "")
    constants = {
        "resource": _given(0, resource),
        "rootResource": _given(1, whole),
        "context": _given(2, structure)._replace(structure=about.structure),
    }
    try:
        if not _plain(parse(expression)):
            return None
        return Compiler(known, structure.partition(".")[0], constants, "", sure=True).compile(expression, about).run
    except (ValueError, KeyError, RecursionError):
        return None


def _given(place: int, type: str) -> Expr:
    return Expr(lambda value, at: at[place], False, type, type)


def _plain(node: Node) -> bool:
    """Whether an expression is made only of what means the same to both."""
    match node:
        case Literal(_, type):
            return type in ("", "boolean", "string", "integer")
        case Variable(name):
            return name in ("$this", "resource", "rootResource", "context")
        case Name(of, _):
            return of is None or _plain(of)
        case Call(of, "ofType", (type,)):
            return _asks(of, type)
        case Binary("is" | "as", left, type):
            return _asks(left, type)
        case Call(of, name, args):
            return name in USED and (of is None or _plain(of)) and all(map(_plain, args))
        case Binary(sign, left, right):
            return sign in SIGNS and _plain(left) and _plain(right)
        case Index() | Negative():
            return False


def _asks(node: Node | None, type: Node) -> bool:
    """Whether it asks for a type that stands for itself alone, as FHIR spells it and without a namespace, of what is
    plain and of a type of FHIR: what a literal or a function makes, and so perhaps `$this`, is of FHIRPath's own."""
    if not isinstance(type, Name) or type.of is not None or type.name in WIDE:
        return False
    while isinstance(node, Call) and node.name in TYPED and all(map(_plain, node.args)):
        node = node.of
    if type.name in load().primitives:
        return isinstance(node, Name) and _plain(node)
    return type.name in load().structures and (node is None or (isinstance(node, Name | Variable) and _plain(node)))
