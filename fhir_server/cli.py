"""The command line as one table. What a command does is in commands/<name>.py."""

import argparse
import dataclasses
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fhir_server import __version__
from fhir_server.fhir.outcome import FhirError
from fhir_server.settings import PREFIX, Settings, from_environ
from fhir_server.store.seam import StoreError

UNUSABLE = 2  # exit code for wrong usage and for a store that cannot be used; 1 says that some input was refused


class Command(NamedTuple):
    """One command: what it does, an example, its arguments (name, what argparse is told), the settings it takes."""

    summary: str
    example: str
    arguments: tuple[tuple[str, dict[str, Any]], ...]
    settings: tuple[str, ...]


KINDS = ("ndjson", "parquet", "ctml")  # of an export
COMMANDS = {
    "serve": Command(
        "Serve the FHIR API over HTTP.",
        "fhir-server serve --store sqlite:///data/fhir.db --port 8080",
        (),
        ("host", "port", "store", "workers", "auth"),
    ),
    "load": Command(
        "Load Bundles, resources (JSON) and NDJSON; files that were loaded before are skipped.",
        "fhir-server load examples/trials data/cohort",
        (
            (
                "paths",
                {"nargs": "+", "type": Path, "metavar": "PATH", "help": "file, or folder with .json and .ndjson"},
            ),
            ("--again", {"action": "store_true", "help": "load files that were loaded before once more"}),
        ),
        ("store",),
    ),
    "import": Command(
        "Import NDJSON in several processes, going on where a run was cut short; or MatchMiner's trials; or a VCF.",
        "fhir-server import exports/ --refused refused.ndjson --processes 4",
        (
            (
                "paths",
                {
                    "nargs": "+",
                    "type": Path,
                    "metavar": "PATH",
                    "help": "file or folder: .ndjson, .ndjson.gz; after the word ctml: CTML as .json, .yaml, .yml; "
                    "after the word vcf: one VCF; after the word dtc: raw data of a direct-to-consumer test",
                },
            ),
            (
                "--refused",
                {"type": Path, "metavar": "FILE", "help": "where OperationOutcomes go; default: standard error"},
            ),
            (
                "--processes",
                {"type": int, "default": 0, "metavar": "N", "help": "that prepare; default: processors less one"},
            ),
            ("--again", {"action": "store_true", "help": "import files that were imported before once more"}),
            (
                "--by-identifier",
                {
                    "action": "store_true",
                    "help": "what has an identifier of a stored resource becomes a new version of that one",
                },
            ),
            ("--patient", {"metavar": "ID", "help": "vcf, dtc: whose it is"}),
            ("--specimen", {"metavar": "ID", "default": "", "help": "vcf: the Specimen"}),
            ("--order", {"metavar": "ID", "default": "", "help": "vcf: the ServiceRequest"}),
            ("--sample", {"metavar": "NAME", "default": "", "help": "vcf: which sample, if the file has several"}),
            ("--assembly", {"choices": ("GRCh37", "GRCh38"), "default": "", "help": "vcf: if the header is silent"}),
            ("--source", {"choices": ("germline", "somatic"), "default": "", "help": "vcf: if the records are silent"}),
            ("--every-filter", {"action": "store_true", "help": "vcf: also what failed a filter"}),
            ("--regions", {"type": Path, "metavar": "BED", "help": "vcf: regions that were studied"}),
            ("--uncallable", {"type": Path, "metavar": "BED", "help": "vcf: regions without a result"}),
            (
                "--observations",
                {"type": Path, "metavar": "PANEL", "help": "dtc: preliminary findings at a VCF's sites"},
            ),
            ("--genes", {"type": Path, "metavar": "BED", "help": "vcf: where genes lie that were to be read (gVCF)"}),
            ("--min-depth", {"type": int, "default": 10, "help": "vcf: reads that a block of a gVCF needs"}),
            ("--min-quality", {"type": int, "default": 20, "help": "vcf: GQ that a block of a gVCF needs"}),
            ("--ndjson", {"type": Path, "metavar": "FILE", "help": "vcf: write the resources there, store nothing"}),
        ),
        ("store",),
    ),
    "match": Command(
        "Match patients to trials: write candidates with the reasons, as far as each patient consents.",
        "fhir-server match --study nsclc-egfr",
        (
            ("--study", {"metavar": "ID", "help": "only this ResearchStudy"}),
            (
                "--ctml-compat",
                {
                    "action": "store_true",
                    "help": "write nothing; list what MatchMiner would match beside what is found",
                },
            ),
        ),
        ("store",),
    ),
    "export": Command(
        "Write the resources as NDJSON or Parquet, one file per type; or studies as MatchMiner's trials.",
        "fhir-server export --out export --type Patient Observation",
        (
            ("format", {"nargs": "?", "default": "ndjson", "choices": KINDS, "help": "default: ndjson"}),
            (
                "--out",
                {"type": Path, "required": True, "metavar": "DIR", "help": "folder for <Type>.ndjson, or .parquet"},
            ),
            ("--group", {"metavar": "ID", "help": "only the active members of this Group and their compartments"}),
            ("--type", {"nargs": "+", "default": [], "metavar": "TYPE", "help": "only these resource types"}),
            ("--study", {"nargs": "+", "default": [], "metavar": "ID", "help": "ctml: only these ResearchStudies"}),
            ("--yaml", {"action": "store_true", "help": "ctml: YAML in place of JSON"}),
            ("--format", {"dest": "form", "choices": KINDS, "help": "the format, in this spelling too"}),
        ),
        ("store",),
    ),
    "view": Command(
        "Write the table that a ViewDefinition of SQL on FHIR makes of the resources.",
        "fhir-server view tumours.view.json --out tumours.parquet",
        (
            ("file", {"type": Path, "metavar": "FILE", "help": "a ViewDefinition, as JSON"}),
            ("--out", {"type": Path, "metavar": "FILE", "help": "where the table goes; default: standard output"}),
            ("--format", {"choices": ("csv", "ndjson", "parquet"), "help": "default: by the end of --out, else csv"}),
            (
                "--ndjson",
                {"nargs": "+", "type": Path, "metavar": "FILE", "help": "read these, not the store: an export's files"},
            ),
            ("--no-header", {"action": "store_true", "help": "leave the names of the columns out of CSV"}),
            (
                "--processes",
                {"type": int, "default": 0, "metavar": "N", "help": "that evaluate; default: processors less one"},
            ),
        ),
        ("store",),
    ),
    "user": Command(
        "Add, list or disable the people who may sign in.",
        "fhir-server user add anna --fhir-user Patient/1 --store sqlite:///data/fhir.db",
        (
            ("action", {"choices": ("add", "list", "disable"), "help": "what to do"}),
            ("name", {"nargs": "?", "metavar": "NAME", "help": "with which the person signs in"}),
            (
                "--fhir-user",
                {"metavar": "TYPE/ID", "help": "who it is: a Patient, Practitioner or RelatedPerson in the store"},
            ),
            ("--shown", {"metavar": "TEXT", "help": "the person's name on pages; default: NAME"}),
            (
                "--password-stdin",
                {"action": "store_true", "help": "read the password from standard input; else a fresh one is printed"},
            ),
        ),
        ("store",),
    ),
    "reindex": Command(
        "Compute the search index of all resources anew, or of some types.",
        "fhir-server reindex --type Observation",
        (("--type", {"nargs": "+", "default": [], "metavar": "TYPE", "help": "only these resource types"}),),
        ("store",),
    ),
    "terminology": Command(
        "Import a code system from the files that its publisher gives out, list those imported, or remove one.",
        "fhir-server terminology add oncotree oncotree_2025_10_03.json --store sqlite:///data/fhir.db",
        (
            ("action", {"choices": ("add", "list", "remove"), "help": "what to do"}),
            (
                "names",
                {"nargs": "*", "metavar": "NAME", "help": "add: FORMAT and FILE (or folder, or .zip); remove: URL"},
            ),
            ("--version", {"default": "", "help": "of the code system, where its files do not tell; to remove: which"}),
            ("--system", {"default": "", "metavar": "URL", "help": "the code system, where the format does not tell"}),
        ),
        ("store",),
    ),
    "package": Command(
        "Add packages of profiles, value sets and code systems (.tgz), or list those added.",
        "fhir-server package add hl7.fhir.us.mcode-4.0.0.tgz",
        (
            ("action", {"choices": ("add", "list"), "help": "what to do"}),
            ("files", {"nargs": "*", "metavar": "FILE", "help": "npm archive of an implementation guide"}),
        ),
        ("store",),
    ),
    "client": Command(
        "Register a client (prints its secret once), list clients, or remove one with all its tokens.",
        "fhir-server client add lab --scope system/Observation.cruds --jwks lab-keys.json --role laboratory",
        (
            ("action", {"choices": ("add", "list", "remove"), "help": "what to do"}),
            ("id", {"nargs": "?", "default": "", "metavar": "ID", "help": "the client_id, to add or remove"}),
            ("--name", {"default": "", "help": "the name that people see; the id if not given"}),
            (
                "--kind",
                {
                    "default": "",
                    "choices": ("public", "symmetric", "asymmetric"),
                    "help": "by a shared secret, by keys (the default if keys are given), or public (else)",
                },
            ),
            ("--scope", {"nargs": "+", "default": [], "help": "the most that it may be granted"}),
            ("--redirect", {"nargs": "+", "default": [], "metavar": "URI", "help": "exact redirect URIs of an app"}),
            ("--launch", {"default": "", "metavar": "URL", "help": "where an EHR launches the app"}),
            ("--jwks", {"type": Path, "metavar": "FILE", "help": "its public keys, as a JWK set"}),
            ("--jwks-url", {"default": "", "metavar": "URL", "help": "where it publishes its keys instead"}),
            (
                "--grant",
                {
                    "nargs": "+",
                    "default": [],
                    "metavar": "GRANT",
                    "help": "authorization_code, refresh_token, client_credentials (if there are keys and no redirect)",
                },
            ),
            (
                "--role",
                {"default": "", "help": "of a backend service: ehr, laboratory, researcher, study-team, operator"},
            ),
            (
                "--purpose",
                {"nargs": "+", "default": [], "metavar": "CODE", "help": "why it asks, as v3-ActReason codes"},
            ),
            (
                "--actor",
                {"nargs": "+", "default": [], "metavar": "REFERENCE", "help": "on whose behalf: Organization/ID"},
            ),
            ("--study", {"default": "", "metavar": "ID", "help": "the ResearchStudy of a study team"}),
        ),
        ("store", "jwks_hosts"),
    ),
    "token": Command(
        "Print an access token for development: of an operator, or of the user or patient named.",
        "fhir-server token --scope system/*.rs --seconds 600",
        (
            (
                "--scope",
                {"nargs": "+", "default": [], "help": "all of system/, or of the user or patient, if not given"},
            ),
            ("--patient", {"default": "", "metavar": "ID", "help": "the patient in context, for scopes of patient/"}),
            ("--user", {"default": "", "metavar": "REFERENCE", "help": "who signed in, such as Practitioner/1"}),
            ("--seconds", {"type": int, "default": 3600, "metavar": "N", "help": "how long it is good for"}),
        ),
        ("store",),
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 1 if anything was refused, 2 for wrong usage or an unusable store."""
    try:
        settings = from_environ()
        args = parser(settings).parse_args(argv)
        given = {name: getattr(args, name) for name in COMMANDS[args.command].settings}
        run = importlib.import_module(f"fhir_server.commands.{args.command}").run
        return int(run(args, dataclasses.replace(settings, **given)))
    except (StoreError, FhirError, ValueError, OSError) as error:
        if isinstance(error, BrokenPipeError):  # `fhir-server export ... | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        print(f"fhir-server: {error}", file=sys.stderr)
        return UNUSABLE
    except KeyboardInterrupt:
        print("fhir-server: interrupted; what was reported as stored is stored", file=sys.stderr)
        return 130


def parser(settings: Settings) -> argparse.ArgumentParser:
    """The parser of the whole command line, with the given settings as defaults."""
    root = argparse.ArgumentParser(prog="fhir-server", description="A FHIR R4 server for cancer research.")
    root.add_argument("--version", action="version", version=f"fhir-server {__version__}")
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        one = commands.add_parser(
            name,
            help=command.summary,
            description=command.summary,
            epilog=f"example: {command.example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        for argument, how in command.arguments:
            one.add_argument(argument, **how)
        for setting in command.settings:
            _add_setting(one, setting, settings)
    return root


def _add_setting(one: argparse.ArgumentParser, name: str, settings: Settings) -> None:
    item = next(item for item in dataclasses.fields(Settings) if item.name == name)
    meaning = item.metadata["meaning"].replace("%", "%%")
    one.add_argument(
        f"--{name}",
        type=item.type if callable(item.type) else str,
        default=getattr(settings, name),
        metavar=name.upper(),
        help=f"{meaning} Default: %(default)s ({PREFIX}{name.upper()})",
    )


if __name__ == "__main__":
    sys.exit(main())
