"""What is kept of an import (kept.py). What is written of a file, and what was refused of it, lies with the note on the
file (bring.py, noted.py). https://github.com/smart-on-fhir/bulk-import
"""

import msgspec

from fhir_server.access.grant import Grant
from fhir_server.export.job import Issue
from fhir_server.export.kept import Kept


class Source(msgspec.Struct, frozen=True):
    """A file to be imported: what it holds, and where it is."""

    type: str
    url: str


class Brought(msgspec.Struct, frozen=True):
    """What became of one: the key of its note, counts, pieces of refusals; why it could not be imported, if so."""

    key: str = ""
    stored: int = 0
    refused: int = 0
    told: int = 0
    skipped: bool = False  # it was imported before
    failed: Issue | None = None


class Importing(msgspec.Struct):
    """An import. `brought` are the files that are done, in order."""

    caller: str
    request: str  # the URL of the kick-off
    sources: tuple[Source, ...]
    origin: str  # the inputSource
    kicked: int
    expires: int
    by_identifier: bool = False
    grant: Grant | None = None  # what its caller may do; None: the operator
    secured: bool = True  # reports need an access token
    lease: int = 0
    stored: int = 0  # so far
    refused: int = 0
    brought: list[Brought] = []
    ended: int = 0
    failed: Issue | None = None
    status: int = 200


IMPORTS = Kept("bring", Importing)
