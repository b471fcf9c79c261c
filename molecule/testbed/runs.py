"""The life of a run: up, down, saved layers."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

from testbed import clients, machine, network, ssh, state
from testbed.image import ensure_image, stale_images
from testbed.shell import TestbedError, need_programs, say
from testbed.state import Host, Run

PROGRAMS = {"systemd-nspawn": "systemd-container", "ssh": "openssh-client", "unshare": "util-linux"}


def up(name: str, hosts: list[Host], layer: str | None = None, *, fresh: bool = False) -> Run:
    """Boot the hosts of a run and wait until each answers by SSH.

    A run that is up with the same hosts is left alone; one that is down is booted again with its files as
    they are. TestbedError if it is there with other hosts or from another layer, unless `fresh` removes it.
    """
    started = time.monotonic()
    run = Run(state.check_run_name(name), hosts)
    state.check_hosts(hosts)
    need_programs(PROGRAMS)
    lower = layer_chain(layer) if layer else [str(ensure_image())]
    run.lower = {host.name: lower for host in hosts}
    with state.lock(f"run-{name}"):
        if fresh:
            remove(run)
        if (run.directory / "hosts.json").is_file():
            run = same_or_refuse(run, layer)
        else:
            remove(run)
            for host in run.hosts:
                machine.prepare(run, host)
            run.save()
        ssh.write_client_files(run)
        network.connect(run)
        down = [host for host in run.hosts if machine.init_of(run, host.name) is None]
        for host in down:
            machine.start(run, host)
        for host in run.hosts:
            machine.wait_for(run, host)
    seconds = time.monotonic() - started
    where = ", ".join(f"{host.name} {host.address}" for host in run.hosts)
    say(f"run {name}: {where} ({'up after' if down else 'was up, checked in'} {seconds:.1f} s)")
    return run


def same_or_refuse(wanted: Run, layer: str | None) -> Run:
    """The run that is there, if it has the hosts that are wanted; else TestbedError."""
    there = Run.load(wanted.name)
    if sorted(map(str, there.hosts)) != sorted(map(str, wanted.hosts)):
        has = " ".join(f"--host {host.name}={host.address}" for host in there.hosts)
        raise TestbedError(f"run {wanted.name} is there with other hosts ({has}); --fresh replaces them")
    if layer and any(wanted.lower[host.name][0] not in there.lower[host.name] for host in there.hosts):
        raise TestbedError(f"run {wanted.name} did not start from layer {layer}; add --fresh to replace it")
    return there


def down(name: str) -> None:
    """Remove a run with all it has, also a half-made one; nothing happens if there is none."""
    run = Run(state.check_run_name(name), [])
    with state.lock(f"run-{name}"):
        remove(run)
    network.restore_forwarding()
    say(f"run {name} is gone")


def remove(run: Run) -> None:
    """End all hosts of a run and the connections to them, then its network, then its files."""
    for host in sorted(machine.hosts_of(run)):
        machine.remove(run, host)
    clients.end_clients(run)
    network.disconnect(run)
    if run.directory.exists():
        shutil.rmtree(run.directory)


def down_all(*, purge: bool = False) -> None:
    """Remove every run; with `purge` also images, layers, keys and this program's directory."""
    for name in state.run_names():
        down(name)
    network.restore_forwarding()
    if purge and state.state_directory().exists():
        for kind in (state.images(), state.layers()):
            say(f"removing {kind}")
        shutil.rmtree(state.state_directory())


def clean_images() -> None:
    """Remove images of earlier recipes that no run stands on."""
    with state.lock("image"):
        for path in stale_images():
            shutil.rmtree(path)


def save(name: str, host: str, layer: str) -> None:
    """Make a stopped host's own files a layer that other runs can start from.

    The files are moved, not copied: the host itself then stands on the layer too, and goes on as before.
    TestbedError if the host runs (its files would change underneath) or the layer's name is taken.
    """
    run = Run.load(name)
    run.host(host)
    state.check_run_name(layer)
    target = state.layers() / layer
    with state.lock(f"run-{name}"):
        if machine.init_of(run, host) is not None:
            raise TestbedError(f"host {host} runs; `stop {name} {host}` first")
        if target.exists():
            raise TestbedError(f"layer {layer} is there already; `drop-layer {layer}` removes it")
        target.mkdir(parents=True)
        (run.host_directory(host) / "upper").rename(target / "upper")
        (run.host_directory(host) / "upper").mkdir(mode=0o755)
        state.write_atomically(target / "lower.json", json.dumps(run.lower[host]) + "\n")
        run.lower[host] = [str(target / "upper"), *run.lower[host]]
        run.save()
    say(f"layer {layer} is what host {host} of run {name} was")


def layer_chain(layer: str) -> list[str]:
    """The directories that a host from this layer stands on, uppermost first."""
    if layer == "base":
        return [str(ensure_image())]
    directory = state.layers() / state.check_run_name(layer)
    if not (directory / "lower.json").is_file():
        there = ", ".join(layer_names()) or "none"
        raise TestbedError(f"there is no layer {layer!r}; layers: {there}. `save RUN HOST {layer}` makes it")
    lower: list[str] = json.loads((directory / "lower.json").read_text())
    missing = [path for path in lower if not Path(path).is_dir()]
    if missing:
        raise TestbedError(f"layer {layer} stood on {missing[0]}, which is gone; `drop-layer {layer}`")
    return [str(directory / "upper"), *lower]


def layer_names() -> list[str]:
    """Names of the saved layers."""
    return sorted(path.name for path in state.layers().glob("*"))


def drop_layer(layer: str) -> None:
    """Remove a layer; TestbedError while a run stands on it."""
    directory = state.layers() / state.check_run_name(layer)
    for name in state.run_names():
        run = Run.load(name)
        if any(str(directory / "upper") in chain for chain in run.lower.values()):
            raise TestbedError(f"run {name} stands on layer {layer}; `down {name}` first")
    if directory.exists():
        shutil.rmtree(directory)
