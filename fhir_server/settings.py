"""Every setting of the server, documented once: name, type, default and meaning; read from FHIR_SERVER_* variables."""

import os
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from fhir_server.genomics import chain, fasta

PREFIX = "FHIR_SERVER_"
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def _setting(default: Any, meaning: str) -> Any:
    return field(default=default, metadata={"meaning": meaning})


@dataclass(frozen=True, slots=True)
class Settings:
    """How one server runs. `FHIR_SERVER_PORT=8081` sets `port`, and so on for every field."""

    host: str = _setting("127.0.0.1", "Address to listen on.")
    port: int = _setting(8080, "TCP port to listen on.")
    store: str = _setting(
        "sqlite:///data/fhir.db", "Where resources live: `sqlite:///PATH` or `mongodb://HOST/DATABASE`."
    )
    auth: str = _setting(
        "smart",
        "`smart`: callers show an access token. `open`: every caller is the operator; allowed on a loopback host only.",
    )
    workers: int = _setting(1, "Number of server processes.")
    base_url: str = _setting(
        "", "Public FHIR base, for example `https://fhir.example.org/fhir`; derived from host and port if empty."
    )
    max_body: int = _setting(50_000_000, "Largest request body in bytes; more is answered 413.")
    body_room: int = _setting(
        16_000_000, "Bytes of request bodies over 64 KiB that one process works on at a time; others wait in line."
    )
    body_queue: int = _setting(200_000_000, "Bytes of request bodies that may wait in line; more is answered 503.")
    max_bundle: int = _setting(10_000, "Most entries of a batch or transaction; more is answered 413.")
    job_lease: int = _setting(30, "Seconds of silence after which another process takes over a job.")
    job_lifetime: int = _setting(86_400, "Seconds that a job of `Prefer: respond-async` and its response are kept.")
    profiles: str = _setting(
        "off",
        "What is done with a resource that does not meet the profiles in its `meta.profile`, or those of "
        "`required_profiles`: `off` nothing, `warn` a line in the log, `enforce` it is refused with 422.",
    )
    required_profiles: str = _setting(
        "", "Profiles that resources of a type must meet: `TYPE=URL`, several separated by spaces."
    )
    export_folder: str = _setting(
        "data/exports",
        "Folder for the files of Bulk Data exports; every process that serves a store must see the same.",
    )
    export_bucket: str = _setting(
        "",
        "`s3://BUCKET/PREFIX`: S3-compatible object storage for the files of exports (extra `s3`); its address and key "
        "come from the variables that boto3 reads (`AWS_ENDPOINT_URL_S3`, `AWS_ACCESS_KEY_ID`, ...). Empty: the disk.",
    )
    export_lifetime: int = _setting(86_400, "Seconds that the files of a finished export are kept.")
    export_file: int = _setting(50_000, "Most resources in one file of an export.")
    export_jobs: int = _setting(2, "Exports that one process works on at a time; others wait in line.")
    export_open: int = _setting(4, "Unfinished exports that one client may have; more is answered 429.")
    view_rows: int = _setting(100_000, "Most rows that a `$viewdefinition-run` answers with; more is refused with 422.")
    import_sources: str = _setting(
        "",
        "Where `$import` may read files, separated by spaces: `https://HOST/PATH/`, `http://HOST/PATH/` or "
        "`file:///FOLDER/`, with all below. Empty: nowhere.",
    )
    import_file: int = _setting(20_000_000_000, "Largest file in bytes that `$import` fetches.")
    import_processes: int = _setting(1, "Processes in which one server process prepares the lines of an import.")
    page_size: int = _setting(50, "Entries on a page of a search or history when the client gives no `_count`.")
    max_page_size: int = _setting(1000, "Upper limit of `_count`; more is cut to this.")
    max_includes: int = _setting(1000, "Most resources added to one page by `_include` and `_revinclude`.")
    page_lifetime: int = _setting(3600, "Seconds that a `next` link stays usable.")
    access_lifetime: int = _setting(3600, "Seconds that an access token of an app is good for; at most 3600.")
    backend_lifetime: int = _setting(300, "Seconds that an access token of a backend service is good for; at most 300.")
    registration: str = _setting(
        "closed", "`open`: apps may register themselves at `/auth/register`, for reading only. `closed`: nobody may."
    )
    issuers: str = _setting(
        "", "Other issuers whose access tokens are accepted: `ISSUER=JWKS_URL`, several separated by spaces."
    )
    jwks_hosts: str = _setting(
        "",
        "Hosts, separated by spaces, from which key sets are fetched even by plain HTTP or at a private address; "
        "any other must have HTTPS and a public address.",
    )
    rate_limit: int = _setting(
        1200,
        "Requests a minute to the authorization server that one address, and one client, may make of each process; "
        "one that is refused counts as 20. 0: no limit.",
    )
    insecure_http: bool = _setting(
        False, "Let auth `smart` serve others without HTTPS: for tests in a closed network only."
    )
    treatment: str = _setting(
        "permit",
        "`permit`: care is allowed where no Consent of the patient speaks of it. `deny`: only where one permits it.",
    )
    clinicians_by_organization: bool = _setting(
        False,
        "Whether clinicians see the patients of organizations for which they have an active PractitionerRole, too.",
    )
    adult_age: int = _setting(18, "Years of age from which what a guardian permitted no longer counts.")
    release_days: int = _setting(
        14,
        "Days after which participants see a genomic report that no physician has reviewed. 0: reports are shown as "
        "soon as they arrive.",
    )
    audit: bool = _setting(
        True,
        "With auth `smart`: journal every access, grant and refusal, and make AuditEvents of them. "
        "`false` is for measurements.",
    )
    match: bool = _setting(
        True,
        "Let candidates follow every write, in the background of one of the processes. `false`: only "
        "`fhir-server match` writes them.",
    )
    match_unknowns: int = _setting(
        3, "Most criteria that may be unknown for the matcher to write a potential candidate; more are told on demand."
    )
    genome: str = _setting(
        "",
        "FASTA files of reference sequences named by RefSeq accession, each with its `.fai` index beside it, separated "
        "by spaces: the genomics operations then know all placements of an insertion or deletion.",
    )
    chain: str = _setting(
        "",
        "UCSC chain file from GRCh37 to GRCh38 (`hg19ToHg38.over.chain.gz`): the genomics operations then find what is "
        "described on either when they are asked on the other.",
    )
    access_log: bool = _setting(True, "Write one JSON line per request to standard output.")
    log_level: str = _setting("INFO", "Least severe level that is logged: DEBUG, INFO, WARNING or ERROR.")

    @property
    def base(self) -> str:
        """The FHIR base URL without a slash at its end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.base_url.rstrip("/") or f"http://{host}:{self.port}/fhir"

    @property
    def root(self) -> str:
        """Where `/auth` and `/.well-known` lie: the base without `/fhir`, else its origin; no slash at its end."""
        if self.base.endswith("/fhir"):
            return self.base.removesuffix("/fhir")
        parts = urlsplit(self.base)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def issuer(self) -> str:
        """The authorization server's own name, below which its endpoints lie."""
        return self.root + "/auth"

    def trusted(self) -> dict[str, str]:
        """Other issuers that are trusted, each with the address of its keys. ValueError if `issuers` is malformed."""
        pairs = [text.partition("=") for text in self.issuers.split()]
        if any(not name.startswith("https://") and not self.insecure_http for name, _, _ in pairs) or any(
            not url.startswith(("https://", "http://")) or not name for name, _, url in pairs
        ):
            raise ValueError("issuers must be 'https://ISSUER=https://JWKS_URL', several separated by spaces.")
        return {name: url for name, _, url in pairs}

    def required(self) -> dict[str, tuple[str, ...]]:
        """The required profiles by type. ValueError if `required_profiles` is malformed."""
        found: dict[str, tuple[str, ...]] = {}
        for text in self.required_profiles.split():
            type, _, url = text.partition("=")
            if not type[:1].isupper() or not type.isalpha() or "://" not in url:
                raise ValueError(f"required_profiles must be 'TYPE=URL', several separated by spaces, not {text!r}.")
            found[type] = (*found.get(type, ()), url)
        return found

    def check(self) -> None:
        """Raise ValueError, with the cure, for settings that cannot serve."""
        if self.auth not in ("open", "smart"):
            raise ValueError(f"Unknown auth {self.auth!r}: use 'smart' or 'open'.")
        if self.auth == "open" and self.host not in LOOPBACK:
            raise ValueError(f"auth 'open' lets everyone in: use a loopback host such as 127.0.0.1, not {self.host!r}.")
        if self.auth == "smart":
            self._check_smart()
        if not 1 <= self.page_size <= self.max_page_size:
            raise ValueError("page_size must lie between 1 and max_page_size.")
        if self.profiles not in ("off", "warn", "enforce"):
            raise ValueError(f"Unknown profiles {self.profiles!r}: use 'off', 'warn' or 'enforce'.")
        self.required()
        if self.export_bucket and not (self.export_bucket.startswith("s3://") and urlsplit(self.export_bucket).netloc):
            raise ValueError(f"export_bucket must be 's3://BUCKET/PREFIX', not {self.export_bucket!r}.")
        if self.export_bucket and find_spec("boto3") is None:
            raise ValueError("export_bucket needs boto3: pip install 'fhir-server[s3]'.")
        if not 0 <= self.release_days <= 3650:
            raise ValueError("release_days must lie between 0 and 3650.")
        if self.treatment not in ("permit", "deny"):
            raise ValueError(f"Unknown treatment {self.treatment!r}: use 'permit' or 'deny'.")
        fasta.opened(self.genome)
        chain.opened(self.chain)
        if self.log_level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
            raise ValueError(f"Unknown log_level {self.log_level!r}: use DEBUG, INFO, WARNING or ERROR.")

    def _check_smart(self) -> None:
        local = self.host in LOOPBACK and (not self.base_url or urlsplit(self.base_url).hostname in LOOPBACK)
        if not (local or self.base_url.startswith("https://") or self.insecure_http):
            raise ValueError(
                "auth 'smart' sends tokens: put TLS before the server and set base_url to its https:// address "
                "(or set insecure_http for a closed test network)."
            )
        if not (1 <= self.access_lifetime <= 3600 and 1 <= self.backend_lifetime <= 300):
            raise ValueError("access_lifetime must lie between 1 and 3600, backend_lifetime between 1 and 300.")
        if self.registration not in ("open", "closed"):
            raise ValueError(f"Unknown registration {self.registration!r}: use 'closed' or 'open'.")
        self.trusted()


def from_environ(environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings named by FHIR_SERVER_* variables, defaults for the rest.

    Raises ValueError for a value of the wrong type and for a FHIR_SERVER_* name that is no setting.
    """
    known = {PREFIX + item.name.upper(): item for item in fields(Settings)}
    given = {name: value for name, value in environ.items() if name.startswith(PREFIX)}
    unknown = sorted(given.keys() - known.keys() - OTHER_VARIABLES)
    if unknown:
        raise ValueError(f"Unknown setting {', '.join(unknown)}: known are {', '.join(known)}.")
    return Settings(
        **{known[name].name: _read(known[name], name, text) for name, text in given.items() if name in known}
    )


# Variables with our prefix that steer the tests and measurements, not the server.
OTHER_VARIABLES = frozenset(
    {
        "FHIR_SERVER_SHARED_DATA",
        "FHIR_SERVER_REQUIRE_MONGOD",
        "FHIR_SERVER_REQUIRE_CHROMIUM",
        "FHIR_SERVER_PICTURES",
        "FHIR_SERVER_DEEP_TESTS",
    }
)


def _read(item: "Field[Any]", name: str, text: str) -> Any:
    if item.type is str:
        return text
    if item.type is bool:
        if text.lower() in ("1", "true", "yes", "on", "0", "false", "no", "off"):
            return text.lower() in ("1", "true", "yes", "on")
        raise ValueError(f"{name} must be true or false, not {text!r}.")
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{name} must be a whole number, not {text!r}.") from None


_KINDS: Mapping[Any, str] = {int: "whole number", bool: "true or false", str: "text"}


def table() -> str:
    """All settings as the Markdown table that stands in docs/settings.md."""
    lines = ["| setting | variable | type | default | meaning |", "|---|---|---|---|---|"]
    for item in fields(Settings):
        shown = str(item.default).lower() if item.type is bool else item.default
        default = f"`{shown}`" if shown != "" else ""
        name, kind = f"{PREFIX}{item.name.upper()}", _KINDS[item.type]
        lines.append(f"| {item.name} | `{name}` | {kind} | {default} | {item.metadata['meaning']} |")
    return "\n".join(lines) + "\n"
