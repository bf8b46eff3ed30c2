"""A pyzmq peer that a test drives: those of the requests of peer.py that plain messages take."""
import zmq

from driven import decode, encode, serve


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


serve(answer)
