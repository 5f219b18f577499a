"""Limits of control groups, read from trees of files as kernels and container engines lay them out."""

from pathlib import Path

import pytest

from peerscope.sources.cgroup import CgroupLimits, Processor, Used, limits

MIB = 2**20
NO_LIMIT_V1 = 9_223_372_036_854_771_712


def tree(root: Path, files: dict[str, str]) -> Path:
    """Files below a directory, by path."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def read(tmp_path: Path, membership: str, files: dict[str, str]) -> CgroupLimits:
    (tmp_path / "self").write_text(membership)
    (tmp_path / "cgroup").mkdir()
    return limits(tree(tmp_path / "cgroup", files), tmp_path / "self")


def v2(group: str = "", **files: str) -> dict[str, str]:
    """A group of version 2 with 300 MiB, half a core and a hundred tasks, and what differs."""
    usual = {
        "memory.max": f"{300 * MIB}\n",
        "memory.current": f"{290 * MIB}\n",
        "memory.stat": f"anon {200 * MIB}\nfile {90 * MIB}\ninactive_file {14 * MIB}\nactive_file {76 * MIB}\n",
        "cpu.max": "50000 100000\n",
        "cpu.stat": "usage_usec 2500000\nuser_usec 2000000\nnr_periods 100\nnr_throttled 25\nthrottled_usec 7\n",
        "pids.max": "100\n",
        "pids.current": "42\n",
    }
    return {f"{group}{name}": text for name, text in (usual | files).items() if text}


FULL = CgroupLimits(Used(276 * MIB, 300 * MIB), Processor(0.5, 2.5, 100, 25), Used(42, 100))


def test_a_container_sees_its_group_as_the_root(tmp_path: Path) -> None:
    found = read(tmp_path, "0::/\n", v2())
    assert found == FULL
    assert found.memory is not None
    assert found.memory.ratio == pytest.approx(0.92)


def test_a_service_lies_below_slices_whose_root_has_no_limits(tmp_path: Path) -> None:
    group = "system.slice/peerscope.service/"
    files = v2(group) | {"cgroup.controllers": "cpu memory pids\n", "system.slice/memory.max": "max\n"}
    assert read(tmp_path, f"0::/{group.rstrip('/')}\n", files) == FULL


def test_of_nested_groups_the_tightest_limit_counts(tmp_path: Path) -> None:
    pod = v2("pod/", **{"cpu.max": "20000 100000\n", "memory.current": f"{150 * MIB}\n", "pids.max": "43\n"})
    found = read(tmp_path, "0::/pod/app\n", v2("pod/app/") | pod)
    assert found.memory == FULL.memory  # the nearest to its end
    assert found.processor == Processor(0.2, 2.5, 100, 25)
    assert found.tasks == Used(42, 43)


def test_without_limits_nothing_limits(tmp_path: Path) -> None:
    files = v2(**{"memory.max": "max\n", "cpu.max": "max 100000\n", "pids.max": "max\n"})
    assert read(tmp_path, "0::/\n", files) == CgroupLimits()


@pytest.mark.parametrize("path", ["/kubepods/pod7/gone", "/../../other", "/" + "a/" * 200])
def test_a_group_outside_of_the_mount_is_passed_over_for_the_root_of_the_mount(tmp_path: Path, path: str) -> None:
    assert read(tmp_path, f"0::{path}\n", v2()) == FULL


def test_a_way_out_of_the_mount_is_not_followed(tmp_path: Path) -> None:
    tree(tmp_path / "other", v2())
    assert read(tmp_path, "0::/../other\n", {"cgroup.controllers": "\n"}) == CgroupLimits()


V1 = {
    "memory/docker/a/memory.limit_in_bytes": f"{300 * MIB}\n",
    "memory/docker/a/memory.usage_in_bytes": f"{290 * MIB}\n",
    "memory/docker/a/memory.stat": f"inactive_file 0\ntotal_inactive_file {14 * MIB}\n",
    "memory/memory.limit_in_bytes": f"{NO_LIMIT_V1}\n",
    "memory/memory.usage_in_bytes": f"{900 * MIB}\n",
    "cpu,cpuacct/docker/a/cpu.cfs_quota_us": "50000\n",
    "cpu,cpuacct/docker/a/cpu.cfs_period_us": "100000\n",
    "cpu,cpuacct/docker/a/cpu.stat": "nr_periods 100\nnr_throttled 25\nthrottled_time 7\n",
    "cpu,cpuacct/docker/a/cpuacct.usage": "2500000000\n",
    "cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
    "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
    "pids/docker/a/pids.max": "100\n",
    "pids/docker/a/pids.current": "42\n",
}
MEMBER_V1 = "9:name=systemd:/x\n4:memory:/docker/a\n3:cpu,cpuacct:/docker/a\n2:pids:/docker/a\n"


def test_version_1_has_a_hierarchy_for_each_controller(tmp_path: Path) -> None:
    assert read(tmp_path, MEMBER_V1, V1) == FULL


def test_version_1_may_count_processor_time_in_a_hierarchy_of_its_own(tmp_path: Path) -> None:
    apart = {name.replace("cpu,cpuacct/", "cpu/"): text for name, text in V1.items()}
    apart["cpuacct/docker/a/cpuacct.usage"] = apart.pop("cpu/docker/a/cpuacct.usage")
    member = MEMBER_V1.replace("3:cpu,cpuacct:", "7:cpuacct:/docker/a\n3:cpu:")
    assert read(tmp_path, member, apart) == FULL


def test_a_container_of_version_1_sees_its_group_at_the_root_under_the_hosts_path(tmp_path: Path) -> None:
    inside = {name.replace("/docker/a/", "/"): text for name, text in V1.items() if "/docker/a/" in name}
    assert read(tmp_path, MEMBER_V1, inside) == FULL


def test_in_a_hybrid_each_controller_is_read_where_it_is(tmp_path: Path) -> None:
    files = {name: text for name, text in V1.items() if not name.startswith("memory")}
    files |= {f"unified/docker/a/{name}": text for name, text in v2().items() if name.startswith("memory")}
    member = MEMBER_V1.replace("4:memory:/docker/a\n", "") + "0::/docker/a\n"
    assert read(tmp_path, member, files) == FULL


@pytest.mark.parametrize("name", ["memory.current", "memory.max", "cpu.max", "cpu.stat", "pids.max", "pids.current"])
@pytest.mark.parametrize("text", ["", "\n", "-5\n", "many\n", "1e9\n", "0x10\n", "٣\n", "9" * 5000, "\x00\xff", "0\n"])
def test_what_is_missing_or_garbage_limits_nothing_and_the_rest_stands(tmp_path: Path, name: str, text: str) -> None:
    part = {"memory": "memory", "cpu": "processor", "pids": "tasks"}[name.split(".")[0]]
    found = read(tmp_path, "0::/\n", v2(**{name: text}))
    if text != "0\n" or name.endswith(".max"):
        assert getattr(found, part) is None
    assert {one: getattr(found, one) for one in FULL.__struct_fields__ if one != part} == {
        one: getattr(FULL, one) for one in FULL.__struct_fields__ if one != part
    }


@pytest.mark.parametrize("membership", ["", "\n", "0\n", "0:\n", "::::\n", "4:memory\n", "\xff", "0::\n"])
def test_a_membership_that_says_nothing_means_the_root(tmp_path: Path, membership: str) -> None:
    assert read(tmp_path, membership, v2()) == FULL


def test_a_system_without_control_groups_limits_nothing(tmp_path: Path) -> None:
    assert limits(tmp_path / "nothing", tmp_path / "nothing") == CgroupLimits()
    (tmp_path / "memory.max").mkdir()
    assert limits(tmp_path, tmp_path) == CgroupLimits()


def test_more_cache_than_is_used_leaves_nothing_used(tmp_path: Path) -> None:
    found = read(tmp_path, "0::/\n", v2(**{"memory.stat": f"inactive_file {400 * MIB}\n"}))
    assert found.memory == Used(0, 300 * MIB)
