"""A libzmq peer that a test drives: a JSON request per line in, a JSON reply per line out.

The argument names the library. ctypes calls it, since no binding offers the draft types of a libzmq that has them.

open type options -> socket     bind endpoint -> endpoint    set options
close                           connect endpoint             send frames
recv timeout -> frames, none of them if no message came within that many milliseconds
take until timeout -> messages, as many as until says, fewer if they do not come in time
flood from until                sends the numbers from..until-1 in decimal
echo                            sends back what the socket receives, until the process ends

What a frame is says driven.py.
What draft types have beside the body is a frame before it: the routing id of SERVER and PEER (4 bytes, big-endian; connect
of a PEER answers with that of the other side), the group of RADIO and DISH.
Each socket has a context of its own, so that the reply to close comes after its ports are free.
"""
import ctypes
import errno
import itertools
import os
import sys
import threading
import time

from driven import decode, encode, serve

MORE = 2  # ZMQ_SNDMORE

TYPES = {name: number for number, name in enumerate(
    "PAIR PUB SUB REQ REP DEALER ROUTER PULL PUSH XPUB XSUB STREAM "
    "SERVER CLIENT RADIO DISH GATHER SCATTER DGRAM PEER CHANNEL".split())}

OPTIONS = {
    "ROUTING_ID": 5, "SUBSCRIBE": 6, "UNSUBSCRIBE": 7, "SNDBUF": 11, "RCVBUF": 12, "LINGER": 17, "RECONNECT_IVL": 18,
    "BACKLOG": 19, "RECONNECT_IVL_MAX": 21, "MAXMSGSIZE": 22, "SNDHWM": 23, "RCVHWM": 24, "RCVTIMEO": 27,
    "SNDTIMEO": 28, "LAST_ENDPOINT": 32, "ROUTER_MANDATORY": 33, "IMMEDIATE": 39, "XPUB_VERBOSE": 40, "IPV6": 42,
    "PLAIN_SERVER": 44, "PLAIN_USERNAME": 45, "PLAIN_PASSWORD": 46, "CURVE_SERVER": 47, "CURVE_PUBLICKEY": 48,
    "CURVE_SECRETKEY": 49, "CURVE_SERVERKEY": 50, "PROBE_ROUTER": 51, "REQ_CORRELATE": 52, "REQ_RELAXED": 53,
    "CONFLATE": 54, "ROUTER_HANDOVER": 56, "ZAP_DOMAIN": 55, "CONNECT_ROUTING_ID": 61, "HANDSHAKE_IVL": 66, "XPUB_NODROP": 69,
    "XPUB_MANUAL": 71, "XPUB_WELCOME_MSG": 72, "STREAM_NOTIFY": 73, "INVERT_MATCHING": 74, "HEARTBEAT_IVL": 75,
    "HEARTBEAT_TTL": 76, "HEARTBEAT_TIMEOUT": 77, "XPUB_VERBOSER": 78, "CONNECT_TIMEOUT": 79, "METADATA": 95,
    "ROUTER_NOTIFY": 97, "RECONNECT_STOP": 109, "HELLO_MSG": 110, "DISCONNECT_MSG": 111,
}

zmq = ctypes.CDLL(sys.argv[1], use_errno=True)
for pointer in "zmq_ctx_new", "zmq_socket", "zmq_msg_data", "zmq_msg_group":
    if hasattr(zmq, pointer):
        getattr(zmq, pointer).restype = ctypes.c_void_p
zmq.zmq_strerror.restype = ctypes.c_char_p
zmq.zmq_msg_size.restype = ctypes.c_size_t


def check(result):
    if result is None or result == -1:
        number = ctypes.get_errno()
        raise OSError(number, zmq.zmq_strerror(number).decode())
    return result


class Socket:
    def __init__(self, kind, options):
        self.kind = kind
        self.context = ctypes.c_void_p(check(zmq.zmq_ctx_new()))
        self.socket = ctypes.c_void_p(check(zmq.zmq_socket(self.context, TYPES[kind])))
        self.set({"SNDTIMEO": 20000, "LINGER": 0, **options})

    def close(self):
        zmq.zmq_close(self.socket)
        zmq.zmq_ctx_term(self.context)

    def set(self, options):
        for name, value in options.items():
            for one in value if isinstance(value, list) else [value]:
                self.set_one(name, one)

    def set_one(self, name, value):
        if name == "ZAP":
            threading.Thread(target=Zap(self.context).answer, args=(value.encode(),), daemon=True).start()
        elif name in ("JOIN", "LEAVE"):
            check((zmq.zmq_join if name == "JOIN" else zmq.zmq_leave)(self.socket, value.encode()))
        elif isinstance(value, str):
            value = value.encode()
            check(zmq.zmq_setsockopt(self.socket, OPTIONS[name], value, ctypes.c_size_t(len(value))))
        else:
            number = (ctypes.c_int64 if name == "MAXMSGSIZE" else ctypes.c_int)(value)
            check(zmq.zmq_setsockopt(self.socket, OPTIONS[name], ctypes.byref(number), ctypes.c_size_t(ctypes.sizeof(number))))

    def bind(self, endpoint):
        """Whoever had the address a moment ago, a process that was killed, may still have it."""
        deadline = time.monotonic() + 10
        while zmq.zmq_bind(self.socket, endpoint.encode()) != 0:
            if ctypes.get_errno() != errno.EADDRINUSE or time.monotonic() > deadline:
                check(-1)
            time.sleep(0.01)
        real = ctypes.create_string_buffer(1024)
        check(zmq.zmq_getsockopt(self.socket, OPTIONS["LAST_ENDPOINT"], real, ctypes.byref(ctypes.c_size_t(len(real)))))
        return real.value.decode()

    def connect(self, endpoint):
        if self.kind != "PEER":
            check(zmq.zmq_connect(self.socket, endpoint.encode()))
            return []
        number = zmq.zmq_connect_peer(self.socket, endpoint.encode()) & 0xffffffff
        return [check(number or None).to_bytes(4, "big")]

    def send(self, frames):
        beside = b""
        if self.kind in ("SERVER", "PEER", "RADIO"):
            beside, *frames = frames
        for i, body in enumerate(frames):
            self.send_frame(beside, body, MORE if i < len(frames) - 1 else 0)

    def send_frame(self, beside, body, flags):
        message = ctypes.byref((ctypes.c_uint64 * 8)())
        check(zmq.zmq_msg_init_size(message, ctypes.c_size_t(len(body))))
        ctypes.memmove(zmq.zmq_msg_data(message), body, len(body))
        if self.kind == "RADIO":
            check(zmq.zmq_msg_set_group(message, beside))
        elif beside:
            check(zmq.zmq_msg_set_routing_id(message, ctypes.c_uint32(int.from_bytes(beside, "big"))))
        check(zmq.zmq_msg_send(message, self.socket, flags))

    def recv(self, timeout):
        """Returns None if nothing comes. There is no poll: the draft types have no file descriptor."""
        self.set({"RCVTIMEO": timeout})
        frames, more = [], True
        while more:
            message = ctypes.byref((ctypes.c_uint64 * 8)())
            check(zmq.zmq_msg_init(message))
            if zmq.zmq_msg_recv(message, self.socket, 0) == -1:
                return None if ctypes.get_errno() == errno.EAGAIN else check(-1)
            if self.kind in ("SERVER", "PEER"):
                frames.append((zmq.zmq_msg_routing_id(message) & 0xffffffff).to_bytes(4, "big"))
            elif self.kind == "DISH":
                frames.append(ctypes.string_at(zmq.zmq_msg_group(message)))
            frames.append(ctypes.string_at(zmq.zmq_msg_data(message), zmq.zmq_msg_size(message)))
            more = zmq.zmq_msg_more(message)
            zmq.zmq_msg_close(message)
        return frames

    def take(self, count, timeout):
        messages, deadline = [], time.monotonic() + timeout / 1000
        while len(messages) < count:
            frames = self.recv(max(0, int(1000 * (deadline - time.monotonic()))))
            if frames is None:
                break
            messages.append([encode(body) for body in frames])
        return messages

    def flood(self, start, end):
        """Sends at a pace that a receiver can follow, for nothing else holds back a PUB."""
        for number in range(start, end):
            self.send([str(number).encode()])
            if number % 100 == 0:
                time.sleep(0.01)

    def echo(self):
        while True:
            self.send(self.recv(-1))


class Zap(Socket):
    """The authenticator of a context. It decides by its statuses in turn, by the last for ever, and names nobody: a REQ breaks off when a peer has a name."""
    def __init__(self, context):
        self.kind, self.context = "REP", context
        self.socket = ctypes.c_void_p(check(zmq.zmq_socket(self.context, TYPES["REP"])))
        self.bind("inproc://zeromq.zap.01")

    def answer(self, statuses):
        try:
            for status in itertools.chain(statuses.split(), itertools.repeat(statuses.split()[-1])):
                version, request, *_ = self.recv(-1)
                self.send([version, request, status, b"", b"", b""])
        except OSError:  # the context ends
            zmq.zmq_close(self.socket)


def answer(sockets, request):
    operation = request["op"]
    if operation == "open":
        sockets.append(Socket(request["type"], request.get("options") or {}))
        return {"socket": len(sockets)}
    socket = sockets[request["socket"] - 1]
    if operation == "close":
        socket.close()
    elif operation == "set":
        socket.set(request["options"])
    elif operation == "bind":
        return {"endpoint": socket.bind(request["endpoint"])}
    elif operation == "connect":
        return {"frames": [encode(number) for number in socket.connect(request["endpoint"])]}
    elif operation == "send":
        socket.send([decode(frame) for frame in request["frames"]])
    elif operation == "recv":
        return {"frames": [encode(body) for body in socket.recv(request["timeout"]) or []]}
    elif operation == "take":
        return {"messages": socket.take(request["until"], request["timeout"])}
    elif operation == "flood":
        socket.flood(request["from"], request["until"])
    elif operation == "echo":
        threading.Thread(target=socket.echo, daemon=True).start()
    else:
        raise ValueError(f"unknown operation {operation}")
    return {}


serve(answer)
os._exit(0)  # sockets may still be open, and threads in them
