-- name: installation_pepper
-- What keys the HMACs of station credentials.
select pepper
from installation;

-- name: find_arriving_stations
-- What is needed to judge logins, for many stations at once.
select station.id, station.credential, station.strict, station.assume_protocol, station.tx_limits,
    array(
        select row(meter_key.connector, meter_key.public_key)
        from meter_key
        where meter_key.station_id = station.id
        order by meter_key.connector, meter_key.created_at
    ) as meter_keys,
    (select setup.protocol from station_setup setup where setup.station_id = station.id) as set_up_on
from unnest($1::text[]) as asked (id)
cross join lateral (
    select id, credential, strict, assume_protocol, tx_limits
    from station
    where station.id = asked.id
    limit 1
) as station;

-- name: admit_stations
-- Stations have proven who they are: each gets its next epoch, which fences the connections before it.
update station
set epoch = epoch + 1,
    protocol = arrival.protocol,
    connected_at = $3
from (
    select arrived.id, arrived.protocol
    from unnest($1::text[], $2::text[]) as arrived (id, protocol)
    join station as locked on locked.id = arrived.id
    order by arrived.id
    for update of locked
) as arrival
where station.id = arrival.id
returning station.id, station.epoch, station.kind;
