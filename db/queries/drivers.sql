-- Drivers, their tokens and their money, as staff see and change them.

-- name: add_driver
-- Adds a driver; no row comes back when the id is taken.
insert into driver (id, name, created_at, vehicle_class)
values ($1, $2, $3, $4)
on conflict (id) do nothing
returning id;

-- name: change_driver
-- Sets what is given of a driver's name, status, choice and vehicle; no row comes back when there is no such driver.
update driver
set name = case when $2 then $3 else name end, status = coalesce($4, status), rest = coalesce($5, rest),
    vehicle_class = case when $6 then $7 else vehicle_class end
where id = $1
returning id;

-- name: show_driver
-- One driver.
select id, name, status, rest, vehicle_class, created_at
from driver
where id = $1;

-- name: list_drivers
-- Drivers by id, but for those who are only whoever shows a gift code.
select id, name, status, rest, vehicle_class, created_at
from driver
where id > $1
and not is_bearer
order by id
limit $2;

-- name: put_token
-- Adds a driver's token or changes its type and status; no row comes back when the token is somebody else's.
insert into token (key, value, type, status, driver_id, created_at)
values ($1, $2, $3, $4, $5, $6)
on conflict (key) do update
set type = excluded.type, status = excluded.status
where token.driver_id = excluded.driver_id
and token.alias_of is null
and not token.single_use
returning xmax = 0 as is_new;

-- name: add_alias
-- Adds a short token that stands for a long one.
insert into token (key, value, type, status, driver_id, alias_of, created_at)
values ($1, $2, $3, $4, $5, $6, $7);

-- name: follow_alias
-- Gives the lasting alias of a token the token's type and status; answers the alias, if there is one.
update token
set type = $3, status = $4
where driver_id = $1
and alias_of = $2
and not single_use
returning value;

-- name: list_tokens
-- A driver's tokens with their aliases; single-use tokens are not listed.
select t.key, t.value, t.type, t.status, t.created_at,
    (select a.value from token a where a.driver_id = t.driver_id and a.alias_of = t.key and not a.single_use limit 1)
        as alias
from token t
where t.driver_id = $1
and t.alias_of is null
and not t.single_use
and t.key > $2
order by t.key
limit $3;

-- name: driver_money
-- What a driver has, what is set aside for running uses, and what the driver owes, per currency.
with had as (
    select asset, balance
    from guarded_account
    where address = 'driver:' || $1::text || ':balance'),
uses as (
    select distinct credit as address, asset
    from transfer
    where debit = 'driver:' || $1::text || ':balance'
    and credit like 'session:%:held'),
held as (
    select g.asset, sum(g.balance)::bigint as balance
    from uses u
    join guarded_account g on g.address = u.address and g.asset = u.asset
    group by g.asset),
owed as (
    select asset, -balance as balance
    from account_balance
    where address = 'driver:' || $1::text || ':debt')
select asset, coalesce(had.balance, 0) as balance, coalesce(held.balance, 0) as held, coalesce(owed.balance, 0) as debt
from had
full join held using (asset)
full join owed using (asset)
order by asset;

-- name: token_to_start_with
-- A lasting token by its key, with its driver's status, for a start from afar.
select t.key, t.status, t.driver_id, t.psp, t.issuer, t.subject, t.station_id, t.expires_at, d.status as driver_status
from token t
left join driver d on d.id = t.driver_id
where t.key = $1
and t.type <> 'remote';

-- name: add_remote_token
-- Adds the single-use token of a start from afar; it stands for the driver's own (of an alias, for what that stands
-- for), and only its hash is kept.
insert into token (key, type, driver_id, psp, issuer, subject, station_id, alias_of, single_use, expires_at, created_at)
select $1, 'remote', t.driver_id, t.psp, t.issuer, t.subject, $2, coalesce(t.alias_of, t.key), true, $4, $5
from token t
where t.key = $3;

-- name: connector_to_start
-- A station, the kind of one of its connectors (null when it has no such), and how many it is known to have.
select c.kind, (select count(*) from connector o where o.station_id = s.id and o.number > 0) as connectors
from station s
left join connector c on c.station_id = s.id and c.number = $2
where s.id = $1;
