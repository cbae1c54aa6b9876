"""The JSON schemas of storage, relays and dry contacts, and of what can be asked of them."""

from __future__ import annotations

from app.api.shapes import FLAG, TEXT, Json, answer, many, maybe, number, optional, record, ref
from app.enphase.ensemble.actions import ACTIONS


def storage_schemas() -> dict[str, Json]:
    """Every schema by its name; those of the actions are what requests are checked against."""
    actions = ACTIONS.json_schema(ref_template="#/components/schemas/{model}")
    named: dict[str, Json] = actions.pop("$defs")
    return {
        **named,
        "EnsembleAction": actions,
        "EnsembleAnswer": record(ensemble=maybe("Ensemble")),
        "EnsembleDone": record(
            written=FLAG | {"description": "false: it was so already"}, text=TEXT, ensemble=maybe("Ensemble")
        ),
        "Ensemble": _ensemble(),
        "StorageBattery": record(
            serial=TEXT,
            kind={"type": "string", "enum": ["iq", "ac"]},
            soc_pct=number("%"),
            power_w=number("W; positive charges"),
            sleep=optional("string", "of an AC Battery: awake, going_to_sleep, asleep or waking"),
            sleep_min_soc_pct=number("%"),
            sleep_max_soc_pct=number("%"),
        ),
        "GridRelay": record(
            admin_state=optional("string", "what was asked of it: open or closed"),
            oper_state=optional("string", "where it stands"),
            mode=optional("string"),
        ),
        "DryContact": record(
            id=TEXT, status=optional("string", "open or closed"), settings=maybe("DryContactSettings")
        ),
        "DryContactSettings": record(
            load_name=TEXT,
            mode=optional("string", "manual, or soc: by the state of charge"),
            soc_low_pct=number("%"),
            soc_high_pct=number("%"),
            grid_action=optional("string"),
            micro_grid_action=optional("string"),
            generator_action=optional("string"),
            override=optional("boolean"),
        ),
        "MeterCollar": record(
            mid_state=optional("string", "of the microgrid interconnection device"),
            grid_state=optional("string"),
            state=optional("string"),
            communicating=optional("boolean"),
        ),
        "Combiner": record(state=optional("string"), communicating=optional("boolean"), firmware=optional("string")),
    }


def _ensemble() -> Json:
    return record(
        age_s=number("since the gateway told it"),
        name=TEXT,
        fault=optional("string", "why there is nothing newer"),
        soc_pct=number("%, of all batteries"),
        power_w=number("W, of all batteries; positive charges"),
        available_wh=number("Wh"),
        capacity_wh=number("Wh"),
        batteries=many(ref("StorageBattery")),
        storage_mode=optional("string", "backup, self-consumption or economy"),
        reserve_soc_pct=number("%, kept for an outage"),
        charge_from_grid=optional("boolean"),
        optimised_schedules=optional("boolean", "while on, the gateway ignores the storage mode"),
        grid=maybe("GridRelay"),
        dry_contacts=many(ref("DryContact")),
        collar=maybe("MeterCollar"),
        combiner=maybe("Combiner"),
    )


def act_on_storage() -> Json:
    """The operation that does one action."""
    return {
        "summary": "Do one action on storage, relays or dry contacts of an Enphase gateway; it may take two minutes",
        "requestBody": {"required": True, "content": {"application/json": {"schema": ref("EnsembleAction")}}},
        "responses": {
            "200": answer("The gateway took it, or it was so already", "EnsembleDone"),
            "409": answer("It is refused, too soon, or there is no such gateway; the text says which", "Error"),
            "415": answer("The body is not JSON", "Error"),
            "502": answer("The gateway does not answer as it should; it may have done it all the same", "Error"),
        },
    }
