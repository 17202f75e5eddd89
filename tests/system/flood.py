"""flood: one who asks for more than there is."""
import collections
import os
import select
import socket
import threading
import time

import wire
from rig import PATIENCE

TICK_S = 0.005


def connect(path, uid=0):
    os.seteuid(uid)                                    # the kernel says who connects
    try:
        c = wire.Connection.__new__(wire.Connection)
        c.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        c.socket.connect(str(path))                    # waits while others are before it
    finally:
        os.seteuid(0)
    c.socket.settimeout(PATIENCE)
    return c


def outcome(reply):
    return dict(wire.fields(reply[wire.ERROR]))[2].decode() if wire.ERROR in reply else "signed"


class Flood(threading.Thread):
    """One who has up to `in_flight` requests of `profile` under way on each connection, whatever it is told; all together ask `rate` a
    second, where there is one. `seen`: how each ended; `early`: how many were signed after one that was asked later had
    been refused."""

    def __init__(self, connections, in_flight, rate=None, profile="web"):
        super().__init__()
        self.connections, self.in_flight, self.rate, self.profile = connections, in_flight, rate, profile
        self.seen, self.early, self.stop = collections.Counter(), 0, threading.Event()

    def run(self):
        threads = [threading.Thread(target=self.ask, args=(c,)) for c in self.connections]
        for t in threads:
            t.start()
        for t in threads:
            t.join()

    def ask(self, c):
        under_way = asked = refused = 0
        began = time.monotonic()
        while under_way or not self.stop.is_set():
            room = self.in_flight - under_way
            if self.rate:
                n = min(room, int((time.monotonic() - began) * self.rate / len(self.connections)) - asked)
            else:
                n = room if room > self.in_flight // 2 else 0
            if n > 0 and not self.stop.is_set():
                c.send(b"".join(wire.sign(self.profile, request_id=asked + i) for i in range(1, n + 1)))
                asked, under_way = asked + n, under_way + n
            if self.rate and not select.select([c.socket], [], [], TICK_S)[0]:
                continue
            reply = c.reply()
            end = outcome(reply)
            under_way -= 1
            self.seen[end] += 1
            refused = max(refused, reply[1]) if end == "QUEUE_FULL" else refused
            self.early += end == "signed" and reply[1] < refused
