-- Who saved a version of a skill or an agent; `local` is the user of the gateway.
alter table definitions add column saved_by text not null default 'local';
