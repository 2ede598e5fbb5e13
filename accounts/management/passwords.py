"""How commands are told a password."""

import getpass
import sys

from django.core.management.base import CommandError, CommandParser

from registry_project.problems import Problem


def add_password_argument(parser: CommandParser) -> None:
    parser.add_argument("--password-stdin", action="store_true", help="read the password from the standard input")


def read_password(*, from_stdin: bool) -> str:
    """One line of the standard input, or what is typed twice at a terminal; raises CommandError."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise CommandError("there is no terminal to ask for the password at; --password-stdin reads it from a pipe")
    password = getpass.getpass("Password: ")
    if password != getpass.getpass("Once more: "):
        raise CommandError("the two passwords differ")
    return password


def command_error(problem: Problem) -> CommandError:
    """A problem of the management API in the words of a terminal."""
    return CommandError(" ".join([problem.detail, *(text for texts in problem.fields.values() for text in texts)]))
