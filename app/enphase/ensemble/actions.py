"""What can be asked of the storage, relays and dry contacts: one form for HTTP, MQTT, the command line and the file."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints, TypeAdapter, ValidationError, model_validator

from app.fields import Section
from app.mistakes import sentence

CONFIRMATION = "ISLAND"
TARIFF = "tariff"  # what is written as a whole with every change of one of its settings
_NEEDS_CONFIRMATION = (
    f'opening the grid relay takes the house off the grid: send "confirm": "{CONFIRMATION}" with it if you mean that'
)


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value  # 30.0 is whole in JSON


Soc = Annotated[int, BeforeValidator(_whole), Field(ge=0, le=100)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=r"^[ -~]+$")]
LoadName = Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=r"^[^\x00-\x1f\x7f]+$")]
Reaction = Literal["apply", "shed", "schedule", "none"]


class StorageMode(Section):
    """How the batteries work. Optimised schedules, where on, make the gateway ignore it."""

    action: Literal["storage_mode"]
    mode: Literal["backup", "self-consumption", "economy"]
    disable_optimized_schedules: bool = Field(False, description="switch them off with it")

    @property
    def target(self) -> str:
        """What it sets."""
        return "storage_mode"

    def __str__(self) -> str:
        return f"storage mode {self.mode}"


class Reserve(Section):
    """The state of charge that is kept for an outage."""

    action: Literal["reserve"]
    soc_pct: Soc

    @property
    def target(self) -> str:
        """What it sets."""
        return "reserve"

    def __str__(self) -> str:
        return f"reserve {self.soc_pct} %"


class ChargeFromGrid(Section):
    """Whether the batteries may charge from the grid."""

    action: Literal["charge_from_grid"]
    on: bool

    @property
    def target(self) -> str:
        """What it sets."""
        return "charge_from_grid"

    def __str__(self) -> str:
        return f"charge from grid {'on' if self.on else 'off'}"


class DryContactSwitch(Section):
    """Opens or closes a dry contact now."""

    action: Literal["dry_contact"]
    id: Name
    state: Literal["open", "closed"]

    @property
    def target(self) -> str:
        """What it sets."""
        return f"dry_contact_{self.id}"

    def __str__(self) -> str:
        return f"dry contact {self.id} {self.state}"


class ContactChanges(Section):
    """Settings of a dry contact; those that are left out stay as they are."""

    load_name: LoadName | None = None
    mode: Literal["manual", "soc"] | None = Field(None, description="soc: by the state of charge")
    soc_low_pct: Soc | None = None
    soc_high_pct: Soc | None = None
    grid_action: Reaction | None = Field(None, description="while on the grid")
    micro_grid_action: Reaction | None = Field(None, description="while off the grid")
    generator_action: Reaction | None = Field(None, description="while the generator runs")
    override: bool | None = None

    @model_validator(mode="after")
    def _something(self) -> ContactChanges:
        if not self.given:
            raise ValueError(f"names no setting: use some of {', '.join(type(self).model_fields)}")
        return self

    @property
    def given(self) -> dict[str, Any]:
        """What is to change."""
        return self.model_dump(exclude_none=True)


class DryContactSet(Section):
    """Changes settings of a dry contact; all of them are sent, since an incomplete set may crash the gateway."""

    action: Literal["dry_contact_settings"]
    id: Name
    settings: ContactChanges

    @property
    def target(self) -> str:
        """What it sets."""
        return f"dry_contact_settings_{self.id}"

    def __str__(self) -> str:
        return f"settings of dry contact {self.id}: {', '.join(f'{k} {v}' for k, v in self.settings.given.items())}"


class AcbSleep(Section):
    """Lets an AC Battery charge or discharge into a range of charge, and sleep there."""

    action: Literal["acb_sleep"]
    serial: Name
    min_soc_pct: Soc
    max_soc_pct: Soc

    @model_validator(mode="after")
    def _ordered(self) -> AcbSleep:
        if self.min_soc_pct > self.max_soc_pct:
            raise ValueError(f"min_soc_pct {self.min_soc_pct} is above max_soc_pct {self.max_soc_pct}: swap them")
        return self

    @property
    def target(self) -> str:
        """What it sets."""
        return f"acb_{self.serial}"

    def __str__(self) -> str:
        return f"AC Battery {self.serial} asleep at {self.min_soc_pct} to {self.max_soc_pct} %"


class AcbWake(Section):
    """Wakes an AC Battery."""

    action: Literal["acb_wake"]
    serial: Name

    @property
    def target(self) -> str:
        """What it sets."""
        return f"acb_{self.serial}"

    def __str__(self) -> str:
        return f"AC Battery {self.serial} awake"


class Grid(Section):
    """Moves the relay between the house and the grid. Off is an island, and wants its word of confirmation."""

    action: Literal["grid"]
    state: Literal["on", "off"]
    confirm: Literal["ISLAND"] | None = Field(None, description="needed with off, and with off only")

    @model_validator(mode="after")
    def _meant(self) -> Grid:
        if self.state == "off" and self.confirm is None:
            raise ValueError(_NEEDS_CONFIRMATION)
        return self

    @property
    def target(self) -> str:
        """What it sets."""
        return "grid"

    def __str__(self) -> str:
        return f"grid {self.state}"


Automatic = StorageMode | Reserve | ChargeFromGrid | DryContactSwitch | DryContactSet | AcbSleep | AcbWake
Action = Annotated[Automatic | Grid, Field(discriminator="action")]
ACTIONS: TypeAdapter[Automatic | Grid] = TypeAdapter(Action)
NAMES: tuple[str, ...] = ("storage_mode", "reserve", "charge_from_grid", "dry_contact", "dry_contact_settings")
NAMES += ("acb_sleep", "acb_wake", "grid")


def is_tariff(action: Automatic | Grid) -> bool:
    """Whether it is written with the whole tariff document."""
    return isinstance(action, StorageMode | Reserve | ChargeFromGrid)


def parse(data: Any) -> Automatic | Grid:
    """The action that a JSON object asks for. Raises ValueError with a sentence."""
    if not isinstance(data, dict) or data.get("action") not in NAMES:
        given = f"action {str(data.get('action'))[:40]!r}" if isinstance(data, dict) and "action" in data else "that"
        raise ValueError(
            f'{given} is none of {", ".join(NAMES)}: send for example {{"action": "reserve", "soc_pct": 30}}'
        )
    try:
        return ACTIONS.validate_python(data, strict=True)
    except ValidationError as error:
        raise ValueError("; ".join(_told(item) for item in error.errors(include_url=False)[:3])) from None


def _told(item: Any) -> str:
    where = ".".join(str(part) for part in item["loc"][1:])
    return f"{where}: {sentence(item, ACTIONS.json_schema())}"[:200].removeprefix(": ")


def no_grid(value: Any) -> Any:
    """Refuse the grid relay where actions run by themselves."""
    for item in value if isinstance(value, list | tuple) else ():
        if isinstance(item, dict) and item.get("action") == "grid":
            raise ValueError(
                "the grid relay is never moved by itself: an island without somebody watching can leave the house "
                "without power; use  zero-export ensemble grid"
            )
    return value
