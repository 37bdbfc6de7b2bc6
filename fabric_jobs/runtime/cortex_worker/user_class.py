"""Loads the class `Task` or `Handler` from a file of a project, and checks its methods before any of them is called."""

from __future__ import annotations

import inspect
import os
import sys
from importlib import import_module, util
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from ..fabric_skill.failure import words
else:
    from fabric_skill.failure import words


class Unusable(Exception):
    """The class cannot be run; the message says why, and what to do."""


class Method(NamedTuple):
    """The parameters of a method besides `self`."""

    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    is_needed: bool = True  # the class must have the method


CLASSES: dict[str, dict[str, Method]] = {
    "Task": {
        "__init__": Method(optional=("metrics_client",), is_needed=False),
        "__call__": Method(required=("config",)),
    },
    "Handler": {
        "__init__": Method(required=("config",), optional=("job_spec", "metrics_client")),
        "handle_batch": Method(optional=("payload", "batch_id")),
        "on_job_complete": Method(is_needed=False),
    },
}
MODULES = {"Task": "cortex_task", "Handler": "cortex_handler"}
TENSORFLOW = "tensorflow_client"


def load(path: str, name: str) -> type[Any]:
    """Return the class `name` of a .py or .pickle file; raise Unusable, or whatever its code raises."""
    if not os.path.isfile(path):
        raise Unusable(f"there is no file '{path}' in the project.")
    path = os.path.abspath(path)
    found = _unpickled(path) if path.endswith(".pickle") else getattr(_module(path, MODULES[name]), name, None)
    if not inspect.isclass(found):
        raise Unusable(f"{path} has no class '{name}'; the class must have exactly this name.")
    for method, wanted in CLASSES[name].items():
        _check(found, method, wanted)
    return found


def parameters(found: type[Any], method: str) -> list[str]:
    """Return the names of a method's parameters besides `self`; none if the class does not have it."""
    return _names(getattr(found, method))[1:] if has(found, method) else []


def has(found: type[Any], method: str) -> bool:
    """Tell whether a class, or one above it but `object`, defines a method."""
    return any(method in vars(each) for each in found.__mro__ if each is not object)


def _check(found: type[Any], name: str, wanted: Method) -> None:
    if not has(found, name):
        if wanted.is_needed:
            raise Unusable(f"the class '{found.__name__}' needs a method {_shown(name, wanted)}.")
        return
    function = getattr(found, name)
    if not callable(function):
        raise Unusable(f"'{name}' of the class '{found.__name__}' is not a method.")
    names = _names(function)
    if TENSORFLOW in names:
        raise Unusable(
            "TensorFlow handlers are not supported: nothing serves the model for 'tensorflow_client'. "
            "Use a Python handler, and load the model in '__init__'."
        )
    missing = [each for each in wanted.required if each not in names]
    unknown = [each for each in names[1:] if each not in (*wanted.required, *wanted.optional)]
    if names[:1] != ["self"] or missing or unknown:
        wrong = (
            f"has no parameter '{missing[0]}'" if missing else f"has the parameter '{unknown[0]}'" if unknown else ""
        )
        wrong = wrong or "does not have 'self' as its first parameter"
        raise Unusable(f"'{name}' of the class '{found.__name__}' {wrong}; it is called as {_shown(name, wanted)}.")


def _shown(name: str, wanted: Method) -> str:
    """Return a method as it may be declared, such as `__init__(self, config[, job_spec][, metrics_client])`."""
    return f"{name}({', '.join(('self', *wanted.required))}{''.join(f'[, {each}]' for each in wanted.optional)})"


def _names(function: Any) -> list[str]:
    try:
        return inspect.getfullargspec(function).args
    except TypeError:
        raise Unusable(f"the parameters of '{function!r}' cannot be found out; write it in Python.") from None


def _module(path: str, name: str) -> Any:
    spec = util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise Unusable(f"'{path}' is not a Python file; its name must end in .py or .pickle.")
    module = util.module_from_spec(spec)
    sys.modules[name] = module  # so that its classes can be pickled
    spec.loader.exec_module(module)
    return module


def _unpickled(path: str) -> Any:
    try:
        dill = import_module("dill")
    except ImportError:
        raise Unusable("a .pickle file needs the package dill; add it to requirements.txt.") from None
    with open(path, "rb") as file:
        try:
            return dill.load(file)
        except Exception as error:  # code of the user
            raise Unusable(f"'{path}' cannot be loaded: {words(error)}.") from error
