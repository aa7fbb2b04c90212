"""Proofs of presence: known answers, and what no proof of another time, place or cabinet ever shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.domain import presence
from csms.domain.presence import Code, Fix, Nonce, NotProven, Proof, Proven, Setting

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SECRET = b"12345678901234567890123456789012"
HERE = (37.5665, 126.9780)
EVERYTHING = Setting(frozenset({"totp", "ble", "geofence"}), SECRET, *HERE, radius_m=50, accuracy_m_max=30)

seconds = st.integers(-100_000, 100_000)
degrees = st.tuples(st.floats(-90, 90), st.floats(-180, 180))


def prove(proof: Proof, station: str = "C1", driver: str = "ann", setting: Setting = EVERYTHING) -> Proven | NotProven:
    return presence.prove(proof, station, driver, setting, NOON)


def nonce(age_s: int = 0, station: str = "C1", text: str = "nonce-01", secret: bytes = SECRET) -> Nonce:
    at = int(NOON.timestamp()) - age_s
    return Nonce(text, at, presence.nonce_signature(secret, station, text, at))


def fix(latitude: float = HERE[0], age_s: float = 0, accuracy_m: float = 10) -> Fix:
    return Fix(latitude, HERE[1], accuracy_m, NOON - timedelta(seconds=age_s))


@pytest.mark.parametrize(
    ("unix_s", "code"),
    [
        (59, "46119246"), (1111111109, "68084774"), (1111111111, "67062674"), (1234567890, "91819424"),
        (2000000000, "90698825"), (20000000000, "77737706"),
    ],
)  # fmt: skip
def test_codes_are_those_of_rfc_6238(unix_s: int, code: str) -> None:
    assert presence.totp(SECRET, unix_s) == code


def test_the_known_distance_passes_fifty_metres_and_fails_forty() -> None:
    assert round(presence.distance_m(37.5665, 126.9780, 37.5669, 126.9780), 1) == 44.5
    assert isinstance(prove(fix(37.5669)), Proven)
    near = Setting(EVERYTHING.methods, SECRET, *HERE, radius_m=40, accuracy_m_max=30)
    assert isinstance(prove(fix(37.5669), setting=near), NotProven)


@given(seconds)
def test_a_code_counts_from_its_first_instant_for_two_minutes(age_s: int) -> None:
    shown = int(NOON.timestamp()) - age_s
    began_s_ago = int(NOON.timestamp()) - shown // 30 * 30
    good = isinstance(prove(Code(presence.totp(SECRET, shown))), Proven)
    assert good == (-5 <= began_s_ago <= 120)


@given(seconds)
def test_a_nonce_and_a_place_count_for_two_minutes(age_s: int) -> None:
    assert (
        isinstance(prove(nonce(age_s)), Proven) == isinstance(prove(fix(age_s=age_s)), Proven) == (-5 <= age_s <= 120)
    )


@given(st.binary(min_size=32, max_size=32), st.sampled_from(["C2", "c1", "C1|", ""]))
def test_what_another_secret_or_another_cabinet_made_proves_nothing(secret: bytes, station: str) -> None:
    assert isinstance(prove(nonce(station=station)), NotProven)
    if secret != SECRET:
        assert isinstance(prove(nonce(secret=secret)), NotProven)
    changed = nonce()
    assert isinstance(prove(Nonce(changed.nonce, changed.time + 1, changed.signature)), NotProven)
    assert isinstance(prove(Nonce(changed.nonce + "x", changed.time, changed.signature)), NotProven)


@given(st.text(max_size=12))
def test_any_other_text_is_no_code(text: str) -> None:
    good = {presence.totp(SECRET, int(NOON.timestamp()) - age_s) for age_s in range(0, 121, 30)}
    assert isinstance(prove(Code(text)), Proven) == (text in good)


@given(degrees, degrees)
def test_distances_are_the_same_both_ways_and_never_beyond_half_the_earth(
    one: tuple[float, float], other: tuple[float, float]
) -> None:
    there, back = presence.distance_m(*one, *other), presence.distance_m(*other, *one)
    assert there == pytest.approx(back, abs=1e-3) and 0 <= there <= 20_015_087
    assert presence.distance_m(*one, *one) == 0


@pytest.mark.parametrize("accuracy_m", [31, -1, float("inf"), float("nan")])
def test_a_place_that_is_not_known_well_enough_proves_nothing(accuracy_m: float) -> None:
    assert isinstance(prove(fix(accuracy_m=accuracy_m)), NotProven)


def test_a_place_that_is_no_place_proves_nothing() -> None:
    assert isinstance(prove(fix(float("nan"))), NotProven)


@pytest.mark.parametrize("proof", [Code(presence.totp(SECRET, int(NOON.timestamp()))), nonce(), fix()])
def test_a_cabinet_takes_the_proofs_of_its_setting_alone(proof: Proof) -> None:
    proven = prove(proof)
    assert isinstance(proven, Proven)
    for methods in (EVERYTHING.methods - {proven.method}, frozenset[presence.Method]()):
        setting = Setting(methods, SECRET, *HERE, radius_m=50, accuracy_m_max=30)
        assert isinstance(prove(proof, setting=setting), NotProven)
    assert isinstance(prove(proof, setting=Setting(EVERYTHING.methods)), NotProven)


def test_what_may_be_used_once_is_the_code_and_the_nonce_whoever_shows_it() -> None:
    code = Code(presence.totp(SECRET, int(NOON.timestamp())))
    assert prove(code, driver="ann") == prove(code, driver="bob")
    assert prove(nonce(), driver="ann") == prove(nonce(3), driver="bob")
    assert prove(fix(), driver="ann") != prove(fix(), driver="bob")
    assert prove(code, station="C1") != prove(code, station="C2")
