-- name: setting
-- The value of one setting.
select value from settings where key = :key;

-- name: put_setting
-- Store a setting, or replace it.
insert into settings (key, value) values (:key, :value) on conflict (key) do update set value = excluded.value;
