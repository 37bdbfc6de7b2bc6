"""The shim: a small process that starts local programs and keeps their exit codes even if everything else dies.

    python -I -S <this directory>/__main__.py ID DIRECTORY SOCKET LIMIT

It is a program of its own: one thread, the standard library, and its neighbours in this directory. It holds a lock on
`DIRECTORY/ID.lock` as long as it lives, and ends when nobody is connected and nothing runs. Requests and answers are lines
of JSON on a Unix socket, one answer for each request in their order:

    {"do": "start", "name": …, "directory": …, "words": […], "environment": {…}, "cwd": …, "umask": …, "hold": [paths]}
                            perhaps with "warm": {…}, see `templates`
    {"do": "stop", "name": …, "grace": seconds}
    {"do": "sweep", "name": …, "directory": …, "pid": …, "started": …, "grace": seconds}
    {"do": "subscribe"}     from here on the connection has a line {"ended": name} for each attempt that is over
    {"do": "retire"}        start nothing more, and end with the last program

An answer is `{"done": true or false}`, or `{"error": text, "errno": number or null}`. In the directory of an attempt there are:

    begun           the id of the shim, then `<pid> <start time> <inode of the directory>` of the program, which leads its group
    stopped         somebody asked it to stop
    exit            the exit code, once nothing of an attempt lives that has failed or was stopped
    swept           the attempt of another shim, which was killed: none of its processes is alive
    stdout, stderr, remarks

`begun` is made before the program is started, by one process only: an attempt is started once. See `attempts` for how one ends.
"""
