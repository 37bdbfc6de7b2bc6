-- Ranges of channels: those that tasks hold, and those that are finished although an earlier record is not.
create table leases (
  channel_id   integer not null references channels,
  first_offset integer not null,
  next_offset  integer,                        -- null: open, it takes in whatever comes
  task_id      integer references tasks,       -- null: given back, for any task of the node
  turn         integer not null default 0,     -- a task works on its leases in this order
  at_end       integer not null default 0,     -- the task finishes it with its exit
  primary key (channel_id, first_offset)
) strict, without rowid;
create index leases_by_task on leases (task_id) where task_id is not null;
create table finished (
  channel_id   integer not null references channels,
  first_offset integer not null,
  next_offset  integer not null,
  primary key (channel_id, first_offset)
) strict, without rowid;

alter table channels add column ahead integer not null default 0; -- records that `finished` has
alter table tasks add column records integer not null default 1; -- that a message or batch task handles, from `record_offset` on
alter table tasks add column worker integer not null default 0;  -- of several on one stream
alter table tasks add column tried integer not null default 0;   -- attempts that its records had in a larger batch
alter table task_totals add column trimmed integer not null default 0;      -- of `count`: tasks whose rows are deleted
alter table task_totals add column trimmed_sent integer not null default 0; -- of `sent`: what these committed
drop index tasks_unfinished;
drop index tasks_busy;
create index tasks_busy on tasks (place) where state in ('STARTING', 'ACTIVE') and receives <> 'stream' and kind = 'job';

-- What earlier versions took: message tasks one record each, streams and calls their whole input.
insert into leases (channel_id, first_offset, next_offset, task_id)
  select channel_id, record_offset, record_offset + 1, task_id from tasks
  where channel_id is not null and record_offset is not null and state in ('QUEUED', 'STARTING', 'ACTIVE');
insert into leases (channel_id, first_offset, next_offset, task_id)
  select c.channel_id, 0, null, t.task_id from tasks t join channels c on c.activation_id = t.activation_id and c.node = t.node
  where (t.receives = 'stream' or t.kind = 'calls') and t.state in ('QUEUED', 'STARTING', 'ACTIVE');
insert into finished (channel_id, first_offset, next_offset)
  select channel_id, record_offset, record_offset + 1 from (
    select t.channel_id, t.record_offset, max(t.state in ('QUEUED', 'STARTING', 'ACTIVE')) as live
    from tasks t join channels c on c.channel_id = t.channel_id
    where t.record_offset >= c.acked group by t.channel_id, t.record_offset) where not live;
update channels set ahead = (select count(*) from finished where finished.channel_id = channels.channel_id)
  where channel_id in (select channel_id from finished);
