"""Settings that change what goes over the wire: prefix, headers, read-only, TLS."""

import datetime
import ssl
from http.client import HTTPException, HTTPSConnection
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.factories import digest_of
from tests.live.client import Client, codes, random_bytes
from tests.live.conftest import QUICK
from tests.live_server import LiveServer, live_server

ORIGIN = "https://ui.example.org"


def test_a_whole_push_and_pull_behind_a_prefix_with_extra_headers(database, name):
    environ = {
        **QUICK,
        "REGISTRY_HTTP_PREFIX": "/registry/",
        "REGISTRY_HTTP_HEADERS_Access-Control-Allow-Origin": f'["{ORIGIN}"]',
    }
    with live_server(database=database, environ=environ) as server, Client(server, prefix="/registry") as client:
        base = client.request("GET", "")
        assert base.status_code == 200
        content = random_bytes(10_000)
        location = client.start_upload(name)
        assert location.removeprefix(server.url).startswith(f"/registry/v2/{name}/blobs/uploads/")
        patched = client.patch(location, content)
        created = client.complete(patched.headers["Location"], digest_of(content))
        assert created.status_code == 201
        fetched = client.request("GET", created.headers["Location"])
        assert fetched.content == content
        payload = client.push_image(name, "v1", content)
        pushed = client.put_manifest(name, "v2", payload)
        pulled = client.request("GET", pushed.headers["Location"])
        assert pulled.content == payload
        tags = client.request("GET", f"{name}/tags/list", params={"n": "1"})
        assert tags.json()["tags"] == ["v1"]
        following = tags.headers["Link"].partition(">")[0].removeprefix("<")
        assert client.request("GET", following).json()["tags"] == ["v2"]
        unknown = client.request("GET", f"{name}/manifests/unknown")
        assert codes(unknown) == ["MANIFEST_UNKNOWN"]
        outside = client.request("GET", "/v2/")
        assert outside.status_code == 404
        for answer in (base, patched, created, fetched, pushed, pulled, tags, unknown, outside):
            assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN


def test_read_only_serves_and_refuses_writes(database, name):
    with live_server(database=database, environ=QUICK) as server, Client(server) as client:
        payload = client.push_image(name, "v1", b"layer")
        server.environ["REGISTRY_STORAGE_MAINTENANCE_READONLY"] = "{enabled: true}"
        server.restart()
        assert client.request("GET", f"{name}/manifests/v1").content == payload
        for method, path in (
            ("POST", f"{name}/blobs/uploads/"),
            ("PUT", f"{name}/manifests/v2"),
            ("DELETE", f"{name}/manifests/v1"),
        ):
            refused = client.request(method, path, content=payload if method == "PUT" else None)
            assert refused.status_code == 405
            assert codes(refused) == ["UNSUPPORTED"]


class TlsServer(LiveServer):
    """Speaks HTTPS with a certificate made for the occasion."""

    def _answers(self) -> bool:
        connection = HTTPSConnection("localhost", self.port, timeout=5, context=self.trust())
        try:
            connection.request("GET", self.ready_path)
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.environ["REGISTRY_HTTP_TLS_CERTIFICATE"])


def make_certificate(folder) -> dict[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return {
        "REGISTRY_HTTP_TLS_CERTIFICATE": str(folder / "certificate.pem"),
        "REGISTRY_HTTP_TLS_KEY": str(folder / "key.pem"),
    }


@pytest.fixture(params=[False, True], ids=["http2", "http1-only"])
def tls_server(request, tmp_path):
    """TLS knows nothing of databases: SQLite alone."""
    environ = {
        **QUICK,
        **make_certificate(tmp_path),
        "REGISTRY_DATABASE_URL": f"sqlite:///{tmp_path / 'tls.sqlite3'}",
        "REGISTRY_HTTP_HTTP2_DISABLED": str(request.param).lower(),
        "REGISTRY_WEB_WORKERS": "1",
    }
    server = TlsServer(database="sqlite", folder=tmp_path, environ=environ)
    server.url = f"https://localhost:{server.port}"
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.mark.filterwarnings("ignore:.*TLSv1_1:DeprecationWarning")
def test_tls(tls_server):
    with Client(tls_server, verify=tls_server.trust()) as client:
        payload = client.push_image("tls/app", "v1", random_bytes(300_000))
        assert client.request("GET", "tls/app/manifests/v1").content == payload

    offered = tls_server.trust()
    offered.set_alpn_protocols(["h2", "http/1.1"])
    with client.raw(tls=offered) as connection:
        http2_disabled = tls_server.environ["REGISTRY_HTTP_HTTP2_DISABLED"] == "true"
        # A server that knows only one protocol need not name it.
        assert connection.socket.selected_alpn_protocol() in ({"http/1.1", None} if http2_disabled else {"h2"})

    old = tls_server.trust()
    # Without a lower level the client itself would refuse, and the test would prove nothing.
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match=r"(?i)alert|version|handshake"), client.raw(tls=old):
        pass
