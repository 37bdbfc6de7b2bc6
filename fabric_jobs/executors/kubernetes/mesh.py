"""What pods need in a service mesh, and outside of one (docs/howto/scuttle-and-meshes.md). Pure."""

from __future__ import annotations

OFF = "off"  # no sidecar
SCUTTLE = "scuttle"  # Istio injects a container beside the program
NATIVE = "native"  # Istio injects an init container that keeps running: the cluster starts it first and ends it last
MESHES = (OFF, SCUTTLE, NATIVE)

INJECT = "sidecar.istio.io/inject"
NATIVE_SIDECAR = "sidecar.istio.io/nativeSidecar"
PROXY = "proxy.istio.io/config"
PROXY_FIRST = '{"holdApplicationUntilProxyStarts": true}'
ENVOY, AGENT = "http://localhost:15000", "http://localhost:15020"


def labels(mesh: str) -> dict[str, str]:
    """Return the labels of a pod."""
    return {INJECT: "false" if mesh == OFF else "true"}


def notes(mesh: str) -> dict[str, str]:
    """Return the annotations of a pod. Older versions of Istio read only the annotation."""
    found = labels(mesh)
    if mesh == SCUTTLE:
        found[PROXY] = PROXY_FIRST  # images without scuttle have a network from their first moment
    if mesh == NATIVE:
        found[NATIVE_SIDECAR] = "true"
    return found


def variables(mesh: str, *, launched: bool) -> dict[str, str]:
    """Return the variables for scuttle; `launched`: the runtime layer starts the program and sends its output to the gateway."""
    quiet = {"SCUTTLE_LOGGING": "false"}  # it would log to stdout, which is the response
    if mesh == OFF:
        return {"START_WITHOUT_ENVOY": "true", **quiet}
    if mesh == NATIVE:
        return {"START_WITHOUT_ENVOY": "true", "NEVER_KILL_ISTIO": "true", **quiet}
    found = {"ENVOY_ADMIN_API": ENVOY, "ISTIO_QUIT_API": AGENT, **quiet}
    if launched:  # the rest of the output needs the network; the sidecar ends with the pod, which the executor deletes
        found["NEVER_KILL_ISTIO"] = "true"
    return found
