"""What follows from a move, in the transaction of that move: channels end, and so does the activation."""

from __future__ import annotations

from fabric_jobs.engine.snapshot import take
from fabric_jobs.routing import Plan
from fabric_jobs.states import ActivationState
from fabric_jobs.store import Tx, activations, channels


def settle(tx: Tx, activation_id: str, plan: Plan) -> None:
    """End the channels whose sender cannot send any more; complete the activation when nothing in it can go on."""
    snapshot = take(tx, activation_id, plan)
    if snapshot is None or snapshot.activation.ended:
        return
    for channel in snapshot.ended_channels():
        channels.end(tx, channel.channel_id)
    if not snapshot.busy():
        activations.end(tx, snapshot.activation, ActivationState.COMPLETE)
