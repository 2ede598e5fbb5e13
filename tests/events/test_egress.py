"""Where the egress client goes, and where it does not whatever the address looks like."""

import socket
import ssl
import threading
import time
from contextlib import ExitStack

import pytest

from registry_project.egress import (
    BODY_LIMIT,
    EgressClient,
    EgressError,
    EgressFailed,
    EgressRefused,
    Origin,
    origin_of,
)
from registry_project.networks import AllowList, is_public, parse_address
from tests.events.receiver import Receiver
from tests.live_server import free_port

# Names, and what the resolver says of them at each question.
NAMES = {
    "loopback.example": [["127.0.0.1"]],
    "loopback6.example": [["::1"]],
    "private.example": [["10.1.2.3"]],
    "metadata.example": [["169.254.169.254"]],
    "mixed.example": [["93.184.215.14", "127.0.0.1"]],
    "mixed-late.example": [["127.0.0.1", "93.184.215.14"]],
    "mapped.example": [["::ffff:127.0.0.1"]],
    "nat64.example": [["64:ff9b::7f00:1"]],
}
HOSTS = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "127.255.255.254",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "017700000001",
    "0177.0.0.1",
    "0",
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "169.254.169.254",
    "0xa9fea9fe",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "[::]",
    "[::1]",
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:169.254.169.254]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b::169.254.169.254]",
    "[64:ff9b:1::1]",
    "[2002:7f00:1::]",
    "[2001:0:7f00:1::]",
    "[2001:db8::1]",
    "[2600:1:2:3:0:5efe:7f00:1]",
    "[fe80::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[ff02::1]",
    "localhost",
    "localhost.",
    "LOCALHOST",
    "user:secret@127.0.0.1",
    "example.com@127.0.0.1",
    *NAMES,
]


def resolver_of(names):
    """Resolves `names` in turn as listed, the last answer for ever; numeric hosts as the system does."""
    asked = {name: list(answers) for name, answers in names.items()}

    def resolve(host, port, **options):
        if host not in asked:
            return socket.getaddrinfo(host, port, **options)
        answers = asked[host]
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [found for address in addresses for found in socket.getaddrinfo(address, port, **options)]

    return resolve


def client_of(*, allow=(), ports=(), trusted=(), names=None, timeout=5.0):
    return EgressClient(
        allow=AllowList(tuple(allow), tuple(ports)),
        timeout_seconds=timeout,
        trusted=trusted,
        resolver=resolver_of(names or NAMES),
    )


def post(client, url, **headers):
    return client.request("POST", url, headers=headers, body=b"{}")


@pytest.fixture
def listener():
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def connects(monkeypatch):
    """Every address that a socket tries to connect to, whoever listens there."""
    tried = []
    connect = socket.socket.connect

    def spy(self, address):
        tried.append(address)
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", spy)
    return tried


def test_the_table_is_long_enough():
    assert len(HOSTS) >= 40


@pytest.mark.parametrize("host", HOSTS)
def test_special_addresses_are_never_connected_to(listener, connects, host):
    with client_of(ports=[listener.port]) as client, pytest.raises(EgressError) as refused:
        post(client, f"http://{host}:{listener.port}/")
    assert (connects, listener.connections) == ([], 0)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("host", HOSTS)
def test_a_redirect_to_one_is_not_followed(connects, listener, host):
    target = f"http://{host}:{listener.port}/"
    with Receiver(lambda path: (307, {"Location": target})) as hop, ExitStack() as stack:
        client = stack.enter_context(client_of(ports=[listener.port], trusted=[origin_of(hop.url)]))
        with pytest.raises(EgressError):
            post(client, hop.url)
        assert len(hop.requests) == 1
    assert (len(connects), listener.connections) == (1, 0)


def test_rebinding_after_the_check_changes_nothing(listener, connects):
    """The name is asked for once for each connection, and the answer that was checked is the one connected to."""
    names = {"rebind.example": [["127.0.0.1"], ["192.0.2.1"]]}
    with client_of(allow=["127.0.0.0/8"], ports=[listener.port], names=names) as client:
        assert post(client, f"http://rebind.example:{listener.port}/").status == 200
    assert connects == [("127.0.0.1", listener.port)]
    with client_of(ports=[listener.port], names={"rebind.example": [["192.0.2.1"], ["127.0.0.1"]]}) as client:
        for _ in range(2):
            with pytest.raises(EgressRefused):
                post(client, f"http://rebind.example:{listener.port}/")
    assert listener.connections == 1


@pytest.mark.parametrize("allow", [["127.0.0.0/8"], ["127.0.0.1"], ["hook.example"], ["*.example"], ["HOOK.example"]])
def test_what_the_operator_allows_is_called_by_its_name(listener, allow):
    names = {"hook.example": [["127.0.0.1"]]}
    with client_of(allow=allow, ports=[listener.port], names=names) as client:
        assert post(client, f"http://hook.example:{listener.port}/a?b=c").status == 200
    path, headers, body = listener.requests[0]
    assert (path, headers["Host"], body) == ("/a?b=c", f"hook.example:{listener.port}", b"{}")


@pytest.mark.parametrize("allow", [[], ["10.0.0.0/8"], ["other.example"], ["*.hook.example"], ["hook.example.org"]])
def test_what_is_not_allowed_is_refused(listener, allow):
    names = {"hook.example": [["127.0.0.1"]]}
    with client_of(allow=allow, ports=[listener.port], names=names) as client, pytest.raises(EgressRefused):
        post(client, f"http://hook.example:{listener.port}/")
    assert listener.connections == 0


def test_ports_are_listed_unless_the_operator_wrote_the_address(listener):
    with client_of(allow=["127.0.0.0/8"]) as client, pytest.raises(EgressRefused, match=f"port {listener.port}"):
        post(client, listener.url)
    assert listener.connections == 0
    with client_of(trusted=[origin_of(listener.url)]) as client:
        assert post(client, listener.url).status == 200


@pytest.mark.parametrize("url", ["ftp://example.com/", "file:///etc/passwd", "gopher://x/", "//x/", "x", "http://", ""])
def test_other_schemes_are_refused(url, connects):
    with client_of() as client, pytest.raises(EgressRefused):
        post(client, url)
    assert connects == []


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirected_post_stays_one(status):
    hops = {"/": "/next", "/next": None}
    with Receiver(lambda path: (status, {"Location": hops[path]}) if hops[path] else (200, {})) as receiver:
        with client_of(trusted=[origin_of(receiver.url)]) as client:
            assert post(client, receiver.url, Authorization="Bearer abc").status == 200
        assert [(path, headers["Authorization"], body) for path, headers, body in receiver.requests] == [
            ("/", "Bearer abc", b"{}"),
            ("/next", "Bearer abc", b"{}"),
        ]
        assert receiver.connections == 1


def test_see_other_is_an_answer():
    with Receiver(lambda path: (303, {"Location": "/x"})) as receiver:
        with client_of(trusted=[origin_of(receiver.url)]) as client:
            assert post(client, receiver.url).status == 303
        assert len(receiver.requests) == 1


def test_credentials_stay_with_their_origin(listener):
    with Receiver(lambda path: (307, {"Location": f"{listener.url}next"})) as first:
        trusted = [origin_of(first.url), origin_of(listener.url)]
        url = first.url.replace("//", "//user:secret@")
        with client_of(trusted=trusted) as client:
            given = {"X-Api-Key": "k", "Cookie": "c", "Lading-Signature": "s", "Content-Type": "text/x"}
            assert client.request("POST", url, headers=given, body=b"{}").status == 200
    headers = first.requests[0][1]
    assert (headers["Authorization"], headers["X-Api-Key"]) == ("Basic dXNlcjpzZWNyZXQ=", "k")
    path, headers, body = listener.requests[0]
    assert (path, body, headers["Content-Type"]) == ("/next", b"{}", "text/x")
    assert not {"Authorization", "X-Api-Key", "Cookie", "Lading-Signature"} & set(headers)


def test_redirects_end_after_three():
    with Receiver(lambda path: (307, {"Location": path + "x"})) as receiver:
        with client_of(trusted=[origin_of(receiver.url)]) as client, pytest.raises(EgressFailed, match="3 redirects"):
            post(client, receiver.url)
        assert [path for path, *_ in receiver.requests] == ["/", "/x", "/xx", "/xxx"]


@pytest.fixture
def authority(tmp_path, monkeypatch):
    """A certificate for secure.example, and the system's trust in it."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "secure.example")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("secure.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "certificate.pem"
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(serialization.Encoding.PEM, *private)
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


def test_tls_is_checked_against_the_name(authority):
    asked = []
    authority.sni_callback = lambda _socket, name, _context: asked.append(name)
    names = {host: [["127.0.0.1"]] for host in ("secure.example", "other.example")}
    with Receiver(tls=authority) as receiver:
        with client_of(allow=["127.0.0.1"], ports=[receiver.port], names=names) as client:
            assert post(client, f"https://secure.example:{receiver.port}/").status == 200
            with pytest.raises(EgressFailed, match="TLS failed"):
                post(client, f"https://other.example:{receiver.port}/")
        assert len(receiver.requests) == 1
    assert asked == ["secure.example", "other.example"]


def test_a_redirect_never_leaves_tls(authority, listener):
    names = {"secure.example": [["127.0.0.1"]]}
    with Receiver(lambda path: (307, {"Location": listener.url}), tls=authority) as receiver:
        url = f"https://secure.example:{receiver.port}/"
        trusted = [origin_of(url), origin_of(listener.url)]
        with client_of(trusted=trusted, names=names) as client, pytest.raises(EgressRefused, match="https to http"):
            post(client, url)
    assert listener.connections == 0


def test_one_connection_serves_many_calls(listener):
    with client_of(trusted=[origin_of(listener.url)]) as client:
        for _ in range(20):
            assert post(client, listener.url).status == 200
    assert listener.connections == 1


def test_little_of_a_long_answer_is_read():
    receiver = Receiver(lambda path: (200, {}, b"x" * 10 * BODY_LIMIT))
    with receiver, client_of(trusted=[origin_of(receiver.url)]) as client:
        answers = [post(client, receiver.url) for _ in range(2)]
    assert [len(answer.body) for answer in answers] == [BODY_LIMIT] * 2
    assert "xxx" not in repr(answers)


@pytest.mark.parametrize("drip", ["nothing", "headers", "body"])
def test_an_answer_that_drips_ends_with_the_timeout(drip):
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n"
    start = {"nothing": b"", "headers": head, "body": head + b"\r\n"}[drip]
    with socket.create_server(("127.0.0.1", 0)) as server, ExitStack() as stack:
        cut_off = threading.Event()

        def serve():
            connection = stack.enter_context(server.accept()[0])
            connection.recv(65536)
            connection.sendall(start)
            try:
                for _ in range(50 if start else 0):
                    connection.sendall(b"X-A: b\r\n" if drip == "headers" else b"x")
                    time.sleep(0.1)
            except OSError:
                cut_off.set()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        with client_of(trusted=[origin_of(url)], timeout=0.5) as client, pytest.raises(EgressFailed, match="in time"):
            post(client, url)
        thread.join(30)
        # While it still had seconds of answer to give.
        assert cut_off.is_set() or drip == "nothing"


def test_failures_are_told_without_addresses(listener):
    url = f"http://user:hunter2@127.0.0.1:{free_port()}/hunter2?token=hunter2"
    with client_of(trusted=[origin_of(url)]) as client, pytest.raises(EgressFailed) as failed:
        post(client, url, Authorization="hunter2")
    assert str(failed.value) == "connecting failed"
    with client_of(names={}) as client, pytest.raises(EgressFailed, match="cannot be resolved") as failed:
        post(client, "http://hunter3:hunter2@no-such-name.invalid/hunter2")
    assert "hunter" not in str(failed.value)
    assert str(origin_of(url)) == f"http://127.0.0.1:{origin_of(url).port}"


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://Example.COM", Origin("http", "example.com", 80)),
        ("https://example.com./x", Origin("https", "example.com", 443)),
        ("https://u:p@[2001:DB8::1]:8443/x", Origin("https", "2001:db8::1", 8443)),
    ],
)
def test_origins(url, origin):
    assert origin_of(url) == origin


@pytest.mark.parametrize("text", ["8.8.8.8", "93.184.215.14", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"])
def test_what_everybody_can_call_is_public(text):
    assert is_public(parse_address(text))
