"""The files of exports in S3-compatible object storage. https://docs.aws.amazon.com/AmazonS3/latest/API/Welcome.html

A file and its notes are put there when it is whole. Who may have it is asked as for one on the disk (download.py); then
the client is sent to an address that is good for a minute. What is at it cannot be asked again: no address is ever
told in advance. Key and address of the storage are boto3's to find (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL_S3, ...).
"""

import asyncio
import logging
import secrets
import shutil
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from fhir_server.export.manifest import NDJSON
from fhir_server.fhir.outcome import refuse
from fhir_server.server import Server

GOOD_FOR = 60  # seconds that an address is good for, however long the download takes
ATTEMPTS = 6  # at each request to the storage

T = TypeVar("T")
log = logging.getLogger("fhir_server")


class Bucket:
    """What lies below `s3://BUCKET/PREFIX/ROOT/`: for each export its files and notes, under the names that they have
    in its folder."""

    def __init__(self, url: str, root: str) -> None:
        import boto3
        from botocore.config import Config

        parts = urlsplit(url)
        self._bucket = parts.netloc
        self._begin = "/".join(part for part in (parts.path.strip("/"), root) if part) + "/"
        config = Config(
            signature_version="s3v4",
            connect_timeout=5,
            read_timeout=60,
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        )
        self._s3: Any = boto3.client("s3", config=config)

    def put(self, id: str, path: Path) -> None:
        """Keep a file or a note."""
        kind = NDJSON if path.suffix == ".ndjson" else "text/plain"
        key = f"{self._begin}{id}/{path.name}"
        with path.open("rb") as body:
            self._s3.put_object(Bucket=self._bucket, Key=key, Body=body, ContentType=kind, CacheControl="no-store")

    def get(self, id: str, names: Iterable[str], folder: Path) -> None:
        """Bring what is kept under some names into a folder, unless it is there."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            if not (folder / name).exists():
                found = self._s3.get_object(Bucket=self._bucket, Key=f"{self._begin}{id}/{name}")
                part = folder / f"{name}.{secrets.token_hex(4)}.new"
                with part.open("wb") as file:
                    shutil.copyfileobj(found["Body"], file)
                part.replace(folder / name)

    def names(self, id: str) -> list[str]:
        """What is kept of an export."""
        begin = f"{self._begin}{id}/"
        return [key.removeprefix(begin) for key in self._keys(begin)]

    def ids(self) -> set[str]:
        """The exports of which something is kept."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._begin, Delimiter="/"
        )
        found = (one["Prefix"] for page in pages for one in page.get("CommonPrefixes", ()))
        return {prefix.removeprefix(self._begin).rstrip("/") for prefix in found}

    def remove(self, id: str, names: Iterable[str] | None = None) -> None:
        """Remove what is kept of an export, or some of it."""
        for name in self.names(id) if names is None else names:
            self._s3.delete_object(Bucket=self._bucket, Key=f"{self._begin}{id}/{name}")

    def address(self, id: str, name: str, method: str) -> str:
        """Where to read a file by GET or HEAD in the next GOOD_FOR seconds."""
        given = {"Bucket": self._bucket, "Key": f"{self._begin}{id}/{name}"}
        call = "head_object" if method == "HEAD" else "get_object"
        found: str = self._s3.generate_presigned_url(call, Params=given, ExpiresIn=GOOD_FOR)
        return found

    def _keys(self, begin: str) -> list[str]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=begin)
        return [one["Key"] for page in pages for one in page.get("Contents", ())]


@lru_cache(maxsize=8)
def _opened(url: str, root: str) -> Bucket:
    return Bucket(url, root)


def bucket_of(server: Server, root: str) -> Bucket | None:
    """Where exports are kept beside the disk; None if nowhere."""
    return _opened(server.settings.export_bucket, root) if server.settings.export_bucket else None


async def asked(call: Callable[..., T], *given: Any) -> T:
    """What a Bucket answers. Raises FhirError 503 if the storage does not."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return await asyncio.to_thread(call, *given)
    except (BotoCoreError, ClientError) as error:
        log.error("object storage: %s", error)
        raise refuse(503, "transient", "The storage of exports does not answer; the server's log has more.") from None
