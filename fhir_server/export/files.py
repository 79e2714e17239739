"""The files of exports on disk: a folder for each, named so that nobody guesses it.

NAME           finished: it was given its name when it was whole and on the disk
NAME.X.part    being written; X is drawn by each attempt, so that two never write the same file
NAME.patients  the ids of the patients that a file names, one a line, for the audit trail
NAME.ids       the ids of its resources, by which its download is judged
NAME.parts     of those given in part: `id` without identity, `contact` without contact details, then the id
NAME.refs      what it refers to; it goes when the export has ended
NAME.persons   for each line whose blocks it goes into (blocks.py), and after a tab whom it names; goes likewise
members        the ids of the patients that an export is about, if not all
touched        the ids of those whose Consents have changed since the client's last export

With the setting `export_bucket` all but what is being written lies in object storage too, finished files there alone.
"""

import asyncio
import contextlib
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from fhir_server.export.bucket import Bucket, asked, bucket_of
from fhir_server.export.job import EXPORTS, File
from fhir_server.fhir.outcome import FhirError
from fhir_server.server import Server
from fhir_server.store.seam import Lines, Stored

NAME = re.compile(r"[0-9]{1,6}\.[A-Za-z]{1,64}\.ndjson", re.ASCII)
_REFERENCES = re.compile(rb'"reference":"([^"]*)"')
_PATIENTS = re.compile(rb'"reference":"(Patient/[^"]*)"')
_PATIENT = b"Patient/"
_ATTACHED = b'"url":"Binary/'


def root(server: Server) -> Path:
    """The folder of a store's exports: two stores may share the folder of the settings."""
    return Path(server.settings.export_folder) / hashlib.sha256(b"exports" + server.page_key).hexdigest()[:16]


def folder_of(server: Server, id: str) -> Path:
    """The folder of one export."""
    return root(server) / id


def kept_in(server: Server) -> Bucket | None:
    """The object storage of a store's exports."""
    return bucket_of(server, root(server).name)


async def keep(server: Server, folder: Path, *names: str) -> None:
    """Put files or notes of an export into object storage, if there is one. Raises FhirError 503."""
    if (bucket := kept_in(server)) is not None:
        for name in names:
            await asked(bucket.put, folder.name, folder / name)


async def keep_file(server: Server, folder: Path, file: File, read_again: bool) -> None:
    """The same for a finished file with its notes: then it leaves the disk, unless it is to be read again."""
    if kept_in(server) is not None:
        beside = sorted(path.name for path in folder.glob(f"{file.name}.*"))
        await keep(server, folder, *beside, file.name)
        if not read_again:
            (folder / file.name).unlink(missing_ok=True)


async def bring_back(server: Server, folder: Path, names: Iterable[str] | None = None) -> None:
    """Have what object storage has, on this machine: some of it, or all but finished files."""
    if (bucket := kept_in(server)) is not None:
        if names is None:
            names = [name for name in await asked(bucket.names, folder.name) if not NAME.fullmatch(name)]
        await asked(bucket.get, folder.name, names, folder)


async def remove(server: Server, id: str) -> None:
    """Take an export's files off the disk; whoever is reading one reads it to its end. What object storage does not
    remove now, the next sweep does."""
    await asyncio.to_thread(shutil.rmtree, folder_of(server, id), True)
    if (bucket := kept_in(server)) is not None:
        with contextlib.suppress(FhirError):
            await asked(bucket.remove, id)


async def sweep(server: Server) -> int:
    """Remove what there is of exports that were deleted or have expired; returns of how many. Raises FhirError 503."""
    bucket = kept_in(server)
    there = {path.name for path in root(server).glob("*")} | (await asked(bucket.ids) if bucket is not None else set())
    gone = [id for id in sorted(there) if await EXPORTS.read(server, id) is None]
    for id in gone:
        await remove(server, id)
    return len(gone)


def patients_of(path: Path) -> frozenset[str]:
    """The ids of the patients whose data a finished file holds, or who are named in it."""
    return frozenset(path.with_name(path.name + ".patients").read_text().split())


class Output:
    """A file being written, and what has to be known of it. At most one page more than `most` resources."""

    def __init__(self, folder: Path, name: str, kind: str, type: str, base: str) -> None:
        self.path, self.kind, self.type = folder / name, kind, type
        self.count = self.size = 0
        self._part = folder / f"{name}.{secrets.token_hex(4)}.part"
        self._file = self._part.open("wb")
        self._base = f"{base}/".encode()
        self._attached = f'"url":"{base}/Binary/'.encode()
        self._ids: list[str] = []
        self._parts: list[str] = []
        self._refs: set[bytes] = set()
        self.persons: list[str] = []

    @property
    def ids(self) -> list[str]:
        """The ids of the resources written."""
        return self._ids

    def write(self, rows: list[Stored], shown: list[Stored], refs: bool = False) -> None:
        """Add resources, a line each, as they are shown. `refs`: note what they refer to."""
        chunk, ids = b"\n".join([row.body for row in rows]), [row.id for row in rows]
        self._note(chunk, refs, ids)
        if shown is not rows:
            chunk = b"\n".join([row.body for row in shown])
            for row, told in zip(rows, shown, strict=True):
                if told.id != row.id:
                    self._parts.append(f"id {row.id}")
                elif told.body is not row.body:
                    self._parts.append(f"contact {row.id}")
        self._put(chunk, ids)

    def write_lines(self, lines: Lines, refs: bool = False) -> None:
        """The same of a page that the store put together."""
        self._note(lines.text, refs, lines.ids)
        self._put(lines.text, lines.ids)

    def _put(self, chunk: bytes, ids: list[str]) -> None:
        if _ATTACHED in chunk:  # of an attachment: whoever loads the file knows no base
            chunk = chunk.replace(_ATTACHED, self._attached)
        self._file.write(chunk)
        self._file.write(b"\n")
        self._ids += ids
        self.count += len(ids)
        self.size += len(chunk) + 1

    def write_line(self, line: bytes, counted: bool = True) -> None:
        """Add a line that is no stored resource, and counts as one, or not."""
        if counted:
            self._note(line, False, ())
        self._file.write(line + b"\n")
        self.count += counted
        self.size += len(line) + 1

    def write_again(self, line: bytes, id: str, part: str, patients: Iterable[bytes]) -> None:
        """Add a line of another file with what was noted of it."""
        self._file.write(line + b"\n")
        self._ids.append(id)
        self._parts += [f"{part} {id}"] if part else []
        self._refs.update(b"Patient/" + one for one in patients)
        self.count += 1
        self.size += len(line) + 1

    def _note(self, text: bytes, refs: bool, ids: Iterable[str]) -> None:
        """Remember whom the text of resources names. Stored bytes are our own encoding, in which references look one
        way only."""
        if self.type == "Patient":
            self._refs.update(b"Patient/" + id.encode() for id in ids)
        if self._base in text:
            text = text.replace(self._base, b"")
        self._refs.update((_REFERENCES if refs else _PATIENTS).findall(text))

    def finish(self) -> File:
        """Put it on the disk under its name."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        patients = sorted({ref.split(b"/")[1] for ref in self._refs if ref.startswith(_PATIENT)})
        for ending, lines in (
            ("patients", patients),
            ("ids", [id.encode() for id in self._ids]),
            ("parts", [line.encode() for line in self._parts]),
            ("refs", sorted(self._refs)),
            ("persons", [line.encode() for line in self.persons]),
        ):
            if lines or ending != "persons":
                note = self.path.with_name(f"{self.path.name}.{ending}")
                note.write_bytes(b"".join([line + b"\n" for line in lines]))
        self._part.replace(self.path)
        return File(self.path.name, self.kind, self.type, self.count, self.size)

    def discard(self) -> None:
        """Leave nothing of it."""
        self._file.close()
        self._part.unlink(missing_ok=True)


def notes(folder: Path, files: Iterable[File], ending: str) -> Iterator[list[str]]:
    """What was noted of finished files, file by file: `ids`, `parts`, `refs` or `persons`."""
    for file in files:
        yield folder.joinpath(f"{file.name}.{ending}").read_text().splitlines()


def references_in(line: bytes, base: str) -> list[str]:
    """What a line refers to, in whatever version, as `Type/id` where that is of this server."""
    begin = f"{base}/".encode()
    found = _REFERENCES.findall(line.replace(begin, b"") if begin in line else line)
    return [one.partition(b"/_history/")[0].decode() for one in found]


async def forget_notes(server: Server, folder: Path, files: Iterable[File] = ()) -> None:
    """Remove what is of use only while an export is written: notes, and files that were made into others."""
    for file in files:
        for path in [folder / file.name, *folder.glob(f"{file.name}.*")]:
            path.unlink(missing_ok=True)
    if (bucket := kept_in(server)) is not None:
        made = {file.name for file in files}
        names = await asked(bucket.names, folder.name)
        over = [one for one in names if one.endswith((".refs", ".persons")) or ".".join(one.split(".")[:3]) in made]
        await asked(bucket.remove, folder.name, over)
    for path in folder.glob("blocks.*"):  # of who died meanwhile
        shutil.rmtree(path, ignore_errors=True)
    for path in [*folder.glob("*.refs"), *folder.glob("*.persons"), *folder.glob("*.part")]:
        path.unlink(missing_ok=True)
