-- What becomes of vouchers that end: their drivers are told before, and what is never used is earned only by a policy.

alter table voucher add column told_at timestamptz, add column lapses_at timestamptz;
comment on column voucher.told_at is 'when its driver was told that it ends soon';
comment on column voucher.lapses_at is 'when what is left of it is lost for good, as its driver was told; null: not told';
-- Their columns never change while a voucher is used.
create index voucher_ending on voucher (valid_until, id) where state = 'active' and told_at is null;
-- How many of a product are valid is counted of these, not of all that were ever sold.
create index voucher_valid on voucher (product_id, valid_until) where state = 'active';
alter table voucher_product add column country text check (country ~ '^[A-Z]{2}$');
comment on column voucher_product.country is 'whose law says when what is not used is lost; null: it never is';

-- When what is left of a voucher counts as earned. No row: never.
create table breakage_policy (
    country text primary key check (country ~ '^[A-Z]{2}$'),
    after_days integer not null check (after_days between 45 and 36600),
    notice_days integer not null check (notice_days between 1 and 366),
    basis text not null check (length(basis) between 3 and 500),
    changed_by text not null,
    changed_at timestamptz not null
);
comment on column breakage_policy.after_days is 'days after the end of a voucher, or of its carry-over; sessions may be told 45 late';
comment on column breakage_policy.notice_days is 'days between telling the driver and the posting';
comment on column breakage_policy.basis is 'the law or the terms that allow it, as people wrote it';
select guard('breakage_policy', 'true', 'false');

-- Everything belongs to csms_owner (0011), also what was added since.
do $$
declare
    o record;
begin
    for o in
        select format('alter %s %s owner to csms_owner',
            case c.relkind when 'v' then 'view' when 'c' then 'type' else 'table' end, c.oid::regclass) as statement
        from pg_class c
        where c.relnamespace = current_schema()::regnamespace
        and c.relkind in ('r', 'p', 'v', 'c')
        and pg_get_userbyid(c.relowner) <> 'csms_owner'
        union all
        select format('alter function %s owner to csms_owner', p.oid::regprocedure)
        from pg_proc p
        where p.pronamespace = current_schema()::regnamespace
        and pg_get_userbyid(p.proowner) <> 'csms_owner'
        and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
    loop
        execute o.statement;
    end loop;
end $$;
