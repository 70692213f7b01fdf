"""The driver's end of a socket pair that carries lines. Nothing here blocks: waiting is the business of a selector."""

from __future__ import annotations

import socket

CHUNK_BYTES = 65_536


class LineChannel:
    """Lines out and lines in over a non-blocking stream socket, which it owns."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._socket = end
        self._unsent = bytearray()
        self._unread = bytearray()

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, line: bytes) -> None:
        """Send what fits now; the rest waits for `flush`. A peer that is gone is noticed by whoever reads."""
        self._unsent += line
        self.flush()

    def flush(self) -> bool:
        """Send what fits; whether anything is left to send."""
        while self._unsent:
            try:
                sent = self._socket.send(self._unsent)
            except BlockingIOError:
                return True
            except (BrokenPipeError, ConnectionResetError):
                self._unsent.clear()
                break
            del self._unsent[:sent]
        return False

    def receive(self) -> bool:
        """Take in all that has arrived; False once the other end is closed."""
        while True:
            try:
                chunk = self._socket.recv(CHUNK_BYTES)
            except BlockingIOError:
                return True
            except ConnectionResetError:
                return False
            if not chunk:
                return False
            self._unread += chunk

    def take_line(self) -> bytes | None:
        """The oldest whole line received, without its newline; None where there is none yet."""
        end = self._unread.find(b"\n")
        if end < 0:
            return None
        line = bytes(self._unread[:end])
        del self._unread[: end + 1]
        return line

    def close(self) -> None:
        self._socket.close()
