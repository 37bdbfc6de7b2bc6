"""Counts the transactions of some work, since each waits for the disk."""

from __future__ import annotations

from fabric_jobs.states import ActivationState
from tests.engine.bench import Bench

BEGUN, HANDED_OVER, ENDED = 1, 1, 1


def test_an_activation_of_one_task_takes_one_to_begin_one_once_it_runs_and_one_to_end(bench: Bench) -> None:
    bench.ended(_run(bench))  # saves its definition, and makes what is made once
    before = bench.store.commits
    activation_id = bench.invoke("skill", "a")
    bench.finish("a.in", stdout=b"1")
    assert bench.ended(activation_id).state is ActivationState.COMPLETE
    assert bench.store.commits - before <= BEGUN + HANDED_OVER + ENDED


def test_a_record_takes_two_more_when_it_goes_through_one_more_skill(bench: Bench) -> None:
    wires = [("input", "a.in"), ("a.out", "b.in"), ("b.out", "output")]
    activation_id = bench.agent(wires, a={}, b={})
    bench.running("a.in")
    before = bench.store.commits
    for node in ("a.in", "b.in"):
        bench.finish(node, stdout=b"1")
    bench.ended(activation_id)
    # The end of one skill begins the next in the same transaction.
    assert bench.store.commits - before <= ENDED + HANDED_OVER + ENDED


def _run(bench: Bench) -> str:
    activation_id = bench.skill("a")
    bench.finish("a.in", stdout=b"1")
    return activation_id
