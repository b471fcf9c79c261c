"""An open-loop load over HTTP/1.1, as a process of its own: python open_loop.py, with a plan on its standard input.

Requests begin at the times that were planned for them, whatever became of those before: a service that stalls gets what
would have come anyway, as from people, and latency counts from the planned time. A closed loop would wait with the
service and see one slow request where a hundred people waited.

The process says `answered` with the first answer, goes on until its input ends or the plan is through, and then prints
what it counted, as JSON in one line.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import resource
import ssl
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

# Failures that are told one by one; all are counted.
MOST_TOLD = 100
# Of an answer that was no success, for whoever looks for the reason.
BODY_TOLD = 200
OPEN_FILES = 8192


@dataclass(frozen=True)
class Request:
    """One kind of request. `{number}` in the body is replaced by the request's own number."""

    name: str
    method: str
    path: str
    token: str = ""
    body: str = ""

    def encode(self, number: int, host: str, *, keep: bool) -> bytes:
        """The request's bytes."""
        body = self.body.replace("{number}", str(number)).encode()
        lines = [f"{self.method} {self.path} HTTP/1.1", f"Host: {host}", "User-Agent: open-loop"]
        lines += [f"Authorization: Bearer {self.token}"] * bool(self.token)
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"] * bool(body)
        lines += ["Connection: close"] * (not keep)
        return "\r\n".join([*lines, "\r\n"]).encode() + body


@dataclass(frozen=True)
class Plan:
    """What is asked, where and when.

    Attributes:
        rate: requests that begin in a second.
        seconds: after which no further one begins.
        new: the share of requests on a connection of their own; the others come over connections that are kept.
        timeout: seconds from its planned time after which a request has failed.
    """

    address: str
    port: int
    host: str
    tls: bool
    rate: float
    seconds: float
    requests: list[Request]
    new: float = 0.25
    timeout: float = 10.0

    @classmethod
    def read(cls, line: str) -> Plan:
        """A plan from its JSON."""
        found = json.loads(line)
        return cls(**{**found, "requests": [Request(**each) for each in found["requests"]]})


@dataclass
class Counted:
    """What came of the requests of one kind; milliseconds of those that were answered with success."""

    failed: int = 0
    milliseconds: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, float]:
        """Requests, failures, and the latencies that matter."""
        taken = sorted(self.milliseconds)
        return {
            "requests": len(taken) + self.failed,
            "failed": self.failed,
            "worst_ms": round(taken[-1], 1) if taken else 0.0,
            "p99_ms": round(taken[math.ceil(0.99 * len(taken)) - 1], 1) if taken else 0.0,
        }


class RefusedError(Exception):
    """An answer that was no success: its status, and the beginning of its body."""


@dataclass
class Connection:
    """A connection to the service."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def exchange(self, request: bytes) -> tuple[int, bytes, bool]:
        """Send a request; its status, its body, and whether the connection may be used again."""
        self.writer.write(request)
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(head[0].split()[1])
        fields = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])
        }
        body = await self._body(fields) if status not in (204, 304) else b""
        return status, body, fields.get("connection", "").lower() != "close"

    async def _body(self, fields: dict[str, str]) -> bytes:
        if fields.get("transfer-encoding", "").lower() != "chunked":
            return await self.reader.readexactly(int(fields.get("content-length", 0)))
        parts = []
        while size := int(await self.reader.readline(), 16):
            parts.append((await self.reader.readexactly(size + 2))[:-2])
        await self.reader.readline()
        return b"".join(parts)

    def is_open(self) -> bool:
        """Whether the service has not said that it closes it: a client that saw that makes another one."""
        return not (self.reader.at_eof() or self.reader.exception() or self.writer.is_closing())

    def close(self) -> None:
        """End it at once; nothing more is to come."""
        self.writer.transport.abort()


class Load:
    """A plan that is carried out."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.counted = {request.name: Counted() for request in plan.requests}
        self.failures: list[dict[str, Any]] = []
        self.latest_ms = 0.0
        self._kept: list[Connection] = []
        self._stopped = asyncio.Event()
        self._answered = False
        # The same mixture each time.
        self._chance = random.Random(7302026)
        self._trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if plan.tls else None
        if self._trust:
            # The certificate may change under the load; whether it is right, other tests say.
            self._trust.check_hostname = False
            self._trust.verify_mode = ssl.CERT_NONE

    def stop(self) -> None:
        """Begin no further request."""
        self._stopped.set()

    async def run(self) -> dict[str, Any]:
        """Begin the requests at their times, wait for all answers, and return what was counted."""
        clock = asyncio.get_running_loop().time
        began, tasks = clock(), set()
        for number in range(int(self.plan.rate * self.plan.seconds)):
            planned = began + number / self.plan.rate
            try:
                await asyncio.wait_for(self._stopped.wait(), max(planned - clock(), 0))
                break
            except TimeoutError:
                # How far this process itself was behind: where it is much, the machine was too busy to tell.
                self.latest_ms = max(self.latest_ms, 1000 * (clock() - planned))
            task = asyncio.create_task(self._ask(number, planned))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        seconds = clock() - began
        await asyncio.gather(*tasks)
        return {
            "stopped": self._stopped.is_set(),
            "seconds": round(seconds, 1),
            "late_ms": round(self.latest_ms, 1),
            **self._all().figures(),
            "kinds": {name: counted.figures() for name, counted in self.counted.items()},
            "failures": self.failures,
        }

    def _all(self) -> Counted:
        return Counted(
            sum(counted.failed for counted in self.counted.values()),
            [taken for counted in self.counted.values() for taken in counted.milliseconds],
        )

    async def _ask(self, number: int, planned: float) -> None:
        clock = asyncio.get_running_loop().time
        request = self.plan.requests[number % len(self.plan.requests)]
        kept = self._next_kept() if self._chance.random() >= self.plan.new else None
        keep = kept is not None or self._chance.random() >= self.plan.new
        try:
            async with asyncio.timeout_at(planned + self.plan.timeout):
                await self._exchange(request, number, kept, keep=keep)
        except (OSError, EOFError, ValueError, LookupError, asyncio.LimitOverrunError, RefusedError) as error:
            self.counted[request.name].failed += 1
            if len(self.failures) < MOST_TOLD:
                self.failures.append(
                    {
                        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
                        "kind": kind_of(error),
                        "request": f"{request.name}, {'a kept' if kept else 'a new'} connection",
                        "after_ms": round(1000 * (clock() - planned), 1),
                        "said": str(error.args[-1]) if error.args else "",
                    }
                )
            return
        self.counted[request.name].milliseconds.append(1000 * (clock() - planned))
        if not self._answered:
            self._answered = True
            print("answered", flush=True)

    def _next_kept(self) -> Connection | None:
        # The one that was used last, as browsers do. In turn, after a stall that made many, each would come just when
        # the proxy closes it for having been idle, and a request that meets that fails.
        while self._kept:
            connection = self._kept.pop()
            if connection.is_open():
                return connection
            connection.close()
        return None

    async def _exchange(self, request: Request, number: int, kept: Connection | None, *, keep: bool) -> None:
        connection = kept or await self._connect()
        again = False
        try:
            status, body, again = await connection.exchange(request.encode(number, self.plan.host, keep=keep))
        finally:
            if again and keep:
                self._kept.append(connection)
            else:
                connection.close()
        if not 200 <= status < 300:
            raise RefusedError(f"status {status}", body[:BODY_TOLD].decode(errors="replace"))

    async def _connect(self) -> Connection:
        name = self.plan.host if self._trust else None
        return Connection(
            *await asyncio.open_connection(
                self.plan.address, self.plan.port, ssl=self._trust, server_hostname=name
            )
        )


def kind_of(error: Exception) -> str:
    """In a word or two, how a request failed."""
    if isinstance(error, RefusedError):
        return str(error.args[0])
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, ssl.SSLError):
        return "tls"
    # Reset, or ended before the answer was whole.
    return "reset" if isinstance(error, ConnectionError | EOFError) else type(error).__name__


async def main() -> None:
    """Carry out the plan on the first line of the input, until the input ends."""
    load = Load(Plan.read(sys.stdin.readline()))
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), load.stop)
    print(json.dumps(await load.run()), flush=True)


if __name__ == "__main__":
    # Connections pile up while a service stalls.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(OPEN_FILES, most), most))
    asyncio.run(main())
