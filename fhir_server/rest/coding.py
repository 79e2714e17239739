"""gzip, of answers that are worth it and of request bodies within bounds. https://www.rfc-editor.org/rfc/rfc9110#name-content-codings"""

import zlib
from functools import lru_cache

from fhir_server.fhir.outcome import FhirError, refuse

# What fits into one packet arrives no sooner when it is smaller: gzip would cost 15 us and save nothing.
WORTHWHILE = 1400
_LEVEL = 1  # half the time of level 6 for a tenth more bytes
_GZIP = 16 + zlib.MAX_WBITS


@lru_cache(maxsize=256)
def takes_gzip(accept_encoding: bytes) -> bool:
    """Whether a client takes gzip: named, or by `*`, without q=0."""
    said: dict[str, bool] = {}
    for part in accept_encoding.decode("latin-1").lower().split(","):
        name, _, quality = part.partition(";")
        said[name.strip()] = quality.replace(" ", "").rstrip("0").rstrip(".") not in ("q=", "q=0")
    return said.get("gzip", said.get("x-gzip", said.get("*", False)))


def compressed(body: bytes) -> bytes:
    """The body in gzip."""
    return zlib.compress(body, _LEVEL, _GZIP)


def require_coding(encoding: bytes) -> bool:
    """Whether a body is in gzip. Raises FhirError 415 for a Content-Encoding other than gzip and identity."""
    name = encoding.decode("latin-1").strip().lower()
    if name not in ("", "identity", "gzip", "x-gzip"):
        text = f"The Content-Encoding {name[:50]!r} is not read here: send gzip or none."
        raise refuse(415, "not-supported", text, Accept_Encoding="gzip")
    return name.endswith("gzip")


def decompressed(body: bytes, limit: int) -> bytes:
    """The body out of gzip, of which no more than `limit` bytes ever exist.

    Raises FhirError 413 beyond the limit, 400 for what is not gzip or ends early.
    """
    parts: list[bytes] = []
    left = limit
    while body:  # gzip files may be strung together
        stream = zlib.decompressobj(_GZIP)
        try:
            part = stream.decompress(body, left + 1)
        except zlib.error:
            raise refuse(400, "structure", "The body is not valid gzip.") from None
        left -= len(part)
        if left < 0:
            raise too_long(limit)
        if not stream.eof:
            raise refuse(400, "incomplete", "The gzip body ends too early.")
        parts.append(part)
        body = stream.unused_data
    return b"".join(parts)


def too_long(limit: int) -> FhirError:
    """The 413 of a body over the limit; the connection is closed, for the rest of the body will not be read."""
    return refuse(413, "too-long", f"The body is larger than {limit} bytes.", Connection="close")
