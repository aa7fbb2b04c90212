-- From when until when a version of a tariff may be used: `start_date_time` and `end_date_time` of its document.

alter table tariff
    add column valid_from timestamptz,
    add column valid_until timestamptz,
    add constraint tariff_validity_goes_forward check (valid_from < valid_until);
comment on column tariff.valid_until is 'exclusive; of the versions that are valid when a use starts the newest prices it';
