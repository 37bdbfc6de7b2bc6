-- Named documents with versions: connections, types, models, sessions, experiments, runs of experiments, actions without a skill.
create table documents (
  project_id text    not null,
  kind       text    not null,
  parent     text    not null,           -- the experiment of a run; otherwise empty
  name       text    not null,
  version    integer not null,
  body       text    not null,           -- the document as JSON; null marks a deletion
  created_by text    not null,
  created_at real    not null,           -- of the first version, or the first after a deletion
  saved_at   real    not null,
  expires_at real,                       -- of a session; null: never
  primary key (project_id, kind, parent, name, version)
) strict, without rowid;
create index documents_that_expire on documents (expires_at) where expires_at is not null;
