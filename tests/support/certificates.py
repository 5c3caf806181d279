"""Certificates made for one test run, with the openssl command."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.support.missing import missing

__all__ = ("Authority",)


class Authority:
    """An authority of one's own, in ``directory``; ``cafile`` is its certificate."""

    def __init__(self, directory: Path) -> None:
        if shutil.which("openssl") is None:
            missing("openssl is not installed (Debian: apt-get install openssl)")
        self.directory = directory
        self.cafile = str(directory / "ca.pem")
        self._key = str(directory / "ca.key")
        _openssl(
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=Test authority",
            "-keyout", self._key, "-out", self.cafile,
            "-addext", "keyUsage=critical,keyCertSign,cRLSign",
        )  # fmt: skip

    def issue(
        self, name: str, common_name: str, alternatives: str = "", *, expired: bool = False, client: bool = False
    ) -> dict[str, str]:
        """A certificate signed by the authority, as ``certfile`` and ``keyfile``."""
        key, request, certificate = (str(self.directory / f"{name}.{end}") for end in ("key", "csr", "pem"))
        extensions = self.directory / f"{name}.ext"
        lines = [f"extendedKeyUsage={'clientAuth' if client else 'serverAuth'}"]
        lines += [f"subjectAltName={alternatives}"] if alternatives else []
        extensions.write_text("\n".join(lines))
        _openssl(
            "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={common_name}", "-keyout", key, "-out", request
        )
        _openssl(
            "x509", "-req", "-in", request, "-CA", self.cafile, "-CAkey", self._key, "-CAcreateserial",
            "-days", "-1" if expired else "1", "-extfile", str(extensions), "-out", certificate,
        )  # fmt: skip
        return {"certfile": certificate, "keyfile": key}

    def self_signed(self) -> dict[str, str]:
        """A certificate that no authority has signed."""
        key, certificate = str(self.directory / "self.key"), str(self.directory / "self.pem")
        _openssl(
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
            "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", certificate,
        )  # fmt: skip
        return {"certfile": certificate, "keyfile": key}


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)
