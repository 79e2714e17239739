"""`fhir-server user`: the people who may sign in to the embedded authorization server."""

import argparse
import asyncio
import sys

from fhir_server.app import open_server
from fhir_server.auth import users
from fhir_server.auth.tokens import granted_to, revoke
from fhir_server.settings import Settings
from fhir_server.store import open_store


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Add, list or disable users. Raises ValueError for what is refused, StoreError."""
    if (args.action == "list") == bool(args.name):
        raise ValueError("Give a user name to add or disable, and none to list.")
    return asyncio.run({"add": _add, "list": _list, "disable": _disable}[args.action](args, settings))


async def _add(args: argparse.Namespace, settings: Settings) -> int:
    given = sys.stdin.readline().rstrip("\r\n") if args.password_stdin else ""
    password = given if args.password_stdin else users.fresh_password()
    store = await open_store(settings.store)
    try:
        user = await users.add(store, args.name, args.fhir_user or "", password, args.shown or "")
    finally:
        await store.close()
    print(f"user {user.name} signs in as {user.fhir_user}")
    if not args.password_stdin:
        print(f"password {password}\nIt is shown this once: hand it over by a safe way.")
    return 0


async def _list(args: argparse.Namespace, settings: Settings) -> int:
    store = await open_store(settings.store)
    try:
        for user in await users.everyone(store):
            print(f"{user.name}\t{user.fhir_user}\t{'disabled' if user.disabled else 'enabled'}\t{user.shown}")
    finally:
        await store.close()
    return 0


async def _disable(args: argparse.Namespace, settings: Settings) -> int:
    async with open_server(settings) as server:
        user = await users.disable(server.store, args.name)
        for id, _ in await granted_to(server, user.name):
            await revoke(server, id)
    print(f"user {user.name} is disabled, and every app of theirs with them")
    return 0
