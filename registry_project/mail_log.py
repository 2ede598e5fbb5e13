"""Log messages by mail, sent by a thread so that a slow mail server never holds up a request."""

import logging
import queue
import smtplib
import socket
import ssl
import threading
from email.message import EmailMessage
from logging.handlers import SMTPHandler

_WAITING = 100
_TIMEOUT_SECONDS = 10


class MailHandler(SMTPHandler):
    """SMTPHandler that uses STARTTLS where it is offered, and signs in through it only, unless `insecure`.

    Messages beyond the hundred that may wait are dropped: the log itself has them.
    """

    def __init__(
        self,
        mailhost: tuple[str, int],
        fromaddr: str,
        toaddrs: list[str],
        credentials: tuple[str, str] | None,
        insecure: bool,
    ) -> None:
        super().__init__(mailhost, fromaddr, toaddrs, "", timeout=_TIMEOUT_SECONDS)
        self.host = mailhost
        self.sign_in = credentials
        self.insecure = insecure
        self.waiting: queue.Queue[EmailMessage] = queue.Queue(_WAITING)
        self.sender: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = EmailMessage()
            message["From"] = self.fromaddr
            message["To"] = ", ".join(self.toaddrs)
            message["Subject"] = f"[lading] {socket.gethostname()}: {record.levelname.lower()} in {record.name}"
            message.set_content(self.format(record))
            self.waiting.put_nowait(message)
            self._start_sender()
        except queue.Full:
            pass
        except Exception:  # noqa: BLE001 - a log handler reports through logging, never to its caller
            self.handleError(record)

    def _start_sender(self) -> None:
        with self.lock or threading.RLock():
            if self.sender is None or not self.sender.is_alive():
                self.sender = threading.Thread(target=self._send_all, name="log-mail", daemon=True)
                self.sender.start()

    def _send_all(self) -> None:
        while True:
            message = self.waiting.get()
            try:
                self._send(message)
            except (OSError, smtplib.SMTPException):
                # Not through the logger: it would come back here.
                logging.lastResort.handle(_failure(self.host)) if logging.lastResort else None
            finally:
                self.waiting.task_done()

    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def _send(self, message: EmailMessage) -> None:
        with smtplib.SMTP(*self.host, timeout=_TIMEOUT_SECONDS) as smtp:
            smtp.ehlo_or_helo_if_needed()
            if smtp.has_extn("starttls"):
                smtp.starttls(context=self._tls())
            elif self.sign_in and not self.insecure:
                raise smtplib.SMTPException("the mail server offers no TLS to send the password through")
            if self.sign_in:
                smtp.login(*self.sign_in)
            smtp.send_message(message)


def _failure(host: tuple[str, int]) -> logging.LogRecord:
    text = f"a log message could not be mailed through {host[0]}:{host[1]}"
    return logging.LogRecord("lading.mail", logging.WARNING, __file__, 0, text, None, None)
