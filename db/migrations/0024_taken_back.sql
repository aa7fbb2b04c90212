-- What a use took of a voucher is taken back with its bill: a row for each bill of a session, credits below zero.
alter table voucher_use add column revision integer not null default 1 check (revision > 0);
alter table voucher_use alter column revision drop default;
comment on column voucher_use.revision is 'the number, in its session, of the bill that took it, or (below zero) took it back';
alter table voucher_use drop constraint voucher_use_pkey, add primary key (voucher_id, session_id, revision);
alter table voucher_use drop constraint voucher_use_units_check, drop constraint voucher_use_minor_check,
    drop constraint voucher_use_value_minor_check;
alter table voucher_use add check (
    units > 0 and minor >= 0 and coalesce(value_minor, 0) >= 0
    or units < 0 and minor <= 0 and coalesce(value_minor, 0) <= 0);

-- What a provider gave away with a bill that was taken back is no longer taken off its statements.
alter table statement_adjustment drop constraint statement_adjustment_check;
alter table statement_adjustment add constraint statement_adjustment_check
    check (amount_minor <> 0 and (kind = 'gift' or (amount_minor > 0) = (kind = 'psp_failed')));

-- What is asked for a bill: the part of it that no voucher paid.
create or replace function asked_minor(b bill) returns bigint language sql stable as $$
    select b.total_minor - coalesce((
        select sum(u.minor)
        from voucher_use u
        where u.session_id = b.session_id
        and u.revision = b.revision), 0)::bigint
$$;

alter type voucher_use_in add attribute revision integer;

-- As in 0018, but for the name of a use; and nothing is done for what there is not: most batches change few of these.
create or replace function save_packs(
    packs pack_in[], states pack_state_in[], swaps swap_in[], vouchers voucher_used_in[], uses voucher_use_in[],
    reservations reservation_used_in[]) returns void language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
    written integer;
    expected integer;
begin
    if cardinality(packs) > 0 then
        update pack p
        set capacity_wh = n.capacity_wh, soc = n.soc, soh = n.soh, mv = n.mv, ma = n.ma, temp = n.temp,
            cycles = n.cycles, discharge_wh = n.discharge_wh, charge_wh = n.charge_wh, epoch = n.epoch, made = n.made,
            faults = n.faults, mode = n.mode, source = n.source, at = n.at, key = n.key, quarantine = n.quarantine,
            version = n.version
        from unnest(packs) n
        where p.code = n.code
        and p.version = n.version - 1;
        get diagnostics written = row_count;
        if written <> cardinality(packs) then perform lost_race('pack'); end if;
    end if;

    if cardinality(states) > 0 then
        insert into pack_state select * from unnest(states) on conflict (day, code, at, id) do nothing;
    end if;

    if cardinality(swaps) > 0 then
        update swap s
        set version = n.version, state = n.state, driver_id = n.driver_id, wanted = n.wanted,
            inserted_at = n.inserted_at, ended_at = n.ended_at, checked_at = n.checked_at, units_in = n.units_in,
            packs_in = n.packs_in, rentals_in = n.rentals_in, units_out = n.units_out, packs_out = n.packs_out,
            rentals_out = n.rentals_out, flags = n.flags, reason = n.reason
        from unnest(swaps) n
        where s.id = n.id
        and s.version = n.version - 1;
        get diagnostics written = row_count;
        select count(*) into expected from unnest(swaps) n where n.version > 1;
        if written <> expected then perform lost_race('swap'); end if;
        if expected < cardinality(swaps) then
            begin
                insert into swap select * from unnest(swaps) n where n.version = 1;
            exception when unique_violation then
                perform lost_race('swap of a station');
            end;
        end if;
    end if;

    if cardinality(vouchers) > 0 then
        update voucher v
        set version = n.version, used = n.used, released_minor = n.released_minor, uses = n.uses
        from unnest(vouchers) n
        where v.id = n.id
        and v.version = n.version - 1
        and v.state = 'active';
        get diagnostics written = row_count;
        if written <> cardinality(vouchers) then perform lost_race('voucher'); end if;
    end if;

    if cardinality(uses) > 0 then
        insert into voucher_use select * from unnest(uses) on conflict (voucher_id, session_id, revision) do nothing;
        get diagnostics written = row_count;
        if written <> cardinality(uses) then perform lost_race('use of a voucher'); end if;
    end if;

    if cardinality(reservations) > 0 then
        update pack_reservation r
        set version = n.version, used_on = n.used_on
        from unnest(reservations) n
        where r.id = n.id
        and r.version = n.version - 1;
        get diagnostics written = row_count;
        if written <> cardinality(reservations) then perform lost_race('reservation'); end if;
    end if;
end $$;
