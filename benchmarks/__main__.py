"""`python -m benchmarks [charges]`: runs a benchmark and prints its table."""

import argparse
import sys

import uvloop

from benchmarks import charges
from gateway.logs import LogFormat, LogLevel, configure_logs

BENCHMARKS = {"charges": charges.run}


def main() -> int:
    """Run what is named; without a name, everything."""
    parser = argparse.ArgumentParser(prog="benchmarks", description="Measure how fast the gateway works.")
    parser.add_argument("names", nargs="*", choices=[[], *BENCHMARKS], help=f"any of: {', '.join(BENCHMARKS)}")
    names = parser.parse_args().names or list(BENCHMARKS)
    configure_logs(log_format=LogFormat.CONSOLE, level=LogLevel.WARNING)
    for name in names:
        uvloop.run(BENCHMARKS[name]())
    return 0


if __name__ == "__main__":
    sys.exit(main())
