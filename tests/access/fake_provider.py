"""An OpenID Connect provider on loopback, which can be told to lie."""

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, parse_qsl, urlsplit

from tests.access import issuers
from tests.access.issuers import new_key, now, sign

CLIENT, SECRET = "lading-client", "lading-client-secret"


class FakeProvider:
    """`person` is whom it signs in; `claims` and `profile` change its ID tokens and its user info. `asked` counts."""

    def __init__(self):
        self.key = new_key()
        self.person = {"sub": "1", "preferred_username": "Dora.Díaz", "email": "dora@example.org", "groups": ["eng"]}
        self.claims, self.profile, self.document, self.headers = {}, {}, {}, {}
        self.signing_key = self.key
        self.asked, self.codes = [], {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append(self.path)
                if self.path == "/.well-known/openid-configuration":
                    self.answer(200, outer.discovery())
                elif self.path == "/keys":
                    self.answer(200, {"keys": [issuers.jwk(outer.key, "k")]})
                elif self.path == "/userinfo" and self.headers["Authorization"] == "Bearer access":
                    self.answer(200, {**outer.person, **outer.profile})
                else:
                    self.answer(404, {})

            def do_POST(self):
                outer.asked.append(self.path)
                form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
                self.answer(*outer.exchange(form, self.headers.get("Authorization", "")))

            def answer(self, status, document):
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def discovery(self):
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "userinfo_endpoint": f"{self.url}/userinfo",
            "jwks_uri": f"{self.url}/keys",
            **self.document,
        }

    def authorise(self, location):
        """What a browser that follows a redirect here brings back: the query of the callback."""
        parts = urlsplit(location)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        assert location.startswith(f"{self.url}/authorize?")
        assert query["client_id"] == CLIENT
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        code = f"code-{len(self.codes)}"
        self.codes[code] = query
        return {"code": code, "state": query["state"]}

    def exchange(self, form, authorization):
        query = self.codes.pop(form.get("code"), None)
        basic = "Basic " + base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        known = authorization == basic or (form.get("client_id"), form.get("client_secret")) == (CLIENT, SECRET)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if query is None or not known or challenge != query["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        if form.get("redirect_uri") != query["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        claims = {
            "iss": self.url,
            "aud": CLIENT,
            "exp": now(60),
            "iat": now(),
            "nonce": query["nonce"],
            **self.person,
            **self.claims,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        token = sign(self.signing_key, claims, **{"kid": "k", **self.headers})
        return 200, {"access_token": "access", "token_type": "Bearer", "id_token": token}
