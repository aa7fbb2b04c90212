-- Machine and staff access: clients, the signing key, first answers to repeated requests.

-- name: add_client
-- Adds an OAuth2 client; the secret itself is not kept.
insert into oauth_client (id, secret_hash, scopes, name, created_at)
values ($1, $2, $3, $4, $5);

-- name: find_client
-- One client that has not been revoked.
select id, secret_hash, scopes
from oauth_client
where id = $1
and revoked_at is null;

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

-- name: answer_one
-- Does nothing but answer: for timing the way here and back.
select 1;
