"""The filter is run here instruction by instruction, so that both architectures are judged on any machine."""

from __future__ import annotations

import errno
import struct

import pytest

from custody.adapters import seccomp

ALLOW, KILL = "allow", "kill"


def verdict(filter_: bytes, *, audit: int, number: int, arguments: tuple[int, ...] = ()) -> str | int:
    """Interpret classic BPF over one `struct seccomp_data`; returns allow, kill or an error number."""
    padded = (*arguments, *([0] * (6 - len(arguments))))
    data = struct.pack("<IIQ6Q", number, audit, 0, *padded)
    program = [struct.unpack_from("<HBBI", filter_, place) for place in range(0, len(filter_), 8)]
    accumulator, place = 0, 0
    while True:
        code, yes, no, value = program[place]
        place += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, value)
        elif code == 0x06:
            if value & 0xFFFF0000 == 0x00050000:
                return value & 0xFFFF
            return {0x7FFF0000: ALLOW, 0x80000000: KILL}[value]
        else:
            holds = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[code]
            place += yes if holds else no


@pytest.fixture(params=["x86_64", "aarch64"])
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def ask(machine: str, number: int, *arguments: int) -> str | int:
    built = seccomp.build(machine)
    assert built is not None
    return verdict(built, audit=seccomp.ARCHITECTURES[machine].audit, number=number, arguments=arguments)


def test_every_refused_call_is_refused(machine: str) -> None:
    for name, number in seccomp.refused_calls(machine).items():
        assert ask(machine, number) == errno.EPERM, name


def test_ordinary_calls_pass(machine: str) -> None:
    architecture = seccomp.ARCHITECTURES[machine]
    special = {architecture.clone, architecture.ioctl, architecture.socket, 435}
    refused = set(seccomp.refused_calls(machine).values())
    ordinary = [number for number in range(424) if number not in special | refused]
    assert all(ask(machine, number) == ALLOW for number in ordinary)


def test_another_architecture_is_killed(machine: str) -> None:
    built = seccomp.build(machine)
    assert built is not None
    assert verdict(built, audit=0x40000003, number=1) == KILL


def test_the_second_table_of_x86_is_killed() -> None:
    assert ask("x86_64", 0x40000000 | 1) == KILL


def test_threads_start_and_namespaces_do_not(machine: str) -> None:
    clone = seccomp.ARCHITECTURES[machine].clone
    assert ask(machine, clone, 0x3D0F00) == ALLOW  # what pthread_create asks for
    assert ask(machine, clone, 17) == ALLOW  # what fork asks for
    for flag in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        assert ask(machine, clone, 17 | flag) == errno.EPERM


def test_clone3_is_not_there_so_that_libraries_use_clone(machine: str) -> None:
    assert ask(machine, 435) == errno.ENOSYS


def test_nobody_types_into_the_terminal(machine: str) -> None:
    ioctl = seccomp.ARCHITECTURES[machine].ioctl
    assert ask(machine, ioctl, 0, 0x5412) == errno.EPERM
    assert ask(machine, ioctl, 0, 0x541C) == errno.EPERM
    assert ask(machine, ioctl, 0, 0x5413) == ALLOW  # the size of the window


def test_only_sockets_that_a_network_namespace_holds(machine: str) -> None:
    socket = seccomp.ARCHITECTURES[machine].socket
    for family in (1, 2, 10, 16):
        assert ask(machine, socket, family) == ALLOW
    for family in (0, 17, 29, 38, 40, 44):  # packet, CAN, ALG, vsock, XDP
        assert ask(machine, socket, family) == errno.EAFNOSUPPORT


def test_an_unknown_architecture_has_no_filter() -> None:
    assert seccomp.build("pdp11") is None
