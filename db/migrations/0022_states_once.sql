-- A state of a pack is kept once, also where its station tells it again with another number or time: found by its own id,
-- which stands behind the 16 digits of its number.

create index pack_state_told on pack_state (day, code, station_id, substr(id, 18));
