"""Ends with 0 when the server of this container answers /healthz, wherever its configuration has it listen."""

import os
import ssl
import sys
from http.client import HTTPConnection, HTTPSConnection
from socket import AF_UNIX, create_connection, socket

from registry_project.config import load_configuration

TIMEOUT_SECONDS = 8


def main() -> int:
    http = load_configuration(None, os.environ).http
    if http.listen is None:
        connection = HTTPConnection("localhost", timeout=TIMEOUT_SECONDS)
        connection.sock = socket(AF_UNIX)
        connection.sock.settimeout(TIMEOUT_SECONDS)
        connection.sock.connect(http.addr)
    else:
        host = http.listen.host or "127.0.0.1"
        if http.tls.clientcas:
            # Without a certificate of a client nothing more than this can be had.
            create_connection((host, http.listen.port), TIMEOUT_SECONDS).close()
            return 0
        if http.tls.certificate:
            # It asks itself, by a name that no certificate has.
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            connection = HTTPSConnection(host, http.listen.port, timeout=TIMEOUT_SECONDS, context=context)
        else:
            connection = HTTPConnection(host, http.listen.port, timeout=TIMEOUT_SECONDS)
    connection.request("GET", "/healthz")
    return 0 if connection.getresponse().status == 200 else 1


if __name__ == "__main__":
    sys.exit(main())
