"""The shim: a small process that starts local programs and keeps their exit codes even if everything else dies.

    python -I -S <this directory>/__main__.py ID DIRECTORY SOCKET LIMIT

It is a separate program: one thread, the standard library, and its neighbours in this directory. It holds a lock on
`DIRECTORY/ID.lock` while it lives, and ends when nobody is connected and nothing runs. Requests and answers are lines of
JSON on a Unix socket, with one answer for each request, in order:

    {"do": "start", "name": …, "directory": …, "words": […], "environment": {…}, "cwd": …, "umask": …, "hold": [paths]}
                            optionally with "warm": {…}, see `templates`
    {"do": "stop", "name": …, "grace": seconds}
    {"do": "sweep", "name": …, "directory": …, "pid": …, "started": …, "grace": seconds}
    {"do": "subscribe"}     from now on the connection gets a line {"ended": name} for each ended attempt
    {"do": "retire"}        start nothing more, and end after the last program

An answer is `{"done": true or false}`, or `{"error": text, "errno": number or null}`. The directory of an attempt contains:

    begun           the id of the shim, then `<pid> <start time> <inode of the directory>` for the program, the leader of its group
    stopped         somebody asked it to stop
    exit            the exit code; of a failed or stopped attempt, once none of its processes is alive
    swept           none of its processes is alive; for an attempt whose own shim was killed
    stdout, stderr, remarks

One process alone makes `begun`, before it starts the program: so an attempt starts only once. See `attempts` for its end.
"""
