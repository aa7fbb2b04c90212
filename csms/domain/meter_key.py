"""The public key of a meter, as people write it: checked, and brought into one form."""

from __future__ import annotations

import base64
import binascii

from csms.base.errors import Refused

KEY_BYTES_MAX = 1_024

EC_PUBLIC_KEY = bytes.fromhex("06072a8648ce3d0201")
"""id-ecPublicKey (1.2.840.10045.2.1), as DER."""

CURVES = {
    bytes.fromhex("06052b8104001f"): "secp192k1",
    bytes.fromhex("06052b8104000a"): "secp256k1",
    bytes.fromhex("06082a8648ce3d030101"): "secp192r1",
    bytes.fromhex("06082a8648ce3d030107"): "secp256r1",
    bytes.fromhex("06052b81040022"): "secp384r1",
    bytes.fromhex("06052b81040023"): "secp521r1",
    bytes.fromhex("06092b2403030208010107"): "brainpoolP256r1",
    bytes.fromhex("06092b240303020801010b"): "brainpoolP384r1",
}
"""The curves that OCMF names, by their object identifiers as DER."""


def parse(text: str, field: str) -> tuple[str, str]:
    """
    A public key (SubjectPublicKeyInfo) as PEM, base64 or hex -> its DER as base64, and its curve.

    Refused, with `field` as pointer, when it is no key on a curve that OCMF knows.
    """
    der = _der(text)
    if der is None:
        raise Refused("write the key as PEM, or its DER form as base64 or hex", field)
    spki, rest = _element(der, 0x30)
    algorithm, point = _element(spki, 0x30) if spki else (b"", b"")
    bits, after = _element(point, 0x03) if point else (b"", b"")
    curve = CURVES.get(algorithm.removeprefix(EC_PUBLIC_KEY))
    if rest or after or len(bits) < 2 or bits[0] != 0 or not algorithm.startswith(EC_PUBLIC_KEY):
        raise Refused("this is not the public key of an elliptic curve (SubjectPublicKeyInfo)", field)
    if curve is None:
        raise Refused("OCMF does not know the curve of this key", field)
    return base64.b64encode(der).decode(), curve


def _der(text: str) -> bytes | None:
    """The bytes of a key, None where they cannot be read."""
    lines = [line for line in text.strip().splitlines() if not line.startswith("-----")]
    packed = "".join("".join(lines).split())
    if not packed or len(packed) > 2 * KEY_BYTES_MAX:
        return None
    try:
        return bytes.fromhex(packed)
    except ValueError:
        pass
    try:
        return base64.b64decode(packed, validate=True)
    except (binascii.Error, ValueError):
        return None


def _element(der: bytes, tag: int) -> tuple[bytes, bytes]:
    """The content of the element that `der` begins with, and what follows it; nothing where it is another or cut."""
    if len(der) < 2 or der[0] != tag:
        return b"", b""
    length, start = der[1], 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(der[2:start], "big")
    if start > 4 or len(der) < start + length:
        return b"", b""
    return der[start : start + length], der[start + length :]
