-- Larger bodies are in files: bytes are synced there first, and then rows refer to them.
create table files (
  file_id integer primary key,
  name    text    not null unique,            -- relative to the directory of records
  task_id integer,                            -- whose attempt appends to it; null: the owner does
  attempt integer,
  refs    integer not null default 0,         -- rows that refer to it
  size    integer not null default 0          -- where the last range that they refer to ends
) strict;
create index files_unused on files (refs) where refs = 0;

-- `bytes` is empty when these are not null.
alter table segments add column file_id integer; -- no reference: deleting a file would search every segment
alter table segments add column at integer;
alter table segments add column size integer;
alter table segments add column crc integer;
alter table held add column file_id integer;
alter table held add column at integer;
alter table held add column size integer;
alter table held add column crc integer;
create trigger segments_that_go after delete on segments when old.file_id is not null
begin
  update files set refs = refs - 1 where file_id = old.file_id;
end;
create trigger held_that_go after delete on held when old.file_id is not null
begin
  update files set refs = refs - 1 where file_id = old.file_id;
end;
