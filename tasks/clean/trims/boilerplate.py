"""Short notices to the visitor: cookies, scripts, terms, sharing.

The phrases were collected from consent banners and page footers in five languages; a longer line
with one of them is text about the matter.
"""

from __future__ import annotations

from typing import Literal

from tasks.clean.trims.trimmed import Trimmed, without
from tasks.config import Config, knob

_COOKIES = (
    *("use cookies", "uses cookies", "use of cookies", "accept cookies", "accept all cookies"),
    *("cookie settings", "cookie policy", "cookie preferences"),
    *("sử dụng cookie", "chấp nhận cookie", "chính sách cookie"),
    *("utilise des cookies", "utilisons des cookies", "accepter les cookies"),
    *("verwendet cookies", "verwenden cookies", "cookies akzeptieren", "cookie-einstellungen"),
    *("utiliza cookies", "utilizamos cookies", "aceptar cookies", "política de cookies"),
)
_SCRIPTS = (
    *("enable javascript", "javascript is disabled", "requires javascript", "turn on javascript"),
    *("your browser does not support", "bật javascript", "trình duyệt không hỗ trợ"),
    *("activer javascript", "javascript aktivieren", "active javascript", "habilite javascript"),
)
_POLICIES = (
    *("privacy policy", "terms of use", "terms of service", "terms and conditions"),
    *("all rights reserved", "chính sách bảo mật", "điều khoản sử dụng", "bản quyền thuộc về"),
    *("tous droits réservés", "politique de confidentialité", "mentions légales"),
    *("alle rechte vorbehalten", "datenschutzerklärung", "nutzungsbedingungen"),
    *("todos los derechos reservados", "política de privacidad", "aviso legal"),
)
_SHARING = (
    *("share on facebook", "share on twitter", "share this article", "share via email"),
    *("sign up for our newsletter", "subscribe to our newsletter", "follow us on"),
    *("chia sẻ trên facebook", "chia sẻ bài viết", "đăng ký nhận tin", "theo dõi chúng tôi"),
    *("partager sur facebook", "auf facebook teilen", "compartir en facebook"),
)


class Boilerplate(Config):
    """Drop short lines that speak of cookies, scripts, terms or sharing."""

    kind: Literal["boilerplate"] = "boilerplate"
    max_words: int = knob(25, "words between spaces; a longer line stays", ge=1)
    cookies: tuple[str, ...] = knob(_COOKIES, "phrases, in any case")
    scripts: tuple[str, ...] = knob(_SCRIPTS, "phrases, in any case")
    policies: tuple[str, ...] = knob(_POLICIES, "phrases, in any case")
    sharing: tuple[str, ...] = knob(_SHARING, "phrases, in any case")

    def apply(self, text: str) -> Trimmed:
        present = self._present(text.lower())
        if not present:
            return Trimmed(text, {})
        lines = text.split("\n")
        return without(lines, [self._reason(line, present) for line in lines])

    def _present(self, lowered: str) -> list[tuple[str, str]]:
        """Phrases that the text has, each with the reason it gives."""
        phrases = {
            "cookie_line": self.cookies,
            "script_line": self.scripts,
            "policy_line": self.policies,
            "sharing_line": self.sharing,
        }
        return [
            (low, reason)
            for reason, group in phrases.items()
            for low in map(str.lower, group)
            if low and low in lowered
        ]

    def _reason(self, line: str, present: list[tuple[str, str]]) -> str | None:
        lowered = line.lower()
        reason = next((reason for phrase, reason in present if phrase in lowered), None)
        return reason if reason and len(line.split()) <= self.max_words else None
