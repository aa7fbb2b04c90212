"""A station of OCPP 2.1: as 2.0.1, with what 2.1 says differently."""

from __future__ import annotations

from dataclasses import replace

from charge_points_sim.devices import v201

DEVICE = replace(v201.DEVICE, version="2.1", subprotocol="ocpp2.1")
