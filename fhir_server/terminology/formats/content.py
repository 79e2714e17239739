"""What a terminology file holds, and how files, folders and archives are read alike. https://docs.python.org/3/library/zipfile.html"""

import csv
import gzip
import hashlib
import io
import re
import zipfile
from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, cast

from fhir_server.fhir.codec import Resource
from fhir_server.terminology.concepts import Concept

PARENT = {"code": "parent", "uri": "http://hl7.org/fhir/concept-properties#parent", "type": "code"}
INACTIVE = {"code": "inactive", "uri": "http://hl7.org/fhir/concept-properties#inactive", "type": "boolean"}


class Content(NamedTuple):
    """A code system: its resource without concepts, its concepts (read twice, in one order) and what comes with them.

    `files` are those it is read from, as `members` gives them: their bytes are what makes two imports the same.
    """

    about: Resource
    concepts: Callable[[], Iterator[Concept]]
    files: tuple["Member", ...]
    also: tuple[Resource, ...] = ()


class Member(NamedTuple):
    """A file: at a path, or a name inside the archive at that path."""

    path: Path
    name: str = ""

    def open(self) -> IO[bytes]:
        """Its bytes, uncompressed. Raises OSError."""
        if self.name:
            archive = zipfile.ZipFile(self.path)
            opened = archive.open(self.name)
            archive.close()  # the member that is open keeps the file until it is closed itself
            return opened
        if self.path.suffix == ".gz":
            return cast(IO[bytes], gzip.open(self.path))
        return self.path.open("rb")

    def lines(self) -> Iterator[str]:
        """Its lines as text, without their ends. Raises ValueError if they are no UTF-8."""
        with self.open() as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as text:
            for line in text:
                yield line.rstrip("\r\n")


def member(path: Path, pattern: str) -> Member:
    """The one file that a path means: itself, or the one in a folder or archive whose name fits the pattern.

    Raises FileNotFoundError if there is none or more than one.
    """
    found = members(path, pattern)
    if len(found) != 1:
        text = f"{path} holds {len(found) or 'no'} files called like {pattern!r}"
        raise FileNotFoundError(f"{text}; name the one that is meant." if found else f"{text}.")
    return found[0]


def members(path: Path, pattern: str) -> list[Member]:
    """The files in a folder or archive whose names fit; of a single file, itself. Raises FileNotFoundError."""
    if path.is_dir():
        return sorted(Member(one) for one in path.rglob("*") if one.is_file() and re.fullmatch(pattern, one.name))
    if not path.exists():
        raise FileNotFoundError(f"There is no file or folder {str(path)!r}.")
    if path.suffix != ".zip":
        return [Member(path)]
    with zipfile.ZipFile(path) as archive:
        return sorted(Member(path, name) for name in archive.namelist() if re.fullmatch(pattern, Path(name).name))


def checksum(files: tuple[Member, ...]) -> str:
    """SHA-256 of the bytes of all files, in order."""
    found = hashlib.sha256()
    for one in files:
        with one.open() as raw:
            while chunk := raw.read(1 << 20):
                found.update(chunk)
    return found.hexdigest()


def rows(file: Member, delimiter: Literal[",", "\t"] = ",") -> Iterator[dict[str, str]]:
    """The rows of a table with a header, by the names in it. Raises ValueError for a row that is no such."""
    lines = file.lines()
    tabs = delimiter == "\t"  # cells parted by tabs hold quotes as they are
    table = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE) if tabs else csv.reader(lines)
    header = next(table, [])
    for cells in table:
        if cells:
            yield dict(zip_longest(header, cells[: len(header)], fillvalue=""))


def need(version: str, what: str) -> str:
    """The version that was given. Raises ValueError if none was: the file does not tell it."""
    if not version:
        raise ValueError(f"{what} does not say its version: give --version.")
    return version


def prop(code: str, kind: str, value: Any) -> dict[str, Any]:
    """A property of a concept."""
    return {"code": code, f"value{kind}": value}


def declared(*codes: str, kind: str = "string") -> list[dict[str, str]]:
    """Properties that a code system declares, beside parent and inactive."""
    return [PARENT, INACTIVE, *({"code": code, "type": kind} for code in codes)]
