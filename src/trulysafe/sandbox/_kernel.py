"""What the kernel is asked for that Python has no function for: mounts, fewer rights, fewer system calls.

Imported inside the sandbox, so from the standard library alone. Errors are OSError and name the call.
"""

import ctypes
import os
import platform
import struct

RDONLY, NOSUID, NODEV, REMOUNT, BIND, RECURSIVE = 1, 2, 4, 32, 4096, 16384
"""Flags of mount(2)."""
KEPT = NOSUID | NODEV | 8 | 1024 | 2048
"""Flags of a mount (8: no programs; 1024, 2048: no access times) that statvfs names as mount does, and that a remount
must repeat."""
_STATVFS_RELATIME, _RELATIME = 4096, 1 << 21
_DETACH = 2
_SET_SECCOMP, _FILTER, _DROP_CAPABILITY, _NO_NEW_PRIVILEGES, _CAPABILITIES = 22, 2, 24, 38, 64
_CLONE_THREAD = 0x10000
_EPERM, _ENOSYS = 1, 38

CALLS = {
    "x86_64": (
        0xC000003E,
        {"clone": 56, "fork": 57, "vfork": 58, "socket": 41, "ptrace": 101, "unshare": 272, "setns": 308, "keyctl": 250}
        | {
            "add_key": 248,
            "request_key": 249,
            "bpf": 321,
            "perf_event_open": 298,
            "userfaultfd": 323,
            "prlimit64": 302,
        },
    ),
    "aarch64": (
        0xC00000B7,
        {"clone": 220, "socket": 198, "ptrace": 117, "unshare": 97, "setns": 268, "keyctl": 219}
        | {
            "add_key": 217,
            "request_key": 218,
            "bpf": 280,
            "perf_event_open": 241,
            "userfaultfd": 282,
            "prlimit64": 261,
        },
    ),
}
"""Processor -> its number in linux/audit.h, and the numbers of the system calls that are refused."""
_EVERYWHERE = {"io_uring_setup": 425, "clone3": 435}
_libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2)."""
    _call("mount", os.fsencode(source), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), options.encode())


def read_only(target: str) -> None:
    """Mount what is mounted there read-only, without devices and without set-user-id programs."""
    now = os.statvfs(target).f_flag
    kept = now & KEPT | (_RELATIME if now & _STATVFS_RELATIME else 0)
    mount("none", target, flags=BIND | REMOUNT | RDONLY | NOSUID | NODEV | kept)


def pivot_root(new: str, old: str) -> None:
    """pivot_root(2): ``new`` becomes the root, and the root that was lies at ``old`` below it."""
    _call("pivot_root", os.fsencode(new), os.fsencode(old))


def detach(target: str) -> None:
    """Unmount it with all that is mounted below."""
    _call("umount2", os.fsencode(target), _DETACH)


def give_up_rights() -> None:
    """No capability survives the next exec, none is ever gained again, and the calls of :data:`CALLS` are refused."""
    for capability in range(_CAPABILITIES):
        _libc.prctl(_DROP_CAPABILITY, capability, 0, 0, 0)  # those that this kernel does not know are no loss
    _call("prctl", _NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    rules = _filter(platform.machine())
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
    program = struct.pack("HxxxxxxP", len(rules), ctypes.addressof(code))
    _call("prctl", _SET_SECCOMP, _FILTER, program, 0, 0)


def _filter(machine: str) -> list[tuple[int, int, int, int]]:
    """The filter of system calls, as instructions of classic BPF: operation, skip if true, skip if false, operand."""
    load, equals, at_least, any_bit, give = 0x20, 0x15, 0x35, 0x45, 0x06
    kill, allow, refuse, unknown = 0x80000000, 0x7FFF0000, 0x50000 | _EPERM, 0x50000 | _ENOSYS
    if machine not in CALLS:
        raise OSError(f"there is no list of system calls for the processor {machine}")
    architecture, refused = CALLS[machine][0], CALLS[machine][1] | _EVERYWHERE
    # for threads, and for one's own process, by the first argument
    allowed_if = {"clone": (any_bit, 1, 0, _CLONE_THREAD), "prlimit64": (equals, 1, 0, 0)}
    rules = [(load, 0, 0, 4), (equals, 1, 0, architecture), (give, 0, 0, kill)]
    rules += [(load, 0, 0, 0), (at_least, 0, 1, 0x40000000), (give, 0, 0, kill)]  # calls of x32
    for name, number in refused.items():
        if test := allowed_if.get(name):
            rules += [(equals, 0, 4, number), (load, 0, 0, 16), test, (give, 0, 0, refuse), (give, 0, 0, allow)]
        else:
            # the library takes "unknown" of clone3, whose flags a filter cannot read, for the sign to use clone
            rules += [(equals, 0, 1, number), (give, 0, 0, unknown if name == "clone3" else refuse)]
    return [*rules, (give, 0, 0, allow)]


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        shown = " ".join(os.fsdecode(word) for word in arguments if isinstance(word, bytes) and b"\0" not in word)
        raise OSError(number, f"{name} {shown.strip()}: {os.strerror(number)}")
