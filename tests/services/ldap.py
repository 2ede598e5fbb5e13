"""A private OpenLDAP."""

import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.services.folders import private_folder
from tests.services.processes import ServiceUnavailable, server

SUFFIX = "dc=example,dc=org"
MANAGER, MANAGER_PASSWORD = f"cn=manager,{SUFFIX}", "manager-secret"
_SCHEMAS = ("core", "cosine", "inetorgperson", "nis")


@dataclass(frozen=True)
class LdapServer:
    url: str
    process: "subprocess.Popen[bytes]"


@contextmanager
def private_ldap(ldif: str) -> Iterator[LdapServer]:
    """This will run slapd with these entries on a free port of loopback until the block ends.

    Raises ServiceUnavailable.
    """
    programs = {name: shutil.which(name, path="/usr/sbin:/usr/bin") for name in ("slapd", "slapadd")}
    if not all(programs.values()):
        raise ServiceUnavailable("slapd is missing; install it with: apt-get install slapd")
    with private_folder() as folder:
        (folder / "data").mkdir()
        configuration = folder / "slapd.conf"
        configuration.write_text(
            "".join(f"include /etc/ldap/schema/{name}.schema\n" for name in _SCHEMAS)
            + f"modulepath /usr/lib/ldap\nmoduleload back_mdb\ndatabase mdb\nsuffix {SUFFIX}\n"
            f'rootdn "{MANAGER}"\nrootpw {MANAGER_PASSWORD}\ndirectory {folder / "data"}\n'
            "access to attrs=userPassword by anonymous auth by * none\naccess to * by users read by * none\n"
        )
        (folder / "entries.ldif").write_text(ldif)
        subprocess.run(
            [str(programs["slapadd"]), "-f", configuration, "-l", folder / "entries.ldif"],
            check=True,
            capture_output=True,
        )

        def command(port: int) -> list[str]:
            # -d keeps it in the foreground.
            return [str(programs["slapd"]), "-f", str(configuration), "-h", f"ldap://127.0.0.1:{port}", "-d", "0"]

        with server("slapd", command, _answers, folder, None, signal.SIGTERM) as (process, port):
            yield LdapServer(f"ldap://127.0.0.1:{port}", process)


def _answers(_folder: Path, port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 5):
            return True
    except OSError:
        return False
