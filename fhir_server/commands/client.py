"""`fhir-server client`: register, list and remove clients. https://hl7.org/fhir/smart-app-launch/"""

import argparse
import asyncio
import json
import re
from pathlib import Path
from typing import Any, Literal

from fhir_server.app import open_server
from fhir_server.auth.clients import client_of, listed, register, remove
from fhir_server.auth.records import Client
from fhir_server.auth.registration import checked
from fhir_server.server import Server
from fhir_server.settings import Settings

_REFERENCE = re.compile(r"[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}", re.ASCII)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Do one of ACTIONS; 1 if there is no such client. ValueError for a client that may not be, StoreError."""
    if (args.action == "list") == bool(args.id):
        raise ValueError("client list takes no ID." if args.id else f"client {args.action} needs an ID.")
    return asyncio.run(_run(args, settings))


async def _run(args: argparse.Namespace, settings: Settings) -> int:
    async with open_server(settings) as server:
        return await ACTIONS[args.action](server, args)


async def _add(server: Server, args: argparse.Namespace) -> int:
    client = checked(server, described(args))
    secret = await register(server, client)
    print(f"client {client.id}: {client.kind}, may be granted {' '.join(client.scopes)}")
    if secret:
        print(f"secret (shown only now): {secret}")
    return 0


async def _list(server: Server, args: argparse.Namespace) -> int:
    for id in sorted((await listed(server.store)).all):
        if client := await client_of(server.store, id):
            own = ", registered itself" if client.dynamic else ""
            print(f"{client.id}\t{client.kind}{own}\t{client.name}\t{' '.join(client.scopes)}")
    return 0


async def _remove(server: Server, args: argparse.Namespace) -> int:
    there = await remove(server, args.id)
    print(f"client {args.id}: " + ("removed, with all its tokens" if there else "there is none"))
    return 0 if there else 1


ACTIONS = {"add": _add, "list": _list, "remove": _remove}


def described(args: argparse.Namespace) -> Client:
    """The client that the arguments describe, not yet checked. ValueError for a file or reference that is none."""
    kind: Literal["public", "symmetric", "asymmetric"] = args.kind or (
        "asymmetric" if args.jwks or args.jwks_url else "public"
    )
    usual = ["client_credentials"] if kind == "asymmetric" and not args.redirect else ["authorization_code"]
    if wrong := [text for text in args.actor if not _REFERENCE.fullmatch(text)]:
        raise ValueError(f"--actor is a reference such as Organization/1, not {wrong[0]!r}.")
    return Client(
        id=args.id,
        name=args.name or args.id,
        kind=kind,
        scopes=tuple(scope for text in args.scope for scope in text.split()),
        grants=tuple(args.grant or usual),
        redirects=tuple(args.redirect),
        launch=args.launch,
        jwks=_jwks(args.jwks) if args.jwks else None,
        jwks_uri=args.jwks_url,
        role=args.role,
        purposes=tuple(args.purpose),
        actors=tuple(args.actor),
        study=args.study,
    )


def _jwks(path: Path) -> dict[str, Any]:
    """The key set of a file, which may also hold a single key."""
    try:
        found = json.loads(path.read_text())
    except ValueError:
        raise ValueError(f"{path} is no JSON.") from None
    if not isinstance(found, dict):
        raise ValueError(f'{path} is no key set: {{"keys": [...]}}.')
    return {"keys": [found]} if "kty" in found else found
