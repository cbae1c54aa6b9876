"""How to reach an Enphase gateway and to log in there: keys of every section that speaks to one."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from app.endpoint import HeaderText
from app.fields import Host, Section, Url

WAYS = "token, token_file, enlighten_username with enlighten_password (firmware 7 and later), password (before)"


class EnphaseLogin(Section):
    """A gateway and one way to log in. Sections of the same host share one connection, and one login will do."""

    login_elsewhere: ClassVar[bool] = False  # True: without a login, that of another section of this host is used

    host: Host
    gateway_serial: str = Field(
        "", pattern=r"^(\d{6,16})?$", description="serial number of the gateway; asked from it where this is empty"
    )
    token: HeaderText = Field("", repr=False, max_length=8192, description="firmware 7 and later")
    token_file: Path | None = Field(None, description="a file that holds the token; read again when it is refused")
    enlighten_username: str = Field(
        "", max_length=200, description="account at Enlighten, which a token is fetched with; firmware 7 and later"
    )
    enlighten_password: str = Field("", repr=False, max_length=200, description="its password")
    enlighten_role: Literal["owner", "installer"] = Field(
        "owner",
        description="installer: the account is an installer's or self-installer's, and so has the token to be (12 h)",
    )
    enlighten_url: Url = Field("https://enlighten.enphaseenergy.com", description="where the account logs in")
    entrez_url: Url = Field("https://entrez.enphaseenergy.com", description="where tokens are made")
    username: str = Field(
        "envoy", pattern="^[^:]+$", description="firmware before 7; installer where profiles are switched"
    )
    password: str = Field("", repr=False, description="firmware before 7")
    certificate: Literal["first", "any"] = Field(
        "first", description="first: the one of the first contact, kept in data_dir; any: whoever answers is believed"
    )

    @property
    def has_login(self) -> bool:
        """Whether this section says how to log in."""
        return bool(self.token or self.token_file or self.enlighten_password or self.password)

    @property
    def known_serial(self) -> str:
        """The serial number of the gateway where it is configured, else empty."""
        return self.gateway_serial

    @model_validator(mode="after")
    def _one_login(self) -> Self:
        if bool(self.enlighten_username) != bool(self.enlighten_password):
            there, missing = ("username", "password") if self.enlighten_username else ("password", "username")
            raise ValueError(f"enlighten_{there} needs enlighten_{missing} beside it")
        given = [name for name in ("token", "token_file", "enlighten_password", "password") if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are {len(given)} ways to log in: give one of {WAYS}")
        if not given and not self.login_elsewhere:
            raise ValueError(f"no way to log in: give one of {WAYS}")
        return self
