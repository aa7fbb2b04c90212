"""Stations made with the `ocpp` package, somebody else's code with its strict schemas, charge like ours."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from ocpp.v16 import ChargePoint as ChargePoint16
from ocpp.v16 import call as call16
from ocpp.v201 import ChargePoint as ChargePoint201
from ocpp.v201 import call as call201
from websockets.asyncio.client import connect

from charge_points_sim.times import wire
from tests.stories.world import PASSWORD, World


@asynccontextmanager
async def guest(world: World, kind: Any, protocol: str) -> AsyncIterator[Any]:
    """A station of the `ocpp` package, connected in place of one that was provisioned for it."""
    place = await world.place("1.6" if protocol == "ocpp1.6" else "2.0.1")
    await place.connection.close()
    name = place.station.id
    user = b64encode(f"{name}:{PASSWORD}".encode()).decode()
    headers = {"Authorization": f"Basic {user}"}
    async with connect(f"{world.ocpp}/{name}", subprotocols=[protocol], additional_headers=headers) as socket:  # type: ignore[list-item]
        station = kind(name, socket)
        reading = asyncio.create_task(station.start())
        try:
            yield station, place
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading


async def test_a_1_6_station_of_the_ocpp_package_charges(world: World) -> None:
    _, card = await world.prepaid()
    async with guest(world, ChargePoint16, "ocpp1.6") as (station, place):
        boot = await station.call(call16.BootNotification(charge_point_model="Guest", charge_point_vendor="Other"))
        assert boot.status == "Accepted"
        verdict = await station.call(call16.Authorize(id_tag=card.value))
        assert verdict.id_tag_info["status"] == "Accepted"
        start = await station.call(
            call16.StartTransaction(connector_id=1, id_tag=card.value, meter_start=500, timestamp=wire(place.now[0]))
        )
        place.at(3600)
        sample = {"timestamp": wire(place.now[0]), "sampled_value": [{"value": "8.5", "unit": "kWh"}]}
        await station.call(
            call16.MeterValues(connector_id=1, transaction_id=start.transaction_id, meter_value=[sample])
        )
        stop = call16.StopTransaction(
            meter_stop=10_500, timestamp=wire(place.now[0]), transaction_id=start.transaction_id, id_tag=card.value
        )
        await station.call(stop)
    bill = await world.bill(await world.only(place))
    assert (bill["energy_wh"], bill["total"]["minor"]) == (10_000, 500 + 3200 + 600)


async def test_a_2_0_1_station_of_the_ocpp_package_charges(world: World) -> None:
    _, card = await world.prepaid()
    async with guest(world, ChargePoint201, "ocpp2.0.1") as (station, place):
        boot = call201.BootNotification(charging_station={"model": "Guest", "vendor_name": "Other"}, reason="PowerUp")
        assert (await station.call(boot)).status == "Accepted"
        token = {"id_token": card.value, "type": "ISO14443"}
        verdict = await station.call(call201.Authorize(id_token=token))
        assert verdict.id_token_info["status"] == "Accepted"

        def event(kind: str, trigger: str, number: int, register: int, **more: Any) -> Any:
            sample = {"value": register, "measurand": "Energy.Active.Import.Register"}
            value = {"timestamp": wire(place.now[0]), "sampled_value": [sample]}
            return call201.TransactionEvent(
                event_type=kind,
                timestamp=wire(place.now[0]),
                trigger_reason=trigger,
                seq_no=number,
                transaction_info={"transaction_id": f"guest-{world.day}"},
                evse={"id": 1, "connector_id": 1},
                meter_value=[value],
                **more,
            )

        started = await station.call(event("Started", "Authorized", 0, 500, id_token=token))
        assert started.id_token_info["status"] == "Accepted"
        place.at(3600)
        await station.call(event("Updated", "MeterValuePeriodic", 1, 8_500))
        await station.call(event("Ended", "EVDeparted", 2, 10_500))
    bill = await world.bill(await world.only(place))
    assert (bill["energy_wh"], bill["total"]["minor"]) == (10_000, 500 + 3200 + 600)
