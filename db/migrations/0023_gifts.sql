-- Vouchers that are given away: batches of codes, each the token of a driver without a name who has one voucher.

alter table token drop constraint token_type_check;
alter table token add constraint token_type_check
    check (type in ('rfid', 'app', 'social', 'key_code', 'battery', 'remote', 'voucher'));

alter table driver add column is_bearer boolean not null default false;
comment on column driver.is_bearer is 'whoever shows a gift code; nobody in particular, and in no list';
create index driver_listed on driver (id) where not is_bearer;

alter table voucher add column funded_by text check (
    funded_by is null
    or funded_by in ('operator:campaigns', 'provider:' || coalesce(provider_id, '') || ':payable'));
comment on column voucher.funded_by is 'the account that pays for what is used of a gift; null: its driver has paid before';
-- A gift goes from whoever shows its code to a driver, unless that driver is being forgotten.
create trigger voucher_becomes_somebodys before update of driver_id on voucher
    for each row execute function refuse_erased();

create table voucher_batch (
    id text primary key check (id ~ '^[A-Za-z0-9._-]{1,48}$'),
    product_id text not null,
    product_version integer not null,
    provider_id text references provider,
    count integer not null check (count between 1 and 10000),
    funded_by text not null check (funded_by in ('operator', 'provider')),
    note text check (length(note) between 1 and 500),
    redeem_until timestamptz not null check (redeem_until > created_at),
    created_by text not null,
    created_at timestamptz not null,
    revoked_at timestamptz,
    check (funded_by = 'operator' or provider_id is not null),
    foreign key (product_id, product_version) references voucher_product
);
comment on column voucher_batch.provider_id is 'whose product it is; null: the operator''s';

-- A code, of which only the hash is kept: the key of its token.
create table voucher_gift (
    voucher_id uuid primary key references voucher,
    batch_id text not null references voucher_batch,
    key bytea not null unique check (length(key) = 32),
    bearer text not null references driver,
    redeemed_at timestamptz,
    revoked_at timestamptz,
    check (redeemed_at is null or revoked_at is null)
);
comment on column voucher_gift.bearer is 'the driver who has the voucher until somebody redeems the code: whoever shows it';
comment on column voucher_gift.redeemed_at is 'when its voucher became that of a driver with an account';
create index voucher_gift_batch on voucher_gift (batch_id, voucher_id);

-- What a provider gave away comes off its statement, once per session.
alter table statement_adjustment drop constraint statement_adjustment_kind_check;
alter table statement_adjustment add constraint statement_adjustment_kind_check
    check (kind in ('psp_failed', 'psp_paid_late', 'gift'));

select guard('voucher_batch', 'provider_id = own_provider()', null);
select guard('voucher_gift', 'exists (select from voucher_batch b where b.id = voucher_gift.batch_id)', null);

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
