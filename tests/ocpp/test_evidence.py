"""Evidence over real connections: late ends and signed registers leave the same money on every version."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from csms import db
from csms.base.clock import rfc3339
from csms.flows import meter_keys
from csms.worker.watchdog import SILENT_AFTER, Watchdog
from tests import make
from tests.ocpp.house import Rig, Station
from tests.ocpp.meter import Meter, base64_of, forged

METER = Meter()
PAYMENTS = ("hold", "settle", "reverse")


class Charge:
    """One charge as a station of a version tells it: from noon, at 1 kWh, for an hour of 10 kWh."""

    def __init__(self, rig: Rig, station: Station, version: str) -> None:
        self.rig = rig
        self.station = station
        self.is_2x = version != "ocpp1.6"
        self.ref: Any = "t-1"
        self.seq = 0

    def values(self, wh: int, signed: str | None, context: str) -> list[Any]:
        """Meter values with the plain register, and the signed one."""
        samples: list[Any]
        if self.is_2x:
            samples = [{"value": wh, "context": context}]
            if signed is not None:
                text = {"signedMeterData": base64_of(signed), "signingMethod": "", "encodingMethod": "OCMF"}
                samples[0]["signedMeterValue"] = text | {"publicKey": ""}
        else:
            samples = [{"value": str(wh), "context": context}]
            if signed is not None:
                samples.append({"value": signed, "format": "SignedData", "context": context})
        return [{"timestamp": rfc3339(self.rig.now), "sampledValue": samples}]

    async def event(self, kind: str, wh: int, signed: str | None, context: str) -> Any:
        """A TransactionEvent."""
        self.seq += 1
        payload = {
            "eventType": kind, "timestamp": rfc3339(self.rig.now), "triggerReason": "Authorized", "seqNo": self.seq,
            "evse": {"id": 1}, "transactionInfo": {"transactionId": self.ref},
            "meterValue": self.values(wh, signed, context),
        }  # fmt: skip
        if kind == "Started":
            payload["idToken"] = {"idToken": make.ANN, "type": "ISO14443"}
        return await self.station.call("TransactionEvent", payload)

    async def start(self, signed: str | None = None) -> None:
        """At noon."""
        if self.is_2x:
            await self.event("Started", 1_000, signed, "Transaction.Begin")
            return
        start = {"connectorId": 1, "idTag": make.ANN, "meterStart": 1_000, "timestamp": rfc3339(self.rig.now)}
        self.ref = (await self.station.call("StartTransaction", start))["transactionId"]
        if signed is not None:
            await self.meter(1_000, signed, "Transaction.Begin")

    async def meter(self, wh: int, signed: str | None = None, context: str = "Sample.Periodic") -> None:
        """A reading."""
        if self.is_2x:
            await self.event("Updated", wh, signed, context)
        else:
            values = {"connectorId": 1, "transactionId": self.ref, "meterValue": self.values(wh, signed, context)}
            await self.station.call("MeterValues", values)

    async def end(self, signed: str | None = None, minutes: float = 60) -> Any:
        """So many minutes after noon, whenever it is told."""
        told_at, self.rig.now = self.rig.now, make.after(minutes)
        values = self.values(11_000, signed, "Transaction.End")
        stop = {"transactionId": self.ref, "meterStop": 11_000, "timestamp": rfc3339(self.rig.now)}
        event = {
            "eventType": "Ended", "timestamp": rfc3339(self.rig.now), "triggerReason": "EVDeparted", "seqNo": 99,
            "transactionInfo": {"transactionId": self.ref, "stoppedReason": "EVDisconnected"}, "meterValue": values,
        }  # fmt: skip
        self.rig.now = told_at
        if self.is_2x:
            return await self.station.call("TransactionEvent", event)
        return await self.station.call("StopTransaction", stop | {"transactionData": values})

    async def is_free(self) -> None:
        """The connector shows that it is free."""
        at = rfc3339(self.rig.now)
        if self.is_2x:
            status = {"timestamp": at, "connectorStatus": "Available", "evseId": 1, "connectorId": 1}
        else:
            status = {"connectorId": 1, "errorCode": "NoError", "status": "Available", "timestamp": at}
        await self.station.call("StatusNotification", status)


async def ledger(rig: Rig) -> tuple[list[tuple[str, int]], dict[str, int]]:
    """The postings with their number of transfers, and the balances of all accounts; the books are in order."""
    async with rig.pool.acquire() as conn:
        assert await db.check(conn) == {}
        postings = await conn.fetch(
            "select p.kind, count(*) from posting p join transfer t on t.posting_id = p.id where p.kind = any ($1)"
            " group by p.id, p.kind order by p.kind, 2",
            PAYMENTS,
        )
        accounts = await conn.fetch("select address, balance from account_balance where balance <> 0")
    return [tuple(row) for row in postings], {row["address"]: row["balance"] for row in accounts}


AFTER_10_KWH = {
    "driver:ann:balance": 47_000,
    "operator:fee": 273,
    "provider:P:payable": 2_700,
    "psp:social:clearing": -50_000,
    "vat:output": 27,
}


@pytest.mark.parametrize("version", ["ocpp1.6", "ocpp2.0.1"])
async def test_the_late_end_of_a_silent_session_leaves_the_money_of_a_prompt_one(rig: Rig, version: str) -> None:
    """Q-T13: the power is cut, the watchdog ends the session by its last reading, the station tells its end later."""
    dog = Watchdog(rig.pool, lambda event: rig.told.road.submit(event, lambda _: None), rig.clock)
    charge = Charge(rig, await rig.station(version), version)
    await charge.start()
    rig.now = make.after(30)
    await charge.meter(4_000)
    rig.now = make.after(65)
    await charge.is_free()
    await charge.station.leave()

    rig.now += SILENT_AFTER + timedelta(minutes=1)
    await dog.sweep()
    charge.station = await rig.station(version)
    await charge.station.call("Heartbeat", {})
    postings, accounts = await ledger(rig)
    assert postings == [("hold", 1), ("settle", 3)]
    assert accounts["provider:P:payable"] == 810
    assert accounts["driver:ann:balance"] == 20_000  # what is left stays set aside until the end is known

    rig.now = make.after(600)
    first = await charge.end()
    second = await charge.end()
    assert first == second
    postings, accounts = await ledger(rig)
    assert [kind for kind, _ in postings] == ["hold", "reverse", "settle", "settle"]
    assert accounts == AFTER_10_KWH


ODD_SAMPLES = (
    '[{"value":5000,"context":"Sample.Periodic"},{"value":163630,"context":"Transaction.Begin"}]',  # Q-M06
    "[]",  # Q-M12
    '[{"value":" 6000.4 "}]',  # Q-M13, Q-M14
    '[{"value":"7,0","unit":"kWh"}]',  # Q-M22
    '[{"value":"NaN"},{"value":""},{"value":"null"},{"value":"inf"}]',  # Q-M14
    '[{"value":"50","unit":"Hz"},{"value":"1","measurand":"SoCState","unit":"Percent"}]',  # Q-M16
    '[{"value":999999,"phase":"L1"},{"value":999999,"location":"Cable"}]',  # one phase, another place
)


KILO = '"unitOfMeasure":{"unit":"Wh","multiplier":3}'


@pytest.mark.parametrize("version", ["ocpp1.6", "ocpp2.0.1"])
async def test_odd_meter_values_leave_the_money_of_plain_ones(rig: Rig, version: str) -> None:
    """Q-M06, Q-M10 to Q-M17, Q-M22: what can be understood is, what cannot is kept, and the bill is the same."""
    charge = Charge(rig, await rig.station(version), version)
    await charge.start()
    for minute, samples in enumerate(ODD_SAMPLES, 1):
        rig.now = make.after(minute)
        if charge.is_2x:
            samples = samples.replace('"unit":"kWh"', KILO).replace('"unit":"Hz"', '"unitOfMeasure":{"unit":"Hz"}')
        values = f'{{"timestamp":"{rfc3339(rig.now)}","sampledValue":{samples}}}'  # Q-M15: an object, not a list
        ref = json.dumps(charge.ref)
        head = (
            f'"eventType":"Updated","timestamp":"{rfc3339(rig.now)}","triggerReason":"MeterValuePeriodic","seqNo":0,'
            f'"transactionInfo":{{"transactionId":{ref}}}'
            if charge.is_2x
            else f'"connectorId":1,"transactionId":{ref}'
        )
        action = "TransactionEvent" if charge.is_2x else "MeterValues"
        await charge.station.say(f'[2,"odd{minute}","{action}",{{{head},"meterValue":{values}}}]')
        assert (await charge.station.hear())[:2] == [3, f"odd{minute}"]
        await charge.station.say(f'[2,"bad{minute}","{action}",{{{head},"meterValue":,}}]')  # Q-M10, Q-M11
        assert (await charge.station.hear())[:2] == [4, f"bad{minute}"]
    rig.now = make.after(60)
    await charge.end()
    assert await ledger(rig) == ([("hold", 1), ("settle", 4)], AFTER_10_KWH)
    async with rig.pool.acquire() as conn:
        assert await conn.fetchval("select count(*) from parked_report") == len(ODD_SAMPLES)
        rows = await conn.fetch("select register_wh from reading where register_wh between 1001 and 10999 order by at")
        assert [row["register_wh"] for row in rows] == [5_000, 6_000, 7_000]


@pytest.mark.parametrize("version", ["ocpp1.6", "ocpp2.0.1", "ocpp2.1"])
async def test_what_a_registered_meter_signed_is_billed_and_what_was_forged_is_held(rig: Rig, version: str) -> None:
    """The key is registered while the station is connected, or before: it counts from its next report on."""
    charge = Charge(rig, await rig.station(version), version)
    await charge.station.call("Heartbeat", {})
    async with rig.pool.acquire() as conn:
        arguments = (make.new_id(), "S1", 1, METER.public_key, None, make.NOON, "staff")
        await meter_keys.add(conn, rig.commands, *arguments)
    if version == "ocpp2.1":
        charge.station = await rig.station(version)

    await charge.start(METER.sign(("B", 1_000)))
    rig.now = make.after(60)
    await charge.end(METER.sign(("B", 1_000), ("E", 11_000)))
    postings, accounts = await ledger(rig)
    assert postings == [("hold", 1), ("settle", 4)]
    assert accounts == AFTER_10_KWH

    charge.ref = "t-2"
    rig.now = make.after(61)
    await charge.start(METER.sign(("B", 1_000), filling=" 2"))
    rig.now = make.after(120)
    await charge.end(forged(METER.sign(("E", 11_000)), 11_000, 11_500), 120)
    postings, accounts = await ledger(rig)
    assert postings == [("hold", 1), ("hold", 1), ("settle", 4)]
    assert accounts["driver:ann:balance"] == 17_000
    async with rig.pool.acquire() as conn:
        reasons = await conn.fetch("select state, reason from session order by opened_at")
        assert [tuple(row) for row in reasons] == [("completed", None), ("review", "signature_invalid")]
        verdicts = await conn.fetch("select verdict, count(*) from signed_value group by verdict order by verdict")
        assert [tuple(row) for row in verdicts] == [("invalid", 1), ("valid", 4)]
