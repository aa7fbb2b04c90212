-- Vehicles and whose they are, what they asked for and were offered, and payments for what was offered.

create table vehicle (
    id uuid primary key,
    driver_id text not null references driver,
    kind text not null check (kind in ('VIN', 'EVCCID', 'eMAID', 'MAC', 'app')),
    key bytea not null check (length(key) = 32),
    masked text not null,
    vehicle_class text check (length(vehicle_class) between 1 and 48),
    proven_at timestamptz,
    proof text check (proof in ('staff', 'app', 'session')),
    created_at timestamptz not null,
    check ((proven_at is null) = (proof is null)),
    unique (driver_id, kind, key)
);
comment on table vehicle is 'what a driver says to be their vehicle, or app; only what is proven buys anything';
comment on column vehicle.key is 'SHA-256 of the canonical text, as of tokens: the text itself is not kept';
comment on column vehicle.proof is 'staff say so, the app itself asked, or the driver charged with it as token';
-- A claim that nobody has proven keeps nobody else out.
create unique index vehicle_proven on vehicle (kind, key) where proven_at is not null;

create table voucher_inquiry (
    id uuid primary key,
    driver_id text not null references driver,
    vehicle_id uuid references vehicle on delete set null,
    station_id text references station on delete set null,
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    asked_at timestamptz not null,
    valid_until timestamptz not null check (valid_until > asked_at),
    tendency_version integer,
    confidence text not null check (confidence in ('high', 'medium', 'low')),
    sessions integer not null check (sessions >= 0),
    days integer not null check (days between 0 and 56),
    message_id text check (message_id is null or station_id is not null),
    unique (station_id, message_id)
);
comment on column voucher_inquiry.tendency_version is 'of the driver''s tendency, older than the question; null: none is kept';
comment on column voucher_inquiry.message_id is 'of the station that asked for the vehicle; null: an app, or staff';
create index voucher_inquiry_driver on voucher_inquiry (driver_id, asked_at, id);
create index voucher_inquiry_vehicle on voucher_inquiry (vehicle_id);
create index voucher_inquiry_asked on voucher_inquiry (asked_at);

-- A product at a price, for one vehicle, until its inquiry is over. It buys one voucher.
create table voucher_offer (
    id uuid primary key,
    inquiry_id uuid not null references voucher_inquiry,
    place smallint not null check (place > 0),
    product_id text not null,
    product_version integer not null,
    price_minor bigint not null check (price_minor >= 0),
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    expected_minor bigint not null,
    worst_minor bigint not null,
    gain numeric not null check (gain between 0 and 1),
    recommended boolean not null,
    windows smallint not null check (windows >= 0),
    voucher_id uuid unique references voucher,
    unique (inquiry_id, place),
    foreign key (product_id, product_version) references voucher_product
);

-- What a psp is asked for because an offer was taken: it goes into the balance, from which the voucher is bought.
create table voucher_payment (
    id uuid primary key,
    offer_id uuid not null references voucher_offer,
    driver_id text not null references driver,
    psp text not null,
    issuer text not null,
    subject text not null,
    amount_minor bigint not null check (amount_minor > 0),
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    state text not null check (state in ('asking', 'taken', 'declined')),
    psp_ref text,
    reason text,
    asked_at timestamptz not null,
    decided_at timestamptz,
    request bytea not null,
    check ((state = 'asking') = (decided_at is null)),
    check (state <> 'taken' or psp_ref is not null)
);
comment on column voucher_payment.id is 'the idempotency key at the psp is made of it';
comment on column voucher_payment.request is 'hash of the client and its key: a repeat is answered with what it bought';
create unique index voucher_payment_live on voucher_payment (offer_id) where state <> 'declined';
create index voucher_payment_offer on voucher_payment (offer_id);
create index voucher_payment_driver on voucher_payment (driver_id) where state = 'asking';

select guard('vehicle', null, 'driver_id = own_driver()');
select guard('voucher_inquiry', null, 'driver_id = own_driver()');
select guard('voucher_offer', null,
    'exists (select from voucher_inquiry i where i.id = voucher_offer.inquiry_id)');
select guard('voucher_payment', null, 'driver_id = own_driver()');

create trigger vehicle_of_somebody before insert on vehicle
    for each row execute function refuse_erased();
create trigger voucher_payment_of_somebody before insert on voucher_payment
    for each row execute function refuse_erased();

-- Nobody is forgotten while a psp may be taking money; then nothing is kept that tells whose vehicle it was.
create function forget_vehicles() returns trigger language plpgsql as $$
begin
    if exists (select from voucher_payment p where p.driver_id = new.id and p.state = 'asking') then
        raise exception 'this driver cannot be erased yet: a voucher is being paid' using errcode = 'CS409';
    end if;
    delete from vehicle where driver_id = new.id;
    update voucher_payment set issuer = '', subject = '' where driver_id = new.id;
    return null;
end $$;
create trigger driver_erased_has_no_vehicle after update of erased_at on driver
    for each row when (new.erased_at is not null) execute function forget_vehicles();

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
