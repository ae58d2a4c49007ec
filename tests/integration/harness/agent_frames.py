"""A client of the agent in a micro-VM (vm/agent/frames.hpp), over a unix socket."""
import json
import socket
import struct

HELLO, RUN, EXEC, CALL, ANSWER, STARTED, INPUT, INPUT_END, RESIZE, SIGNAL, OUTPUT, ERRORS, EXIT, ERROR, \
    OUTPUT_END, MEMORY_KILLS, ADOPT, INPUT_TAKEN = range(1, 19)
VERSION = 1


class Client:
    """One connection: greeted, unless `hello` is False."""

    def __init__(self, path, hello=True, deadline=20):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(deadline)
        self.socket.connect(str(path))
        self.bytes = b""
        self.out, self.err, self.pid, self.taken = b"", b"", 0, 0
        if hello:
            self.numbers(HELLO, VERSION)
            assert self.frame() == (HELLO, struct.pack("<I", VERSION))

    def send(self, type, content=b""):
        self.socket.sendall(struct.pack("<IB", len(content), type) + content)

    def numbers(self, type, *numbers):
        self.send(type, struct.pack(f"<{len(numbers)}I", *numbers))

    def ask(self, type, request):
        self.send(type, json.dumps(request).encode())
        return self

    def frame(self):
        """(type, content), or None at the end of the stream."""
        while len(self.bytes) < 5 or len(self.bytes) < 5 + struct.unpack("<I", self.bytes[:4])[0]:
            try:
                piece = self.socket.recv(65536)
            except ConnectionResetError:
                return None
            if not piece:
                assert not self.bytes, "the stream ended inside a frame"
                return None
            self.bytes += piece
        length, type = struct.unpack("<IB", self.bytes[:5])
        content, self.bytes = self.bytes[5:5 + length], self.bytes[5 + length:]
        return type, content

    def wait_for(self, word):
        """Reads until the output has `word`."""
        while word not in self.out + self.err:
            assert self._take(self.frame()) is None, (self.out, self.err)

    def end(self):
        """Reads to the last word: (code, signal) of kExit or the object of kError."""
        while True:
            last = self._take(self.frame())
            if last is not None:
                return last

    def _take(self, frame):
        assert frame is not None, f"the agent closed the connection: {self.out!r} {self.err!r}"
        type, content = frame
        if type == OUTPUT:
            self.out += content
        elif type == ERRORS:
            self.err += content
        elif type == STARTED:
            self.pid, = struct.unpack("<I", content)
        elif type == INPUT_TAKEN:
            self.taken += struct.unpack("<I", content)[0]
        elif type == EXIT:
            return struct.unpack("<ii", content)
        elif type in (ERROR, ANSWER):
            return json.loads(content)
        else:
            raise AssertionError(f"frame of type {type}")
        return None

    def close(self):
        self.socket.close()
