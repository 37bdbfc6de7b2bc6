-- Where an activation runs, and which images the files of a skill were built into.
alter table activations add column executor text not null default 'local';
alter table definitions add column images text not null default '{}'; -- {action: image}
