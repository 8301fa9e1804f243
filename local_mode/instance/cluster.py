"""The hosts that a job has: their names, their groups, and who of them gets which share of a channel."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

from trainjob import contract

from local_mode.channels.order import Order
from local_mode.channels.plan import SHARDED, ChannelPlan


@dataclass(frozen=True, kw_only=True)
class Group:
    """Hosts of one instance type."""

    name: str
    instance_type: str
    hosts: tuple[str, ...]
    """By number."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """All hosts of a job; algo-1 is the first of the first group."""

    groups: tuple[Group, ...]

    @property
    def hosts(self) -> tuple[str, ...]:
        """By number: algo-2 before algo-10."""
        return tuple(host for group in self.groups for host in group.hosts)

    def group(self, host: str) -> Group:
        """The group that `host` is in."""
        return next(group for group in self.groups if host in group.hosts)

    def members(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """The hosts of the groups with these names, by number; all hosts where none is named."""
        return tuple(host for group in self.groups if not names or group.name in names for host in group.hosts)


def cluster(groups: Iterable[tuple[str, str, int]]) -> Cluster:
    """Number the hosts of groups given as name, instance type and count, in that order."""
    made: list[Group] = []
    number = 0
    for name, instance_type, count in groups:
        hosts = tuple(f"algo-{number + index + 1}" for index in range(count))
        made.append(Group(name=name, instance_type=instance_type, hosts=hosts))
        number += count
    return Cluster(groups=tuple(made))


def alike(instance_type: str, count: int) -> Cluster:
    """Hosts of one type: one group, which has the platform's name for that."""
    return cluster([(contract.DEFAULT_GROUP, instance_type, count)])


def share(plan: ChannelPlan, *, host: int, hosts: int) -> ChannelPlan:
    """What host number `host`, from 0, gets of a channel that was planned for one host; all, unless it is sharded."""
    if plan.spec.distribution != SHARDED or hosts == 1:
        return plan
    order = dataclasses.replace(plan.order, host=host, hosts=hosts)
    if plan.spec.mode == contract.PIPE:
        return dataclasses.replace(plan, order=order, root=None)
    # The objects are in the order of the seed already.
    mine = Order(host=host, hosts=hosts, contiguous=order.contiguous).of(len(plan.objects), 0)
    return dataclasses.replace(plan, objects=tuple(plan.objects[index] for index in mine), order=order, root=None)
