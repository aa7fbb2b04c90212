"""
How a station of each OCPP version writes and reads its messages: one module per version, one table.

Payloads are JSON text made by string formatting: thousands of stations share a processor with the
system they test.
"""

from __future__ import annotations

from collections.abc import Mapping

from charge_points_sim.devices import v16, v21, v201
from charge_points_sim.devices.device import Asked, Device, Heard, Shown, StartAsked, StopAsked, TriggerAsked
from charge_points_sim.devices.showing import SHOWING

DEVICES: Mapping[str, Device] = {"1.6": v16.DEVICE, "2.0.1": v201.DEVICE, "2.1": v21.DEVICE}

__all__ = ["DEVICES", "SHOWING", "Asked", "Device", "Heard", "Shown", "StartAsked", "StopAsked", "TriggerAsked"]
