"""Personal data: kinds of it that are found by their form, and what is put in their place.

A new one: a module here, one line below. Its `spans` say where it stands in a passage, first to
last, none overlapping. Every match of a kind holds a digit or an `@`, and no placeholder does
(`masking.py` says why). `benchmarks/personal_data.py` measures speed and what real documentation
loses to each kind.

Names and street addresses have no form to find them by, and stay.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tasks.clean.pii.bank_account import BankAccount
from tasks.clean.pii.email import Email
from tasks.clean.pii.ip_address import IpAddress
from tasks.clean.pii.masking import mask
from tasks.clean.pii.national_id import NationalId
from tasks.clean.pii.payment_card import PaymentCard
from tasks.clean.pii.phone import Phone

Pii = Annotated[
    Email | IpAddress | BankAccount | PaymentCard | NationalId | Phone,
    Field(discriminator="kind"),
]

__all__ = [
    "BankAccount",
    "Email",
    "IpAddress",
    "NationalId",
    "PaymentCard",
    "Phone",
    "Pii",
    "mask",
]
