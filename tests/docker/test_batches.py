"""Batches and workers in containers; the other tests show nothing that differs here, and each needs many containers."""

from tests.acceptance import test_batches as batches
from tests.acceptance import test_workers as workers
from tests.docker_place import needs_docker

pytestmark = needs_docker

test_batches = batches.test_records_come_in_batches_and_every_line_of_the_answer_is_a_record
test_dead_batches = batches.test_a_batch_that_is_not_split_is_dead_as_a_whole
test_workers = workers.test_workers_share_a_stream_and_each_gets_its_records_in_order
test_aggregators = workers.test_aggregators_see_every_record_once_between_them
