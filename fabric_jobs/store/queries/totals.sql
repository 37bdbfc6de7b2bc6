-- name: activation_states
-- How many activations are in each state, over all projects.
select state, count(*) as count from activations group by state;

-- name: task_states
-- How many tasks are in each state, over all projects.
select state, count(*) as count from tasks group by state;

-- name: channel_totals
-- What flowed over all channels; records that a consumer closed unread count as acknowledged.
select coalesce(sum(next_offset), 0) as appended, coalesce(sum(size), 0) as bytes, coalesce(sum(acked + ahead), 0) as acked from channels;

-- name: other_totals
-- How many records were given up, and the number of the last event.
select (select count(*) from dead_letters) as dead_letters, (select coalesce(max(number), 0) from events) as events;
