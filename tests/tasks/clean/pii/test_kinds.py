"""What each kind of personal data takes, and what it leaves.

Numbers are made up; those with check digits were made with python-stdnum 2.2.
"""

from __future__ import annotations

import pytest

from tasks.clean.pii import (
    BankAccount,
    Email,
    IpAddress,
    NationalId,
    PaymentCard,
    Phone,
    Pii,
    mask,
)
from tasks.clean.pii.masking import Passage

TAKEN: list[tuple[Pii, str]] = [
    *(
        (Email(), text)
        for text in (
            "Write to [gward@python.net].",
            "<[martin@v.loewis.de]>",
            "mailto:[zooko@zooko.com]?subject=x",
            "author_email='[tarek@ziade.org]',",
            "[a.b+c%d_e-f@mail.co.uk], [x1@y2.com.vn]; [o'neil@site.ie]...",
            "Thư: [nguyễn.văn@bưuđiện.vn]。",
            "l: [JOHN@EXAMPLE.COM.VN]: yes",
        )
    ),
    *(
        (IpAddress(), text)
        for text in (
            "from [93.184.216.34]: ok",
            "http://[93.184.216.34]/ and http://[93.184.216.34]:80/x",
            "ip4:[199.127.61.96] +a",
            "on [213.244.11.247].",
            "[2001:67c:2564:a119::77]",
            "host [2606:2800:220:1:248:1893:25C8:1946]: up",
            "[2001:4f8:3:ba::]/64",
        )
    ),
    *(
        (BankAccount(), text)
        for text in (
            "IBAN [DE89 3704 0044 0532 0130 00].",
            "[GB82WEST12345698765432]",
            "[FR14 2004 1010 0505 0001 3M02 606]",
            "([NL91ABNA0417164300]) [MT84MALT011000012345MTLCAST001S]",
        )
    ),
    *(
        (PaymentCard(), text)
        for text in (
            "Visa [4111 1111 1111 1111]",
            "[5555-5555-5555-4444], [378282246310005]",
            "Amex [3782 822463 10005].",
            "[30569309025904] [3530111333300000] [6011111111111117]",
        )
    ),
    *(
        (Phone(), text)
        for text in (
            "call [+84 24 3936 1234] now",
            "[+44 (0)20 7946 0958] [+1-212-555-0199]",
            "[(212) 555-0199] or [212-555-0199]",
            "[925.541.7625] 662 South",
            "[1-800-555-0199]",
            "Điện thoại: [0912 345 678].",
            "Tel.: [030/1234567], Fax: [030 1234568]",
            "Tél. [01 23 45 67 89]",
            "电话:[010-12345678]",
        )
    ),
    *(
        (NationalId(), text)
        for text in (
            "Số CCCD: [001092012345]",
            "căn cước công dân số [079 192 012 345]",
            "CMND: [012345678], số CMND/CCCD: [001092012345]",
            "SSN [123-45-6789] and [078-05-1120]",
            "Social Security Number: [123456789]",
            "[AB 12 34 56 C], NINO [AB123456C]",
            "NIR [255081416802538] [2 55 08 14 168 025 38]",
            "Steuer-ID: [36574261809]",
            "DNI [54362315K], NIE [X-2482300W]",
            "CF [RCCMNL83S18D969H]",
            "BSN: [111222333]",
            "[11010519491231002X]",
            "CPF [390.533.447-05], cpf: [39053344705]",
            "Aadhaar No. [2341 2341 2346]",
            "PESEL [44051401359]",
            "マイナンバー [628547686011]",
            "[971013-1019902]",
            "Personnummer: [880320-0016]",
        )
    ),
]
LEFT: list[tuple[Pii, str]] = [
    *(
        (Email(), text)
        for text in (
            "root@debian:~# ssh user@host",
            "git@github.com:owner/repository.git",
            "ssh://git@github.com/x and https://user:word@host.org/",
            "y = a@b + x @ w.T; x@w.T",
            "npm i package@1.2.3 @types/node@latest",
            "getty@tty1.service icon@2x.png",
            "someone@example.com, me@mail.example.org, a@b.invalid",
            "@app.route('/') @media .x",
        )
    ),
    *(
        (IpAddress(), text)
        for text in (
            "127.0.0.1 10.1.2.3 192.168.1.1 172.16.0.9 169.254.9.9 0.0.0.0 255.255.255.0",
            "192.0.2.77 198.51.100.99 203.0.113.77 2001:db8::1 ::1 fe80::1 224.0.99.98",
            "9.16.2.1. Strict modes; version 99.98.97.96; release 2.6.32.60",
            "libx-93.184.216.34.so Chrome/93.184.216.34 1.3.6.93.184.216.34 93.184.216.34.5",
            "300.184.216.34 93.184.216.340 v93.184.216.34",
            "2001::x std::map 2024:01:02 12:34:56",
        )
    ),
    *((BankAccount(), text) for text in ("DE89370400440532013001", "XX89370400440532013000")),
    *(
        (PaymentCard(), text)
        for text in (
            "4111 1111 1111 1112",
            "0.4111111111111111 4111111111111111.5 x4111111111111111",
            "9780306406157 20240102123456",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        )
    ),
    *(
        (Phone(), text)
        for text in (
            "2024-01-02 12:34:56 ISBN 978-0-306-40615-7",
            "1999 2000 2001, 3.14159265358979, 123456789",
            "1+2025550199 x=+2025550199 100-200-3000",
            "10.1093/nar/25.17.3389 192.168.100.1234",
            "telescope 12345678",
        )
    ),
    *(
        (NationalId(), text)
        for text in (
            "001092012345 36574261809 111222333 44051401359 628547686014",
            "000-45-6789 123-00-6789 666-12-3456 2024-01-0200",
            "ST380021A 12345678A 390.533.447-06 RCCMNL83S18D969I",
            "110105194912310021 11010519491331002X",
        )
    ),
]


def _marked(kind: Pii, text: str) -> str:
    end, parts = 0, []
    for start, stop in kind.spans(Passage(text)):
        parts += [text[end:start], "[", text[start:stop], "]"]
        end = stop
    return "".join([*parts, text[end:]])


@pytest.mark.parametrize(("kind", "text"), TAKEN, ids=lambda value: str(value)[:40])
def test_taken(kind: Pii, text: str) -> None:
    assert _marked(kind, text.replace("[", "").replace("]", "")) == text


@pytest.mark.parametrize(("kind", "text"), LEFT, ids=lambda value: str(value)[:40])
def test_left(kind: Pii, text: str) -> None:
    assert _marked(kind, text) == text


def test_countries_are_a_choice() -> None:
    text = "PESEL 44051401359, CPF 390.533.447-05"
    only = NationalId(countries=("PL",), placeholder="[PESEL]")
    assert mask(text, [only]) == ("PESEL [PESEL], CPF 390.533.447-05", ["national_id"])
