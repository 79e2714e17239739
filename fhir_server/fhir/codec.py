"""JSON to values and back without losing a digit. https://hl7.org/fhir/R4/json.html

The bytes that are stored are `encode(decode(body))`: our encoding of what was decoded, so that nothing which was not
validated survives. Decimals become `decimal.Decimal` and keep value and precision (0.47210 stays 0.47210).
"""

from decimal import Decimal
from typing import Any

import msgspec

from fhir_server.fhir.outcome import FhirError, refuse

Resource = dict[str, Any]

_decoder = msgspec.json.Decoder(float_hook=Decimal)
_encoder = msgspec.json.Encoder(decimal_format="number")


def encode(value: Any) -> bytes:
    """The JSON bytes of a decoded value."""
    return _encoder.encode(value)


def decode(body: bytes) -> Any:
    """The value of a JSON text: dicts, lists, str, bool, int, Decimal, None.

    Raises FhirError 400 for what is not JSON, NaN, lone surrogates, bad UTF-8, duplicate keys or absurd nesting.
    """
    try:
        return _decoder.decode(body)
    except RecursionError:
        raise refuse(400, "structure", "The body is nested too deeply.") from None
    except (msgspec.DecodeError, ValueError) as error:
        raise refuse(400, "structure", f"The body is not valid JSON: {error}.") from None


def read_resource(body: bytes) -> tuple[Resource, bytes]:
    """Decode a resource from the wire; returns it with our own encoding of it.

    Raises FhirError 400 as `decode` does, and for duplicate keys or a body that is not an object with a resourceType.
    """
    value = decode(body)
    if not isinstance(value, dict) or not isinstance(value.get("resourceType"), str):
        raise refuse(400, "structure", "The body must be a JSON object with a resourceType.")
    try:
        encoded = encode(value)
    except RecursionError:
        raise refuse(400, "structure", "The body is nested too deeply.") from None
    refuse_duplicate_keys(body, encoded)
    return value, encoded


def refuse_duplicate_keys(body: bytes, encoded: bytes) -> None:
    """Raise FhirError 400 when `body` holds more keys than the value decoded from it.

    Parsers keep the last of two equal keys without a word. Counting the quotes around strings before and after finds
    the loss, which takes a third of finding the keys where strings hold escapes, and a hundredth elsewhere.
    """
    if _quotes(body) != _quotes(encoded):
        raise refuse(400, "structure", "The body has an object with the same key twice.")


def _quotes(text: bytes) -> int:
    """The quotes of a JSON text that begin and end strings: a run of backslashes is escaped ones from its left."""
    if rb"\\" in text:
        text = text.replace(rb"\\", b"")
    return text.count(b'"') - text.count(rb"\"")


__all__ = ["FhirError", "Resource", "decode", "encode", "read_resource", "refuse_duplicate_keys"]
