"""Search-parameter expressions compiled to typed routes through a resource. https://hl7.org/fhir/R4/searchparameter.html

The expressions are FHIRPath, but nearly all of R4's 1,769 union branches are one of a few shapes. This module reads
those shapes and no others: the whole text must be understood, or ValueError is raised and `evaluator` (fhirpathpy,
some fifty times slower) has to do. Types are settled at compile time: `Observation.value` becomes one route for each
member of the choice, each knowing the data type that it leads to.
"""

import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache
from threading import Lock
from typing import Any, NamedTuple, NoReturn

from fhir_server.fhir.definitions import Definitions, Element


class Key(NamedTuple):
    """Go to a JSON property."""

    name: str


class At(NamedTuple):
    """Keep the element with this index: `entry[0]`."""

    position: int


class Where(NamedTuple):
    """Keep elements whose property equals a string: `where(system='phone')`; of a key with dots, those in which some
    element there does: `where(code.coding.exists(code='8480-6'))`."""

    key: str
    value: str


class Refers(NamedTuple):
    """Keep references to a type: `where(resolve() is Patient)`."""

    type: str


class As(NamedTuple):
    """Keep the member of a choice with this type; gone once a route is typed."""

    type: str


class Holds(NamedTuple):
    """Become whether any of these properties is there and not false: `a.exists() and a != false`."""

    keys: tuple[str, ...]


Step = Key | At | Where | Refers | As | Holds


class Branch(NamedTuple):
    """One branch of a union as written: `root` is a type name, "%resource" or "" for a relative path."""

    root: str
    steps: tuple[Step, ...]


class Route(NamedTuple):
    """A typed path: where to go, and the data type found there (a structure's name for backbone elements)."""

    steps: tuple[Step, ...]
    type: str
    element: Element | None  # None for the starting point itself and for what is computed
    rooted: bool = False  # starts at the resource even when evaluated on a part of it: %resource


_TOKEN = re.compile(
    r"\s*(?:(?P<name>%?[A-Za-z_]\w*)|(?P<string>'[^'\\]*')|(?P<number>\d+)|(?P<sign>!=|[.()|=\[\]]))", re.ASCII
)


def routes(expression: str, context: str, definitions: Definitions) -> tuple[Route, ...]:
    """The typed routes of `expression` from `context`, a resource type or the path of a backbone element.

    Raises ValueError for an expression outside the grammar or a property that the structure does not have.
    """
    return tuple(route for branch in parse(expression) for route in _typed(branch, context, definitions))


def parse(expression: str) -> tuple[Branch, ...]:
    """The branches of a union. Raises ValueError unless every character of it is understood."""
    reader = _Reader(expression)
    branches = reader.union()
    if reader.peek():
        reader.fail()
    return tuple(branches)


class _Reader:
    """Recursive descent over the tokens of one expression."""

    def __init__(self, expression: str) -> None:
        self.expression = expression
        self.tokens: list[str] = []
        self.position = 0
        at = 0
        while at < len(expression.rstrip()):
            found = _TOKEN.match(expression, at)
            if found is None:
                self.fail()
            self.tokens.append(found.group().strip())
            at = found.end()

    def fail(self) -> NoReturn:
        raise ValueError(f"expression outside the compiled grammar: {self.expression!r}")

    def peek(self) -> str:
        return self.tokens[self.position] if self.position < len(self.tokens) else ""

    def take(self, *wanted: str) -> str:
        token = self.peek()
        if not token or (wanted and token not in wanted):
            self.fail()
        self.position += 1
        return token

    def accept(self, wanted: str) -> bool:
        if self.peek() != wanted:
            return False
        self.position += 1
        return True

    def name(self) -> str:
        token = self.take()
        return token if re.fullmatch(r"[A-Za-z_]\w*", token) else self.fail()

    def string(self) -> str:
        token = self.take()
        return token[1:-1] if token[0] == "'" else self.fail()

    def union(self) -> list[Branch]:
        branches = self.typed()
        while self.accept("|"):
            branches += self.typed()
        return branches

    def typed(self) -> list[Branch]:
        branches = self.path()
        while self.accept("as"):
            branches = _then(branches, As(self.name()))
        return branches

    def path(self) -> list[Branch]:
        start = self.position
        if self.accept("("):
            branches = self.union()
            self.take(")")
        else:
            root = self.take()
            if root[0].isupper() or root == "%resource":
                branches = [Branch(root, ())]
            else:
                self.position = start
                branches = [Branch("", (Key(self.name()),))]
        while True:
            if self.accept("["):
                position = self.take()
                branches = _then(branches, At(int(position) if position.isdigit() else self.fail()))
                self.take("]")
            elif self.accept("."):
                if self.peek() == "exists":
                    return self.holds(branches, self.tokens[start : self.position - 1])
                branches = self.step(branches)
            else:
                return branches

    def step(self, branches: list[Branch]) -> list[Branch]:
        name = self.name()
        if not self.accept("("):
            return _then(branches, Key(name))
        match name:
            case "as" | "ofType":
                branches = _then(branches, As(self.name()))
            case "extension":
                branches = _then(branches, Key("extension"), Where("url", self.string()))
            case "where" if self.accept("resolve"):
                for token in ("(", ")", "is"):
                    self.take(token)
                branches = _then(branches, Refers(self.name()))
            case "where":
                branches = _then(branches, self.equal())
            case _:
                self.fail()
        self.take(")")
        return branches

    def equal(self) -> Where:
        """`key='text'`, or the same within `a.b.exists( )`."""
        keys = [self.name()]
        while self.accept("."):
            keys.append(self.name())
        inner = len(keys) > 1
        if inner:
            if keys[-1] != "exists":  # a path of several elements equals no single string
                self.fail()
            self.take("(")
            keys[-1] = self.name()
        self.take("=")
        found = Where(".".join(keys), self.string())
        if inner:
            self.take(")")
        return found

    def holds(self, branches: list[Branch], text: list[str]) -> list[Branch]:
        """`X.exists() and X != false`, where `text` is X: the only boolean form that R4 uses."""
        for token in ("exists", "(", ")", "and", *text, "!=", "false"):
            self.take(token)
        return _then(branches, Holds(()))


def _then(branches: list[Branch], *steps: Step) -> list[Branch]:
    return [Branch(branch.root, branch.steps + steps) for branch in branches]


def _typed(branch: Branch, context: str, definitions: Definitions) -> Iterator[Route]:
    rooted = branch.root == "%resource"
    resource = context.partition(".")[0]
    if branch.root and not rooted and branch.root not in (resource, "Resource", "DomainResource"):
        raise ValueError(f"{branch.root} is not the root of {context}")
    start = resource if branch.root else context
    places: list[tuple[tuple[Step, ...], str, Element | None]] = [((), start, None)]
    for step in branch.steps:
        match step:
            case Key(name):
                places = [place for old in places for place in _enter(old, name, definitions)]
            case As(type_):
                wanted = type_.lower()
                places = [place for place in places if place[2] is not None and place[2].type.lower() == wanted]
            case Holds():
                keys = tuple(steps[-1].name for steps, _, _ in places if isinstance(steps[-1], Key))
                places = [((*places[0][0][:-1], Holds(keys)), "boolean", None)]
            case _:
                places = [((*steps, step), structure, element) for steps, structure, element in places]
        if not places:
            raise ValueError(f"{branch} leads nowhere in {context}")
    for steps, structure, element in places:
        yield Route(
            steps, element.type if element and element.type != "BackboneElement" else structure, element, rooted
        )


def _enter(
    place: tuple[tuple[Step, ...], str, Element | None], name: str, definitions: Definitions
) -> Iterator[tuple[tuple[Step, ...], str, Element | None]]:
    steps, structure, _ = place
    shape = definitions.structures.get(structure)
    if shape is None:
        return
    members = (name,) if name in shape.elements else shape.choices[name].members if name in shape.choices else ()
    for member in members:
        element = shape.elements[member]
        yield (*steps, Key(member)), element.structure or element.type, element


LOCK = Lock()  # of fhirpathpy, which keeps state in module globals: one caller at a time


def well_formed(expression: str) -> None:
    """Raise ValueError for what is no FHIRPath: fhirpathpy itself evaluates what it could read before the first
    mistake."""
    import fhirpathpy.parser

    grammar: Any = fhirpathpy.parser
    lexer = grammar.FHIRPathLexer(grammar.InputStream(expression))
    lexer.removeErrorListeners()
    tokens = grammar.CommonTokenStream(lexer)
    parser = grammar.FHIRPathParser(tokens)
    parser.removeErrorListeners()
    parser.expression()
    if parser.getNumberOfSyntaxErrors() or tokens.LA(1) != grammar.Token.EOF:
        raise ValueError(f"not FHIRPath: {expression!r}")


@cache
def evaluator(expression: str) -> Callable[[Any], list[Any]]:
    """A function that evaluates any FHIRPath expression on a resource (or a part of it), giving untyped values.

    For expressions that `routes` refuses. Raises ValueError if it is not FHIRPath either; what goes wrong while
    evaluating counts as nothing found, as R4 asks of indexing.
    """
    # Imported here: it costs a third of a second, and R4's own parameters never need it.
    import fhirpathpy
    from fhirpathpy.models import models

    well_formed(expression)
    try:
        run = fhirpathpy.compile(expression, models["r4"])
        run({"resourceType": "Basic"}, {})  # what does not parse fails here only
    except Exception as error:
        raise ValueError(f"not FHIRPath: {expression!r}: {error}") from None

    def evaluate(value: Any) -> list[Any]:
        with LOCK:  # and it annotates what it is given
            try:
                found = list(run(deepcopy(value), {}))
            except Exception:
                return []
        # Some errors are not raised but returned among the values.
        return [item for item in found if not (isinstance(item, dict) and "$error" in item)]

    return evaluate
