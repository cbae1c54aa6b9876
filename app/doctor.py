"""Tries each real device once, and says what it found and what to do next."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

import aiohttp

from app import inverters
from app.access import Access
from app.batterydoctor import battery
from app.broker import Address, Broker, Message
from app.brokers import Brokers
from app.checks import Check, running, until
from app.config import Config, InfluxConfig
from app.enphase.doctor import examine_gateway
from app.enphase.gateway import Gateway
from app.enphase.section import EnphaseSection
from app.fields import BrokerConfig
from app.meterdoctor import meters
from app.outbound import new_session
from app.prices import Outside, PriceConfig, PriceFeed
from app.redact import Redactor
from app.stepdoctor import Say, step_tests
from app.telemetry.answers import Answer, Outcome, judge, no_answer
from app.telemetry.points import Point
from app.telemetry.spool import waiting

DEVICES = ("meter", "mqtt", "inverter", "battery", "enphase", "price", "venus", "telemetry")
SECTIONS = {"battery": "batteries.md", "enphase": "enphase.md", "price": "prices.md", "venus": "venus.md"}
BROKER_WAIT_S = 6.0
PRICE_WAIT_S = 12.0
ANSWER_MAX_B = 4096


async def examine(
    config: Config, devices: Sequence[str], step: Sequence[str] = (), say: Say = lambda _line: None
) -> list[Check]:
    """Try the named devices, in their natural order; last, ``step`` the inverters with these serials."""
    checks: list[Check] = []
    if "meter" in devices:
        checks += await meters(config)
    if "mqtt" in devices or "inverter" in devices:
        checks += await _mqtt(config, with_inverters="inverter" in devices)
    if "battery" in devices and config.battery is not None:
        checks.append(await battery(config, config.battery))
    if "enphase" in devices and config.enphase is not None:
        checks += await _enphase(config, config.enphase)
    if "price" in devices and config.price is not None:
        checks.append(await _price(config, config.price))
    if "venus" in devices and config.venus is not None:
        checks.append(await _listening(config, "venus", config.venus.mqtt, config.venus.topic))
    checks += [
        Check(name, "ok", f"there is no {name} section", f"docs/{page} says what it can do.")
        for name, page in SECTIONS.items()
        if list(devices) == [name] and getattr(config, name) is None
    ]
    if "telemetry" in devices:
        checks.append(await _telemetry(config))
    if step:
        checks += await step_tests(config, step, say)
    return checks


async def _mqtt(config: Config, *, with_inverters: bool) -> list[Check]:
    """The brokers that carry commands, or ours where none does; and the inverters."""
    mqtt, name = config.mqtt, f"zero-export-{config.site}-doctor"
    async with new_session() as session:
        own = Broker(Address.of(mqtt), name)
        brokers = Brokers(own, mqtt, name)
        drivers = inverters.build(config.inverters, config.opendtu, Access(session, brokers.at, config.data_dir))
        carriers = list(dict.fromkeys(driver.broker for driver in drivers if driver.broker is not None))
        if not carriers and config.names_broker:
            carriers = [own]
        probes = {broker: asyncio.Event() for broker in carriers}
        probe = f"{mqtt.topic_prefix}/state/doctor"
        for broker, echoed in probes.items():
            broker.subscribe(probe, partial(_set, echoed))
        async with running(*(broker.run() for broker in carriers), *(driver.run() for driver in drivers)):
            checks = [await _broker(broker, probe, echoed) for broker, echoed in probes.items()]
            if with_inverters and all(broker.connected for broker in carriers):
                checks += [check for driver in drivers for check in await driver.examine()]
        return checks


def _set(event: asyncio.Event, _message: Message) -> None:
    event.set()


async def _broker(broker: Broker, probe: str, echoed: asyncio.Event) -> Check:
    started_s = time.monotonic()
    await until(lambda: broker.connected or broker.fault is not None, BROKER_WAIT_S)
    if not broker.connected:
        fault = broker.fault or f"no answer from the MQTT broker at {broker.address}"
        return Check("mqtt", "fail", fault, "Check the mqtt section of config.yaml, and that Mosquitto runs.")
    latency_ms = round(1000.0 * (time.monotonic() - started_s))
    await broker.publish(probe, "probe", qos=1)
    await until(echoed.is_set, 2.0)
    return _broker_check(broker, latency_ms, echoed.is_set(), probe)


def _broker_check(broker: Broker, latency_ms: int, echoed: bool, probe: str) -> Check:
    values = (("latency_ms", latency_ms),)
    if not echoed:
        return Check(
            "mqtt",
            "fail",
            f"{broker.address} accepts the login, but {probe} does not come back",
            "The broker's access rules (ACL) deny this user its topics: allow read and write there.",
            values,
        )
    return Check("mqtt", "ok", f"{broker.address}: connected in {latency_ms} ms", values=values)


async def _enphase(config: Config, section: EnphaseSection) -> list[Check]:
    """The gateway that is asked for telemetry and storage, and the broker that hears of it."""
    async with new_session() as session:
        access = Access(session, Brokers(Broker(Address.of(config.mqtt), ""), config.mqtt, "").at, config.data_dir)
        checks = await examine_gateway(Gateway.of(access, section), "enphase")
    if section.publish is not None:
        checks.append(await _listening(config, "enphase", section.publish.mqtt, section.publish.topic))
    return checks


async def _listening(config: Config, name: str, at: BrokerConfig | None, topic: str) -> Check:
    """Whether the broker that others read ``topic`` at lets us in. Nothing is published."""
    broker = Broker(Address.of(at or config.mqtt), f"zero-export-{config.site}-doctor-{name}")
    async with running(broker.run()):
        await until(lambda: broker.connected or broker.fault is not None, BROKER_WAIT_S)
        if broker.connected:
            return Check(name, "ok", f"{broker.address} lets us in; {topic} is told there")
    fault = broker.fault or f"no answer from the MQTT broker at {broker.address}"
    where = "mqtt" if at is None else "venus.mqtt" if name == "venus" else "enphase.publish.mqtt"
    return Check(name, "fail", fault, f"Check {where} in config.yaml, and that this broker runs.")


async def _price(config: Config, section: PriceConfig) -> Check:
    broker = Broker(Address.of(config.mqtt), f"zero-export-{config.site}-doctor-price")
    async with new_session() as session:
        feed = PriceFeed(section.build(session, Outside(broker)), section.max_stale_s)
        started_s = time.monotonic()
        with suppress(TimeoutError):
            async with running(broker.run()), asyncio.timeout(PRICE_WAIT_S):
                await feed.update()
        price, latency_ms = feed.state(), round(1000.0 * (time.monotonic() - started_s))
    if price.export_value_c is None:
        fault = price.fault or f"no price of export within {PRICE_WAIT_S:.0f} s"
        if section.type == "mqtt":
            fault = broker.fault or f"nothing came on {section.topic} within {PRICE_WAIT_S:.0f} s: publish it, retained"
        step = "Check the price section of config.yaml." if price.fault else "Check its formulas or paths."
        return Check("price", "fail", fault, step)
    words = "earns" if price.export_value_c >= 0 else "costs"
    unit = f"c/kWh ({price.currency})"
    cost = "" if price.import_price_c is None else f", import costs {price.import_price_c:.1f}"
    estimate = " by an estimate" if price.estimated else ""
    slots = feed.around()
    ahead_h = (slots[-1].end_utc_s - time.time()) / 3600.0 if slots else 0.0
    detail = f"{section.type}: export {words} {abs(price.export_value_c):.1f}{cost} {unit}{estimate}; "
    known = f"{ahead_h:.1f} h" if ahead_h >= 2.0 else f"{60.0 * ahead_h:.0f} min"
    detail += f"known for the next {known}, answered in {latency_ms} ms"
    values = (("export_value_c", price.export_value_c), ("import_price_c", price.import_price_c))
    step = "Compare with what your retailer shows now: the sign must be right before you rely on it."
    return Check("price", "ok", detail, step, (*values, ("latency_ms", latency_ms)))


async def _telemetry(config: Config) -> Check:
    influx = config.influxdb
    if influx is None:
        try:
            config.data_dir.mkdir(parents=True, exist_ok=True)
            (config.data_dir / ".doctor").write_text("")
            (config.data_dir / ".doctor").unlink()
        except OSError as error:
            return Check(
                "telemetry",
                "fail",
                f"cannot write to data_dir {config.data_dir}: {error.strerror}",
                "Make the folder writable, or change data_dir.",
            )
        return Check("telemetry", "ok", f"SQLite in {config.data_dir}")
    check = await _influx(config.site, influx)
    waits_b, since_utc_s = await asyncio.to_thread(waiting, config.data_dir / "spool")
    waits_min = 0.0 if since_utc_s is None else max(0.0, time.time() - since_utc_s) / 60.0
    spool = f"; {waits_b / 1e6:.1f} MB wait in the spool, the oldest for {waits_min:.0f} min" if waits_min > 1.0 else ""
    return replace(check, detail=check.detail + spool, values=(*check.values, ("spool_b", waits_b)))


async def _influx(site: str, influx: InfluxConfig) -> Check:
    """A point into each bucket, as the controller would send it: no other way tells whether they may be written."""
    from app.telemetry.influx import current_token, line  # noqa: PLC0415 - 23 MB that only its users pay

    fields = (("kind", "doctor"), ("text", "zero-export doctor tried whether points are taken"))
    data = line(Point("event", (("site", site),), fields, time.time()))
    token = current_token(influx)
    headers, redacted = {"Authorization": f"Token {token}"}, Redactor([token])
    buckets, started_s = (influx.bucket, influx.lasting_bucket), time.monotonic()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5), headers=headers) as session:
        for bucket in buckets:
            answer = await _written(session, influx, bucket, data)
            if answer.outcome is not Outcome.TAKEN:
                step = f"{answer.next_step[0].upper()}{answer.next_step[1:]}."
                return Check("telemetry", "fail", redacted(f"InfluxDB at {influx.url} {answer.what}"), step)
    latency_ms = round(1000.0 * (time.monotonic() - started_s) / len(buckets))
    detail = f"InfluxDB at {influx.url} takes points for {' and '.join(buckets)} ({latency_ms} ms)"
    return Check("telemetry", "ok", detail, values=(("latency_ms", latency_ms),))


async def _written(session: aiohttp.ClientSession, influx: InfluxConfig, bucket: str, data: str) -> Answer:
    query = {"org": influx.org, "bucket": bucket, "precision": "ms"}
    try:
        async with session.post(f"{influx.url}/api/v2/write", params=query, data=data, allow_redirects=False) as answer:
            said = (await answer.content.read(ANSWER_MAX_B)).decode(errors="replace")
            return judge(answer.status, said, None, bucket=bucket, utc_s=time.time())
    except (aiohttp.ClientError, TimeoutError) as error:
        return no_answer(str(error) or "no answer within 5 s", in_time=True)
