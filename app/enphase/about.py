"""What a gateway tells everybody of itself: ``/info``, in XML. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.etree import ElementTree

from app.model import DeviceDataError

MAX_SIGNS = 60  # of what is shown


@dataclass(frozen=True, slots=True)
class GatewayAbout:
    """Who a gateway is. ``version`` are the first three numbers of ``software``; ``metered``: it has clamps."""

    serial: str
    software: str
    version: tuple[int, int, int]
    part_number: str = ""
    metered: bool | None = None

    @property
    def wants_token(self) -> bool:
        """Whether it takes tokens; before, a password."""
        return self.version >= (7, 0, 0)


class _Plain(ElementTree.TreeBuilder):
    """No document type: that is where entities are defined, which unfold to whatever size, or to files."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError(f"a document type: {name} {pubid} {system}")


def about_of(body: bytes, who: str) -> GatewayAbout:
    """The gateway of an answer to ``/info``. Raises `DeviceDataError` that begins with ``who``."""
    try:
        root = ElementTree.fromstring(body, ElementTree.XMLParser(target=_Plain()))  # noqa: S314 - no entities: see above
    except (ElementTree.ParseError, ValueError, LookupError, RecursionError):
        raise DeviceDataError(f"{who} answers, but with no XML as Enphase gateways do: is this one?") from None
    serial, software = _text(root, "sn"), _text(root, "software")
    numbers = re.match(r"[A-Za-z]?(\d{1,4})\.(\d{1,4})(?:\.(\d{1,6}))?", software, re.ASCII)
    if not re.fullmatch(r"\d{6,16}", serial, re.ASCII) or numbers is None:
        raise DeviceDataError(
            f"{who} tells no serial number and software version (sn: {serial!r}, software: {software!r}): "
            "is this an Enphase gateway?"
        )
    version = (int(numbers[1]), int(numbers[2]), int(numbers[3] or 0))
    metered = {"true": True, "false": False}.get(_text(root, "imeter"))
    return GatewayAbout(serial, software, version, _text(root, "pn"), metered)


def _text(root: ElementTree.Element, tag: str) -> str:
    found = root.find(f"device/{tag}")
    text = (found.text or "").strip() if found is not None else ""
    return text[:MAX_SIGNS] if text.isprintable() else ""
