"""`lading serve`: migrations, the embedded worker, and Granian with its worker processes."""

import logging
import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import run_checks
from django.db import connections
from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.server.mp import MPServer

from accounts.administrators import make_first_administrator
from accounts.htpasswd import make_password_file
from blobs.storage import get_store
from registry_project import background
from registry_project.config import Configuration, check_exposure
from registry_project.config.own import Admin
from registry_project.debug import debug_listener
from registry_project.keeper import Keeper
from registry_project.lifeline import mark_parent
from registry_project.metrics_folder import shared_folder
from registry_project.migrations_lock import alone, migrate_once
from registry_project.secret_key import keep_secret_key

log = logging.getLogger("lading.server")

_TLS = {"tls1.2": SSLProtocols.tls12, "tls1.3": SSLProtocols.tls13}


def serve(config: Configuration, *, announce: Callable[[str], object]) -> None:
    """Serve until SIGTERM or SIGINT, then let running requests end within `http.draintimeout`.

    Raises ConfigurationError when the registry would be open to others without anybody having said so.
    """
    check_exposure(config)
    for warning in config.warnings:
        log.warning("%s", warning)
    run_checks()  # Loads the URLs: what cannot be imported stops the start, not each request.
    get_store().check()
    keep_secret_key(config, os.environ)
    migrate_once()
    if settings.AUTH_KIND == "lading" and settings.LADING_AUTH.passwords:
        _first_administrator(config.admin, announce)
    if settings.AUTH_KIND == "htpasswd" and settings.HTPASSWD_AUTH.path:
        _first_password(settings.HTPASSWD_AUTH.path, announce)
    # Workers are new processes and share no connection with this one, which needs none any more.
    _close_connections()
    multiprocessing.set_start_method("spawn", force=True)
    mark_parent()
    # Granian warns of many threads at each start; they are meant (docs/decisions/0006-server-and-bodies.md).
    logging.getLogger("_granian").addFilter(lambda record: "Python threads" not in record.getMessage())
    server = _server(config)
    with shared_folder(), debug_listener(config.http.debug), _embedded_worker(config):
        announce(_greeting(config))
        server.serve()


def _close_connections() -> None:
    connections.close_all()
    for connection in connections.all(initialized_only=True):
        if connection.vendor == "postgresql":
            connection.close_pool()  # type: ignore[attr-defined]


def _first_administrator(admin: Admin, announce: Callable[[str], object]) -> None:
    with alone():
        made = make_first_administrator(username=admin.username, password=admin.password)
    if made is None:
        return
    if made.taken:
        log.error(
            "there is no active administrator, and the name %s is taken; make one by `lading create-user NAME "
            "--administrator`",
            made.username,
        )
    elif made.password:
        # Printed and not logged: logs are kept, and may be sent on by mail.
        announce(
            f"The first administrator is {made.username}, with the password\n  {made.password}\n"
            f"which is shown only now. Change it by `lading set-password {made.username}`."
        )
    else:
        log.info("the first administrator is %s, with the password of the configuration", made.username)
        if made.weakness:
            log.warning("admin.password is a weak password: %s", made.weakness)


def _first_password(path: Path, announce: Callable[[str], object]) -> None:
    if made := make_password_file(path):
        username, password = made
        announce(
            f"The password file {path} is new. Its user is {username}, with the password\n"
            f"  {password}\nwhich is shown only now."
        )


def _server(config: Configuration) -> MPServer:
    http, listen = config.http, config.http.listen
    where: dict[str, Any] = (
        {"uds": Path(http.addr)} if listen is None else {"address": listen.host or "0.0.0.0", "port": listen.port}  # noqa: S104 - no host means all
    )
    tls = http.tls
    if tls.certificate and tls.key:
        where |= {
            "ssl_cert": tls.certificate,
            "ssl_key": tls.key,
            "ssl_protocol_min": _TLS[tls.minimumtls],
            "ssl_ca": tls.clientcas[0] if tls.clientcas else None,
            "ssl_client_verify": bool(tls.clientcas),
        }
    return MPServer(
        "registry_project.wsgi:application",
        interface=Interfaces.WSGI,
        workers=config.web.workers,
        blocking_threads=config.web.threads,
        http=HTTPModes.http1 if http.http2.disabled else HTTPModes.auto,
        websockets=False,
        respawn_failed_workers=True,
        respawn_interval=0.5,
        workers_kill_timeout=max(1, int(http.draintimeout.total_seconds())),
        log_dictconfig=settings.LOGGING,
        log_access=False,
        **where,
    )


@contextmanager
def _embedded_worker(config: Configuration) -> Iterator[None]:
    if config.celery.broker:
        yield
        return
    worker = Keeper(background.main, name="lading-background")
    try:
        yield
    finally:
        worker.stop(patience_seconds=config.http.draintimeout.total_seconds())


def _greeting(config: Configuration) -> str:
    scheme = "https" if config.http.tls.certificate else "http"
    listen = config.http.listen
    if listen is None:
        return f"Lading listens on the socket {config.http.addr}. Stop it with Ctrl-C."
    host = f"[{listen.host}]" if ":" in listen.host else listen.host or "localhost"
    address = f"{host}:{listen.port}"
    database = settings.DATABASES["default"]["ENGINE"].rpartition(".")[2]
    login = "" if settings.AUTH_KIND == "none" else f"  login: docker login {address}\n"
    return (
        f"Lading listens on {scheme}://{address}{config.http.prefix}\n"
        f"{login}"
        f"  push:  docker tag my-image {address}/my-team/my-image && docker push {address}/my-team/my-image\n"
        f"  data:  {config.storage.place} ({database})\n"
        "  stop:  Ctrl-C"
    )
