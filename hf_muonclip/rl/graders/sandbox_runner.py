"""What runs in the process of one program: the confinement, then the program, then its tests. Run as a script.

Standard input is a file that holds a JSON object: program, tests, stdin, limits, and a word. The argument is a file
descriptor, to which it writes "s" at the start and the word at the end.
"""

import ctypes
import io
import json
import os
import platform
import resource
import signal
import sys
import tempfile
import traceback
from typing import Any

OUT_OF_MEMORY, RAISED, EARLY = 101, 102, 103  # exit codes

# linux/audit.h, asm/unistd.h: forbidden system calls, by machine.
_MACHINES: dict[str, dict[str, Any]] = {
    "x86_64": {
        "audit": 0xC000003E,
        "denied": {
            "socket": 41, "fork": 57, "vfork": 58, "execve": 59, "ptrace": 101, "rt_sigqueueinfo": 129, "tkill": 200,
            "rt_tgsigqueueinfo": 297, "process_vm_readv": 310, "process_vm_writev": 311, "execveat": 322,
            "pidfd_send_signal": 424, "io_uring_setup": 425, "pidfd_getfd": 438,
        },
        "clone": 56, "kill": 62, "tgkill": 234,
    },
    "aarch64": {
        "audit": 0xC00000B7,
        "denied": {
            "socket": 198, "execve": 221, "ptrace": 117, "rt_sigqueueinfo": 138, "tkill": 130,
            "rt_tgsigqueueinfo": 240, "process_vm_readv": 270, "process_vm_writev": 271, "execveat": 281,
            "pidfd_send_signal": 424, "io_uring_setup": 425, "pidfd_getfd": 438,
        },
        "clone": 220, "kill": 129, "tgkill": 131,
    },
}  # fmt: skip
_CLONE3 = 435
_CLONE_THREAD = 0x00010000
_ALLOW, _KILL, _EPERM, _ENOSYS = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # of classic BPF
_OF_NUMBER, _OF_MACHINE, _OF_FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 22, 38
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
# linux/landlock.h: bits of write, remove and make; of its version 2, move; of 3, truncate.
_WRITE_FILE, _WRITES, _SINCE = 1, (1, *range(4, 13)), {2: 13, 3: 14}
_LIBC = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Run the task on standard input, and end this process."""
    status = int(sys.argv[1])
    task = json.loads(sys.stdin.buffer.read())
    with tempfile.TemporaryFile() as given:
        given.write(task["stdin"].encode())
        given.seek(0)
        os.dup2(given.fileno(), 0)
    sys.stdin = io.TextIOWrapper(io.FileIO(0, closefd=False), encoding="utf-8")
    _limit(task["limits"])
    confine_writes(os.getcwd())
    confine_calls()
    sys.argv = ["program"]
    sys.path.insert(0, "")
    scope = {"__name__": "__main__", "__builtins__": __builtins__}
    os.write(status, b"s")
    code = _run(task, scope)
    if code == 0:
        os.write(status, task["word"].encode())
    os._exit(code)


def _run(task: dict[str, object], scope: dict[str, object]) -> int:
    try:
        try:
            exec(compile(str(task["program"]), "<program>", "exec"), scope)
        except SystemExit as end:
            if task["tests"] or end.code not in (None, 0):
                return EARLY
        if task["tests"]:
            exec(compile(str(task["tests"]), "<tests>", "exec"), scope)
        sys.stdout.flush()
    except MemoryError:
        return OUT_OF_MEMORY
    except BaseException:  # also SystemExit in tests
        traceback.print_exc()
        return RAISED
    return 0


def _limit(limits: dict[str, int]) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # an OSError is clearer
    for name, value in limits.items():
        hard = value + 1 if name == "RLIMIT_CPU" else value  # a second for SIGXCPU before SIGKILL
        resource.setrlimit(getattr(resource, name), (value, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def confine_calls() -> None:
    """Forbid this process sockets, other processes, signals to them, and other programs, from now on.

    Raises:
        OSError: the kernel does not support it, or this machine is unknown.
    """
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        raise OSError(f"no filter of system calls is known for {platform.machine()}; only for {[*_MACHINES]}")
    program = [(_LOAD, 0, 0, _OF_MACHINE), (_EQUAL, 1, 0, machine["audit"]), (_RETURN, 0, 0, _KILL)]
    program += [(_LOAD, 0, 0, _OF_NUMBER), (_AT_LEAST, 0, 1, 0x40000000), (_RETURN, 0, 0, _ENOSYS)]  # x32
    program += [(_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, _ENOSYS)]  # libraries then fall back to clone
    for number in machine["denied"].values():
        program += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _EPERM)]
    own = os.getpid()
    for name, test in (
        ("clone", (_ANY_BIT, 0, 1, _CLONE_THREAD)),
        ("kill", (_EQUAL, 0, 1, own)),
        ("tgkill", (_EQUAL, 0, 1, own)),
    ):
        program += [(_EQUAL, 0, 4, machine[name]), (_LOAD, 0, 0, _OF_FIRST_ARGUMENT), test]
        program += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _EPERM)]
    program.append((_RETURN, 0, 0, _ALLOW))
    instructions = (_Instruction * len(program))(*(_Instruction(*one) for one in program))
    pointer = ctypes.cast(instructions, ctypes.c_void_p)
    _must(_LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _must(_LIBC.prctl(_PR_SET_SECCOMP, 2, ctypes.byref(_Filter(len(program), pointer)), 0, 0))


def confine_writes(folder: str) -> bool:
    """Allow writing, making and removing files in one folder only, from now on; return whether the kernel can."""
    version = _LIBC.syscall(_LANDLOCK_CREATE, None, 0, 1)
    if version < 1:
        return False
    writes = sum(1 << bit for bit in (*_WRITES, *(bit for since, bit in _SINCE.items() if since <= version)))
    ruleset = _LIBC.syscall(_LANDLOCK_CREATE, ctypes.byref(ctypes.c_uint64(writes)), 8, 0)
    _must(ruleset)
    for path in (folder, "/dev/null"):
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
        allowed = writes if path == folder else 1 << _WRITE_FILE
        rule = allowed.to_bytes(8, sys.byteorder) + opened.to_bytes(4, sys.byteorder)
        _must(_LIBC.syscall(_LANDLOCK_ADD, ruleset, 1, rule, 0))
        os.close(opened)
    _must(_LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _must(_LIBC.syscall(_LANDLOCK_RESTRICT, ruleset, 0))
    os.close(ruleset)
    return True


class _Instruction(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32)]


class _Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_uint16), ("filter", ctypes.c_void_p)]


def _must(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    main()
