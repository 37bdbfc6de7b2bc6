-- Which process of the current attempt committed last, and whether it may send more: an exit 0 is no success while it may.
alter table tasks add column sender text not null default '';
alter table tasks add column sender_open integer not null default 0;
