"""The manifest of an export, and in which pieces a client may have it. https://hl7.org/fhir/uv/bulkdata/STU3/export.html#response---output-manifest

Nothing in it depends on how often the work was interrupted. A client that allows partial manifests gets pages of 1, 2,
4 and so on files, each as soon as its files are there; one that was shown changes by its link to the next alone.
"""

from collections import Counter
from typing import Any

from fhir_server.export.job import Export, File
from fhir_server.fhir.dates import instant
from fhir_server.server import Server

MOST = 128  # files on a page
NDJSON = "application/fhir+ndjson"
MODEL = "http://hl7.org/fhir/uv/bulkdata/StructureDefinition/BulkDataManifest"
DETAIL = (
    "Each block holds a Patient, what belongs to their compartment, the Provenance of it, and what these refer to of "
    "Practitioners, Organizations and the like."
)


def pages(job: Export) -> list[list[File]]:
    """The output and deleted files, page by page: all that can be shown now."""
    shown = [file for file in job.files if file.kind in ("blocks" if job.wish.organized else "output", "deleted")]
    if not job.wish.partial:
        return [shown] if job.ended else []
    found, page = list[list[File]](), list[File]()
    for file in shown:
        page.append(file)
        if len(page) >= min(2 ** len(found), MOST) and not file.continues:
            found.append(page)
            page = []
    return [*found, page] if job.ended and (page or not found) else found


def shown(job: Export) -> list[File]:
    """All files that a client may fetch now."""
    found = pages(job)
    return [file for page in found for file in page] + (errors(job) if found else [])


def errors(job: Export) -> list[File]:
    """What says which wishes were ignored: on all pages the same."""
    return [file for file in job.files if file.kind == "error"]


def manifest(server: Server, id: str, job: Export, number: int) -> dict[str, Any] | None:
    """A page of the manifest, numbered from 1; None if there is none yet, or ever."""
    known = pages(job)
    if not 1 <= number <= len(known):
        return None
    base, page = f"{server.settings.base}/_export/{id}", known[number - 1]
    organized: dict[str, Any] = {"outputOrganizedBy": "Patient"} if job.wish.organized else {}
    output = [_item(base, job, file) for file in page if file.kind != "deleted"]
    gone = [_item(base, job, file) for file in page if file.kind == "deleted"]
    told = [_item(base, job, file) for file in errors(job)]
    begin: dict[str, Any] = {"transactionTime": instant(job.at)}
    if job.ballot:
        begin = {"manifestType": MODEL, **begin, "requiresAccessToken": job.secured, "outputFormat": NDJSON}
        organized |= {"outputOrganizedByDetail": DETAIL} if organized else {}
    else:
        begin |= {"request": job.request, "requiresAccessToken": job.secured}
    found = {**begin, **organized, "output": output}
    if job.wish.since is not None:
        found["deleted"] = gone
    if job.ballot:  # its drafts name them one way or the other
        found["outcome"] = told
    found["error"] = told
    if number < len(known):
        found["link"] = [{"relation": "next", "url": f"{base}?page={number + 1}"}]
    return found


def _item(base: str, job: Export, file: File) -> dict[str, Any]:
    typed = file.kind == "output" or not (job.ballot or file.kind == "blocks")
    found: dict[str, Any] = {"type": file.type} if typed else {}
    found["url"] = f"{base}/{file.name}"
    if file.continues:  # files are numbered as they are written
        number, _, rest = file.name.partition(".")
        found["continuesInFile"] = f"{base}/{int(number) + 1}.{rest}"
    found["count"] = file.count
    if job.ballot:
        found["fileSize"] = file.size
        if file.kind == "error":
            severities = Counter(one.severity for one in job.passed)
            found["countSeverity"] = [{"code": code, "count": count} for code, count in sorted(severities.items())]
    return found
