"""What is kept of an export (kept.py). https://hl7.org/fhir/uv/bulkdata/export.html"""

from typing import Any

import msgspec

from fhir_server.access.grant import Grant
from fhir_server.export.kept import Kept
from fhir_server.export.wish import Wish


class File(msgspec.Struct, frozen=True):
    """A finished file: `kind` is output, deleted, error, or blocks (blocks.py); its name is its place in the export's
    folder. The last person of one that `continues` goes on in the next."""

    name: str
    kind: str
    type: str
    count: int
    size: int  # bytes
    continues: bool = False


class Issue(msgspec.Struct, frozen=True):
    """What the client is told of something that was not done."""

    code: str
    text: str
    at: tuple[str, ...] = ()
    severity: str = "warning"


class Export(msgspec.Struct):
    """An export. `part` and `place` say where it goes on: a file that is listed is never written again."""

    caller: str
    request: str  # the URL of the kick-off
    wish: Wish
    kicked: int
    expires: int
    grant: Grant | None = None  # what its caller may do; None: the operator
    passed: tuple[Issue, ...] = ()
    secured: bool = True  # files need an access token
    ballot: bool = False  # the manifest is that of version 4 (manifest.py)
    separate: bool = False  # the client wants how it stands in X-Export-Status, not in the status of the answer
    at: int = 0  # the transactionTime; 0 until it is known
    lease: int = 0
    turn: int = 0  # when a process last began to work on it
    totals: dict[str, int] = {}  # resources of each type that is looked through, whatever is wanted of them
    stirred: tuple[str, ...] = ()  # types of which something was changed between `at` and the counting
    written: int = 0
    here: int = 0  # of the type in hand
    began: int = 0
    part: int = 0
    place: Any = None
    files: list[File] = []
    ended: int = 0
    failed: Issue | None = None
    status: int = 200


EXPORTS = Kept("export", Export)
