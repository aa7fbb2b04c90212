-- Look-ups of lending that no index met whole: their plan could turn into a pass over all rentals that are out, or over
-- all that a cabinet ever did. Each has an order now that no other index can give (csms/store/assets.py).

drop index rental_open_from, rental_open_to, rental_item, door_grant_door;
create index rental_open_from on rental (station_id, id) where closed_at is null;
create index rental_open_to on rental (return_station, id) where closed_at is null;
create index rental_open_of on rental (driver_id, requested_at) where closed_at is null;
create index rental_item on rental (item, requested_at, id);
create index door_grant_door on door_grant (station_id, unit, issued_at, id);
