"""Names and dates that stand for others, the same for one recipient and different for each. docs/consent.md

An id becomes another by a key of the recipient, and can be read back with it; a person's dates move by a number of
days that the recipient's key gives. Who has several exports can join them; two recipients cannot join theirs.
"""

import hashlib
import hmac
import itertools
from collections.abc import Callable
from datetime import date, timedelta
from typing import NamedTuple
from uuid import UUID

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from fhir_server.fhir.dates import DAY

MOST_DAYS = 365


class Pseudonyms(NamedTuple):
    """What one recipient is given in place of ids and dates."""

    key: bytes

    def name(self, type: str, id: str) -> str:
        """32 hexadecimal digits in place of an id."""
        block = _block(id)
        if block is not None:
            sealing = self._cipher(type).encryptor()
            return sealing.update(block).hex()
        for attempt in itertools.count():  # too long to be read back: a name that reads as no other id
            name = hmac.digest(self.key, f"{type}/{id}/{attempt}".encode(), "sha256")[:16].hex()
            if self.original(type, name) is None:
                return name
        raise AssertionError("three of four names are none of an id")

    def original(self, type: str, name: str) -> str | None:
        """The id that a name stands for; None if it stands for none that can be told."""
        try:
            block = bytes.fromhex(name)
        except ValueError:
            return None
        opening = self._cipher(type).decryptor()
        return _id(opening.update(block)) if len(block) == 16 and block.hex() == name else None

    def days(self, patient: str) -> int:
        """How many days earlier a person's dates are told: 1 to MOST_DAYS."""
        digest = hmac.digest(self.key, f"days/{patient}".encode(), "sha256")
        return int.from_bytes(digest[:4], "big") % MOST_DAYS + 1

    def _cipher(self, type: str) -> Cipher[modes.ECB]:
        """One block makes one name: no mode is needed."""
        return Cipher(algorithms.AES256(hmac.digest(self.key, f"type/{type}".encode(), "sha256")), modes.ECB())


def pseudonyms(master: bytes, recipient: str) -> Pseudonyms:
    """Those of a recipient: a study, an organization or a client."""
    return Pseudonyms(hmac.digest(hashlib.sha256(b"pseudonyms" + master).digest(), recipient.encode(), "sha256"))


def earlier(text: str, days: int) -> str:
    """A date, dateTime or instant so many days earlier, as precise as it was. Raises ValueError if it is none."""
    whole = text[:10] if len(text) >= 10 else f"{text}{'-07-01' if len(text) == 4 else '-15'}"
    moved = (date.fromisoformat(whole) - timedelta(days=days)).isoformat()
    return moved[: len(text)] + text[10:]


def moved_by(days: int) -> Callable[[int], int]:
    """The same for microseconds since 1970."""
    return lambda us: us - days * DAY


def _block(id: str) -> bytes | None:
    """16 bytes for an id: those of a UUID, or length and text. The variant of a UUID is no ASCII: they never meet."""
    try:
        found = UUID(id)
        if str(found) == id and found.bytes[8] & 0xC0 == 0x80:
            return found.bytes
    except ValueError:
        pass
    text = id.encode()
    return bytes([len(text)]) + text.ljust(15, b"\0") if 0 < len(text) <= 15 else None


def _id(block: bytes) -> str | None:
    if block[8] & 0xC0 == 0x80:
        return str(UUID(bytes=block))
    length, text = block[0], block[1:]
    if not 0 < length <= 15 or text[length:].strip(b"\0") or not text.isascii():
        return None
    return text[:length].decode()
