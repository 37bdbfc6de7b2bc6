"""The JSON Schemas of jobs, for the documentation only."""

from __future__ import annotations

from typing import Any

from fabric_jobs.gateway.job_answers import CODES
from fabric_jobs.gateway.shapes import COUNT, COUNTS, TEXT, YES_OR_NO, count, good, listed, record, ref, said

TIME = {"type": "string", "format": "date-time"}
MAYBE = {"type": ["object", "null"]}
WHOLE = {"type": "integer", "minimum": 1, "maximum": 999_999_999}
TEXTS_OF = {"type": "array", "items": TEXT}
NEXT = said(["string", "null"], "The `cursor` of the next page; null when this is the last one.")
AVERAGE = said(["number", "null"], "Seconds of a batch, of the attempts that succeeded; null if none did.")

QUEUE = record({"arn": {"type": "string", "minLength": 1}, "max_receive_count": WHOLE})
LISTER = record(
    {"s3_paths": {"type": "array", "items": TEXT, "minItems": 1}, "batch_size": WHOLE},
    includes=TEXTS_OF,
    excludes=TEXTS_OF,
)
OPTIONAL = {
    "timeout": {**WHOLE, "description": "Seconds from the submission; then the job is `timed_out`."},
    "config": {"type": "object", "description": "Anything; the workers get it."},
}
BATCH_FIELDS = record(
    {"workers": {**WHOLE, "maximum": 1000, "description": "How many workers share the batches."}},
    **OPTIONAL,
    item_list={
        **record({"items": {"type": "array", "minItems": 1}, "batch_size": WHOLE}),
        "description": "The items themselves: any JSON values.",
    },
    file_path_lister={**LISTER, "description": "The paths of the files are the items."},
    delimited_files={**LISTER, "description": "What is in the files are the items."},
    sqs_dead_letter_queue={**QUEUE, "description": "Where batches go that failed `max_receive_count` times."},
    max_receive_count={**WHOLE, "description": "How often a batch is tried, without a queue; 1 by default."},
    batch_timeout={
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": 999_999_999,
        "description": "Seconds that one attempt at a batch may take.",
    },
)
BLOCKS = ("item_list", "file_path_lister", "delimited_files")
METRICS = record(
    {
        "succeeded": count("Batches that succeeded."),
        "failed": count("Attempts that failed."),
        "average_time_per_batch": AVERAGE,
        "avg_time_per_batch": AVERAGE,
    }
)
SUBMITTED = {
    "job_id": TEXT,
    "api_name": TEXT,
    "kind": {"enum": ["BatchAPI", "TaskAPI"]},
    "workers": COUNT,
    "config": MAYBE,
    "timeout": {"type": ["integer", "null"]},
    "api_id": said("string", "The version of the API that it runs."),
    "start_time": TIME,
    "created_time": TIME,
}
JOB_SCHEMAS: dict[str, Any] = {
    "CortexError": record(
        {"kind": said("string", "What is wrong, such as `job.not_found`; `error` in general."), "message": TEXT},
        success={"const": False},
        error=TEXT,
        hint=TEXT,
    ),
    "BatchSubmission": {**BATCH_FIELDS, "oneOf": [{"required": [name]} for name in BLOCKS]},
    "TaskSubmission": record({}, **OPTIONAL, workers={"const": 1, "description": "1, if anything."}),
    "ApiSubmission": {"type": "object", "description": "A submission, as the kind of the API needs it."},
    "SubmittedJob": record(
        SUBMITTED,
        sqs_dead_letter_queue=MAYBE,
        sqs_url=TEXT,
        total_batch_count=COUNT,
        spec_id=TEXT,
        pod_id=TEXT,
    ),
    "Job": record(
        {**SUBMITTED, "status": {"enum": [*CODES]}, "username": TEXT, "executor": TEXT},
        end_time=TIME,
        sqs_dead_letter_queue=MAYBE,
        sqs_url=TEXT,
        spec_id=TEXT,
        pod_id=TEXT,
        batch_size=COUNT,
        batches_in_queue=count("Batches that are not done; 0 at the end."),
        total_batch_count=count("Batches so far; it is final once `enqueued` is true."),
        batch_metrics=ref("BatchMetrics"),
        items=count("Items so far."),
        enqueued={**YES_OR_NO, "description": "Whether all items are there."},
        batches_dead=count("Batches that used up their attempts."),
        queued_batches=ref("QueuedBatches"),
        on_job_complete=said("string", "What came of `on_job_complete`: a status, or an error."),
        worker_counts={**COUNTS, "description": "While it runs: workers by state, in both spellings."},
        note=said("string", "While it runs: what it waits for. Not in lists."),
        reason=said("string", "Why it ended as it did."),
        last_lines={**TEXTS_OF, "description": "The last lines of output of the worker that failed."},
        retry_of=said("string", "The job whose dead batches these are."),
    ),
    "QueuedBatches": record(
        {
            "waiting": count("Dead batches that are to be sent to the queue."),
            "sent": count("That are there."),
            "refused": count("That the queue does not take."),
            "error": said("string", "Of the last try, or why the last batch was refused."),
            "given_up": {**YES_OR_NO, "description": "Whether nothing is tried any more."},
        }
    ),
    "BatchMetrics": METRICS,
    "ShownJob": record(
        {"api_spec": {"type": "object"}, "job_status": ref("Job"), "endpoint": TEXT}, metrics=ref("BatchMetrics")
    ),
    "StoppedJob": record({"message": TEXT}),
    "Jobs": listed("jobs", "Job", next=NEXT),
    "OneJob": good(job=ref("Job")),
    "Stopped": good(stopped=YES_OR_NO, message=TEXT),
    "Batches": listed("batches", "FailedBatch", next=NEXT),
    "FailedBatch": record(
        {
            "batch_id": said("string", "As in the header `X-Cortex-Batch-ID`; the same for all attempts."),
            "first": count("The offset of its first item."),
            "count": count("Its items."),
            "state": {"enum": ["waiting", "succeeded", "dead"]},
            "attempts": count("Attempts that ended."),
            "lost": count("Of these: the worker died."),
            "error": said("string", "Of the last failed attempt."),
            "worker": said("string", "The task that had the last attempt."),
            "seconds": said("number", "Of the last attempt."),
            "end_time": {**TIME, "description": "Of the last attempt."},
        }
    ),
    "RetryJob": {"type": "object", "description": "`{}`"},
    "RetriedJob": good(
        job=ref("Job"),
        items=count("That it tries again."),
        left=count("Dead letters that are left for another request."),
    ),
}
JOB_TEXTS: dict[str, tuple[str, dict[str, Any]]] = {
    "JobLog": (
        "application/x-ndjson",
        said("string", "NDJSON: `worker`, `attempt`, `stream`, `at` and `log` of each piece."),
    ),
}
