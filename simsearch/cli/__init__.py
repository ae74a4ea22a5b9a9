"""The command line: the commands, the options that they share, and what they print."""

from simsearch.cli.commands import main as main

__all__ = ["main"]
