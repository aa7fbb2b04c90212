-- Who a transaction is, and the trail of what people changed.

-- name: act_as
-- Until the transaction ends: the role, whose provider's or driver's rows it sees, and the client that asks.
select set_config('role', $1, true), set_config('csms.provider', $2, true), set_config('csms.driver', $3, true),
    set_config('csms.client', $4, true);

-- name: append_audit
-- Adds an event at the end of the trail; answers its number.
select append_audit($1, $2, $3, $4, $5, $6, $7::text::jsonb, $8, $9::smallint, $10);

-- name: list_audit
-- The trail, the newest event first, below number $2, of one client, one route and a time when given.
select n, at, client, provider_id, driver_id, method, route, object::text as object, encode(body_hash, 'hex') as body_hash,
    status, request_id, encode(hash, 'hex') as hash
from audit_event
where n < $2
and ($3::text is null or client = $3)
and ($4::text is null or route = $4)
and ($5::timestamptz is null or at >= $5)
and ($6::timestamptz is null or at < $6)
order by n desc
limit $1;

-- name: driver_of_identity
-- The driver behind an issuer's subject.
select driver_id
from driver_identity
where issuer = $1
and subject = $2;

-- name: claim_identity
-- Makes a subject this driver's unless it is one's already; answers whose it is.
insert into driver_identity (issuer, subject, driver_id)
values ($1, $2, $3)
on conflict (issuer, subject) do update
set subject = excluded.subject
returning driver_id;

-- name: drop_driver
-- Takes a driver back that nobody came to be.
delete from driver
where id = $1;

-- name: erase_driver
-- Removes what tells who a driver is; answers when that was, null when there is no such driver.
select erase_driver($1, $2);
