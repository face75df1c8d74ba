"""What commands say to a person."""

import sys


class Refusal(Exception):
    """The command cannot go on; the message says why and what to do."""


def say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def complain(*lines: str) -> int:
    """Sentences on standard error; returns the exit status of a refused command."""
    sys.stderr.write("".join(f"{line}\n" for line in lines))
    sys.stderr.flush()
    return 1
