-- name: keep_webhook
-- A webhook as it came; answers its id if it is news.
insert into webhook_in (id, psp, event_id, verified, reason, kind, ref, occurred_at, headers, raw, received_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
on conflict (psp, event_id) do nothing
returning id;

-- name: find_webhook
-- What a webhook says happened.
select id, psp, event_id, verified, kind, ref, occurred_at, received_at
from webhook_in
where id = $1;

-- name: end_webhook
-- What came of asking the psp about webhook $1.
update webhook_in
set outcome = $2
where id = $1;

-- name: list_webhooks_in
-- At most $3 webhooks as they came, newest first, below the place ($1, $2).
select id, psp, event_id, verified, reason, kind, ref, occurred_at, received_at, outcome
from webhook_in
where (received_at, id) < ($1, $2)
order by received_at desc, id desc
limit $3;

-- name: is_payment_known
-- Whether the payment that psp $1 calls $2 stands here.
select exists (select from payment where psp = $1 and psp_ref = $2);

-- name: session_of_order
-- The session whose authorization or fee psp $1 knows as order $2.
select coalesce(
    (select a.session_id from psp_authorization a where a.id = $2 and a.psp = $1),
    (select s.id from session s where s.id = $2 and s.psp = $1 limit 1));

-- name: find_message
-- A notice and the endpoint it is for, with the secrets that sign now. `failing_s`: how long it has taken nothing.
select n.id as notice_id, n.type, n.body::text as body, n.at, e.id as endpoint_id, e.url, e.disabled_at,
    case when e.old_secret_until > now() then e.secrets else e.secrets[1:1] end as secrets,
    extract(epoch from now() - e.failing_since)::float8 as failing_s
from notice n
left join webhook_endpoint e on e.id = $2
where n.id = $1;

-- name: end_messages
-- How endpoints $1 took what they were sent last: whether (2), why not (3), and why nothing more is sent to them (4).
update webhook_endpoint e
set failing_since = case when m.taken then null else coalesce(e.failing_since, now()) end,
    last_error = m.error,
    disabled_at = case when m.disable is null then e.disabled_at else now() end,
    disabled_reason = coalesce(m.disable, e.disabled_reason)
from (
    select *
    from unnest($1::uuid[], $2::boolean[], $3::text[], $4::text[]) m (id, taken, error, disable)
    order by id) m
where e.id = m.id
and e.disabled_at is null
and not (m.taken and e.failing_since is null);

-- name: sweep_notices
-- Makes notices of at most about $1 things that were committed since the last sweep, at instant $2; answers how many.
select sweep_notices($1, $2);

-- name: add_endpoint
-- A new endpoint. The first one hears of what happens from now on, not of all that ever was.
with quiet as (
    update sweep
    set next_xid = pg_snapshot_xmin(pg_current_snapshot())
    where name = 'notices'
    and not exists (select from webhook_endpoint where disabled_at is null))
insert into webhook_endpoint (id, url, description, types, provider_id, secrets, created_at)
values ($1, $2, $3, $4, $5, $6, now())
returning *;

-- name: show_endpoint
-- One endpoint.
select * from webhook_endpoint where id = $1;

-- name: list_endpoints
-- At most $2 endpoints with ids above $1.
select * from webhook_endpoint where id > $1 order by id limit $2;

-- name: change_endpoint
-- New values of endpoint $1; enabled again it is judged anew.
with quiet as (
    update sweep
    set next_xid = pg_snapshot_xmin(pg_current_snapshot())
    where name = 'notices'
    and not exists (select from webhook_endpoint where disabled_at is null))
update webhook_endpoint
set url = $2, description = $3, types = $4, disabled_at = case when $5 then null else coalesce(disabled_at, now()) end,
    disabled_reason = case when $5 then null else coalesce(disabled_reason, 'by staff') end,
    failing_since = case when $5 and disabled_at is not null then null else failing_since end
where id = $1
returning *;

-- name: rotate_endpoint_secret
-- Endpoint $1 gets secret $2; the one before signs too until $3 seconds are over.
update webhook_endpoint
set secrets = array[$2, secrets[1]], old_secret_until = now() + $3::float8 * interval '1 second'
where id = $1
returning *;

-- name: remove_endpoint
-- Removes endpoint $1; what is on its way to it is not sent any more.
delete from webhook_endpoint where id = $1 returning id;

-- name: tell_endpoint
-- Sends endpoint $2 a notice $1 that is for it alone, of type $3 with body $4, at instant $5.
with made as (
    insert into notice (id, key, type, body, at) values ($1, 'ping/' || $1::uuid, $3, $4::jsonb, $5) returning id)
insert into outbox (id, kind, key, subject, payload)
select id, 'notify', 'notice/' || id || '/' || $2::uuid, 'notice/' || id || '/' || $2::uuid,
    jsonb_build_object('notice', id, 'endpoint', $2::uuid)
from made
returning key;

-- name: list_messages
-- At most $4 messages to endpoint $1, newest first, below the place ($2, $3), and what became of them.
select n.id, n.type, n.at, o.state, o.attempts, o.last_error, o.done_at, o.next_at
from outbox o
join notice n on n.id = (o.payload ->> 'notice')::uuid
where o.kind = 'notify'
and o.payload ->> 'endpoint' = $1::text
and (n.at, n.id) < ($2, $3)
order by n.at desc, n.id desc
limit $4;
