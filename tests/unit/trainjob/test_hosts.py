import json
import logging
from dataclasses import replace

import pytest
from trainjob import hosts
from trainjob.contract import Paths
from trainjob.dataset import Share
from trainjob.environment import ChannelConfig, JobEnvironment

ELEVEN = tuple(sorted(f"algo-{number}" for number in range(1, 12)))


def job(current="algo-1", names=("algo-1", "algo-2"), interface="eth0", name="job") -> JobEnvironment:
    return JobEnvironment(
        paths=Paths(),
        job_name=name,
        hyperparameters={},
        channels={},
        hosts=names,
        current_host=current,
        network_interface=interface,
    )


def test_processes_of_one_host_find_one_another_on_it():
    told = [hosts.variables(replace(one(), local_ranks=2, local_rank=rank)) for rank in range(2)]
    assert [(each["RANK"], each["WORLD_SIZE"], each["LOCAL_RANK"]) for each in told] == [
        ("0", "2", "0"),
        ("1", "2", "1"),
    ]
    workers = json.loads(told[0]["TF_CONFIG"])["cluster"]["worker"]
    assert [worker.partition(":")[0] for worker in workers] == ["127.0.0.1", "127.0.0.1"]
    assert len(set(workers)) == 2
    assert told[1]["MASTER_ADDR"] == "127.0.0.1"
    assert "GLOO_SOCKET_IFNAME" not in told[0]


def test_processes_of_all_hosts_have_a_rank_each_and_no_port_twice_on_their_host():
    names = tuple(f"algo-{number}" for number in range(1, 65))
    told = [
        hosts.variables(replace(job(name, names), local_ranks=8, local_rank=local), ["eth0"])
        for name in names
        for local in range(8)
    ]
    assert [int(each["RANK"]) for each in told] == list(range(512))
    workers = json.loads(told[0]["TF_CONFIG"])["cluster"]["worker"]
    assert len(set(workers)) == 512
    ports = {int(worker.partition(":")[2]) for worker in workers}
    assert min(ports) == hosts.port(job()) + 2
    assert max(ports) < hosts.port(job()) + 100


def test_rank_among_eleven_hosts_is_the_place_in_the_platforms_list():
    assert ELEVEN[:4] == ("algo-1", "algo-10", "algo-11", "algo-2")
    ranks = {name: hosts.variables(job(name, ELEVEN), ["eth0"])["RANK"] for name in ELEVEN}
    assert (ranks["algo-1"], ranks["algo-10"], ranks["algo-2"]) == ("0", "1", "3")
    assert sorted(map(int, ranks.values())) == list(range(11))


def test_all_hosts_agree_on_master_and_workers_and_no_port_comes_twice():
    told = [hosts.variables(job(name, ELEVEN), ["eth0"]) for name in ELEVEN]
    clusters = [json.loads(each["TF_CONFIG"]) for each in told]
    assert {(each["MASTER_ADDR"], each["MASTER_PORT"], each["WORLD_SIZE"]) for each in told} == {
        ("algo-1", str(hosts.port(job()) + 1), "11")
    }
    assert all(each["cluster"] == clusters[0]["cluster"] for each in clusters)
    workers = clusters[0]["cluster"]["worker"]
    assert [worker.partition(":")[0] for worker in workers] == list(ELEVEN)
    assert [each["task"] for each in clusters] == [{"type": "worker", "index": rank} for rank in range(11)]
    ports = [int(worker.partition(":")[2]) for worker in workers]
    assert len({*ports, hosts.port(job()), int(told[0]["MASTER_PORT"])}) == 13


def one() -> JobEnvironment:
    return job(names=("algo-1",))


def test_two_jobs_of_one_machine_use_other_ports():
    assert hosts.port(job(name="one")) != hosts.port(job(name="other"))
    assert all(10_000 <= hosts.port(job(name=f"job-{number}")) <= 29_900 for number in range(1000))


def test_renamed_interface_is_handed_on_and_one_that_is_not_there_is_not(caplog):
    told = hosts.variables(job(interface="ens5"), ["lo", "ens5"])
    assert (told["GLOO_SOCKET_IFNAME"], told["NCCL_SOCKET_IFNAME"]) == ("ens5", "ens5")
    with caplog.at_level(logging.WARNING):
        told = hosts.variables(job(interface="ethwe"), ["lo", "ens5"])
    assert "GLOO_SOCKET_IFNAME" not in told
    assert "NCCL_SOCKET_IFNAME" not in told
    assert "names the interface ethwe, but there are only: lo, ens5" in caplog.text


@pytest.mark.parametrize(
    ("names", "distribution", "share"),
    [
        (("algo-1", "algo-2"), "FullyReplicated", Share(index=1, count=2)),
        (("algo-1", "algo-2"), "ShardedByS3Key", Share(may_be_empty=True)),
        (("algo-2",), "FullyReplicated", Share()),
        (("algo-2",), "ShardedByS3Key", Share()),
    ],
)
def test_whole_channel_is_shared_out_and_a_divided_one_taken_as_given(names, distribution, share):
    channel = ChannelConfig(name="train", input_mode="Pipe", distribution=distribution)
    assert hosts.share(job("algo-2", names), channel) == share


@pytest.mark.parametrize(
    ("names", "distribution", "share"),
    [
        (("algo-1", "algo-2"), "FullyReplicated", Share(index=3, count=4)),
        (("algo-1", "algo-2"), "ShardedByS3Key", Share(index=1, count=2, may_be_empty=True)),
        (("algo-2",), "FullyReplicated", Share(index=1, count=2)),
        (("algo-2",), "ShardedByS3Key", Share(index=1, count=2)),
    ],
)
def test_processes_of_a_host_share_what_it_gets(names, distribution, share):
    channel = ChannelConfig(name="train", input_mode="Pipe", distribution=distribution)
    assert hosts.share(replace(job("algo-2", names), local_rank=1, local_ranks=2), channel) == share
