"""An export told person after person. https://hl7.org/fhir/uv/bulkdata/STU3/export.html#bulk-data-output-file-organization

A block is the Patient, what belongs to them, the Provenance of that, and what all of it refers to of what belongs to
nobody, which so comes in many blocks. Blocks are made of the files of one type each: their lines are sorted by person
into as many files as it takes for the places of one file's lines to fit in memory.
"""

import shutil
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, NamedTuple

from fhir_server.access.pseudonyms import Pseudonyms
from fhir_server.export.files import notes, references_in
from fhir_server.export.job import File
from fhir_server.export.members import Kinds
from fhir_server.fhir import codec
from fhir_server.fhir.references import parse

LINES = 100_000  # in one sorted file: what is known of each is kept in memory


class Line(NamedTuple):
    """A line of an export, and what was noted of it: the key of the stored resource, how it is given (files.py), and
    the ids of all Patients whom the stored one names."""

    key: str
    part: str
    patients: str
    body: bytes


class Place(NamedTuple):
    """Where a Line lies."""

    path: Path
    offset: int
    size: int


class Block(NamedTuple):
    """A person, by the id that is told, and the places of their lines; `size` in bytes."""

    person: str
    places: list[Place]
    size: int


class Sorted:
    """The files of an export in `folder`, sorted into files `root`/0, 1, ... which hold each person whole. `names`: by
    which some are told."""

    def __init__(
        self, folder: Path, root: Path, files: Sequence[File], kinds: Kinds, base: str, names: Pseudonyms | None
    ):
        self._folder, self._root, self._files, self._kinds, self._base = folder, root, files, kinds, base
        self._names = names
        self.count = sum(file.count for file in files if file.type in kinds.first) // LINES + 1
        self._shared: dict[str, Place] = {}
        self._read: dict[Path, BinaryIO] = {}

    def sort(self) -> None:
        """Make the sorted files."""
        about = any(file.type in self._kinds.last for file in self._files)
        with ExitStack() as stack:
            people, told, targets = (stack.enter_context(_Files(self._root, n, self.count)) for n in ("", "told", "of"))
            for file in self._files:
                for line, persons in self._lines(file):
                    record = _record(line)
                    if file.type in self._kinds.last:
                        for person in persons:
                            people.add(person, record)
                        for target in self._targets(line.body):
                            targets.add(target, record)
                    elif file.type in self._kinds.first:
                        for person in persons:
                            people.add(person, record)
                        if about and persons:
                            key = self._told(file.type, line)
                            told.add(key, ",".join(persons).encode())
                    else:
                        self._shared[self._told(file.type, line)] = people.aside(record)
        if about:
            self._join()

    def _join(self) -> None:
        """Put Provenance to the persons whom its targets belong to."""
        with _Files(self._root, "", self.count) as people:
            for number in range(self.count):
                persons: dict[bytes, list[str]] = {}
                with (self._root / f"told{number}").open("rb") as lines:
                    for line in lines:
                        key, _, of = line[:-1].partition(b"\t")
                        persons[key] = of.decode().split(",")
                with (self._root / f"of{number}").open("rb") as lines:
                    for line in lines:
                        key, _, record = line[:-1].partition(b"\t")
                        for person in persons.get(key, ()):
                            people.add(person, record)

    def blocks(self, number: int, after: int = 0) -> Iterator[Block]:
        """The blocks of a sorted file, in order, without the first `after`."""
        path, found = self._root / str(number), dict[bytes, list[Place]]()
        with path.open("rb") as file:
            offset = 0
            for line in file:
                person = line[: line.index(b"\t")]
                start = len(person) + 1
                found.setdefault(person, []).append(Place(path, offset + start, len(line) - start - 1))
                offset += len(line)
        for person in sorted(found)[after:]:
            yield self._block(person.decode(), found[person])

    def _block(self, person: str, places: Iterable[Place]) -> Block:
        kept, seen, size, waiting = list[Place](), set[str](), 0, list[Place](places)
        for place in waiting:  # grows by what is referred to
            line = self.read(place)
            if line.key not in seen:  # Provenance comes once for each of a person's resources
                seen.add(line.key)
                kept.append(place)
                size += len(line.body) + 1
                refs = references_in(line.body, self._base)
                waiting += [self._shared[ref] for ref in dict.fromkeys(refs) if ref in self._shared]
        return Block(person, kept, size)

    def read(self, place: Place) -> Line:
        """A line."""
        file = self._read.get(place.path) or self._read.setdefault(place.path, place.path.open("rb"))
        file.seek(place.offset)
        key, part, patients, body = file.read(place.size).split(b"\t", 3)
        return Line(key.decode(), part.decode(), patients.decode(), body)

    def remove(self) -> None:
        """Leave nothing of it."""
        for file in self._read.values():
            file.close()
        shutil.rmtree(self._root, ignore_errors=True)

    def _lines(self, file: File) -> Iterator[tuple[Line, list[str]]]:
        """The lines of a file of one type, each with the persons whose blocks it goes into."""
        (ids,), (parts,), (persons,) = (notes(self._folder, [file], ending) for ending in ("ids", "parts", "persons"))
        how = {id: name for name, _, id in (part.partition(" ") for part in parts)}
        with (self._folder / file.name).open("rb") as lines:
            for id, noted, line in zip(ids, persons, lines, strict=True):
                told, _, patients = noted.partition("\t")
                yield Line(f"{file.type}/{id}", how.get(id, ""), patients, line[:-1]), told.split(",") if told else []

    def _told(self, type: str, line: Line) -> str:
        """The key by which other lines refer to one."""
        id = line.key.partition("/")[2]
        return f"{type}/{self._names.name(type, id)}" if line.part == "id" and self._names is not None else line.key

    def _targets(self, body: bytes) -> Iterator[str]:
        for target in codec.decode(body).get("target", ()):
            found = parse(target.get("reference", ""), self._base)
            if found.local:
                yield f"{found.type}/{found.id}"


class _Files:
    """Files to which lines are added by a key."""

    def __init__(self, root: Path, name: str, count: int) -> None:
        root.mkdir(exist_ok=True)
        self._root = root
        self._open: list[BinaryIO] = [(root / f"{name}{number}").open("ab") for number in range(count)]
        self._aside: BinaryIO | None = None

    def add(self, key: str, line: bytes) -> None:
        """Add a line behind its key."""
        begin = key.encode()
        self._open[zlib.crc32(begin) % len(self._open)].write(begin + b"\t" + line + b"\n")

    def aside(self, line: bytes) -> Place:
        """Add a line that belongs to no key."""
        if self._aside is None:
            self._aside = (self._root / "shared").open("ab")
        place = Place(self._root / "shared", self._aside.tell(), len(line))
        self._aside.write(line + b"\n")
        return place

    def __enter__(self) -> "_Files":
        return self

    def __exit__(self, *error: object) -> None:
        for file in [*self._open, *([self._aside] if self._aside else [])]:
            file.close()


def _record(line: Line) -> bytes:
    """JSON has no tab of its own: a line is told apart from what is noted of it."""
    return b"\t".join([line.key.encode(), line.part.encode(), line.patients.encode(), line.body])


def header(person: str) -> bytes:
    """The line that begins a block."""
    value = {"reference": f"Patient/{person}"}
    return codec.encode({"resourceType": "Parameters", "parameter": [{"name": "header", "valueReference": value}]})
