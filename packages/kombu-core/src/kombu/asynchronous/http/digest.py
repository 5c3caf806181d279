"""Digest authentication (RFC 7616): what to answer to a challenge."""

from __future__ import annotations

import hashlib
import os
from urllib.request import parse_http_list, parse_keqv_list

__all__ = ("answer",)

_HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}


def answer(challenges: list[str], method: str, target: str, user: str, password: str, cnonce: str = "") -> str | None:
    """The value of ``Authorization``, or None when no challenge is one that we can answer.

    Arguments:
        challenges: the values of ``WWW-Authenticate``.
        target: path and query of the URL.
        cnonce: a value of the client's own; a random one without it.
    """
    for challenge in challenges:
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() != "digest":
            continue
        fields = parse_keqv_list(parse_http_list(rest))
        algorithm = fields.get("algorithm", "MD5").upper()
        qop = [each.strip() for each in fields.get("qop", "").split(",")]
        known = algorithm.removesuffix("-SESS") in _HASHES and {"nonce", "realm"} <= fields.keys()
        if known and ("auth" in qop or qop == [""]):
            return _answer(fields, algorithm, "auth" in qop, (method, target, user, password), cnonce)
    return None


def _answer(fields: dict[str, str], algorithm: str, qop: bool, secret: tuple[str, str, str, str], cnonce: str) -> str:
    method, target, user, password = secret
    realm, nonce, cnonce = fields["realm"], fields["nonce"], cnonce or os.urandom(16).hex()

    def digest(text: str) -> str:
        return _HASHES[algorithm.removesuffix("-SESS")](text.encode(), usedforsecurity=False).hexdigest()

    key = digest(f"{user}:{realm}:{password}")
    if algorithm.endswith("-SESS"):
        key = digest(f"{key}:{nonce}:{cnonce}")
    middle = f"{nonce}:00000001:{cnonce}:auth" if qop else nonce
    response = digest(f"{key}:{middle}:{digest(f'{method}:{target}')}")
    quoted = {"username": user, "realm": realm, "nonce": nonce, "uri": target, "response": response}
    quoted |= {"opaque": fields["opaque"]} if "opaque" in fields else {}
    quoted |= {"cnonce": cnonce} if qop or algorithm.endswith("-SESS") else {}
    parts = ['{}="{}"'.format(name, value.replace("\\", "\\\\").replace('"', '\\"')) for name, value in quoted.items()]
    parts += ["qop=auth", "nc=00000001"] if qop else []
    parts += [f"algorithm={fields['algorithm']}"] if "algorithm" in fields else []
    return "Digest " + ", ".join(parts)
