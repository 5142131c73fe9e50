"""Hosts on the nodes of a Ray cluster: one actor on each node, in which stages that sample play episodes and compute verdicts.

Each actor works with the verifier processes and the sandbox of its own node. With one node there are no actors: the stage's
process does the work itself.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NoReturn

import gymnasium
from gymnasium.envs.registration import EnvSpec

from ...core import UserError
from ...envs import identity, registry
from ...policies.play.hosts import HostDied, Hosts, OnNodes
from ...policies.play.loop import THREADS
from ..cluster import Cluster
from . import nodes
from .engines import cause_of, last_line


def on_nodes(cluster: Cluster, limit: int | None = None) -> OnNodes | None:
    """Returns the function that starts a host on each node of the cluster.

    None if there is no Ray cluster to join, or if the stage uses one node and one copy of the policy.

    Args:
        cluster: the cluster.
        limit: number of calls that each node computes at once; default: `Cluster.verdicts_per_node`.
    """
    if not cluster.address or (cluster.nodes == 1 and cluster.copies == 1):
        return None
    return partial(_started, cluster, limit or cluster.verdicts_per_node)


def for_environment(cluster: Cluster, id: str, options: Mapping[str, Any]) -> OnNodes | None:
    """Returns `on_nodes` for an environment; None if it loads a model, which stays in this process with its GPU.

    Args:
        cluster: the cluster.
        id: id of the environment.
        options: its keyword arguments.
    """
    found = on_nodes(cluster)
    return None if found is None or identity.loads_model(identity.of_environment(id, options)) else found


def for_verifier(cluster: Cluster, verifier: str) -> OnNodes | None:
    """Returns `on_nodes` for a verifier; None if it loads a model. See `for_environment`."""
    found = on_nodes(cluster)
    return None if found is None or identity.loads_model(identity.of_verifier(verifier)) else found


@contextlib.contextmanager
def _started(cluster: Cluster, limit: int | None, make: Callable[[], object]) -> Iterator[Hosts | None]:
    """See `OnNodes`.

    Args:
        cluster: the cluster, with an address.
        limit: number of calls that each node computes at once; default: the number of its processors, at least `THREADS`.
        make: makes the object of a host, in its process.

    Raises:
        UserError: there is no Ray, a host does not start, or `make` cannot be sent to another process.
    """
    hosts = _start(cluster, limit, make)
    try:
        yield hosts
    finally:
        if hosts:
            hosts.close()


@nodes.own_sigterm()
def _start(cluster: Cluster, limit: int | None, make: Callable[[], object]) -> Hosts | None:
    """Returns the hosts after they have started; None if the cluster has one node with processors."""
    import ray

    if not ray.is_initialized():
        nodes.connect(cluster.address or "")
    found = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]
    if len(found) < 2:
        return None
    actor = ray.remote(num_cpus=0, max_restarts=0)(HostProcess)
    pin = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
    limits = [limit or max(THREADS, int(node["Resources"]["CPU"])) for node in found]
    variables = {"env_vars": nodes.inherited()}
    work = _packed(make)

    def start(number: int) -> RayHost:
        place = pin(found[number]["NodeID"], soft=False)
        options = actor.options(scheduling_strategy=place, max_concurrency=limits[number], runtime_env=variables)
        return RayHost(options.remote(work, os.getcwd()))

    hosts, own = Hosts(start, limits), identity.versions()
    for node, host in zip(found, hosts.hosts, strict=True):
        try:
            versions = ray.get(host.actor.ready.remote(), timeout=nodes.LOOK_SECONDS)  # type: ignore[union-attr]
        except ray.exceptions.RayError as error:
            hosts.close()
            raise UserError(
                f"cluster: node {node['NodeManagerAddress']} cannot play episodes and compute verdicts ({last_line(error)}): "
                "`tenfold doctor --cluster` says what works on each node"
            ) from None
        names = sorted(own.keys() | versions.keys())
        if other := [
            f"{name} {versions.get(name)} (here {own.get(name)})" for name in names if versions.get(name) != own.get(name)
        ]:
            hosts.close()
            raise UserError(
                f"cluster: node {node['NodeManagerAddress']} has {', '.join(other)}, and verdicts may depend on it: install "
                "the same versions on all nodes"
            )
    return hosts


def _packed(make: Callable[[], object]) -> bytes:
    """Returns the function and the registrations of environments, as another process can load them.

    Raises:
        UserError: the function cannot be sent.
    """
    from ray import cloudpickle

    registered: dict[str, bytes | str] = {}
    for spec in registry.registered():
        try:
            registered[spec.id] = cloudpickle.dumps(spec)
        except Exception as error:  # `pickle` may raise anything
            registered[spec.id] = _not_sent(spec.id, error)
    try:
        packed: bytes = cloudpickle.dumps((registered, make))
    except Exception as error:
        raise UserError(_not_sent("cluster: the environment or verifier", error)) from None
    return packed


def _not_sent(name: str, error: Exception) -> str:
    """Returns the message about an object that another process cannot load."""
    return (
        f"{name} cannot be made on other nodes ({type(error).__name__}: {error}); register it with names "
        '("module:Class", "module:verifier", problem URIs) instead of objects'
    )


def _unavailable(reason: str, **arguments: object) -> NoReturn:
    """Takes the place of an environment that this process cannot load. Raises `UserError` when it is made."""
    raise UserError(reason)


class HostProcess:
    """The process of a host."""

    def __init__(self, work: bytes, folder: str):
        """Registers the environments of the run, and makes the host's object.

        Args:
            work: see `_packed`.
            folder: working folder of the run, to which relative paths refer.
        """
        from ray import cloudpickle

        os.chdir(folder)
        registered, make = cloudpickle.loads(work)
        for id, packed in registered.items():
            try:
                spec = cloudpickle.loads(packed) if isinstance(packed, bytes) else EnvSpec(id, partial(_unavailable, packed))
            except Exception as error:  # for example a module that is not on this node
                spec = EnvSpec(id, partial(_unavailable, _not_sent(id, error)))
            gymnasium.registry[id] = spec
        self.object = make()

    def ready(self) -> dict[str, str]:
        """Returns the versions of this node's packages that may affect verdicts, when the process has started."""
        return identity.versions()

    def call(self, method: str, *arguments: Any) -> Any:
        """Calls a method of the object."""
        return getattr(self.object, method)(*arguments)


class RayHost:
    """An actor as a host."""

    def __init__(self, actor: Any):
        """Takes an actor of the class `HostProcess`."""
        self.actor = actor

    def call(self, method: str, *arguments: Any) -> Any:
        """See `Host.call`."""
        import ray

        try:
            return ray.get(self.actor.call.remote(method, *arguments))
        except ray.exceptions.RayTaskError as error:
            raise cause_of(error) from None
        except ray.exceptions.RayError as error:
            raise HostDied(last_line(error)) from None

    def close(self) -> None:
        """Lets the process end after its calls: Ray ends an actor when the last reference to it is gone."""
        self.actor = None
