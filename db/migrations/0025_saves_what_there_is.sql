-- As in 0018, but nothing is done for what there is not: most batches change few of these.
create or replace function save_assets(
    reports asset_report_in[], rentals rental_in[], items item_in[], doors door_in[], grants grant_in[],
    cabinets cabinet_in[]) returns void language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
    written integer;
    expected integer;
    is_over boolean;
begin
    if cardinality(reports) > 0 then
        insert into asset_report
        select * from unnest(reports)
        on conflict (station_id, id) do nothing;
        get diagnostics written = row_count;
        if written <> cardinality(reports) then perform lost_race('report of items'); end if;
    end if;

    if cardinality(items) > 0 then
        update item i
        set state = n.state, place = n.place, station_id = n.station_id, unit = n.unit, rental_id = n.rental_id,
            at = n.at, key = n.key, tag = n.tag, plugged = n.plugged, plugged_at = n.plugged_at, version = n.version
        from unnest(items) n
        where i.code = n.code
        and i.version = n.version - 1;
        get diagnostics written = row_count;
        if written <> cardinality(items) then perform lost_race('item'); end if;
    end if;

    if cardinality(rentals) > 0 then
        begin
            expected := 0;
            -- what is over first, so that an item's next rental finds it free
            foreach is_over in array array[true, false] loop
                update rental r
                set version = n.version, state = n.state, unit = n.unit, driver_id = n.driver_id, item = n.item,
                    taken_at = n.taken_at, due_at = n.due_at, returned_at = n.returned_at,
                    return_station = n.return_station, return_unit = n.return_unit, stopped_at = n.stopped_at,
                    extensions = n.extensions, outage_s = n.outage_s, damage_minor = n.damage_minor, tries = n.tries,
                    reminders = n.reminders, flags = n.flags, reason = n.reason, checked_at = n.checked_at,
                    closed_at = n.closed_at, extended_at = n.extended_at, swap_id = n.swap_id,
                    level_out = n.level_out, level_in = n.level_in, battery_wh = n.battery_wh
                from unnest(rentals) n
                where r.id = n.id
                and r.version = n.version - 1
                and (n.closed_at is not null) = is_over;
                get diagnostics written = row_count;
                expected := expected + written;
            end loop;
            select count(*) into written from unnest(rentals) n where n.version > 1;
            if written <> expected then perform lost_race('rental'); end if;
            insert into rental select * from unnest(rentals) n where n.version = 1;
        exception when unique_violation then
            perform lost_race('rental of an item');
        end;
    end if;

    if cardinality(doors) > 0 then
        update door d
        set state = n.state, state_at = n.state_at, state_key = n.state_key, opened_at = n.opened_at,
            mark_item = n.mark_item, mark_at = n.mark_at, mark_key = n.mark_key, out_of_service = n.out_of_service,
            fault = n.fault, reserved_for = n.reserved_for, told = n.told, version = n.version
        from unnest(doors) n
        where d.station_id = n.station_id
        and d.unit = n.unit
        and d.version = n.version - 1;
        get diagnostics written = row_count;
        select count(*) into expected from unnest(doors) n where n.version > 1;
        if written <> expected then perform lost_race('door'); end if;
        insert into door select * from unnest(doors) n where n.version = 1 on conflict do nothing;
        get diagnostics written = row_count;
        if written <> cardinality(doors) - expected then perform lost_race('door'); end if;
    end if;

    if cardinality(grants) > 0 then
        update door_grant g
        set state = n.state, opened_at = n.opened_at, ended_at = n.ended_at, error = n.error, version = n.version
        from unnest(grants) n
        where g.id = n.id
        and g.version = n.version - 1;
        get diagnostics written = row_count;
        select count(*) into expected from unnest(grants) n where n.version > 1;
        if written <> expected then perform lost_race('grant'); end if;
        if expected < cardinality(grants) then
            begin
                insert into door_grant select * from unnest(grants) n where n.version = 1;
            exception when unique_violation then
                perform lost_race('live grant of a door');
            end;
        end if;
    end if;

    if cardinality(cabinets) > 0 then
        insert into cabinet select * from unnest(cabinets) on conflict (station_id) do update
        set last_seq = excluded.last_seq, seen_at = excluded.seen_at, version = excluded.version
        where cabinet.version = excluded.version - 1;
        get diagnostics written = row_count;
        if written <> cardinality(cabinets) then perform lost_race('cabinet'); end if;
    end if;
end $$;
