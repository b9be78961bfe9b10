"""The command line."""

from photonstats.cli.commands import main

__all__ = ["main"]
