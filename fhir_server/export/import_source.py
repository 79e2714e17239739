"""Where files may be imported from, and getting one. https://owasp.org/www-community/attacks/Server_Side_Request_Forgery

A client names addresses, the operator says which of them this server may read: none, unless the setting lists it.
"""

import hashlib
import secrets
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

import httpx2

from fhir_server.export.import_job import Source
from fhir_server.fhir.outcome import refuse
from fhir_server.settings import Settings

PORTS = {"http": 80, "https": 443}
PATIENCE = httpx2.Timeout(30.0)  # seconds for a connection, and for each read
GZIP = b"\x1f\x8b"


def allowed(settings: Settings, url: str, at: str) -> None:
    """Raise FhirError 403 unless the setting `import_sources` lists where a file is, 400 for what is no address."""
    asked = _parts(url)
    if asked is None:
        raise refuse(
            400, "value", f"{named(url)!r} is no address of a file: https://..., http://... or file:///...", at
        )
    for entry in settings.import_sources.split():
        known = _parts(entry)
        if known is not None and _origin(known) == _origin(asked) and _below(asked.path, known.path):
            return
    text = f"{named(url)!r} is not on the list of sources: its operator names them (FHIR_SERVER_IMPORT_SOURCES)."
    raise refuse(403, "forbidden", text, at)


def named(url: str) -> str:
    """An address as it may be told: without its query, which may be what permits reading it."""
    return url.partition("?")[0].partition("#")[0][:200]


async def fetched(settings: Settings, source: Source, folder: Path) -> Path:
    """The file on this machine. Raises FhirError 403, 404 for a file that is not there, 502 if it cannot be fetched."""
    allowed(settings, source.url, "")
    parts = urlsplit(source.url)
    if parts.scheme == "file":
        return _local(settings, Path(unquote(parts.path)))
    for place in _places(source, folder):
        if place.exists():  # fetched by who died meanwhile
            return place
    return await _download(settings, source.url, *_places(source, folder))


def clear(folder: Path, beside: Source | None = None) -> None:
    """Remove what was fetched, whole or in part, but for what was fetched whole of one source."""
    kept = _places(beside, folder) if beside is not None else ()
    for path in folder.glob("*"):
        if path not in kept:
            path.unlink(missing_ok=True)


def _places(source: Source, folder: Path) -> tuple[Path, Path]:
    """Where a file lies when it is fetched: plain, or in gzip."""
    name = hashlib.sha256(source.url.encode()).hexdigest()[:24]
    return folder / f"{name}.ndjson", folder / f"{name}.ndjson.gz"


def _local(settings: Settings, path: Path) -> Path:
    """A file that is below an allowed folder when all links are followed."""
    try:
        real = path.resolve(strict=True)
    except OSError:
        raise refuse(404, "not-found", f"There is no file {str(path)[:200]!r} where this server runs.") from None
    roots = (_parts(entry) for entry in settings.import_sources.split())
    folders = [Path(unquote(root.path)).resolve() for root in roots if root is not None and root.scheme == "file"]
    if not real.is_file() or not any(real == folder or real.is_relative_to(folder) for folder in folders):
        raise refuse(403, "forbidden", f"{str(path)[:200]!r} is no file in an allowed folder.")
    return real


async def _download(settings: Settings, url: str, plain: Path, packed: Path) -> Path:
    part, size, head = plain.with_suffix(f".{secrets.token_hex(4)}.part"), 0, b""
    headers = {"accept": "application/fhir+ndjson, application/ndjson;q=0.9, */*;q=0.1"}
    try:
        async with (
            httpx2.AsyncClient(follow_redirects=False, trust_env=False, timeout=PATIENCE) as client,
            client.stream("GET", url, headers=headers) as answer,
        ):
            if answer.status_code != 200:
                text = f"{named(url)!r} was answered {answer.status_code}, not 200 (redirects are not followed)."
                raise refuse(502, "transient", text)
            with part.open("wb") as file:
                async for chunk in answer.aiter_bytes():
                    head, size = head or chunk[:2], size + len(chunk)
                    if size > settings.import_file:
                        text = f"{named(url)!r} is larger than {settings.import_file} bytes."
                        raise refuse(413, "too-costly", text)
                    file.write(chunk)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        part.unlink(missing_ok=True)
        raise refuse(502, "transient", f"{named(url)!r} cannot be fetched: {type(error).__name__}.") from None
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return part.replace(packed if head == GZIP else plain)


def _parts(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    plain = url.isascii() and url.isprintable() and not set(url) & set(' \\"<>') and len(url) <= 2000
    steps = [step for step in unquote(parts.path).split("/") if step in (".", "..")]
    if not plain or steps or "\x00" in unquote(parts.path) or parts.username is not None or parts.fragment or port == 0:
        return None
    if parts.scheme == "file":
        return parts if not parts.netloc and parts.path.startswith("/") else None
    return parts if parts.scheme in PORTS and parts.hostname else None


def _origin(parts: SplitResult) -> tuple[str, str, int]:
    return parts.scheme, (parts.hostname or "").lower(), parts.port or PORTS.get(parts.scheme, 0)


def _below(path: str, root: str) -> bool:
    return path == root or path.startswith(root if root.endswith("/") else f"{root}/") or root in ("", "/")
