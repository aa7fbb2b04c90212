-- What people must look at: listed, minded, resolved; and swept together where nobody else raises it.

-- name: list_exceptions
-- What people must look at, the oldest first, those resolved only when asked; goes on above ($2, $3).
select id, kind, ref, station_id, details::text as details, opened_at, owner, resolved_at, resolved_by, resolution
from exception
where (opened_at, id) > ($2::timestamptz, $3::uuid)
and ($4 or resolved_at is null)
and ($5::text is null or kind = $5)
and ($6::text is null or owner = $6)
and ($7::text is null or station_id = $7)
order by opened_at, id
limit $1;

-- name: show_exception
-- One of them.
select id, kind, ref, station_id, details::text as details, opened_at, owner, resolved_at, resolved_by, resolution
from exception
where id = $1;

-- name: exception_changes
-- What people did with it, in order.
select at, made_by, owner, resolution
from exception_change
where exception_id = $1
order by id;

-- name: lock_exception
-- When it was resolved, if it was; nobody else changes it meanwhile.
select resolved_at
from exception
where id = $1
for update;

-- name: mind_exception
-- Exception $1 gets owner $4 if $2, is resolved as $5 if that is not null, at $6 by $3; who did so is kept.
with changed as (
    update exception
    set owner = case when $2 then $4 else owner end, resolution = coalesce($5, resolution),
        resolved_at = case when $5::text is not null then $6::timestamptz end,
        resolved_by = case when $5::text is not null then $3 end
    where id = $1
    returning id, owner)
insert into exception_change (exception_id, at, made_by, owner, resolution)
select id, $6, $3, owner, $5
from changed;

-- name: list_unsettled
-- Sessions that ended before instant $1 and still lack their start or their payer become exceptions, opened at $2.
insert into exception (id, kind, ref, station_id, details, opened_at)
select gen_random_uuid(), 'session_unsettled', s.id::text, s.station_id,
    jsonb_build_object('session', s.id, 'state', s.state, 'started_at', s.started_at, 'ended_at', s.ended_at), $2
from session s
where s.state in ('pending', 'incomplete')
and s.ended_at < $1
on conflict (kind, ref) do nothing;

-- name: resolve_settled
-- Those of them that were closed after all need nobody any more, as of instant $1.
update exception e
set resolved_at = $1, resolution = 'closed as ' || s.state
from session s
where e.kind = 'session_unsettled'
and e.resolved_at is null
and s.id = e.ref::uuid
and s.closed_at is not null;

-- name: concerns_now
-- What is wrong by itself: holds begun before $1, jobs for psps without an outcome for $2 seconds (wall clock),
-- providers that owe us, suspense and rounding that are not 0. Each once, as kind, ref, station, details.
select 'old_hold' as kind, s.id::text as ref, s.station_id,
    jsonb_build_object('session', s.id, 'state', s.state, 'driver', s.driver_id, 'currency', s.currency,
        'held_minor', g.balance, 'opened_at', s.opened_at)::text as details
from session s
join guarded_account g on g.address = 'session:' || s.id || ':held'
where s.state in ('pending', 'active', 'incomplete', 'provisional', 'review')
and s.opened_at < $1
and g.balance > 0
union all
select 'payment_unknown', o.key, null,
    jsonb_build_object('job', o.id, 'kind', o.kind, 'attempts', o.attempts, 'since', o.created_at, 'error', o.last_error)::text
from outbox o
where o.state = 'waiting'
and o.kind like 'psp.%'
and o.attempts > 0
and o.created_at < now() - $2::float8 * interval '1 second'
union all
select case when a.account like 'provider:%' then 'negative_provider' else 'suspense' end, a.account || '/' || a.asset,
    null, jsonb_build_object('account', a.account, 'currency', a.asset, 'balance_minor', a.credited - a.debited)::text
from account_sums(null, null, null) a
where (a.account like 'provider:%:payable' and a.credited < a.debited)
or (a.account in ('suspense', 'rounding') and a.credited <> a.debited)
order by kind, ref;

-- name: open_concerns
-- The concerns ($1 kinds, $2 refs, $3 stations, $4 details) become exceptions, opened at $5. One that had ended by itself
-- and has come back is open again; one that a person resolved stays resolved.
insert into exception as e (id, kind, ref, station_id, details, opened_at)
select gen_random_uuid(), c.kind, c.ref, c.station_id, c.details::jsonb, $5
from unnest($1::text[], $2::text[], $3::text[], $4::text[]) c (kind, ref, station_id, details)
on conflict (kind, ref) do update
set details = excluded.details, opened_at = excluded.opened_at, resolved_at = null, resolution = null
where e.resolved_at is not null
and e.resolved_by is null
returning e.kind;

-- name: end_concerns
-- Of the kinds $1, exceptions beside those still there ($2 kinds, $3 refs) have ended by themselves at $4.
update exception e
set resolved_at = $4, resolution = 'ended by itself'
where e.kind = any ($1::text[])
and e.resolved_at is null
and not exists (
    select from unnest($2::text[], $3::text[]) c (kind, ref) where c.kind = e.kind and c.ref = e.ref);

-- name: resolve_exception
-- The exception ($1, $2) needs nobody any more: resolution $3, at $4.
update exception
set resolved_at = $4, resolution = $3
where kind = $1
and ref = $2
and resolved_at is null;
