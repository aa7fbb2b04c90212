-- Machine and staff access: clients, the signing key, first answers to repeated requests.

-- name: add_client
-- Adds an OAuth2 client; the secret itself is not kept.
insert into oauth_client (id, secret_hash, scopes, name, created_at, provider_id)
values ($1, $2, $3, $4, $5, $6);

-- name: find_client
-- One client that has not been revoked, with the secret before this one while that is kept.
select id, secret_hash, scopes, provider_id, case when previous_until > now() then previous_hash end as previous_hash
from oauth_client
where id = $1
and revoked_at is null;

-- name: list_clients
-- Clients by id, revoked ones too.
select id, name, scopes, provider_id, created_at, revoked_at, previous_until
from oauth_client
where id > $1
order by id
limit $2;

-- name: show_client
-- One client, revoked or not.
select id, name, scopes, provider_id, created_at, revoked_at, previous_until
from oauth_client
where id = $1;

-- name: replace_secret
-- Gives a client a new secret; the old one works for $3 more.
update oauth_client
set previous_hash = secret_hash, previous_until = now() + $3::interval, secret_hash = $2
where id = $1
and revoked_at is null
returning id;

-- name: revoke_client
-- Gives a client no further tokens, once.
update oauth_client
set revoked_at = coalesce(revoked_at, $2), previous_hash = null
where id = $1
returning id;

-- name: lock_signing_keys
-- Lets one process at a time make the first signing key.
select pg_advisory_xact_lock(hashtext('signing_key'));

-- name: list_signing_keys
-- Every key whose tokens may still be in use, the newest (which signs) first.
select kid, private_jwk::text as private_jwk
from signing_key
order by created_at desc, kid;

-- name: add_signing_key
-- Adds a key; from now on it signs.
insert into signing_key (kid, private_jwk, created_at)
values ($1, $2::text::jsonb, $3);

-- name: claim_idempotency_key
-- Claims a key for one client; no row comes back when it was claimed before. Waits for a claim that is under way.
insert into idempotency_key (client_id, key, body_hash)
values ($1, $2, $3)
on conflict (client_id, key) do nothing
returning key;

-- name: find_idempotency_key
-- What was asked under this key, and the answer it got.
select body_hash, status, answer::text as answer
from idempotency_key
where client_id = $1
and key = $2;

-- name: keep_answer
-- Keeps the answer for those who ask again.
update idempotency_key
set status = $3, answer = $4::text::jsonb
where client_id = $1
and key = $2;

-- name: sweep_idempotency_keys
-- Forgets the answers to requests that nobody repeats any more; their money stays posted.
delete from idempotency_key
where created_at < now() - $1::interval;

-- name: answer_one
-- Does nothing but answer: for timing the way here and back.
select 1;
