"""The output of builds is understood: BuildKit in the docker command, buildx, and the old builder."""

from __future__ import annotations

from fabric_jobs.images.build_output import BuildOutput

BUILDKIT = """\
#1 [internal] load build definition from Dockerfile
#1 sha256:3391ba5bb4517dab16856993006b1dcf04426367c08a5824fb78b7bcd29795a0
#1 transferring dockerfile: 264B done
#1 DONE 0.0s

#4 [one 1/3] FROM localhost:5000/python-base:dev
#4 sha256:39e86c3b3b04f0f230e198803085d24d96e5e8c783c15122e80000c597f4055b
#4 CACHED

#7 [one 3/3] RUN echo hello
#7 sha256:8e584db362596d9c4a7892741e1ba373a3f227af42c960425ce98c1a69e17856
#7 0.140 hello
#7 DONE 1.1s

#8 [stage-1 1/1] RUN make
#8 sha256:6b1388b24b4fe5e01c30f1ca50528f4ef96773d8e84b59f80cd265ac4b49f975
#8 0.295 \x1b[91mfirst line
#8 0.295
#8 0.296 ERROR: not the end
#8 1.295 last line
#8 ERROR: executor failed running [/bin/sh -c make]: exit code: 3
------
 > [stage-1 1/1] RUN make:
#8 1.295 last line
------
executor failed running [/bin/sh -c make]: exit code: 3
"""
BUILDX = """\
#0 building with "default" instance using docker driver

#1 [internal] load build definition from Dockerfile
#1 transferring dockerfile: 264B done
#1 DONE 0.0s

#8 [stage-1 1/1] RUN make
#8 0.265 first line
#9 [two 1/1] RUN sleep 9
#9 ...

#8 [stage-1 1/1] RUN make
#8 1.265 last line
#8 ERROR: process "/bin/sh -c make" did not complete successfully: exit code: 3

#9 [two 1/1] RUN sleep 9
#9 CANCELED
------
 > [stage-1 1/1] RUN make:
1.265 last line

------
Dockerfile:6
--------------------
   6 | >>> RUN make
--------------------
ERROR: failed to build: failed to solve: process "/bin/sh -c make" did not complete successfully: exit code: 3
"""
OLD = """\
DEPRECATED: The legacy builder is deprecated and will be removed in a future release.
            BuildKit is currently disabled; enable it by removing the DOCKER_BUILDKIT=0
            environment-variable.

Sending build context to Docker daemon  2.048kB
Step 1/2 : FROM localhost:5000/python-base:dev
 ---> d3b87c7b3edb
Step 2/2 : RUN make
 ---> Running in eb8141eb89c3
\x1b[91mfirst line
\x1b[0mlast line
The command '/bin/sh -c make' returned a non-zero code: 3
"""
SYNTAX = """\
#1 [internal] load build definition from Dockerfile
#1 DONE 0.0s

failed to create LLB definition: dockerfile parse error line 5: unknown instruction: IMPORT
"""
NO_BASE = """\
#3 [internal] load metadata for localhost:5000/nope:latest
#3 ERROR: pulling from host localhost:5000 failed with status code [manifests latest]: 401 Unauthorized
------
 > [internal] load metadata for localhost:5000/nope:latest:
------
ERROR: failed to build: failed to solve: 401 Unauthorized
"""


def taken(text: str, *, is_buildkit: bool = True) -> BuildOutput:
    output = BuildOutput(is_buildkit=is_buildkit)
    for line in text.splitlines():
        output.take(line)
    return output


def test_the_step_that_failed_is_shown_whole_and_no_other() -> None:
    assert taken(BUILDKIT).failure().splitlines() == [
        "[stage-1 1/1] RUN make",
        "first line",
        "",
        "ERROR: not the end",
        "last line",
        "executor failed running [/bin/sh -c make]: exit code: 3",
    ]


def test_a_step_that_others_interrupt_is_shown_in_one_piece() -> None:
    assert taken(BUILDX).failure().splitlines() == [
        "[stage-1 1/1] RUN make",
        "first line",
        "last line",
        'process "/bin/sh -c make" did not complete successfully: exit code: 3',
    ]


def test_the_old_builders_last_step_is_shown_without_its_colours() -> None:
    assert taken(OLD, is_buildkit=False).failure().splitlines() == [
        "[2/2] RUN make",
        "first line",
        "last line",
        "The command '/bin/sh -c make' returned a non-zero code: 3",
    ]


def test_an_error_outside_of_the_steps_is_shown() -> None:
    assert taken(SYNTAX).failure().endswith("dockerfile parse error line 5: unknown instruction: IMPORT")


def test_a_base_image_that_cannot_be_had_is_named_once() -> None:
    assert taken(NO_BASE).failure().splitlines() == [
        "[internal] load metadata for localhost:5000/nope:latest",
        "pulling from host localhost:5000 failed with status code [manifests latest]: 401 Unauthorized",
    ]


def test_the_step_that_is_shown_is_the_one_that_speaks() -> None:
    output = BuildOutput(is_buildkit=True)
    for line, step in (
        ("#5 [internal] load build context", "[internal] load build context"),
        ("#6 [2/3] COPY . /app", "[2/3] COPY . /app"),
        ("#5 transferring context: 2B done", "[2/3] COPY . /app"),
        ("#5 0.100 words", "[internal] load build context"),
        ("#6 DONE 0.1s", "[internal] load build context"),
    ):
        output.take(line)
        assert output.step == step


def test_the_old_builders_steps_look_like_those_of_the_new() -> None:
    assert taken(OLD, is_buildkit=False).step == "[2/2] RUN make"
