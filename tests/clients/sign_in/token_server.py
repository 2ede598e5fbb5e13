"""A token server of Distribution's protocol, as somebody who moves to Lading may have one."""

import base64
import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.access import issuers

ISSUER, SERVICE = "tokens.example.org", "registry.example.org"
OPEN = "open/"
"""what begins so everybody may pull"""


@contextmanager
def token_server(folder: Path, *, username: str, password: str) -> Iterator[dict[str, str]]:
    """This will answer on a free port until the block ends; gives the variables that a registry needs to believe it.

    The one user may do everything.
    """
    key = issuers.new_key()
    certificate = issuers.certificate(key)
    bundle = folder / "tokens.pem"
    bundle.write_bytes(issuers.pem(certificate))
    right = "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            given = self.headers.get("Authorization")
            if given not in (None, right):
                self.answer(
                    401, {"errors": [{"code": "UNAUTHORIZED", "message": "the token server knows no such user"}]}
                )
                return
            query = parse_qs(urlsplit(self.path).query)
            scopes = [scope for text in query.get("scope", []) for scope in text.split()]
            access = [entry for scope in scopes if (entry := granted(scope, everything=given == right))]
            claims = {
                "iss": ISSUER,
                "sub": username if given else "",
                "aud": SERVICE,
                "iat": issuers.now(),
                "nbf": issuers.now(-10),
                "exp": issuers.now(60),
                "jti": secrets.token_hex(8),
                "access": access,
            }
            self.answer(200, {"token": issuers.sign(key, claims, x5c=issuers.x5c(certificate))})

        def do_POST(self) -> None:
            self.answer(405, {})  # as Distribution's example server: clients go on with GET

        def answer(self, status: int, document: object) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield {
            "REGISTRY_AUTH": "token",
            "REGISTRY_AUTH_TOKEN_REALM": f"http://localhost:{server.server_port}/token",
            "REGISTRY_AUTH_TOKEN_SERVICE": SERVICE,
            "REGISTRY_AUTH_TOKEN_ISSUER": ISSUER,
            "REGISTRY_AUTH_TOKEN_ROOTCERTBUNDLE": str(bundle),
        }
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def granted(scope: str, *, everything: bool) -> dict[str, object] | None:
    kind, _, rest = scope.partition(":")
    name, _, actions = rest.rpartition(":")
    allowed = [action for action in actions.split(",") if everything or (name.startswith(OPEN) and action == "pull")]
    return {"type": kind, "name": name, "actions": allowed} if allowed else None
