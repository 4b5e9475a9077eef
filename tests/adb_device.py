"""A device that the real `adb` talks to: a daemon on this computer that speaks ADB's wire protocol, shell service only.

There is no adbd for Linux among Debian's packages. Messages and the shell's second protocol are as AOSP's
packages/modules/adb describes them (protocol.txt, shell_protocol.h); a TCP connection without authentication, as an
emulator's.
"""

from __future__ import annotations

import itertools
import os
import queue
import signal
import socket
import struct
import subprocess
import threading

VERSION, LARGEST = 0x01000001, 1 << 18
STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)


def _message(command: bytes, first: int, second: int, data: bytes = b"") -> bytes:
    number = int.from_bytes(command, "little")
    return struct.pack("<6I", number, first, second, len(data), sum(data), number ^ 0xFFFFFFFF) + data


def _exactly(stream: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = stream.recv(size - len(data))
        if not part:
            raise ConnectionError("the host hung up")
        data += part
    return data


class _Shell:
    """One `shell,v2,raw:` service: a command with its three streams in packets."""

    def __init__(self, device: AdbDevice, connection: _Connection, local: int, remote: int, command: str) -> None:
        self._connection, self._ids = connection, (local, remote)
        self._acknowledged = threading.Semaphore(1)  # one write at a time, then the host's OKAY
        self._process = subprocess.Popen(
            ["sh", "-c", command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            start_new_session=True,
        )
        device.processes.append(self._process)
        self._input: queue.Queue[bytes | None] = queue.Queue()
        self._held = b""
        threading.Thread(target=self._feed, daemon=True).start()
        threading.Thread(target=self._speak, daemon=True).start()

    def acknowledged(self) -> None:
        self._acknowledged.release()

    def receive(self, data: bytes) -> None:
        self._held += data
        while len(self._held) >= 5 and len(self._held) >= 5 + (size := int.from_bytes(self._held[1:5], "little")):
            kind, packet, self._held = self._held[0], self._held[5 : 5 + size], self._held[5 + size :]
            if kind == STDIN:
                self._input.put(packet)
            elif kind == CLOSE_STDIN:
                self._input.put(None)

    def hang_up(self) -> None:
        self._input.put(None)

    def _feed(self) -> None:
        assert self._process.stdin is not None
        with self._process.stdin as stdin:
            while (data := self._input.get()) is not None:
                try:
                    stdin.write(data)
                    stdin.flush()
                except BrokenPipeError:
                    return

    def _speak(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        voices = [
            threading.Thread(target=self._copy, args=(STDOUT, self._process.stdout.fileno()), daemon=True),
            threading.Thread(target=self._copy, args=(STDERR, self._process.stderr.fileno()), daemon=True),
        ]
        for voice in voices:
            voice.start()
        for voice in voices:
            voice.join()
        code = self._process.wait()
        self._send(EXIT, bytes([code if code >= 0 else 128 - code]))
        self._process.stdout.close()
        self._process.stderr.close()
        self._connection.send(_message(b"CLSE", *self._ids))

    def _copy(self, kind: int, source: int) -> None:
        while data := os.read(source, 1 << 14):
            self._send(kind, data)

    def _send(self, kind: int, data: bytes) -> None:
        self._acknowledged.acquire()
        packet = struct.pack("<BI", kind, len(data)) + data
        self._connection.send(_message(b"WRTE", *self._ids, packet))


class _Connection:
    """One host's connection."""

    def __init__(self, device: AdbDevice, stream: socket.socket) -> None:
        self._device, self._stream = device, stream
        self._sending = threading.Lock()
        self._shells: dict[int, _Shell] = {}
        self._ids = itertools.count(1)

    def send(self, message: bytes) -> None:
        with self._sending:
            try:
                self._stream.sendall(message)
            except OSError:
                self.close()

    def close(self) -> None:
        try:
            self._stream.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def serve(self) -> None:
        try:
            while True:
                head = _exactly(self._stream, 24)
                _, first, second, size, _, _ = struct.unpack("<6I", head)
                self._handle(head[:4], first, second, _exactly(self._stream, size))
        except OSError:
            pass
        finally:
            for shell in self._shells.values():
                shell.hang_up()
                shell.acknowledged()
            self._stream.close()

    def _handle(self, command: bytes, first: int, second: int, data: bytes) -> None:
        if command == b"CNXN":
            self.send(_message(b"CNXN", VERSION, LARGEST, b"device::ro.product.name=loopback;features=shell_v2,cmd"))
        elif command == b"OPEN":
            service, _, shell = data.rstrip(b"\0").decode().partition(":")
            if not service.startswith("shell,v2"):
                self.send(_message(b"CLSE", 0, first))
                return
            local = next(self._ids)
            self.send(_message(b"OKAY", local, first))
            self._shells[local] = _Shell(self._device, self, local, first, shell)
        elif command == b"WRTE":
            self._shells[second].receive(data)
            self.send(_message(b"OKAY", second, first))
        elif command == b"OKAY":
            self._shells[second].acknowledged()
        elif command == b"CLSE" and second in self._shells:
            self._shells[second].hang_up()
            self._shells[second].acknowledged()


class AdbDevice:
    """The daemon; `serial` is its address for `adb connect`."""

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []
        self._connections: list[_Connection] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.serial = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def unplug(self) -> None:
        """Break every connection; new ones are accepted."""
        for connection in self._connections:
            connection.close()
        self._connections = []

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.unplug()
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _accept(self) -> None:
        while True:
            try:
                stream, _ = self._listener.accept()
            except OSError:
                return
            connection = _Connection(self, stream)
            self._connections.append(connection)
            threading.Thread(target=connection.serve, daemon=True).start()
