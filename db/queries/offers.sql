-- Vehicles, what they are offered, and the history by which that is chosen.

-- name: list_usage_segments
-- A driver's sessions from $2 to $3, each with its quarters of an hour in no order (`at_us`: microseconds since 1970);
-- `since`: when the very first one was. A session that began before $2 is none of them.
select u.session_id, u.station_id, array_agg((extract(epoch from u.at) * 1000000)::bigint) as at_us,
    array_agg(u.wh) as wh, array_agg(u.seconds) as seconds,
    (select min(f.at) from usage_segment f where f.driver_id = $1) as since
from (
    select session_id, station_id, at, wh, seconds
    from usage_segment
    where driver_id = $1
    and at >= $2
    and at < $3
    order by at desc
    limit $4) u
group by u.session_id, u.station_id
having u.session_id not in (
    select session_id
    from usage_segment
    where driver_id = $1
    and at >= $2::timestamptz - interval '1 hour'
    and at < $2)
order by u.session_id;

-- name: list_tariffs_of_stations
-- What is asked at these stations now ($2), whose they are, and the zone and tags of their site.
select s.id, s.site_id, s.provider_id, site.time_zone, coalesce(site.tags, '{}') as site_tags, t.document::text as document
from station s
join lateral (
    select t.document
    from tariff t
    where t.id = s.tariff_id
    and (t.valid_from is null or t.valid_from <= $2)
    and (t.valid_until is null or t.valid_until > $2)
    order by t.version desc
    limit 1) t on true
left join site on site.id = s.site_id
where s.id = any ($1::text[]);

-- name: sessions_of_token
-- Of the sessions $1, at the stations $2, those that began with the token whose key is $3, or with one that stands for it.
select s.id
from unnest($1::uuid[], $2::text[]) k (id, station_id)
cross join lateral (
    select id, token_key, stands_for
    from session
    where session.id = k.id
    and session.station_id = k.station_id
    limit 1) s
where coalesce(s.stands_for, s.token_key) = $3::bytea;

-- name: add_vehicle
-- A vehicle of a driver, who may have it already; proven if $7 says how. No row comes back when it is another's.
insert into vehicle (id, driver_id, kind, key, masked, vehicle_class, proven_at, proof, created_at)
select $1, $2, $3, $4, $5, $6, case when $7::text is not null then $8::timestamptz end, $7::text, $8::timestamptz
where not exists (
    select from vehicle o
    where o.kind = $3
    and o.key = $4
    and o.driver_id <> $2
    and o.proven_at is not null)
on conflict (driver_id, kind, key) do update
set vehicle_class = coalesce(excluded.vehicle_class, vehicle.vehicle_class),
    proven_at = coalesce(vehicle.proven_at, excluded.proven_at),
    proof = coalesce(vehicle.proof, excluded.proof)
returning id, xmax = 0 as is_new;

-- name: show_vehicle
-- A vehicle that the client may know of.
select v.id, v.driver_id, v.kind, v.key, v.masked, v.vehicle_class, v.proven_at, v.proof, v.created_at
from vehicle v
where v.id = $1;

-- name: list_vehicles
-- A driver's vehicles, by id.
select id, driver_id, kind, key, masked, vehicle_class, proven_at, proof, created_at
from vehicle
where driver_id = $1
and id > $2
order by id
limit $3;

-- name: count_vehicles
-- How many vehicles a driver has beside this one.
select count(*)
from vehicle
where driver_id = $1
and (kind, key) <> ($2, $3::bytea);

-- name: drop_vehicle
-- Takes a vehicle away from its driver; no row comes back when it is not there.
delete from vehicle
where id = $1
and driver_id = $2
returning id;

-- name: find_proven_vehicle
-- The vehicle behind an identification that is proven, and its driver.
select id, driver_id, kind, key
from vehicle
where kind = $1
and key = $2
and proven_at is not null;

-- name: charged_with
-- Whether a driver has charged with this token.
select exists (
    select from session
    where driver_id = $1
    and token_key = $2
    and started_at is not null
    and state <> 'invalid');

-- name: prove_vehicle
-- How it was proven whose a vehicle is, the first time.
update vehicle
set proven_at = $2, proof = $3
where id = $1
and proven_at is null;

-- name: list_products_on_sale
-- The newest version of each product that is sold now ($1): of those with a quota, where not all are taken.
select p.id, p.version, p.provider_id, p.name, p.unit, p.amount, p.price_minor, p.currency, p.valid_days, p.effect::text,
    p.conditions::text, p.uses_max
from (
    select distinct on (id) *
    from voucher_product
    order by id, version desc) p
where p.on_sale
and (p.quota is null or p.quota > (
    select count(*)
    from voucher v
    where v.product_id = p.id
    and v.funded_by is null
    and v.state = 'active'
    and v.valid_until > $1))
order by p.id;

-- name: show_asker
-- A driver who asks for vouchers at $2: how often since $3, the products of which vouchers are valid with something left
-- (none for other vehicles than that of the key $4), whether a tendency is kept, its version and region.
select d.keeps_tendency, t.version, t.region, (
    select count(*)
    from voucher_inquiry i
    where i.driver_id = d.id
    and i.asked_at > $3) as inquiries, array(
    select distinct v.product_id
    from voucher v
    where v.driver_id = d.id
    and v.state = 'active'
    and v.used < v.total
    and v.valid_from <= $2
    and v.valid_until > $2
    and (v.token_key is null or v.token_key = $4::bytea)) as held
from driver d
left join tendency t on t.driver_id = d.id
where d.id = $1;

-- name: add_inquiry
-- A question of a vehicle.
insert into voucher_inquiry (id, driver_id, vehicle_id, station_id, currency, asked_at, valid_until, tendency_version,
    confidence, sessions, days, message_id)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12);

-- name: add_offers
-- What it is offered, in order; and each product is counted as offered, once more. Counters are locked in one order.
with made as (
    insert into voucher_offer (id, inquiry_id, place, product_id, product_version, price_minor, currency,
        expected_minor, worst_minor, gain, recommended, windows)
    select o.id, $1, o.place, o.product_id, o.product_version, o.price_minor, $2, o.expected, o.worst, o.gain,
        o.recommended, o.windows
    from unnest($3::uuid[], $4::text[], $5::integer[], $6::bigint[], $7::bigint[], $8::bigint[], $9::numeric[],
        $10::boolean[], $11::smallint[]) with ordinality
        o (id, product_id, product_version, price_minor, expected, worst, gain, recommended, windows, place)
    returning product_id, product_version)
insert into voucher_offered as c (product_id, product_version, began, provider_id, offered)
select m.product_id, m.product_version, unit_of('15 minutes', i.asked_at), p.provider_id, count(*)
from made m
join voucher_inquiry i on i.id = $1
join voucher_product p on p.id = m.product_id and p.version = m.product_version
group by 1, 2, 3, 4
order by 1, 2
on conflict (product_id, product_version, began) do update
set offered = c.offered + excluded.offered;

-- name: drop_old_offers
-- Offers of questions that were asked before $1 and that bought nothing, unless a psp was asked for one. They stay counted.
delete from voucher_offer o
using voucher_inquiry i
where i.id = o.inquiry_id
and i.asked_at < $1
and o.voucher_id is null
and not exists (select from voucher_payment p where p.offer_id = o.id);

-- name: drop_old_inquiries
-- Questions that were asked before $1 of which no offer is kept.
delete from voucher_inquiry i
where i.asked_at < $1
and not exists (select from voucher_offer o where o.inquiry_id = i.id);

-- name: place_of_station
-- Whose a station is, where, and in which currency it asks now ($2; null: nothing).
select s.id, s.site_id, s.provider_id, site.region, coalesce(site.tags, '{}') as site_tags, (
    select t.currency
    from tariff t
    where t.id = s.tariff_id
    and (t.valid_from is null or t.valid_from <= $2)
    and (t.valid_until is null or t.valid_until > $2)
    order by t.version desc
    limit 1) as currency
from station s
left join site on site.id = s.site_id
where s.id = $1;

-- name: lock_offer
-- Lets one request at a time take an offer; what it finds then is read afterwards.
select id
from voucher_offer
where id = $1
for update;

-- name: show_offer
-- An offer with its inquiry, its vehicle, and the payment that is being made for it or was.
select o.id, o.product_id, o.product_version, o.price_minor, o.currency, o.voucher_id, i.driver_id, i.vehicle_id,
    i.station_id, i.valid_until, p.id as payment_id, p.state as payment_state, p.request as payment_request,
    c.kind as vehicle_kind, c.key as vehicle_key
from voucher_offer o
join voucher_inquiry i on i.id = o.inquiry_id
left join vehicle c on c.id = i.vehicle_id
left join voucher_payment p on p.offer_id = o.id and p.state <> 'declined'
where o.id = $1;

-- name: lock_offer_of_payment
-- The offer that a payment is for, and its vehicle, while its driver has it.
select o.id, o.product_id, o.product_version, o.voucher_id, i.driver_id, i.station_id, c.kind as vehicle_kind,
    c.key as vehicle_key
from voucher_payment p
join voucher_offer o on o.id = p.offer_id
join voucher_inquiry i on i.id = o.inquiry_id
left join vehicle c on c.id = i.vehicle_id
where p.id = $1
for update of o;

-- name: take_offer
-- An offer has bought a voucher, and is counted as taken where it was counted as offered.
with taken as (
    update voucher_offer
    set voucher_id = $2
    where id = $1
    returning inquiry_id, product_id, product_version)
update voucher_offered c
set taken = c.taken + 1
from taken t
join voucher_inquiry i on i.id = t.inquiry_id
where c.product_id = t.product_id
and c.product_version = t.product_version
and c.began = unit_of('15 minutes', i.asked_at);

-- name: voucher_to_deliver
-- The voucher that an offer has bought, the vehicle that asked for it, at which station, and its newest connection.
select v.id, v.driver_id, v.product_id, v.product_version, v.unit, v.total, v.price_minor, v.currency, v.terms,
    v.bought_at, v.valid_from, v.valid_until, v.state, i.station_id, s.epoch, c.kind as vehicle_kind,
    c.masked as vehicle_masked
from voucher_offer o
join voucher v on v.id = o.voucher_id
join voucher_inquiry i on i.id = o.inquiry_id
join vehicle c on c.id = i.vehicle_id
left join station s on s.id = i.station_id
where o.id = $1;

-- name: hurry_deliveries
-- Vouchers that wait for the stations $1 to be there are due in $2.
select hurry_deliveries($1, $2);

-- name: add_voucher_payment
-- A psp will be asked for the price of an offer.
insert into voucher_payment (id, offer_id, driver_id, psp, issuer, subject, amount_minor, currency, state, asked_at,
    request)
values ($1, $2, $3, $4, $5, $6, $7, $8, 'asking', $9, $10);

-- name: show_voucher_payment
-- A payment for an offer.
select id, offer_id, driver_id, psp, issuer, subject, amount_minor, currency, state, psp_ref, reason
from voucher_payment
where id = $1;

-- name: decide_voucher_payment
-- What became of it; what is decided stays.
update voucher_payment
set state = $2, psp_ref = $3, reason = $4, decided_at = $5
where id = $1
and state = 'asking';

-- name: add_later_job
-- Work that is due only $6 from now.
insert into outbox (id, kind, key, subject, payload, next_at)
values ($1, $2, $3, $4, $5::text::jsonb, now() + $6);

-- name: lock_station_inquiry
-- Lets one repeat at a time of a station's message ask.
select pg_advisory_xact_lock(hashtext('station inquiry'), hashtext($1::text));

-- name: find_station_inquiry
-- What became of a message of a station.
select id
from voucher_inquiry
where station_id = $1
and message_id = $2;

-- name: list_station_offers
-- What a vehicle was offered by a message of a station.
select o.id, p.name, o.price_minor, o.currency, i.valid_until
from voucher_inquiry i
join voucher_offer o on o.inquiry_id = i.id
join voucher_product p on p.id = o.product_id and p.version = o.product_version
where i.station_id = $1
and i.message_id = $2
and i.vehicle_id = $3
order by o.place;

-- name: bought_at_stations
-- Whether a driver has bought through a station what was offered since $2.
select exists (
    select from voucher_inquiry i
    join voucher_offer o on o.inquiry_id = i.id
    where i.driver_id = $1
    and i.asked_at > $2
    and i.message_id is not null
    and o.voucher_id is not null);

-- name: charges_at
-- Whether a driver charges at a station now.
select exists (
    select from session
    where driver_id = $1
    and station_id = $2
    and state = 'active');
