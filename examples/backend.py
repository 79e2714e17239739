"""A backend service in eighty lines: a key, a token for its signature, and a push of FHIR data.

    python -m examples.backend key --out data/smart/lab
    python -m examples.backend push examples/bundles/report.json --key data/smart/lab/key.json --client lab

https://hl7.org/fhir/smart-app-launch/backend-services.html
"""

import argparse
import json
import os
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import httpx2
from joserfc import jwk, jwt

JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ALGORITHM = "RS384"  # verified in a tenth of the time that ES384 takes
LIFETIME = 240  # seconds of an assertion; servers take 300 at most


def key(out: Path) -> None:
    """Make a key pair: `key.json` is the service's secret, `jwks.json` is what it gives to the server."""
    made = jwk.RSAKey.generate_key(3072, {"kid": uuid.uuid4().hex, "use": "sig", "alg": ALGORITHM}, private=True)
    out.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(out / "key.json", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(made.as_dict(private=True), file)
    (out / "jwks.json").write_text(json.dumps({"keys": [made.as_dict(private=False)]}))
    print(f"{out / 'key.json'} stays here; register {out / 'jwks.json'}.")


def token(http: httpx2.Client, base: str, client: str, private: dict[str, Any], scope: str) -> str:
    """An access token for a signed assertion, at the address that the server's configuration gives."""
    endpoint = http.get(f"{base}/.well-known/smart-configuration").raise_for_status().json()["token_endpoint"]
    claims = {
        "iss": client,
        "sub": client,
        "aud": endpoint,
        "exp": int(time.time()) + LIFETIME,
        "jti": uuid.uuid4().hex,
    }
    header = {"alg": ALGORITHM, "kid": private["kid"], "typ": "JWT"}
    assertion = jwt.encode(header, claims, jwk.RSAKey.import_key(private), algorithms=[ALGORITHM])
    form = {
        "grant_type": "client_credentials",
        "scope": scope,
        "client_assertion_type": JWT_BEARER,
        "client_assertion": assertion,
    }
    answer = http.post(endpoint, data=form)
    if answer.status_code != 200:
        sys.exit(f"No token: {answer.text}")
    return str(answer.json()["access_token"])


def push(files: list[Path], base: str, client: str, key: Path, scope: str) -> None:
    """Send each file: a Bundle to the base, another resource to its type. Ends with 1 at the first refusal."""
    with httpx2.Client(timeout=60) as http:
        header = {"Authorization": f"Bearer {token(http, base, client, json.loads(key.read_text()), scope)}"}
        for file in files:
            type = json.loads(file.read_bytes())["resourceType"]
            url = base if type == "Bundle" else f"{base}/{type}"
            headers = {**header, "Content-Type": "application/fhir+json"}
            answer = http.post(url, content=file.read_bytes(), headers=headers)
            print(f"{file}: {answer.status_code}")
            if answer.status_code >= 400:
                sys.exit(answer.text)


def main() -> None:
    """Parse the command line and do it."""
    parser = argparse.ArgumentParser(prog="python -m examples.backend", description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("key")
    making.add_argument("--out", type=Path, required=True)
    pushing = commands.add_parser("push")
    pushing.add_argument("files", nargs="+", type=Path)
    pushing.add_argument("--base", default="http://127.0.0.1:8080/fhir")
    pushing.add_argument("--client", required=True)
    pushing.add_argument("--key", type=Path, required=True)
    pushing.add_argument("--scope", default="system/*.cruds")
    args = parser.parse_args()
    if args.command == "key":
        key(args.out)
    else:
        push(args.files, args.base, args.client, args.key, args.scope)


if __name__ == "__main__":
    main()
