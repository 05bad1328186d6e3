"""Run a command in Linux namespaces of its own; a program of the standard library alone, started by `grade`.

    python cage.py [--open] [--hide FOLDER] [--keep PATH] [--blind FILE] [--say FILE] SCRATCH -- COMMAND …

Inside there is no network but its own loopback and no process but its own. Only SCRATCH can be written.
hide    folders that are empty inside, but for what `keep` names in them (read-only) and for SCRATCH
blind   files that are empty inside
say     file that gets the word "held" once all of this holds
open    without namespaces: the command only gets this process for its parent, not whoever started it
All of it holds, or the command is not started: then the exit code is REFUSED and stderr says why.
"""

import argparse
import ctypes
import fcntl
import os
import signal
import socket
import struct
import sys
import time

REFUSED = 97
NEWNS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x20000, 0x08000000, 0x10000000, 0x20000000, 0x40000000
BIND, REC, PRIVATE, NOSUID, NODEV = 4096, 16384, 1 << 18, 2, 4
HERE, RECURSIVE, MOUNT_SETATTR, READ_ONLY = -100, 0x8000, 442, 1
NO_NEW_PRIVILEGES, DROP_CAPABILITY, DIE_WITH_PARENT = 38, 24, 1
DEVICES = ("null", "zero", "full", "random", "urandom")


def call(name, *values):
    """A function of the C library; raises OSError where it fails."""
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*values) == -1:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def mount(source, target, flags=0, kind=None, options=None):
    """mount(2) with texts."""
    words = [None if word is None else os.fsencode(word) for word in (source, target, kind, options)]
    call("mount", *words[:3], ctypes.c_ulong(flags), words[3])


def read_only(path, yes, deep=0):
    """Whether a mount may not be written, and with deep=RECURSIVE those under it."""
    change = struct.pack("QQQQ", READ_ONLY * yes, READ_ONLY * (not yes), 0, 0)
    call("syscall", MOUNT_SETATTR, HERE, os.fsencode(path), deep, change, ctypes.c_size_t(len(change)))


def within(path, folder):
    return os.path.commonpath([path, folder]) == folder


def separate():
    """New namespaces for this process and its children, in which its user is who it was."""
    user, group = os.getuid(), os.getgid()
    call("unshare", NEWUSER | NEWNS | NEWIPC | NEWPID | NEWNET)
    for name, text in {
        "setgroups": "deny",
        "uid_map": f"{user} {user} 1",
        "gid_map": f"{group} {group} 1",
    }.items():
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def close_off(hide, keep, blind, scratch):
    """All files read-only but those in scratch; new devices, processes and network."""
    mount(None, "/", REC | PRIVATE)
    mount("proc", "/proc", NOSUID | NODEV, "proc")
    handles = {path: os.open(path, os.O_PATH) for path in {*keep, scratch}}
    devices = {f"/dev/{name}": os.open(f"/dev/{name}", os.O_PATH) for name in DEVICES}
    for folder in (*hide, "/dev"):
        mount("tmpfs", folder, NOSUID, "tmpfs", "size=64m")
    for path, handle in sorted({**handles, **devices}.items()):
        if not os.path.exists(path):
            bring_back(path, handle)
    os.makedirs("/dev/shm", exist_ok=True)
    mount("tmpfs", "/dev/shm", NOSUID | NODEV, "tmpfs", "size=256m")
    mount(scratch, scratch, BIND | REC)
    for path in blind:
        if os.path.isfile(path):
            mount("/dev/null", path, BIND)
    read_only("/", True, RECURSIVE)
    for path in (scratch, "/dev/shm"):
        read_only(path, False)
    loopback()
    os.chdir(os.getcwd() if within(os.getcwd(), scratch) else scratch)  # the folder as it is now
    for handle in (*handles.values(), *devices.values()):
        os.close(handle)


def bring_back(path, handle):
    """Show at `path`, which a new mount has covered, what was there before."""
    there = f"/proc/self/fd/{handle}"
    if os.path.isdir(there):
        os.makedirs(path, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        open(path, "w").close()
    mount(there, path, BIND | REC)


def loopback():
    """Switch this network's own 127.0.0.1 on."""
    with socket.socket() as line:
        asked = struct.pack("16sh14x", b"lo", 0x41)  # up, running
        fcntl.ioctl(line, 0x8914, asked)


def give_up_rights():
    """Keep this process and its children from ever gaining rights over the namespaces."""
    for capability in range(64):
        try:
            call("prctl", DROP_CAPABILITY, capability, 0, 0, 0)
        except OSError:  # there are about forty of them
            break
    call("prctl", NO_NEW_PRIVILEGES, 1, 0, 0, 0)


def first_inside(options, command):
    """The first process inside: when it ends, the system ends all others. Returns an exit code."""
    call("prctl", DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
    close_off(options.hide, options.keep, options.blind, options.scratch)
    if options.say:
        with open(options.say, "w") as file:
            file.write("held")
    child = os.fork()
    if child == 0:
        give_up_rights()
        become(command)
    while True:
        ended, status = os.wait()
        if ended == child:
            return os.waitstatus_to_exitcode(status) % 256


def become(command):
    """The command in place of this process. It ends where its parent is killed."""
    handle_signals(signal.SIG_DFL)
    if sys.platform == "linux":
        call("prctl", DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
    os.execvp(command[0], command)


def handle_signals(how):
    """How this process takes the signals that can be ignored, but for the end of a child."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
        try:
            signal.signal(number, how)
        except (OSError, ValueError):  # the C library's own
            pass


def inside(options, command):
    """A forked process: the command, in namespaces or not."""
    try:
        if options.open:
            become(command)
        os._exit(first_inside(options, command))
    except OSError as error:
        print(error, file=sys.stderr, flush=True)
        os._exit(REFUSED)


def main():
    """Start the first process inside, wait for it, and end it if whoever started this is gone."""
    given = argparse.ArgumentParser()
    for option in ("--hide", "--keep", "--blind"):
        given.add_argument(option, action="append", default=[])
    given.add_argument("--open", action="store_true")
    given.add_argument("--say")
    given.add_argument("scratch")
    mark = sys.argv.index("--")
    options, command = given.parse_args(sys.argv[1:mark]), sys.argv[mark + 1 :]
    os.environ.pop("JPY_PARENT_PID", None)  # a kernel ends where its parent is another than this one
    parent = os.getppid()
    handle_signals(signal.SIG_IGN)  # they go to the whole group, and are for the command
    try:
        options.open or separate()
    except OSError as error:
        print(error, file=sys.stderr)
        return REFUSED
    child = os.fork()
    if child == 0:
        inside(options, command)
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status) % 256
        if os.getppid() != parent:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
