"""A talker for network tests, run inside a network namespace.

serve NAME tcp|udp PORT        answers every connection or packet with "NAME ADDRESS-OF-THE-CALLER"
ask tcp|udp ADDRESS PORT [S [SOURCE-PORT]]   prints the answer, "refused" or "timeout" after S seconds
sink PORT                      takes all bytes of one connection after another
pour ADDRESS PORT BYTES        sends that many and prints the seconds until the other end has them all
"""
import select
import socket
import sys
import time


def _plain(address):
    return address.removeprefix("::ffff:")


def _listener(kind, port):
    it = socket.socket(socket.AF_INET6, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    it.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    it.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    it.bind(("::", port))
    if kind == "tcp":
        it.listen(16)
    return it


def serve(name, kind, port):
    it = _listener(kind, int(port))
    print("ready", flush=True)
    while True:
        if kind == "tcp":
            caller, address = it.accept()
            with caller:
                caller.sendall(f"{name} {_plain(address[0])}".encode())
        else:
            _, address = it.recvfrom(100)
            it.sendto(f"{name} {_plain(address[0])}".encode(), address)


def ask(kind, address, port, seconds="2", source="0"):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    it = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    it.settimeout(float(seconds))
    it.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    it.bind(("", int(source)))
    try:
        it.connect((address, int(port)))
        if kind == "udp":
            it.send(b"?")
        print(it.recv(200).decode())
    except (TimeoutError, socket.timeout):
        print("timeout")
    except ConnectionRefusedError:
        print("refused")
    except OSError as error:
        print(f"error {error.errno}")


def sink(port):
    it = _listener("tcp", int(port))
    print("ready", flush=True)
    while True:
        caller, _ = it.accept()
        with caller:
            while caller.recv(1 << 20):
                pass
            caller.sendall(b"!")


def pour(address, port, count):
    it = socket.create_connection((address, int(port)), timeout=60)
    begun, left, block = time.monotonic(), int(count), b"x" * 65536
    while left > 0:
        left -= it.send(block[:left])
    it.shutdown(socket.SHUT_WR)
    select.select([it], [], [], 60)
    it.recv(1)
    print(time.monotonic() - begun)


if __name__ == "__main__":
    {"serve": serve, "ask": ask, "sink": sink, "pour": pour}[sys.argv[1]](*sys.argv[2:])
