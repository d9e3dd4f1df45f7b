"""A seccomp filter for sealed runs, assembled as classic BPF without a library.

Namespaces hide files and hosts; this refuses the calls that work around namespaces: io_uring (which
does what other calls do, unseen), new namespaces and mounts, reading other processes, loading code into
the kernel, sockets that no network namespace covers (vsock reaches the hypervisor, AF_ALG and packet
sockets reach old kernel code), and typing into the user's terminal. Numerical work needs none of them.

Layout of `struct seccomp_data`: `linux/seccomp.h`; instruction set: `linux/filter.h`; system call numbers:
`asm/unistd_64.h` and `asm-generic/unistd.h`.
"""

from __future__ import annotations

import errno
import platform
import struct
from dataclasses import dataclass
from types import MappingProxyType

ALLOW = 0x7FFF0000
KILL = 0x80000000
_ERRNO = 0x00050000

_LOAD, _EQUAL, _AT_LEAST, _BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16

_X32 = 0x40000000
"""Bit of the x32 system calls, a second table with other numbers for the same kernel functions."""

_NEW_NAMESPACES = 0x00000080 | 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
"""CLONE_NEWTIME, NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET as `clone` takes them."""

_TERMINAL_INPUT = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX: put characters into the input of a terminal."""

_FAMILIES = (1, 2, 10, 16)
"""AF_UNIX, AF_INET, AF_INET6, AF_NETLINK: all held by the empty network namespace."""

# 424 and above are the same on every architecture.
_EVERYWHERE = MappingProxyType(
    {
        "io_uring_setup": 425,
        "io_uring_enter": 426,
        "io_uring_register": 427,
        "open_tree": 428,
        "move_mount": 429,
        "fsopen": 430,
        "fsconfig": 431,
        "fsmount": 432,
        "fspick": 433,
        "pidfd_getfd": 438,
        "process_madvise": 440,
        "mount_setattr": 442,
        "quotactl_fd": 443,
        "open_tree_attr": 467,
    }
)


@dataclass(frozen=True)
class Architecture:
    """One calling convention: its audit number and the numbers of the refused calls."""

    audit: int
    clone: int
    ioctl: int
    socket: int
    refused: dict[str, int]
    x32: bool = False


ARCHITECTURES = MappingProxyType(
    {
        "x86_64": Architecture(
            audit=0xC000003E,
            clone=56,
            ioctl=16,
            socket=41,
            x32=True,
            refused={
                "acct": 163,
                "add_key": 248,
                "adjtimex": 159,
                "bpf": 321,
                "chroot": 161,
                "clock_adjtime": 305,
                "clock_settime": 227,
                "delete_module": 176,
                "fanotify_init": 300,
                "finit_module": 313,
                "init_module": 175,
                "ioperm": 173,
                "iopl": 172,
                "kcmp": 312,
                "kexec_file_load": 320,
                "kexec_load": 246,
                "keyctl": 250,
                "lookup_dcookie": 212,
                "modify_ldt": 154,
                "mount": 165,
                "move_pages": 279,
                "name_to_handle_at": 303,
                "open_by_handle_at": 304,
                "perf_event_open": 298,
                "pivot_root": 155,
                "process_vm_readv": 310,
                "process_vm_writev": 311,
                "ptrace": 101,
                "quotactl": 179,
                "reboot": 169,
                "request_key": 249,
                "setdomainname": 171,
                "sethostname": 170,
                "setns": 308,
                "settimeofday": 164,
                "swapoff": 168,
                "swapon": 167,
                "syslog": 103,
                "umount2": 166,
                "unshare": 272,
                "userfaultfd": 323,
                "vhangup": 153,
            },
        ),
        "aarch64": Architecture(
            audit=0xC00000B7,
            clone=220,
            ioctl=29,
            socket=198,
            refused={
                "acct": 89,
                "add_key": 217,
                "adjtimex": 171,
                "bpf": 280,
                "chroot": 51,
                "clock_adjtime": 266,
                "clock_settime": 112,
                "delete_module": 106,
                "fanotify_init": 262,
                "finit_module": 273,
                "init_module": 105,
                "kcmp": 272,
                "kexec_file_load": 294,
                "kexec_load": 104,
                "keyctl": 219,
                "lookup_dcookie": 18,
                "mount": 40,
                "move_pages": 239,
                "name_to_handle_at": 264,
                "open_by_handle_at": 265,
                "perf_event_open": 241,
                "pivot_root": 41,
                "process_vm_readv": 270,
                "process_vm_writev": 271,
                "ptrace": 117,
                "quotactl": 60,
                "reboot": 142,
                "request_key": 218,
                "setdomainname": 162,
                "sethostname": 161,
                "setns": 268,
                "settimeofday": 170,
                "swapoff": 225,
                "swapon": 224,
                "syslog": 116,
                "umount2": 39,
                "unshare": 97,
                "userfaultfd": 282,
                "vhangup": 58,
            },
        ),
    }
)

_CLONE3 = 435


def refused_calls(machine: str) -> dict[str, int]:
    """Return name and number of every call that is refused outright on `machine`."""
    return {**ARCHITECTURES[machine].refused, **_EVERYWHERE}


def build(machine: str | None = None) -> bytes | None:
    """Assemble the filter for `machine` (default: this one); None where the architecture is not known.

    Returns `struct sock_filter` records of eight bytes each, as `bwrap --seccomp` reads them.
    """
    architecture = ARCHITECTURES.get(machine or platform.machine())
    if architecture is None:
        return None
    program = [
        (_LOAD, 0, 0, _ARCH),
        (_EQUAL, 1, 0, architecture.audit),
        (_RETURN, 0, 0, KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if architecture.x32:
        program += [(_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, KILL)]
    denied = (_RETURN, 0, 0, _ERRNO | errno.EPERM)
    for number in sorted({*architecture.refused.values(), *_EVERYWHERE.values()}):
        program += [(_EQUAL, 0, 1, number), denied]
    # The C library falls back to clone, whose flags can be read here; those of clone3 lie in memory.
    program += [(_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]
    program += _guarded(architecture.clone, 0, [(_BITS, 0, 1, _NEW_NAMESPACES), denied])
    for request in _TERMINAL_INPUT:
        program += _guarded(architecture.ioctl, 1, [(_EQUAL, 0, 1, request), denied])
    known = [(_EQUAL, len(_FAMILIES) - place, 0, family) for place, family in enumerate(_FAMILIES)]
    unknown = (_RETURN, 0, 0, _ERRNO | errno.EAFNOSUPPORT)
    program += _guarded(architecture.socket, 0, [*known, unknown])
    program.append((_RETURN, 0, 0, ALLOW))
    return b"".join(struct.pack("<HBBI", *line) for line in program)


def _guarded(call: int, argument: int, body: list[tuple[int, int, int, int]]) -> list[tuple[int, int, int, int]]:
    """Run `body` on the low word of an argument when the call is `call`; reload the number afterwards."""
    inner = [(_LOAD, 0, 0, _ARGUMENTS + 8 * argument), *body, (_LOAD, 0, 0, _NUMBER)]
    return [(_EQUAL, 0, len(inner), call), *inner]
