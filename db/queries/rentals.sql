-- Rentals as drivers and staff see them, their means of payment, and the charging of rented items.

-- name: show_rental
-- One rental with its money and the door that was last to open for it.
select r.*, s.state as session_state, s.currency, s.hold_minor, s.fee_minor, s.means, s.rest, g.id as grant_id,
    g.station_id as grant_station, g.unit as grant_unit, g.why as grant_why, g.state as grant_state,
    g.expires_at as grant_until, i.kind as item_kind
from rental r
left join item i on i.code = r.item
left join lateral (
    select * from session where session.station_id = r.station_id and session.id = r.id limit 1) s on true
left join lateral (
    select *
    from door_grant
    where door_grant.rental_id = r.id
    order by issued_at desc, attempt desc, id desc
    limit 1) g on true
where r.id = $1;

-- name: list_rentals
-- Rentals, the newest first, narrowed by what is given; goes on below ($2, $3).
select r.*, s.state as session_state, s.currency, s.hold_minor, s.fee_minor, s.means, s.rest, g.id as grant_id,
    g.station_id as grant_station, g.unit as grant_unit, g.why as grant_why, g.state as grant_state,
    g.expires_at as grant_until
from rental r
left join lateral (
    select * from session where session.station_id = r.station_id and session.id = r.id limit 1) s on true
left join lateral (
    select *
    from door_grant
    where door_grant.rental_id = r.id
    order by issued_at desc, attempt desc, id desc
    limit 1) g on true
where (r.requested_at, r.id) < ($2::timestamptz, $3::uuid)
and ($4::text is null or r.station_id = $4)
and ($5::text is null or r.provider_id = $5)
and ($6::text is null or r.driver_id = $6)
and ($7::text is null or r.item = $7)
and ($8::text is null or r.state = $8)
and r.requested_at >= coalesce($9::timestamptz, '-infinity')
and r.requested_at < coalesce($10::timestamptz, 'infinity')
order by r.requested_at desc, r.id desc
limit $1;

-- name: means_to_rent_with
-- A driver's stored means, as `token_to_start_with` shows a token.
select t.key, t.status, t.driver_id, t.psp, t.issuer, t.subject, t.station_id, t.expires_at, d.status as driver_status
from payment_means m
join token t on t.key = m.token_key
join driver d on d.id = m.driver_id
where m.id = $1;

-- name: add_wallet
-- The token that stands for a driver's balance, where none of the driver's cards is named; only its hash is kept.
insert into token (key, type, driver_id, created_at)
values ($1, 'app', $2, $3)
on conflict (key) do nothing;

-- name: add_means
-- Adds a psp's means: its token, of which only the hash is kept, and what its driver calls it.
with added as (
    insert into token (key, type, driver_id, psp, issuer, subject, created_at)
    values ($2, 'app', $3, $4, $5, $6, $8)
    returning key)
insert into payment_means (id, token_key, driver_id, label, created_at)
select $1, key, $3, $7, $8
from added;

-- name: find_means
-- A driver's means at a psp, of whom the psp calls so.
select m.id
from payment_means m
join token t on t.key = m.token_key
where m.driver_id = $1
and t.psp = $2
and t.issuer = $3
and t.subject = $4
and t.status = 'accepted';

-- name: change_means_label
-- Sets what a driver calls a means.
update payment_means
set label = $2
where id = $1;

-- name: show_means
-- One means of a driver.
select m.id, m.driver_id, m.label, m.created_at, t.psp, t.issuer, t.subject
from payment_means m
join token t on t.key = m.token_key
where m.id = $1
and m.driver_id = $2;

-- name: list_means
-- A driver's means, by id.
select m.id, m.driver_id, m.label, m.created_at, t.psp, t.issuer, t.subject
from payment_means m
join token t on t.key = m.token_key
where m.driver_id = $1
and m.id > $2
order by m.id
limit $3;

-- name: drop_means
-- Takes a means away; its token stays, for what it has paid, and pays nothing any more.
with dropped as (
    delete from payment_means
    where id = $1
    returning token_key)
update token t
set status = 'invalid'
from dropped d
where d.token_key in (t.key, t.alias_of);

-- name: identity_of
-- Whose an identity is.
select driver_id
from driver_identity
where issuer = $1
and subject = $2;

-- name: identities_named
-- The issuers that call a driver so.
select issuer
from driver_identity
where driver_id = $1
and subject = $2
and issuer = coalesce($3, issuer)
order by issuer;

-- name: lock_charging
-- Lets one request at a time have a rental's item charge.
select pg_advisory_xact_lock(hashtext('charging'), hashtext($1::text));

-- name: rental_to_charge
-- A rental, its money, its item and where that is plugged in, and the newest command by which it was told to charge.
select r.state, r.item, s.state as session_state, s.hold_minor, s.means, s.token_key, i.plugged, i.tag,
    o.tag is not null as is_known_outlet, st.id is not null as is_station, q.number, q.command_id, q.asked_at,
    c.state as command_state, coalesce(c.answer ->> 'status', 'Accepted') = 'Accepted' as is_taken,
    t.session_id as charge_id, coalesce(t.expires_at > $2, false) as may_still_start,
    coalesce(u.ended_at is null and u.state in ('pending', 'active', 'incomplete'), false) as is_charging
from rental r
join session s on s.station_id = r.station_id and s.id = r.id
left join item i on i.code = r.item
left join outlet_tag o on o.tag = i.tag
left join station st on st.id = r.item and st.portable
left join lateral (select * from charging_request where rental_id = r.id order by number desc limit 1) q on true
left join command c on c.id = q.command_id
left join token t on t.key = q.token_key
left join lateral (select * from session where session.id = t.session_id limit 1) u on true
where r.id = $1;

-- name: add_charging_request
-- Notes the command by which a rented item is told to charge.
insert into charging_request (rental_id, number, command_id, token_key, item, asked_at)
values ($1, $2, $3, $4, $5, $6);
