-- How the outbox is worked on: one claim, whose plan stays good when it was made while the table was empty.

create index outbox_waiting_subject on outbox (subject, created_at, id) where state = 'waiting';

-- Leases at most `wanted` due jobs for `lease_s` seconds, oldest first; of one subject only the first.
create function claim_jobs(wanted integer, lease_s double precision) returns setof outbox language sql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
    with due as (
        select o.id
        from outbox o
        where o.state = 'waiting'
        and o.next_at <= now()
        and (o.leased_until is null or o.leased_until < now())
        and o.id = (
            select earliest.id
            from outbox earliest
            where earliest.subject = o.subject
            and earliest.state = 'waiting'
            order by earliest.created_at, earliest.id
            limit 1)
        order by o.next_at, o.id
        limit wanted
        for update skip locked)
    update outbox o
    set leased_until = now() + lease_s * interval '1 second', claims = o.claims + 1
    from due
    where o.id = due.id
    returning o.*
$$;
