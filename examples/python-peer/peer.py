"""The other side of the example: a price service with pyzmq. Usage: peer.py ENDPOINT"""
import sys

import zmq

PRICES = {"tea": "3.50", "coffee": "4.20"}

rep = zmq.Context.instance().socket(zmq.REP)
rep.connect(sys.argv[1])
while True:
    item = rep.recv_string()
    if item == "go home":
        rep.send_string("bye")
        break
    rep.send_string(PRICES.get(item, "we have none"))
rep.close()
