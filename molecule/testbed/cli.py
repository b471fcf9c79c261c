"""The command line of the test bed."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from testbed import machine, runs, ssh, state
from testbed.image import ensure_image
from testbed.shell import TestbedError
from testbed.state import Host, Run

EXAMPLES = """\
examples:
  python molecule/testbed up demo --host db1=10.87.9.10 --host api1=10.87.9.20
  python molecule/testbed exec demo db1 -- systemctl --failed
  python molecule/testbed power-cut demo db1 && python molecule/testbed start demo db1
  python molecule/testbed down demo

Files: /var/lib/gitops-bundle/runs/RUN has hosts.json, ssh_config (ssh -F …/ssh_config db1) and known_hosts.
"""


def parser() -> argparse.ArgumentParser:
    """All commands and their arguments."""
    top = argparse.ArgumentParser(
        prog="python molecule/testbed",
        description="Throwaway Debian 12 hosts on this machine, for tests and for scripts/try. Needs root.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    commands.add_parser("image", help="build the base image if it is not there, print its directory")
    up = commands.add_parser("up", help="boot hosts and wait until they answer by SSH")
    up.add_argument("run", metavar="RUN")
    up.add_argument("--host", action="append", default=[], metavar="NAME=ADDRESS", help="once for each host")
    up.add_argument("--layer", help="start from a saved layer instead of the base image")
    up.add_argument("--fresh", action="store_true", help="first remove what an earlier run of this name left")
    down = commands.add_parser("down", help="remove a run: files, processes, rules, interfaces")
    down.add_argument("run", metavar="RUN", nargs="?")
    down.add_argument("--all", action="store_true", help="remove every run")
    down.add_argument("--purge", action="store_true", help="with --all: images, layers and keys too")
    commands.add_parser("list", help="show runs, hosts and layers")
    execute = commands.add_parser("exec", help="run a command on a host, or a shell if none is given")
    execute.add_argument("run", metavar="RUN")
    execute.add_argument("host", metavar="HOST")
    execute.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- CMD")
    for name, text in (
        ("start", "boot a host that is down and wait for it"),
        ("stop", "shut a host down in order"),
        ("reboot", "reboot a host and wait for it"),
        ("power-cut", "kill a host at once; `start` boots it again"),
        ("cut-network", "unplug a host's cable"),
        ("restore-network", "plug it in again"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("run", metavar="RUN")
        command.add_argument("host", metavar="HOST")
    save = commands.add_parser("save", help="make a stopped host's files a layer for `up --layer`")
    save.add_argument("run", metavar="RUN")
    save.add_argument("host", metavar="HOST")
    save.add_argument("layer", metavar="LAYER")
    drop = commands.add_parser("drop-layer", help="remove a layer")
    drop.add_argument("layer", metavar="LAYER")
    # Not for people: the process that keeps a host. The directory is there to find it by.
    keep = commands.add_parser("supervise")
    keep.add_argument("directory")
    keep.add_argument("run")
    keep.add_argument("host")
    return top


def main(argv: list[str] | None = None) -> int:
    """Run one command; 0 if it did what it says, 1 with a message if not, 2 for wrong arguments."""
    options = parser().parse_args(argv)
    try:
        if os.geteuid() != 0:
            raise TestbedError("hosts need root: run this with sudo")
        return dispatch(options)
    except TestbedError as error:
        print(f"testbed: error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # `list | grep -q …` had enough; nothing may be written while Python ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("testbed: interrupted; the same command again goes on, `down` removes", file=sys.stderr)
        return 130


def dispatch(options: argparse.Namespace) -> int:
    """Call the function of a command and return the exit status."""
    command: str = options.command
    if command == "image":
        print(ensure_image())
    elif command == "up":
        runs.up(options.run, [Host.parse(text) for text in options.host], options.layer, fresh=options.fresh)
    elif command == "down":
        take_down(options)
    elif command == "list":
        show()
    elif command == "drop-layer":
        runs.drop_layer(options.layer)
    elif command == "save":
        runs.save(options.run, options.host, options.layer)
    elif command == "exec":
        return execute(Run.load(options.run), options.host, options.argv)
    elif command == "supervise":
        from testbed.supervisor import supervise  # the others never need it

        return supervise(Run.load(options.run), options.host)
    else:
        on_host(command, Run.load(options.run), options.host)
    return 0


def take_down(options: argparse.Namespace) -> None:
    """`down RUN`, `down --all`, `down --all --purge`."""
    if bool(options.run) == options.all:
        raise TestbedError("name one run (`down RUN`) or all of them (`down --all`)")
    if options.purge and not options.all:
        raise TestbedError("--purge removes the images that all runs stand on: it goes with --all")
    if options.all:
        runs.down_all(purge=options.purge)
    else:
        runs.down(options.run)


def on_host(command: str, run: Run, name: str) -> None:
    """The commands that do one thing to one host."""
    host = run.host(name)
    if command == "start":
        machine.start(run, host)
        machine.wait_for(run, host)
    elif command == "stop":
        machine.stop(run, name)
    elif command == "reboot":
        machine.reboot(run, host)
    elif command == "power-cut":
        machine.end(run, name)
    elif command == "cut-network":
        machine.set_link(run, name, "down")
    elif command == "restore-network":
        machine.set_link(run, name, "up")


def execute(run: Run, host: str, argv: list[str]) -> int:
    """Run a command on a host with this terminal's input and output; its exit status is ours."""
    command = argv[1:] if argv[:1] == ["--"] else argv
    return subprocess.run(ssh.command(run, host, *command, batch=bool(command)), check=False).returncode


def show() -> None:
    """Print runs with their hosts, and layers."""
    for name in state.run_names():
        try:
            run = Run.load(name)
        except TestbedError:
            print(f"{name}: half made; `down {name}` removes it")
            continue
        for host in run.hosts:
            pid = machine.init_of(run, host.name)
            print(f"{name}\t{host.name}\t{host.address}\t{f'up, init is process {pid}' if pid else 'down'}")
    for layer in runs.layer_names():
        print(f"layer\t{layer}")
