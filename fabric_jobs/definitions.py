"""What an author writes: skills and agents, as values (docs/reference/skill-yaml.md, docs/reference/agent-yaml.md).

Parts that never change are NamedTuples: each dataclass would add half a millisecond to every start.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from fabric_jobs.apis import Api


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One field of the payload of a port: documentation and a type, without a check at run time."""

    name: str
    type: str = "string"
    title: str = ""
    description: str = ""
    format: str = ""
    required: bool = False


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """The parameters of a port: listed, or the name of a Type saved in the project (`$ref`)."""

    listed: tuple[Parameter, ...] = ()
    ref: str = ""


@dataclass(frozen=True, kw_only=True)
class Retries:
    """How often a failed attempt is tried again."""

    limit: int = 0
    backoff_seconds: float = 1.0
    max_backoff_seconds: float = 60.0


class Batch(NamedTuple):
    """How records are put together for one attempt, or for one call."""

    size: int = 100  # records, at most
    seconds: float = 1.0  # how long an incomplete batch waits for more
    split: bool = True  # a batch that fails for good is halved until the record at fault is alone


class Target(NamedTuple):
    """Where a routing leads: an action in a runtime, and the default output of its response."""

    action: str  # empty for an external API
    runtime: str  # cortex/jobs | cortex/daemons | cortex/external-api
    output: str
    retries: Retries = Retries()  # these four: of an external API, which has no action
    on_error: str = "fail"  # fail | continue | complete
    concurrency: int = 1
    batch: Batch | None = None


class Rule(NamedTuple):
    """One rule of a property or field routing; it applies when the value equals `match`."""

    match: str
    target: Target


class Routing(NamedTuple):
    """How a message finds its action: always the same (`all`), by a skill property, or by a field of the payload."""

    kind: str  # all | property | field
    default: Target
    selector: str = ""  # the property or the field; empty for `all`
    rules: tuple[Rule, ...] = ()

    def targets(self) -> tuple[Target, ...]:
        """Return all targets of this routing, the default first."""
        return (self.default, *(rule.target for rule in self.rules))


@dataclass(frozen=True, kw_only=True)
class SkillInput:
    """A named input of a skill."""

    name: str
    routing: Routing
    title: str = ""
    description: str = ""
    parameters: Parameters = Parameters()


class SkillOutput(NamedTuple):
    """A named output of a skill."""

    name: str
    title: str = ""
    description: str = ""
    parameters: Parameters = Parameters()


@dataclass(frozen=True, kw_only=True)
class Property:
    """A property of a skill; agents and callers may give it another value."""

    name: str
    title: str = ""
    description: str = ""
    required: bool = False
    type: str = "string"
    default_value: Any = None  # any JSON value
    valid_values: tuple[Any, ...] = ()
    qualified_by: str = ""
    secure: bool = False


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one attempt may use, in the spelling of Kubernetes (`500m`, `512Mi`); empty is no limit."""

    cpu: str = ""
    memory: str = ""
    gpu: int = 0


@dataclass(frozen=True, kw_only=True)
class Action:
    """One program of a skill."""

    name: str  # the directory actions/<name>
    type: str = "job"  # job | daemon
    description: str = ""
    image: str = ""
    command: tuple[str, ...] = ()  # replaces the image's ENTRYPOINT; the message becomes the last argument
    python: str = ""  # interpreter without an image: a version, name or path; empty: that of the executor
    port: str = ""  # daemons
    scale_count: int = 1  # daemons
    timeout: float | None = None  # seconds; jobs; from `timeout` or `jobTimeout`
    environment: dict[str, str] = field(default_factory=dict)
    pod_spec: tuple[dict[str, Any], ...] = ()  # RFC 6902 adds: {path, value}
    k8s_resources: tuple[str, ...] = ()  # JSON strings
    receives: str = "message"  # message | batch | stream
    batch: Batch | None = None  # of `receives: batch`, or of the calls of a daemon; None: single records
    message: str = "argv"  # argv | file: where a job gets its payload
    response: str = "combined"  # combined | stdout | json | jsonl
    workers: int | None = None  # tasks at a time; None: the number of CPUs, or one for a stream
    retries: Retries = Retries()
    on_error: str = "fail"  # fail | continue | complete
    resources: Resources = Resources()
    concurrency: int = 1  # daemons
    warm: tuple[str, ...] | None = None  # fork attempts from a process that has imported these modules; None: cold
    api: Api | None = None  # its tasks are the workers of this Batch or Task API


@dataclass(frozen=True, kw_only=True)
class Skill:
    """A skill.yaml."""

    name: str
    camel: str = "1.0.0"
    title: str = ""
    description: str = ""
    tags: tuple[dict[str, str], ...] = ()
    inputs: tuple[SkillInput, ...] = ()
    outputs: tuple[SkillOutput, ...] = ()
    properties: tuple[Property, ...] = ()
    actions: tuple[Action, ...] = ()
    datasets: tuple[dict[str, Any], ...] = ()

    def input(self, name: str) -> SkillInput | None:
        """Return the input of that name, or None."""
        return next((port for port in self.inputs if port.name == name), None)

    def output(self, name: str) -> SkillOutput | None:
        """Return the output of that name, or None."""
        return next((port for port in self.outputs if port.name == name), None)

    def wired_input(self, name: str) -> SkillInput | None:
        """Return the input that a wire to `name` leads to: a skill's only input matches any name.

        See docs/reference/compatibility.md#ports-with-any-name.
        """
        return self.input(name) or (self.inputs[0] if len(self.inputs) == 1 else None)

    def wired_output(self, name: str) -> SkillOutput | None:
        """Return the output that a wire from `name` begins at: a skill's only output matches any name."""
        return self.output(name) or (self.outputs[0] if len(self.outputs) == 1 else None)

    def action(self, name: str) -> Action | None:
        """Return the action of that name, or None."""
        return next((action for action in self.actions if action.name == name), None)

    def actions_elsewhere(self) -> tuple[str, ...]:
        """Return the actions that its routings name, and that are not its own: they were deployed without a skill."""
        named = [target.action for port in self.inputs for target in port.routing.targets() if target.action]
        return tuple(dict.fromkeys(name for name in named if self.action(name) is None))

    def defaults(self) -> dict[str, Any]:
        """Return the default values of the properties that have one."""
        return {item.name: item.default_value for item in self.properties if item.default_value is not None}


@dataclass(frozen=True, kw_only=True)
class AgentInput:
    """A service of an agent; its name is in the invoke URL."""

    name: str
    signal_id: str
    output: str  # the name of the agent output that answers it
    title: str = ""
    signal_type: str = "Service"
    parameters: Parameters = Parameters()


class AgentOutput(NamedTuple):
    """A named output of an agent."""

    name: str
    signal_id: str
    title: str = ""
    signal_type: str = "Service"
    parameters: Parameters = Parameters()


@dataclass(frozen=True, kw_only=True)
class SkillReference:
    """One use of a skill in an agent."""

    skill_name: str
    ref_id: str
    title: str = ""
    description: str = ""
    properties: dict[str, Any] = field(default_factory=dict)


class Port(NamedTuple):
    """One end of a mapping: an agent's input or output (by signalId), or a port of a skill reference (by refId and name)."""

    kind: str  # input | output | skill
    ref: str  # signalId, or refId
    port: str = ""  # the skill's output (from) or input (to); empty otherwise

    def __str__(self) -> str:
        return f"{self.ref}.{self.port}" if self.kind == "skill" else f"{self.kind} {self.ref}"


class Mapping(NamedTuple):
    """One wire of an agent."""

    source: Port  # `from`: kind input or skill
    target: Port  # `to`: kind skill or output
    when: dict[str, Any] | None = None  # a condition on the payload; None: always
    join: bool = False  # `join: all`


@dataclass(frozen=True, kw_only=True)
class Agent:
    """An agent.yaml."""

    name: str
    camel: str = "1.0.0"
    title: str = ""
    description: str = ""
    tags: tuple[dict[str, str], ...] = ()
    inputs: tuple[AgentInput, ...] = ()
    outputs: tuple[AgentOutput, ...] = ()
    skills: tuple[SkillReference, ...] = ()
    mappings: tuple[Mapping, ...] = ()
    properties: dict[str, Any] = field(default_factory=dict)

    def input(self, name: str) -> AgentInput | None:
        """Return the service of that name, or None."""
        return next((port for port in self.inputs if port.name == name), None)

    def reference(self, ref_id: str) -> SkillReference | None:
        """Return the skill reference of that refId, or None."""
        return next((reference for reference in self.skills if reference.ref_id == ref_id), None)
