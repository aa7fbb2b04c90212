"""A meter that signs, for tests: OCMF texts made with a key of its own."""

from __future__ import annotations

import base64
import json
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


class Meter:
    """Signs registers. `public_key` is what staff register: base64 of its DER form."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        der = self._key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.public_key = base64.b64encode(der).decode()

    def sign(self, *readings: tuple[str, int], status: str = "G", filling: str = "") -> str:
        """An OCMF text of readings: OCMF's word (`B`, `E`, `C` ...) and Wh."""
        payload: dict[str, Any] = {
            "FV": "1.0",
            "GI": "gateway" + filling,
            "GS": "1",
            "PG": "T1",
            "MS": "meter-1",
            "IS": True,
            "IT": "NONE",
            "RD": [
                {
                    "TM": "2026-11-20T12:00:00,000+0000 S",
                    "TX": word,
                    "RV": float(f"{wh / 1000:.3f}"),
                    "RI": "01-00:B2.08.00*FF",
                    "RU": "kWh",
                    "ST": status,
                }
                for word, wh in readings
            ],
        }
        text = json.dumps(payload, separators=(",", ":"))
        signature = self._key.sign(text.encode(), ec.ECDSA(hashes.SHA256()))
        signed = json.dumps({"SA": "ECDSA-secp256r1-SHA256", "SD": signature.hex()}, separators=(",", ":"))
        return f"OCMF|{text}|{signed}"


def forged(text: str, wh: int, instead_wh: int) -> str:
    """The same text with another register."""
    changed = text.replace(f'"RV":{wh / 1000}', f'"RV":{instead_wh / 1000}')
    assert changed != text
    return changed


def base64_of(text: str) -> str:
    """As 2.x stations send it."""
    return base64.b64encode(text.encode()).decode()
