"""Connections to PostgreSQL that do not wait for ever: the server enforces its own time limit only while it runs."""

from functools import cache
from typing import Any

import psycopg
from psycopg.abc import PQGen
from psycopg.rows import TupleRow

# So much longer than the server's own limit, which gives the better answer.
_GRACE_SECONDS = 1.0


class PatientConnection(psycopg.Connection[TupleRow]):
    """Gives up, and is broken then, when an answer takes longer than `patience` seconds; None waits for ever."""

    patience: float | None = None

    def wait(self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        try:
            return super().wait(gen, interval, self.patience if timeout is None else timeout)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == psycopg.pq.TransactionStatus.ACTIVE:
                # Its answer may still come, and must not be taken for that of the next statement.
                self.pgconn.finish()
            raise


@cache
def patient_connection(seconds: float) -> type[PatientConnection]:
    """This will make the class of connections whose statements may take `seconds`."""
    return type("PatientConnection", (PatientConnection,), {"patience": seconds + _GRACE_SECONDS})
