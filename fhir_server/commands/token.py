"""`fhir-server token`: an access token for development, without a login. https://www.rfc-editor.org/rfc/rfc6750

Whoever can open the store can do anything with it already, so this asks for nothing more.
"""

import argparse
import asyncio
import re
from collections.abc import Sequence

from fhir_server.access.scopes import LAUNCH, read_scope
from fhir_server.app import open_server
from fhir_server.auth.clients import client_of, register
from fhir_server.auth.records import Authorization, Client
from fhir_server.auth.tokens import SECOND, authorize, issue
from fhir_server.server import Server
from fhir_server.settings import Settings

CLIENT = "fhir-server-token"  # removing this client withdraws all tokens that were made here
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}", re.ASCII)
_USER = re.compile(r"(Patient|Practitioner|RelatedPerson)/[A-Za-z0-9\-.]{1,64}", re.ASCII)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Print the token alone. ValueError for a scope, id or time that is none, StoreError."""
    print(asyncio.run(_run(args, settings)))
    return 0


async def _run(args: argparse.Namespace, settings: Settings) -> str:
    async with open_server(settings) as server:
        scopes = [scope for text in args.scope or () for scope in text.split()]
        return await new_token(server, scopes, args.patient, args.user, args.seconds)


async def new_token(
    server: Server, scopes: Sequence[str] = (), patient: str = "", user: str = "", seconds: int = 3600
) -> str:
    """An access token that no one signed in for. ValueError as `run` has it."""
    authorization = described(server, scopes, patient.removeprefix("Patient/"), user, seconds)
    if await client_of(server.store, CLIENT) is None:
        await register(server, Client(id=CLIENT, name="Development tokens", kind="asymmetric", scopes=()))
    id = await authorize(server, authorization)
    return await issue(server, id, authorization, authorization.scopes, seconds)


def described(server: Server, asked: Sequence[str], patient: str, user: str, seconds: int) -> Authorization:
    """What the token will stand for: an operator, unless a user or a patient is named. ValueError as `run` has it."""
    if patient and not _ID.fullmatch(patient):
        raise ValueError(f"--patient is the id of a Patient, not {patient!r}.")
    if user and not _USER.fullmatch(user):
        raise ValueError(f"--user is Patient/ID, Practitioner/ID or RelatedPerson/ID, not {user!r}.")
    if not 1 <= seconds <= 86_400:
        raise ValueError("--seconds must lie between 1 and 86400.")
    usual = "patient/*.cruds" if patient else "user/*.cruds" if user else "system/*.cruds"
    scopes = tuple(asked) or (usual,)
    for text in scopes:
        scope = read_scope(server.definitions, text)
        if scope is None and text not in LAUNCH:
            raise ValueError(f"{text!r} is no scope here: write for example {usual!r}.")
        if scope is not None and scope.context == "patient" and not patient:
            raise ValueError(f"{text!r} needs --patient.")
        if scope is not None and scope.context == "user" and not user:
            raise ValueError(f"{text!r} needs --user.")
    now = server.clock()
    return Authorization(
        client=CLIENT,
        scopes=scopes,
        user=user,
        patient=patient,
        role="" if user or patient else "operator",
        made=now,
        expires=now + seconds * SECOND,
    )
