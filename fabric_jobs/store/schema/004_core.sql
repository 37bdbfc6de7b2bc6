-- Where the current attempt of a task runs: each place has its own worker slots.
alter table tasks add column place text not null default '';
update tasks set place = coalesce((select executor from attempts
    where attempts.task_id = tasks.task_id and attempts.attempt = tasks.attempt), '')
  where state in ('STARTING', 'ACTIVE');
drop index tasks_busy;
create index tasks_busy on tasks (place) where state in ('STARTING', 'ACTIVE') and receives = 'message' and kind = 'job';

-- Whether an activation has had its turn (before, it has no tasks), and whether all its attempts start cold.
alter table activations add column admitted integer not null default 1;
alter table activations add column cold integer not null default 0; -- attempts are not forked from template processes
drop index activations_pending;
create index activations_admitted on activations (admitted) where state = 'PENDING';
drop view activation_rows;
create view activation_rows as
  select activation_id, project_id, kind, name, entry, pins, state, cancel_requested, cause, error, session_id, correlation_id, username,
    workspace, properties, headers, retry_of, start_node, started_at, ended_at, executor, admitted, cold
  from activations;

-- The totals of the ended tasks of each node of an activation: readers count the live tasks and add these.
create table task_totals (
  activation_id text    not null references activations,
  node          text    not null,
  state         text    not null,             -- in which they ended
  count         integer not null,
  sent          integer not null,             -- records that they committed
  started_at    real,                         -- of the first
  ended_at      real,                         -- of the last
  primary key (activation_id, node, state)
) strict, without rowid;
insert into task_totals (activation_id, node, state, count, sent, started_at, ended_at)
  select activation_id, node, state, count(*), sum(sent), min(started_at), max(ended_at) from tasks
  where activation_id is not null and state not in ('QUEUED', 'STARTING', 'ACTIVE') group by activation_id, node, state;
create trigger tasks_that_end after update of state on tasks
when new.activation_id is not null and old.state in ('QUEUED', 'STARTING', 'ACTIVE') and new.state not in ('QUEUED', 'STARTING', 'ACTIVE')
begin
  insert into task_totals (activation_id, node, state, count, sent, started_at, ended_at)
    values (new.activation_id, new.node, new.state, 1, new.sent, new.started_at, new.ended_at)
    on conflict (activation_id, node, state) do update set count = count + 1, sent = sent + excluded.sent,
      started_at = coalesce(min(started_at, excluded.started_at), started_at, excluded.started_at),
      ended_at = coalesce(max(ended_at, excluded.ended_at), ended_at, excluded.ended_at);
end;
-- Printed and held outputs are sent in the transaction that ends the task, but after the end.
create trigger tasks_that_send_at_their_end after update of sent on tasks
when new.activation_id is not null and new.state not in ('QUEUED', 'STARTING', 'ACTIVE')
begin
  update task_totals set sent = sent + new.sent - old.sent
  where activation_id = new.activation_id and node = new.node and state = new.state;
end;

-- The same for the dead records of a channel.
alter table channels add column dead integer not null default 0;
update channels set dead = (select count(*) from dead_letters where dead_letters.channel_id = channels.channel_id)
  where channel_id in (select channel_id from dead_letters);
create trigger letters_that_come after insert on dead_letters
begin
  update channels set dead = dead + 1 where channel_id = new.channel_id;
end;
create trigger letters_that_go after delete on dead_letters
begin
  update channels set dead = dead - 1 where channel_id = old.channel_id;
end;
