"""Certificates that devices make for themselves: the one of the first contact is remembered, and no other taken."""

from __future__ import annotations

import asyncio
import hashlib
import json
import ssl
from pathlib import Path

import aiohttp

from app.files import replace_file
from app.model import DeviceAuthError, DeviceUnavailable
from app.outbound import CertificateChanged, cause

FILE = "certificates.json"


class Pin:
    """The certificate of one device, as ``host[:port]``."""

    def __init__(self, folder: Path, host: str) -> None:
        self._path, self._host = folder / FILE, host
        self._known: aiohttp.Fingerprint | None = None

    async def get(self, timeout_s: float) -> aiohttp.Fingerprint:
        """What aiohttp wants as ``ssl``; at the first contact ever, it is fetched and kept. Raises `DeviceError`."""
        if self._known is None:
            kept = self._read().get(self._host)
            digest = bytes.fromhex(kept) if kept else await self._fetch(timeout_s)
            if not kept:
                self._keep(digest)  # once ever, and at once: two devices at a time would overwrite each other's
            self._known = aiohttp.Fingerprint(digest)
        return self._known

    def changed(self, error: CertificateChanged) -> DeviceAuthError:
        """The same with what is to be done; after that, the file is looked into again."""
        self._known = None
        return DeviceAuthError(
            f"{error}: if the device was replaced or updated, take {self._host} out of {self._path}; "
            "if not, somebody stands between"
        )

    async def _fetch(self, timeout_s: float) -> bytes:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        name, _, port = self._host.rpartition(":") if ":" in self._host else (self._host, "", "443")
        try:
            async with asyncio.timeout(timeout_s):
                _, writer = await asyncio.open_connection(name.strip("[]"), int(port), ssl=context)
        except TimeoutError:
            raise DeviceUnavailable(f"https://{self._host} does not answer within {timeout_s:g} s") from None
        except (OSError, UnicodeError) as error:
            raise DeviceUnavailable(f"cannot reach https://{self._host}: {cause(error)}") from None
        try:
            certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        finally:
            writer.transport.abort()
        return hashlib.sha256(certificate or b"").digest()

    def _read(self) -> dict[str, str]:
        """Fingerprints by host. Raises `DeviceAuthError` for a file that cannot be used: it is never written over."""
        try:
            found = json.loads(self._path.read_bytes())
            return {str(host): bytes.fromhex(digest).hex() for host, digest in found.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError):
            raise DeviceAuthError(f"cannot read the certificates in {self._path}: mend or delete that file") from None

    def _keep(self, digest: bytes) -> None:
        content = json.dumps(self._read() | {self._host: digest.hex()}, indent=1)
        try:
            replace_file(self._path, content.encode(), mode=0o600)
        except OSError as error:
            raise DeviceAuthError(f"cannot keep the certificate in {self._path}: {error.strerror}") from None
