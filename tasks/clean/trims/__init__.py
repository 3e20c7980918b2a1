"""Trims: lines that are no part of a page's text, taken out before it is judged.

A new one: a module here, one line below. Each kind of trim stands in a recipe once.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tasks.clean.trims.boilerplate import Boilerplate
from tasks.clean.trims.c4_lines import C4Lines
from tasks.clean.trims.menus import Menus
from tasks.clean.trims.trimmed import Trimmed, trim

Trim = Annotated[C4Lines | Boilerplate | Menus, Field(discriminator="kind")]

__all__ = ["Boilerplate", "C4Lines", "Menus", "Trim", "Trimmed", "trim"]
