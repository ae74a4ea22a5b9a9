"""The command line."""

from simsearch.cli.commands import main as main

__all__ = ["main"]
