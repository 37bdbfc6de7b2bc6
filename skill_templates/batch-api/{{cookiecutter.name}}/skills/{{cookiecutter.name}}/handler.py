"""{{ cookiecutter.name }}: multiplies the numbers of each batch.

Try it here, without anything else:  python3 -c 'import handler; print(handler.Handler({"factor": 2}).handle_batch([1, 2]))'
"""


class Handler:
    """The work of one worker: an instance is made once, and gets one batch after the other."""

    def __init__(self, config):
        """Prepare what all batches need. `config` is that of cortex.yaml, with that of the job merged into it."""
        self.factor = config["factor"]

    def handle_batch(self, payload):
        """Handle a batch, a list of items. Each element of what is returned is a result; an exception fails the batch."""
        return [number * self.factor for number in payload]

    def on_job_complete(self):
        """Do what is left when all batches of a job were handled. One worker calls this, once."""
        print("all batches were handled")
