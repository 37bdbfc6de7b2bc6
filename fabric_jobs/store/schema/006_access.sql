-- Projects that a state directory had before it had this table were made by the first call that named them.
create table projects (
  project_id  text primary key,               -- its name
  title       text not null,
  description text not null,
  created_by  text not null,
  created_at  real not null
) strict, without rowid;
insert into projects (project_id, title, description, created_by, created_at)
  select project_id, project_id, '', 'local', cast(strftime('%s', 'now') as real)
  from (select project_id from definitions union select project_id from activations);

-- Personal tokens: only the public half of each, so that nobody can call with what is in a backup.
create table access_tokens (
  kid        text primary key,                -- the thumbprint of the key, RFC 7638
  project_id text not null references projects,
  name       text not null,                   -- also the username of its calls
  role       text not null check (role in ('read', 'run', 'admin')),
  public_key text not null,                   -- 32 bytes, base64url
  created_by text not null,
  created_at real not null,
  expires_at real,                            -- null: never
  unique (project_id, name)
) strict, without rowid;
