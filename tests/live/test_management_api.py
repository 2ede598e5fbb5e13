"""The management API and its page as Granian serves them."""

import re
import stat

from tests.live_server import live_server


def test_document_page_and_files_are_served(client):
    assert client.request("GET", "/api/v1/schema").json()["openapi"] == "3.1.0"
    page = client.request("GET", "/api/v1/docs")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    for address in re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text):
        file = client.request("GET", address)
        assert (file.status_code, "immutable" in file.headers["Cache-Control"]) == (200, True)
        assert int(file.headers["Content-Length"]) == len(file.content) > 0
        assert client.request("HEAD", address).headers["Content-Length"] == file.headers["Content-Length"]


def test_body_that_nobody_reads_ends_the_connection(client):
    answer = client.request("POST", "/api/v1/nothing", content=b"x" * 100_000)
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/problem+json")
    assert answer.headers["Connection"] == "close"
    assert client.request("GET", "/api/v1/schema").status_code == 200


def test_key_of_sessions_survives_a_restart(database):
    with live_server(database=database) as server:
        folder = server.data if database == "postgres" else server.data.parent
        path = folder / "lading.secret"
        key = path.read_text()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        server.restart()
        assert path.read_text() == key
        assert key.strip() not in server.log()
        assert "http.secret" not in server.log()
