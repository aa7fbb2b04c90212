"""Which DataTransfer is read by what, on every version: the table to look at first."""

from __future__ import annotations

from csms.domain.events import Outcome
from csms.ocpp.calls import Call, Read, Reader, Reply
from csms.ocpp.vendor import assets, packs, vouchers
from csms.ocpp.vendor.bodies import VENDOR, BadBody

TRANSFERS: dict[str, dict[str, Reader]] = {
    VENDOR: {
        "Hello": assets.hello,
        "Unit.Snapshot": assets.units_seen,
        "Door.Request": assets.door_requested,
        "Door.Status": assets.door_moved,
        "Item.Placed": assets.item_placed,
        "Item.Taken": assets.item_taken,
        "Socket.Connected": assets.socket_changed,
        "Socket.Disconnected": assets.socket_changed,
        "Auth.Token": assets.token_shown,
        "Battery.Inserted": packs.packs_moved,
        "Battery.Released": packs.packs_moved,
        "Battery.ReleaseTimeout": packs.packs_moved,
        "Battery.State": packs.pack_stated,
        "Voucher.Inquire": vouchers.asked,
        "Voucher.Purchase": vouchers.asked,
    },
}
"""
By vendor and message. Session.Cost of `org.csms.assets` is specified and not served yet.

A payload that depends on who built the station will need its model as a third key; none does yet.
"""


def transferred(call: Call) -> Read:
    """Read a DataTransfer; what is not in the table is answered as the specifications say."""
    messages = TRANSFERS.get(call.payload.vendorId)
    if messages is None:
        return Reply(b'{"status":"UnknownVendorId"}')
    read = messages.get(call.payload.messageId)
    if read is None:
        return Reply(b'{"status":"UnknownMessageId"}')
    try:
        return read(call)
    except BadBody as why:
        return assets.bad(call, why)


def transferred_answer(outcome: Outcome, call: Call) -> bytes:
    """What a message is answered that was recorded; its reader knows."""
    assert call.answer is not None
    return call.answer(outcome)
