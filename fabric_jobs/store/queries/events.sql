-- name: insert_event
-- Each move adds one.
insert into events (project_id, activation_id, task_id, kind, body, at) values (:project_id, :activation_id, :task_id, :kind, :body, :at);

-- name: events_after
-- The events after a number.
select * from events where number > :after and project_id = :project_id order by number limit :limit;

-- name: events_of_activation
-- The same for one activation: a combined statement would read the events of all.
select * from events where activation_id = :activation_id and number > :after and project_id = :project_id
order by number limit :limit;
