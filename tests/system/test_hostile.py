"""Bytes that no client of ours would send: at most that one connection ends, and nobody else notices."""
import contextlib
import random
import socket
import struct

from rig import Case, cmdline, main, memory, profile, ring, until
from wire import (Connection, ERROR, GET_KEYS, GET_STATUS, IMPORT_KEY, LIST_KEYS, MAX_REQUEST, SIGN, SIGN_BATCH, VERIFY,
                  field, fields, frame, request, sign, varint)


def memory_holds(pid, what):
    """Whether these bytes stand anywhere in a process's own memory."""
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            span, rights = line.split()[:2]
            start, end = (int(x, 16) for x in span.split("-"))
            if rights.startswith("rw") and end - start < 1 << 30:      # a sanitizer's shadow is larger
                memory.seek(start)
                if what in memory.read(end - start):
                    return True
    return False


class Hostile(Case):
    rings = ring("web", "ES256", "create: yes")
    profiles = profile("web", "web", "shop", "claims: {allowed: any}")
    daemon_settings = "  frame_timeout: 1s\n"

    def setUp(self):
        self.roles = self.daemon.roles()

    def tearDown(self):
        self.assertEqual(self.daemon.roles(), self.roles, "a role died")
        with self.connect() as c:
            c.send(sign("web", request_id=77))
            self.assertEqual(c.reply()[1], 77)

    def connect(self):
        return Connection(self.daemon.socket)

    def closed_alone(self, raw):
        with self.connect() as neighbour, self.connect() as c:
            c.send(raw)
            while c.reply() is not None:
                pass
            neighbour.send(sign("web", request_id=5))
            self.assertEqual(neighbour.reply()[1], 5)

    def test_an_empty_frame_ends_its_connection_alone(self):
        self.closed_alone(frame(b""))

    def test_a_frame_of_the_largest_length_ends_its_connection_alone(self):
        self.closed_alone(struct.pack(">I", 0xFFFFFFFF))

    def test_wire_6_2_11_a_request_s_limit_is_allowed_and_one_more_is_not(self):
        body = field(1, "web") + field(7, b"{}")
        for size, answered in ((MAX_REQUEST, True), (MAX_REQUEST + 1, False)):
            head = field(1, 9) + field(SIGN, body)
            # An unknown field fills it up: its tag and three bytes of length stand before.
            filler = size - len(head) - len(varint(500 << 3 | 2)) - 3
            message = head + field(500, b"x" * filler)
            self.assertEqual(len(message), size)
            with self.connect() as c:
                c.send(frame(message))
                reply = c.reply()
                self.assertEqual(bool(reply and 10 in reply), answered, size)

    def test_http2_is_closed_cleanly(self):
        self.closed_alone(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

    def test_half_a_frame_is_not_waited_for_without_end(self):
        with self.connect() as c:
            c.send(b"\0\0\0\x10half")
            self.assertIsNone(c.reply())

    def test_a_byte_now_and_then_is_no_progress(self):
        """Each is in time after the one before it, and the frame is never whole."""
        with contextlib.ExitStack() as stack:
            held = [stack.enter_context(self.connect()) for _ in range(50)]
            for c in held:
                c.send(struct.pack(">I", MAX_REQUEST))

            def feed():
                for c in list(held):
                    try:
                        c.send(b"x")
                    except (BrokenPipeError, ConnectionResetError):
                        held.remove(c)
                with self.connect() as other:
                    other.send(sign("web", request_id=5))
                    self.assertEqual(other.reply()[1], 5)
                return not held
            until("all are closed", feed)

    def test_no_message_at_all_is_answered_or_closed(self):
        for message in (b"\xff\xff\xff", b"\x0b\x0c", field(1, 1), field(1, 1) + field(999, b"x"),
                        field(1, 1) + varint(SIGN << 3 | 2) + b"\x7f", field(1, 1) + field(SIGN, 5)):
            with self.subTest(message=message), self.connect() as c:
                c.send(frame(message))
                reply = c.reply()
                self.assertTrue(reply is None or ERROR in reply, reply)

    def test_strings_that_are_none_are_refused(self):
        for name in (b"web\0", b"\xc0\xaf", b"\xed\xa0\x80", b"\xff"):
            with self.subTest(name=name), self.connect() as c:
                c.send(request(SIGN, field(1, name)))
                self.assertIn(c.reason(), ("BAD_REQUEST", None))

    def test_what_is_no_request_gets_its_id_where_it_can_be_read_and_ends_nothing(self):
        with self.connect() as c:
            for message, request_id in ((field(1, 7) + b"\x0b", 7), (b"\x0b" + field(1, 7), None), (b"\xff", None)):
                c.send(frame(message))
                reply = c.reply()
                self.assertEqual((reply.get(1), dict(fields(reply[ERROR]))[2]), (request_id, b"BAD_REQUEST"), message)
            c.send(frame(field(1, 8) + field(999, b"x")))
            self.assertEqual(c.reason(), "UNKNOWN_OPERATION")
            c.send(sign("web", request_id=9))
            self.assertEqual(c.reply()[1], 9)

    def test_one_who_writes_no_more_still_gets_what_it_asked_for(self):
        with self.connect() as c:
            c.send(b"".join(sign("web", request_id=i) for i in (1, 2, 3)))
            c.socket.shutdown(socket.SHUT_WR)
            self.assertEqual(sorted(c.reply()[1] for _ in range(3)), [1, 2, 3])
            self.assertIsNone(c.reply())

    def test_admin_s_questions_are_unknown_on_the_open_socket(self):
        with self.connect() as c:
            c.send(request(LIST_KEYS))
            self.assertEqual(c.reason(), "CALLER_NOT_ALLOWED")

    def test_a_secret_that_is_refused_stays_nowhere(self):
        secret = random.randbytes(48)
        broker = self.roles["broker"][0]
        for path, body, reason in (
                (self.daemon.socket, field(1, "web") + field(2, secret), "CALLER_NOT_ALLOWED"),
                (self.daemon.admin, field(1, "no-such") + field(2, secret), "UNKNOWN_RING"),
                (self.daemon.admin, field(1, "web") + field(2, secret * 100), "BAD_REQUEST")):
            with self.subTest(reason=reason), Connection(path) as c:
                c.send(request(IMPORT_KEY, body))
                self.assertEqual(c.reason(), reason)
                # Its beginning is the allocator's once it is freed.
                self.assertFalse(memory_holds(broker, secret[16:]), cmdline(broker))

    def test_hundreds_at_once_on_one_connection_are_all_answered(self):
        with self.connect() as c:
            c.send(b"".join(sign("web", request_id=i) for i in range(1, 301)))
            answers = [c.reply() for _ in range(300)]
        self.assertEqual(sorted(a[1] for a in answers), list(range(1, 301)))

    def test_a_batch_of_256_is_served_item_by_item_and_one_more_refused(self):
        item = field(1, field(1, "web") + field(2, "s"))
        bad = field(1, field(1, "no-such"))
        with self.connect() as c:
            c.send(request(SIGN_BATCH, item * 255 + bad, deadline_ms=30000))
            self.assertIn(SIGN_BATCH, c.reply())
            c.send(request(SIGN_BATCH, item * 257))
            self.assertEqual(c.reason(), "BATCH_TOO_LARGE")

    def test_one_who_asks_and_never_reads_costs_bounded_memory(self):
        broker = self.roles["broker"][0]
        with self.connect() as c:
            c.socket.settimeout(2)
            start = memory(broker)
            with self.assertRaises(TimeoutError):
                while True:
                    c.send(request(GET_KEYS) * 1000)
            self.assertLess(memory(broker) - start, 64 << 20, cmdline(broker))
            with self.connect() as other:
                other.send(sign("web", request_id=3))
                self.assertEqual(other.reply()[1], 3)

    def test_one_who_leaves_while_it_is_signed_for_harms_nobody(self):
        for _ in range(50):
            with self.connect() as c:
                c.send(sign("web") * 20)

    def test_bytes_at_random(self):
        chance = random.Random(8725)
        whole = [sign("web"), request(VERIFY, field(2, b"a.b.c")), request(GET_STATUS), request(GET_KEYS),
                 request(SIGN_BATCH, field(1, field(1, "web")) * 3)]
        for _ in range(400):
            raw = bytearray(b"".join(chance.choices(whole, k=2)))
            for _ in range(chance.randint(1, 6)):
                raw[chance.randrange(len(raw))] = chance.randrange(256)
            with self.connect() as c:
                c.send(bytes(raw))


if __name__ == "__main__":
    main()
