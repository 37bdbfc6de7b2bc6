-- Where an activation runs, and the images that a skill's files were built into.
alter table activations add column executor text not null default 'local';
alter table definitions add column images text not null default '{}'; -- {action: image}
