"""A libzmq peer that a test drives: a JSON request per line in, a JSON reply per line out.

open type options -> socket     bind endpoint -> endpoint    set options
close                           connect endpoint             send frames
recv timeout -> frames, none of them if no message came within that many milliseconds

A frame is {"hex": ...}; beyond LONG bytes {"size": n, "seed": s, "crc": c}, where byte i is (s + i) % 251.
Each socket has a context of its own, so that the reply to close comes after its ports are free.
"""
import json
import sys
import zlib

import zmq

LONG = 4096
CYCLE = bytes(range(251)) * 2


def decode(frame):
    size = frame.get("size", 0)
    if not size:
        return bytes.fromhex(frame["hex"])
    cycle = CYCLE[frame["seed"]:][:251]
    return (cycle * (size // 251 + 1))[:size]


def encode(body):
    if len(body) <= LONG:
        return {"hex": body.hex()}
    return {"hex": "", "size": len(body), "seed": body[0], "crc": zlib.crc32(body)}


def configure(socket, options):
    for name, value in options.items():
        if isinstance(value, str):
            value = value.encode()
        socket.setsockopt(getattr(zmq, name), value)


class Peer:
    def __init__(self):
        self.sockets = {}

    def open(self, request):
        socket = zmq.Context().socket(getattr(zmq, request["type"]))
        socket.setsockopt(zmq.SNDTIMEO, 20000)
        configure(socket, request.get("options", {}))
        number = len(self.sockets) + 1
        self.sockets[number] = socket
        return {"socket": number}

    def close(self, socket, request):
        socket.close(linger=0)
        socket.context.term()

    def set(self, socket, request):
        configure(socket, request["options"])

    def bind(self, socket, request):
        socket.bind(request["endpoint"])
        return {"endpoint": socket.get_string(zmq.LAST_ENDPOINT).rstrip("\0")}

    def connect(self, socket, request):
        socket.connect(request["endpoint"])

    def send(self, socket, request):
        socket.send_multipart([decode(frame) for frame in request["frames"]])

    def recv(self, socket, request):
        if socket.poll(request["timeout"]):
            return {"frames": [encode(body) for body in socket.recv_multipart()]}

    def answer(self, request):
        operation = getattr(self, request["op"])
        if request["op"] == "open":
            return operation(request)
        return operation(self.sockets[request["socket"]], request)


peer = Peer()
for line in sys.stdin:
    try:
        reply = peer.answer(json.loads(line)) or {}
    except Exception as problem:  # whatever it is, the test wants to know
        reply = {"error": f"{type(problem).__name__}: {problem}"}
    print(json.dumps(reply), flush=True)
