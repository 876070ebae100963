"""What is asked of a machine before it joins others: by which interface they reach it, and how torchrun is called."""

import os
import re
import shlex
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from torch.distributed.run import get_args_parser

from recdistill.errors import UserError
from recdistill.parallel import joining, network
from recdistill.parallel.processes import Processes
from recdistill.parallel.started import LostProcessError
from recdistill.pipeline import machine as machine_module

PAGE = Path(__file__).parents[2] / "docs" / "processes.md"


def machine(patch: pytest.MonkeyPatch, own: str, **interfaces: str) -> None:
    """A machine whose name is looked up as `own` (empty: as nothing), with these interfaces; `down` is not up."""

    def look_up(*_: Any, **__: Any) -> list[Any]:
        if not own:
            raise socket.gaierror
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (own, 0))]

    addresses = {
        name: [SimpleNamespace(family=socket.AF_INET6 if ":" in address else socket.AF_INET, address=address)]
        for name, address in {"lo": "127.0.0.1", **interfaces}.items()
    }
    patch.delenv(network.INTERFACE, raising=False)
    patch.setattr(socket, "gethostname", lambda: "first")
    patch.setattr(socket, "getaddrinfo", look_up)
    patch.setattr(psutil, "net_if_addrs", lambda: addresses)
    patch.setattr(psutil, "net_if_stats", lambda: {name: SimpleNamespace(isup=name != "down") for name in addresses})


def chosen() -> str | None:
    network.choose_interface()
    return os.environ.get(network.INTERFACE)


@pytest.mark.parametrize("own", ["127.0.1.1", "::1", ""])
def test_the_only_interface_that_others_reach_is_taken_where_the_name_is_loopback(
    monkeypatch: pytest.MonkeyPatch, own: str
) -> None:
    machine(monkeypatch, own, eth0="10.77.0.1", down="10.78.0.1", link="fe80::1%eth9")
    assert chosen() == "eth0"


@pytest.mark.parametrize("own", ["10.77.0.1", "2001:db8::1"])
def test_an_address_that_others_reach_is_left_to_gloo(monkeypatch: pytest.MonkeyPatch, own: str) -> None:
    machine(monkeypatch, own, eth0="10.77.0.1", eth1="10.78.0.1")
    assert chosen() is None


def test_what_is_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, "127.0.1.1", eth0="10.77.0.1", eth1="10.78.0.1")
    monkeypatch.setenv(network.INTERFACE, "eth1")
    assert chosen() == "eth1"


@pytest.mark.parametrize(
    ("interfaces", "told"),
    [
        ({"eth0": "10.77.0.1", "ib0": "10.78.0.1"}, "reach it by (one of eth0, ib0)"),
        ({}, "reach it by (none was found)"),
    ],
)
def test_several_interfaces_or_none_are_for_the_person_to_choose_from(
    monkeypatch: pytest.MonkeyPatch, interfaces: dict[str, str], told: str
) -> None:
    machine(monkeypatch, "127.0.1.1", **interfaces)
    with pytest.raises(UserError, match=r"this machine's name, first, has the address 127.0.1.1 here") as error:
        network.choose_interface()
    assert told in str(error.value)


def test_processes_that_do_not_meet_are_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "9"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(joining, "STARTING", joining.STARTING / 1800)  # 1 s; nothing listens at that port
    with pytest.raises(LostProcessError, match=r"the processes did not meet .*; were all of them started") as error:
        joining.join("cpu", 2, 1)
    assert "\n" not in str(error.value)


def test_torchrun_leaves_the_words_of_the_page_to_the_command() -> None:
    line = re.search(r"\$ torchrun (.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert line is not None
    words = shlex.split(line[1].replace("\\\n", " "))
    parsed = get_args_parser().parse_args([*words, "--run", "runs/mine"])
    assert (parsed.module, parsed.training_script) == (True, "recdistill")
    own = ["run", "--config", "my.yaml", "--devices", "4", "--nodes", "2", "--run", "runs/mine"]
    assert parsed.training_script_args == own


class Two(Processes):
    """The first of two processes; the other one sees another folder, if so said."""

    size = 2

    def __init__(self, other: str) -> None:
        self.other = other

    def gather_values(self, value: Any) -> list[Any]:
        return [value, self.other]


class Second(Processes):
    """The second of two processes, whose first writes into a folder that this one does not see."""

    rank, size = 1, 2

    def share(self, value: Any) -> Any:
        return ".seen-elsewhere"


def test_a_folder_that_all_see_is_left_as_it_was(tmp_path: Path) -> None:
    machine_module.check_shared(tmp_path, Two(""))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_another_machine_does_not_see_is_told_to_all(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(machine_module, "SECONDS_TO_SEE", 0.3)
    monkeypatch.setattr(socket, "gethostname", lambda: "second")
    line = "on second is not the folder that the first process writes to; all machines must see the run's folder"
    with pytest.raises(UserError, match=line):
        machine_module.check_shared(tmp_path, Two("/runs/mine on second"))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UserError, match=f"run: {tmp_path} {line}"):
        machine_module.check_shared(tmp_path, Second())
