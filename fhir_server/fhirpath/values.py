"""What values are to each other: equal, less, true. https://hl7.org/fhirpath/N1/#equality

None is the empty collection throughout: nothing is known, so nothing is said.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from fhir_server.fhir.dates import bounds
from fhir_server.fhir.outcome import FhirError, refuse
from fhir_server.fhirpath.boundary import boundary

Both = Callable[[Any, Any], Any]


def failed(text: str) -> FhirError:
    """The 422 of an expression that cannot be evaluated on a resource."""
    return refuse(422, "processing", text)


def truth(value: Any) -> bool | None:
    """A single value as a boolean: what is there and no boolean is true."""
    return value if value is None or value is True or value is False else True


def both(left: Any, right: Any) -> bool | None:
    """`and`."""
    if left is False or right is False:
        return False
    return None if left is None or right is None else True


def either(left: Any, right: Any) -> bool | None:
    """`or`."""
    if left is True or right is True:
        return True
    return None if left is None or right is None else False


def one_of(left: Any, right: Any) -> bool | None:
    """`xor`."""
    return None if left is None or right is None else left is not right


def follows(left: Any, right: Any) -> bool | None:
    """`implies`."""
    if left is False or right is True:
        return True
    return None if left is None or right is None else not left or right


LOGIC: dict[str, Both] = {"and": both, "or": either, "xor": one_of, "implies": follows}


def equal(left: Any, right: Any) -> bool:
    """Whether two values that are no dates are equal; true is no number."""
    return bool(left == right and isinstance(left, bool) is isinstance(right, bool))


def same_date(left: Any, right: Any) -> bool | None:
    """Whether two dates are equal; None where one is less precise, so that it cannot be told."""
    order = _order(left, right)
    return order == 0 if order is not None else None


def _order(left: Any, right: Any) -> int | None:
    """-1, 0, 1 as one date is before, equal to or after another; None where they overlap, or one is no date."""
    try:
        (low, high), (other_low, other_high) = _range(left), _range(right)
    except (ValueError, TypeError):
        return None
    if (low, high) == (other_low, other_high):
        return 0
    return -1 if high <= other_low else 1 if low >= other_high else None


def _range(text: str) -> tuple[int, int]:
    if ":" in text[:6]:  # a time of day
        return bounds(f"1970-01-01T{text}") if len(text) > 4 else (0, 0)
    return bounds(text)


def compared(sign: str, dates: bool) -> Both:
    """`<` and the like, of numbers, of texts, or of dates. The function raises FhirError 422 for what has no order."""
    holds: Callable[[int], bool] = {
        "<": lambda order: order < 0,
        "<=": lambda order: order <= 0,
        ">": lambda order: order > 0,
        ">=": lambda order: order >= 0,
    }[sign]

    def unlike(left: Any, right: Any) -> FhirError:
        return failed(f"{sign} compares numbers, texts or dates with their like, not {left!r:.40} and {right!r:.40}.")

    def of_dates(left: Any, right: Any) -> bool | None:
        if not (isinstance(left, str) and isinstance(right, str)):
            raise unlike(left, right)
        order = _order(left, right)
        return None if order is None else holds(order)

    def of_others(left: Any, right: Any) -> bool:
        numbers = _is_number(left) and _is_number(right)
        if not numbers and not (isinstance(left, str) and isinstance(right, str)):
            raise unlike(left, right)
        return holds((left > right) - (left < right))

    return of_dates if dates else of_others


MOST_TEXT = 10_000  # characters of a text that & and + make
MOST_BITS = 64  # of a whole number that is calculated: beyond is overflow, which FHIRPath says is empty


def _is_number(value: Any) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def calculated(sign: str) -> Both:
    """`+` and the like. The function raises FhirError 422 for what cannot be calculated with."""

    def calculate(left: Any, right: Any) -> Any:
        if sign == "&" or (sign == "+" and isinstance(left, str) and isinstance(right, str)):
            one, other = _text(left), _text(right)
            if len(one) + len(other) > MOST_TEXT:
                raise failed(f"{sign} makes a text of more than {MOST_TEXT:,} characters.")
            return one + other
        for one in (left, right):
            if not _is_number(one):
                raise failed(f"{sign} takes numbers, not {one!r:.40}.")
        try:
            found = ARITHMETIC[sign](left, right)
            return None if isinstance(found, int) and found.bit_length() > MOST_BITS else found
        except ArithmeticError:
            return None

    return calculate


ARITHMETIC: dict[str, Both] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": lambda left, right: Decimal(left) / Decimal(right),
    "div": lambda left, right: int(Decimal(left) / Decimal(right)),
    "mod": lambda left, right: (
        Decimal(left) % Decimal(right)
        if isinstance(left, Decimal) or isinstance(right, Decimal)
        else int(Decimal(left) % Decimal(right))
    ),
}


def _text(value: Any) -> str:
    return text_of(value) or ""


def text_of(value: Any) -> str | None:
    """A primitive value as FHIRPath writes it; None for what is none."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    return str(value) if isinstance(value, str | int) else None


def bounded(value: Any, type: str, high: bool, digits: int | None) -> Any:
    """boundary.boundary, of a type that is perhaps known only now. Raises FhirError 422 for a type without one."""
    if not type:
        if isinstance(value, int | Decimal) and not isinstance(value, bool):
            type = "decimal"
        elif isinstance(value, str):
            type = "time" if value[2:3] == ":" else "dateTime" if "T" in value else "date"
        else:
            raise failed(f"There is no boundary of {value!r:.40}: say its type, such as by ofType(dateTime).")
    return boundary(value, type, high, digits)
