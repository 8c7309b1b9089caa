"""Speaks HTTP/2 with an edge by the h2 library, and says what passed."""

import hashlib
import json
import socket
import ssl
import sys

import h2.config
import h2.connection
import h2.events

at = json.loads(sys.argv[1])


class Client:
    """One connection, with one request at a time."""

    def __init__(self):
        context = ssl.create_default_context(cafile=at["ca"])
        context.set_alpn_protocols(["h2"])
        self.sock = context.wrap_socket(socket.create_connection(("127.0.0.1", int(at["port"])), 60), server_hostname=at["host"])
        assert self.sock.selected_alpn_protocol() == "h2"
        self.conn = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.conn.initiate_connection()
        self.flush()

    def flush(self):
        self.sock.sendall(self.conn.data_to_send())

    def request(self, path, method="GET", fields=(), body=None, trailers=None):
        """Gives the response. An early answer ends the upload."""
        stream = self.conn.get_next_available_stream_id()
        r = {"hints": [], "pieces": [], "trailers": {}, "ended": False, "head": {}, "sent": 0}
        to = [("x-workload", "h2c")] if at["h2c"] else []
        self.conn.send_headers(stream, [(":method", method), (":scheme", "https"), (":authority", at["host"]), (":path", path), *to, *fields], end_stream=body is None)
        self.flush()
        waits = ("expect", "100-continue") in fields
        while waits and 100 not in r["hints"] and not r["ended"]:
            self.receive(stream, r)
        while r["sent"] < len(body or b"") and not r["ended"]:
            room = min(self.conn.local_flow_control_window(stream), self.conn.max_outbound_frame_size, len(body) - r["sent"])
            if room > 0:
                self.conn.send_data(stream, body[r["sent"] : r["sent"] + room])
                r["sent"] += room
                self.flush()
            self.receive(stream, r, wait=room <= 0)
        if body is not None and not r["ended"]:
            if trailers:
                self.conn.send_headers(stream, trailers, end_stream=True)
            else:
                self.conn.end_stream(stream)
            self.flush()
        while not r["ended"]:
            self.receive(stream, r)
        r["body"] = b"".join(r.pop("pieces"))
        return r

    def receive(self, stream, r, wait=True):
        self.sock.settimeout(60 if wait else 0)
        try:
            data = self.sock.recv(1 << 16)
        except (ssl.SSLWantReadError, BlockingIOError):
            return
        finally:
            self.sock.settimeout(60)
        assert data, "the connection ended"
        for e in self.conn.receive_data(data):
            if getattr(e, "stream_id", stream) != stream:
                continue
            if isinstance(e, h2.events.InformationalResponseReceived):
                r["hints"].append(int(dict(e.headers)[":status"]))
            elif isinstance(e, h2.events.ResponseReceived):
                r["head"] = dict(e.headers)
            elif isinstance(e, h2.events.DataReceived):
                r["pieces"].append(e.data)
                self.conn.acknowledge_received_data(e.flow_controlled_length, e.stream_id)
            elif isinstance(e, h2.events.TrailersReceived):
                r["trailers"] = dict(e.headers)
            elif isinstance(e, h2.events.StreamEnded):
                r["ended"] = True
            elif isinstance(e, h2.events.StreamReset):
                assert r["ended"] and e.error_code == 0, f"reset with {e.error_code}"
            elif isinstance(e, h2.events.ConnectionTerminated):
                raise AssertionError(f"GOAWAY {e.error_code} {e.additional_data}")
        self.flush()


with open(at["file"], "rb") as f:
    data = f.read()
length = ("content-length", str(len(data)))
whole = f'{at["length"]} {at["sum"]}'.encode()


def upload(c):
    assert c.request("/sum", "POST", [length], data)["body"] == whole


def download(c):
    assert hashlib.sha256(c.request("/parts/bytes")["body"]).hexdigest() == at["sum"]


def early(c):
    r = c.request("/parts/early", "POST", [length], data)
    assert r["head"][":status"] == "413" and len(r["body"]) == at["early"], r["head"]


def head(c):
    r = c.request("/file", "HEAD")
    assert r["head"]["content-length"] == "36" and not r["body"], r


def not_modified(c):
    r = c.request("/file", fields=[("if-none-match", '"v1"')])
    assert r["head"][":status"] == "304" and not r["body"], r


def hints(c):
    r = c.request("/hints")
    assert r["hints"] == [103, 103] and r["body"] == b"final", r


def continues(c):
    r = c.request("/sum", "POST", [length, ("expect", "100-continue")], data)
    assert r["hints"] == [100] and r["body"] == whole, r


def trailers(c):
    # The workload of HTTP/2 is net/http's server, which drops those that were not announced.
    for announced in [True] if at["h2c"] else [True, False]:
        r = c.request("/parts/trailers", "POST", [("trailer", "x-sent")] if announced else [], b"body", [("x-sent", "yes")])
        assert json.loads(r["body"]) == {"length": 4, "trailers": {"X-Sent": ["yes"]}}, r
        assert r["trailers"] == {"x-sum": "42", "x-late": "also"}, r


client = Client()
cases = {"upload": upload, "download": download, "head": head, "not-modified": not_modified, "hints": hints, "continue": continues,
         "trailers": trailers, "early": early}
for name in at["cases"]:
    cases[name](client)
    print("passed", name, flush=True)
# The connection goes on after an upload that was not sent to its end.
download(client)
