"""What stands where personal data was."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

Placeholder = Annotated[
    str, StringConstraints(pattern=r"^[<\[{|][!-/:-?A-~]*[>\]}|]$", max_length=32)
]
"""Printable ASCII between brackets, with neither digit nor `@`: it never looks like, nor adds to,
what it stands for, and text that was masked once stays as it is."""

PLACEHOLDER_SAYS = "what takes its place: ASCII in brackets, without digits, spaces and @"
