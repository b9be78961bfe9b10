"""The errors and warnings that a user meets."""

from __future__ import annotations


class PhotonFileError(ValueError):
    """A file cannot be read; the message names the file, the byte, what was expected and what was found.

    Parameters
    ----------
    message : str
        What is wrong and what to do about it.
    offset : int, optional
        Byte offset at which the file stops making sense.
    """

    def __init__(self, message: str, *, offset: int | None = None) -> None:
        super().__init__(message)
        self.offset = offset


class PhotonFileWarning(UserWarning):
    """A file is damaged or contradicts itself, but what was read of it is right."""


class AnalysisWarning(UserWarning):
    """An answer is right but weaker than it looks; the message says why."""
