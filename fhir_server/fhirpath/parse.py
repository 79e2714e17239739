"""FHIRPath text to a tree, by the grammar's precedences. https://hl7.org/fhirpath/N1/#grammar

Views come with requests, so that reading one must take time in proportion to its length: one pass over the tokens,
in microseconds, where a parser made by ANTLR takes tens of milliseconds (decision 0016).
"""

import re
from decimal import Decimal
from typing import NamedTuple, NoReturn

LONGEST = 4000  # characters of an expression
MOST = 400  # tokens of one: each may become a call inside the others
DEEPEST = 60  # expressions inside each other


class Literal(NamedTuple):
    """A value written out, and its type; `type` "" and the value None are the empty collection `{}`."""

    value: object
    type: str


class Variable(NamedTuple):
    """`%name`; `$this` has the name "$this"."""

    name: str


class Name(NamedTuple):
    """An element, of what stands before the dot or (None) of what the expression is about; or a type."""

    of: "Node | None"
    name: str


class Call(NamedTuple):
    """A function, of what stands before the dot or (None) of what the expression is about."""

    of: "Node | None"
    name: str
    args: "tuple[Node, ...]"


class Index(NamedTuple):
    """`of[at]`."""

    of: "Node"
    at: "Node"


class Binary(NamedTuple):
    """Two operands."""

    sign: str
    left: "Node"
    right: "Node"


class Negative(NamedTuple):
    """`-of`."""

    of: "Node"


Node = Literal | Variable | Name | Call | Index | Binary | Negative

# The higher binds tighter.
_BINDS = {
    **dict.fromkeys(("implies",), 1), **dict.fromkeys(("or", "xor"), 2), "and": 3,
    **dict.fromkeys(("in", "contains"), 4), **dict.fromkeys(("=", "!=", "~", "!~"), 5),
    **dict.fromkeys(("<", "<=", ">", ">="), 6), "|": 7, **dict.fromkeys(("is", "as"), 8),
    **dict.fromkeys(("+", "-", "&"), 9), **dict.fromkeys(("*", "/", "div", "mod"), 10),
}  # fmt: skip
_SIGN = 11  # of one operand, before it
_TOKEN = re.compile(
    r"""\s*(?:
    (?P<time>@T\d\d(?::\d\d(?::\d\d(?:\.\d+)?)?)?)
    |(?P<date>@\d{4}(?:-\d\d(?:-\d\d)?)?(?:T(?:\d\d(?::\d\d(?::\d\d(?:\.\d+)?)?)?(?:Z|[+-]\d\d:\d\d)?)?)?)
    |(?P<number>\d+(?:\.\d+)?)
    |(?P<string>'(?:[^'\\]|\\.)*')
    |(?P<name>[A-Za-z_]\w*|`[^`\\]*`)
    |(?P<variable>%[A-Za-z_]\w*|%`[^`\\]*`|\$\w+)
    |(?P<sign><=|>=|!=|!~|[-+*/&|=~<>.,()\[\]{}])
    )""",
    re.ASCII | re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "f": "\f"}


class Token(NamedTuple):
    """A token: its kind is a group of the pattern above, "" at the end."""

    kind: str
    text: str


def parse(expression: str) -> Node:
    """The tree of an expression. Raises ValueError, which says what is wrong where."""
    if len(expression) > LONGEST:
        raise ValueError(f"is longer than {LONGEST} characters")
    reader = _Reader(_tokens(expression))
    node = reader.expression(0)
    if reader.token.kind:
        reader.fail("nothing more")
    return node


def _tokens(expression: str) -> list[Token]:
    found, at = [], 0
    text = expression.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise ValueError(f"is no FHIRPath from {text[at : at + 20].strip()!r} on")
        found.append(Token(match.lastgroup, match[match.lastgroup]))
        at = match.end()
        if len(found) > MOST:
            raise ValueError(f"has more than {MOST} parts")
    return [*found, Token("", "")]


class _Reader:
    """Operator precedence over the tokens of one expression."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens, self.at, self.depth = tokens, 0, 0

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    def fail(self, wanted: str) -> NoReturn:
        raise ValueError(f"has {self.token.text!r} where {wanted} is expected" if self.token.kind else "ends too early")

    def take(self, *texts: str) -> Token:
        token = self.token
        if not token.kind or (texts and token.text not in texts):
            self.fail(" or ".join(texts) or "more")
        self.at += 1
        return token

    def here(self, text: str) -> bool:
        """Whether this sign comes next; it is taken then."""
        if self.token.text != text or self.token.kind not in ("sign", "name"):
            return False
        self.at += 1
        return True

    def expression(self, floor: int) -> Node:
        """What binds tighter than `floor`."""
        self.depth += 1
        if self.depth > DEEPEST:
            raise ValueError(f"is nested more than {DEEPEST} deep")
        node = self.path()
        while (binds := _BINDS.get(self.token.text, 0) if self.token.kind in ("sign", "name") else 0) > floor:
            sign = self.take().text
            right: Node = self.type_name() if sign in ("is", "as") else self.expression(binds)
            node = Binary(sign, node, right)
        self.depth -= 1
        return node

    def path(self) -> Node:
        """A term and what follows it by `.` and `[ ]`."""
        if self.here("+"):
            return self.expression(_SIGN)
        if self.here("-"):
            return Negative(self.expression(_SIGN))
        node = self.term()
        while True:
            if self.here("."):
                node = self.member(node)
            elif self.here("["):
                node = Index(node, self.expression(0))
                self.take("]")
            else:
                return node

    def member(self, of: Node | None) -> Node:
        if self.token.kind != "name":
            self.fail("a name")
        name = self.take().text.strip("`")
        if not self.here("("):
            return Name(of, name)
        args: list[Node] = []
        while not self.here(")"):
            if args:
                self.take(",")
            args.append(self.expression(0))
        return Call(of, name, tuple(args))

    def term(self) -> Node:
        kind, text = self.token
        if self.here("("):
            node = self.expression(0)
            self.take(")")
            return node
        if self.here("{"):
            self.take("}")
            return Literal(None, "")
        if kind == "name" and text not in ("true", "false"):
            return self.member(None)
        self.take()
        match kind:
            case "name":
                return Literal(text == "true", "boolean")
            case "string":
                return Literal(_ESCAPE.sub(_unescaped, text[1:-1]), "string")
            case "number":
                return Literal(Decimal(text), "decimal") if "." in text else Literal(int(text), "integer")
            case "date":
                return Literal(text[1:].rstrip("T"), "dateTime" if "T" in text else "date")
            case "time":
                return Literal(text[2:], "time")
            case "variable":
                return Variable(text if text[0] == "$" else text[1:].strip("`"))
        self.at -= 1
        self.fail("a value or a name")

    def type_name(self) -> Name:
        """A type, perhaps with its namespace."""
        name = Name(None, self.take().text.strip("`"))
        while self.here("."):
            name = Name(name, self.take().text.strip("`"))
        return name


def _unescaped(match: re.Match[str]) -> str:
    text = match[1]
    return chr(int(text[1:], 16)) if len(text) == 5 else _ESCAPED.get(text, text)
