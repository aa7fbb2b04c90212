-- name: claim_jobs
-- Leases at most $1 due jobs for $2 seconds, oldest first; of one subject only the first. No lock outlives this statement.
-- `unclear`: what the attempt before left with it says that one of them may have had its effect.
select id, kind, key, subject, payload::text as payload, attempts, claims,
    coalesce(result ?| array['unclear', 'pending'], false) as unclear
from claim_jobs($1, $2);

-- name: waiting_jobs
-- How many jobs are due and not done.
select count(*)
from outbox
where state = 'waiting'
and next_at <= now();

-- name: renew_leases
-- The jobs $1 are still worked on: their leases run $2 seconds from now.
update outbox
set leased_until = now() + $2::float8 * interval '1 second'
where id = any($1::uuid[])
and state = 'waiting';

-- name: finish_jobs
-- How attempts ended, by job: done, given up, or waiting for another one in so many seconds. What has ended stays ended:
-- answers the jobs that had not.
update outbox o
set state = r.state,
    attempts = o.attempts + (r.state = 'waiting')::integer,
    next_at = now() + r.wait_s * interval '1 second',
    leased_until = null,
    last_error = r.error,
    result = r.result::jsonb,
    done_at = case when r.state = 'waiting' then null else now() end
from unnest($1::uuid[], $2::text[], $3::float8[], $4::text[], $5::text[]) r (id, state, wait_s, error, result)
where o.id = r.id
and o.state = 'waiting'
returning o.id;

-- name: insert_jobs
-- New work; a key that stands already is the same work.
insert into outbox (id, kind, key, subject, payload)
select j.id, j.kind, j.key, j.subject, j.payload::jsonb
from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[]) j (id, kind, key, subject, payload)
on conflict (key) do nothing;

-- name: insert_concerns
-- Things people must look at; each is listed once.
insert into exception (id, kind, ref, station_id, details, opened_at)
select c.id, c.kind, c.ref, c.station_id, c.details::jsonb, c.opened_at
from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
    c (id, kind, ref, station_id, details, opened_at)
on conflict (kind, ref) do nothing;

-- name: post
-- The answers of post() to postings $1 with transfers $2, in order.
select post($1::posting_in[], $2::transfer_in[]);

-- name: share_providers
-- Lets no statement of the providers $1 take shares over from psps until this transaction ends; those of other jobs wait
-- for nobody. In one order.
select pg_advisory_xact_lock_shared(hashtextextended('shares/' || p.id, 0))
from (select distinct id from unnest($1::text[]) k (id) order by id) p;

-- name: submit_remittances
-- Shares a psp is about to be told to pay; a share that is live or paid is not submitted again, nor one that a statement
-- took over meanwhile.
insert into remittance_item (bill_id, payee, attempt, psp, account, amount_minor, currency, state, at)
select r.bill_id, r.payee, 1, r.psp, r.account, r.amount_minor, r.currency, 'submitted', r.at
from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::timestamptz[])
    r (bill_id, payee, psp, account, amount_minor, currency, at)
where not exists (select from statement_adjustment j where j.bill_id = r.bill_id and j.kind = 'psp_failed')
on conflict do nothing;

-- name: end_remittances
-- What became of the submitted shares of bills $1: states $2, the psp's names for them $3.
update remittance_item i
set state = r.state, psp_ref = r.psp_ref
from unnest($1::uuid[], $2::text[], $3::text[]) r (bill_id, state, psp_ref)
where i.bill_id = r.bill_id
and i.state = 'submitted';

-- name: find_collections
-- All that is needed to collect and settle bills $1: `total_minor` is what no voucher paid. What the statement run took over, no psp pays any more.
select b.id as bill_id, b.session_id, b.station_id, b.connector, b.site_id, b.provider_id, b.driver_id, b.psp,
    b.currency, b.started_at, b.ended_at, b.energy_wh, b.seconds, asked_minor(b) as total_minor, b.vat_minor,
    b.operator_minor, b.provider_minor, a.id as authorization_id, a.policy, a.psp_ref, coalesce(a.issuer, t.issuer) as issuer,
    coalesce(a.subject, t.subject) as subject, p.psp_accounts ->> b.psp as provider_account,
    case
        when exists (select from statement_adjustment j where j.bill_id = b.id and j.kind = 'psp_failed') then 'run'
        else b.shares_by
    end as shares_by,
    a.amount_minor as authorized_minor, b.host_minor
from unnest($1::uuid[]) k (id)
cross join lateral (select * from bill where bill.id = k.id limit 1) b
cross join lateral (
    select * from session where session.station_id = b.station_id and session.id = b.session_id limit 1) s
cross join lateral (select * from provider where provider.id = b.provider_id limit 1) p
left join lateral (select * from psp_authorization where psp_authorization.id = s.authorization_id limit 1) a on true
left join lateral (select * from token where token.key = s.token_key limit 1) t on true;

-- name: insert_payments
-- Payments that a psp took for sessions; what stands under the psp's name for it is the same payment.
insert into payment (id, psp, psp_ref, driver_id, kind, session_id, amount_minor, currency, at)
select p.id, p.psp, p.psp_ref, p.driver_id, 'session', p.session_id, p.amount_minor, p.currency, p.at
from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::bigint[], $7::text[], $8::timestamptz[])
    p (id, psp, psp_ref, driver_id, session_id, amount_minor, currency, at)
order by p.psp, p.psp_ref
on conflict (psp, psp_ref) do nothing;

-- name: begin_refunds
-- Refunds $1 of the payments that psps $2 call $3, each with its job; one that was begun before is the same.
select begin_refund(r.id, p.id, r.minor, r.session_id, null, r.reason, null, r.at)
from unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::uuid[], $6::text[], $7::timestamptz[])
    r (id, psp, psp_ref, minor, session_id, reason, at)
left join payment p on p.psp = r.psp and p.psp_ref = r.psp_ref
order by p.id, r.id;

-- name: end_refunds
-- How refunds ended; answers those whose end was news.
select end_refunds($1::refund_end_in[]);

-- name: find_refund
-- A refund with the psp's name for its payment, and whose session it was for.
select r.id, r.state, r.psp, r.psp_ref, r.amount_minor, r.currency, r.reason, r.driver_id, r.session_id, r.bill_id,
    p.psp_ref as payment_ref, s.provider_id, s.station_id
from refund r
join payment p on p.id = r.payment_id
left join lateral (select * from session where session.id = r.session_id limit 1) s on true
where r.id = $1;

-- name: hurry_jobs
-- There is news of subjects $1: their waiting jobs are due now.
update outbox
set next_at = now()
where subject = any($1::text[])
and state = 'waiting'
and next_at > now();

-- name: tell
-- Tells the endpoints that want it; answers how many messages that makes.
select tell($1::notice_in[]);

-- name: reopen_job
-- A job that was given up is tried again under its key; no row comes back when it was not given up.
update outbox
set state = 'waiting', attempts = 0, next_at = now(), done_at = null
where key = $1
and state = 'given_up'
returning id;

-- name: job_is_over
-- Whether no worker works on job $1 any more.
select state <> 'waiting'
from outbox
where key = $1;
