-- Bookkeeping of the migrations in db/migrations.

-- name: lock_migrations
-- One program at a time changes the schema; the number is this system's, chosen once.
select pg_advisory_lock(7216339500160);

-- name: unlock_migrations
-- Let the next program look.
select pg_advisory_unlock(7216339500160);

-- name: create_migration_table
-- What was applied, when, and the SHA-256 of the text that ran.
create table if not exists migration (
    name text primary key,
    checksum text not null,
    applied_at timestamptz not null default now()
);

-- name: applied_migrations
-- Every migration applied so far.
select name, checksum
from migration
order by name;

-- name: record_migration
-- Remember a migration in the transaction that applied it.
insert into migration (name, checksum)
values ($1, $2);

-- name: notice_cluster
-- Lets a database that was brought here from another server begin an era, if its schema knows of them.
do $$ begin
    if to_regprocedure('notice_cluster()') is not null then
        perform notice_cluster();
    end if;
end $$;
