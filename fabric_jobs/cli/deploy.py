"""`fabric-jobs deploy …`."""

from __future__ import annotations

import shlex

import click

from fabric_jobs.cli.groups import Group

EXAMPLE = "registry.example.org/fabric-jobs@sha256:…"


@click.group("deploy", cls=Group)
def group() -> None:
    """Put a gateway into a Kubernetes cluster."""


@group.command("kubernetes")
@click.option("--print/--apply", "only_print", default=True, help="Print the objects (the default), or apply them.")
@click.option(
    "--namespace", default="fabric-jobs", show_default=True, metavar="NAME", help="The namespace; it must exist."
)
@click.option(
    "--image",
    metavar="IMAGE",
    help="The image of the gateway, best by digest; --apply needs it.  [default: fabric-jobs with this version as its tag]",
)
@click.option(
    "--storage", metavar="SIZE", help="The size of the volume with the state.  [default: 1Gi, or what is there]"
)
@click.option("--storage-class", metavar="NAME", help="Its storage class.  [default: that of the cluster]")
def kubernetes(
    only_print: bool, namespace: str, image: str | None, storage: str | None, storage_class: str | None
) -> None:
    """Print the objects of a gateway in a cluster, or apply them with --apply.

    The cluster is that of KUBECONFIG and its current context, or of FABRIC_JOBS_KUBERNETES_CONTEXT. All objects are in
    one namespace, and so are the rights of the gateway. Apply them again to change the image.

    \b
    Examples:
      fabric-jobs deploy kubernetes --print | kubectl apply --filename -
      fabric-jobs deploy kubernetes --namespace jobs --image registry.example.org/fabric-jobs@sha256:…
      fabric-jobs deploy kubernetes --image registry.example.org/fabric-jobs@sha256:… --storage 20Gi --apply
    """
    from fabric_jobs import deployment
    from fabric_jobs.cli.terminal.printing import show_all
    from fabric_jobs.kubernetes.cluster import Where

    if not only_print and not image:
        raise click.UsageError(f"--apply needs an image that the nodes can pull, such as --image {EXAMPLE}.")
    wanted = deployment.Installation(namespace, image or "", storage or "", storage_class or "")
    if only_print:
        show_all(deployment.objects(wanted))
        given = {"namespace": namespace, "image": image or "IMAGE", "storage": storage, "storage-class": storage_class}
        words = [word for key, value in given.items() if value for word in (f"--{key}", value)]
        click.echo(f"Next: {shlex.join(['fabric-jobs', 'deploy', 'kubernetes', *words, '--apply'])}", err=True)
        return
    url = deployment.apply(wanted)
    click.echo(f"The gateway is in namespace '{namespace}' of {url}. From this machine:", err=True)
    for line in _next(namespace, Where().context, deployment.POD, deployment.PORT):
        click.echo(f"  {line}", err=True)


def _next(namespace: str, context: str, pod: str, port: int) -> tuple[str, ...]:
    """Return the commands that lead to the first call. An empty context is the current one."""
    kubectl = shlex.join(["kubectl", *(["--context", context] if context else []), "--namespace", namespace])
    address = f"http://127.0.0.1:{port}"
    create = f"fabric-jobs tokens create admin --role admin --address {address}"
    return (
        f"{kubectl} rollout status statefulset/fabric-jobs",
        f"(umask 077; {kubectl} exec {pod} -- {create} > admin.json)",
        f"{kubectl} port-forward service/fabric-jobs {port} &",
        "fabric-jobs skills list --profile ./admin.json",
    )
