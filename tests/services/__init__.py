"""Private PostgreSQL and Redis servers, for one command (`python -m tests.services -- pytest`) or one block.

Nothing that runs on the machine already is used or touched: each server has a folder, a port and a process
of its own, and all three are gone afterwards, even after SIGKILL (a later start removes the folder).
"""

from tests.services.folders import private_folder
from tests.services.postgres import PostgresServer, private_postgres
from tests.services.processes import ServiceUnavailable
from tests.services.redis import RedisServer, private_redis

__all__ = [
    "PostgresServer",
    "RedisServer",
    "ServiceUnavailable",
    "private_folder",
    "private_postgres",
    "private_redis",
]
