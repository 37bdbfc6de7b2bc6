"""{{ cookiecutter.name }}: prints a greeting.

Try it here, without anything else:  python3 -c 'import task; task.Task()({"greeting": "Hello"})'
"""


class Task:
    """The work of one job."""

    def __call__(self, config):
        """Do the work. `config` is that of cortex.yaml, with that of the job merged into it; an exception fails the job."""
        print(f"{config['greeting']}, {config.get('name', 'world')}!")
