"""A pyzmq peer that a test drives: those of the requests of peer.py that plain messages take."""
import json
import sys
import zlib

import zmq

CYCLE = bytes(range(251)) * 2
LONG = 4096


def decode(frame):
    size = frame.get("size", 0)
    if not size:
        return bytes.fromhex(frame["hex"])
    return (CYCLE[frame["seed"]:][:251] * (size // 251 + 1))[:size]


def encode(body):
    if len(body) <= LONG:
        return {"hex": body.hex()}
    return {"hex": "", "size": len(body), "seed": body[0], "crc": zlib.crc32(body)}


def open_socket(kind, options):
    socket = zmq.Context().socket(getattr(zmq, kind))
    change(socket, {"SNDTIMEO": 20000, "LINGER": 0, **options})
    return socket


def change(socket, options):
    for name, value in options.items():
        socket.set(getattr(zmq, name), value.encode() if isinstance(value, str) else value)


def answer(sockets, request):
    operation = request["op"]
    if operation == "open":
        sockets.append(open_socket(request["type"], request.get("options") or {}))
        return {"socket": len(sockets)}
    socket = sockets[request["socket"] - 1]
    if operation == "close":
        socket.context.destroy()
    elif operation == "set":
        change(socket, request["options"])
    elif operation == "bind":
        socket.bind(request["endpoint"])
        return {"endpoint": socket.get(zmq.LAST_ENDPOINT).rstrip(b"\0").decode()}
    elif operation == "connect":
        socket.connect(request["endpoint"])
    elif operation == "send":
        socket.send_multipart([decode(frame) for frame in request["frames"]])
    elif operation == "recv":
        came = socket.poll(request["timeout"])
        return {"frames": [encode(body) for body in socket.recv_multipart()] if came else []}
    else:
        raise ValueError(f"unknown operation {operation}")
    return {}


opened = []
for line in sys.stdin:
    try:
        reply = answer(opened, json.loads(line))
    except Exception as problem:  # whatever it is, the test wants to know
        reply = {"error": f"{type(problem).__name__}: {problem}"}
    print(json.dumps(reply), flush=True)
