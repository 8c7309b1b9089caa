"""Calls a gRPC server through an edge by grpcio, and says what passed. Messages are put together by hand: the server's are those of
google.protobuf's wrappers."""

import json
import sys
import threading

import grpc

at = json.loads(sys.argv[1])
PREFIX = "/mezu.test.Echo/"
LARGE = 4 << 20


def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def number(n):
    return b"\x08" + varint(n) if n else b""


def message(data):
    # As protobuf has it, an empty field is not there.
    return b"\x0a" + varint(len(data)) + data if data else b""


with open(at["ca"], "rb") as f:
    credentials = grpc.ssl_channel_credentials(f.read())
options = [("grpc.ssl_target_name_override", at["host"]), ("grpc.default_authority", at["host"]), ("grpc.max_receive_message_length", 8 << 20),
           ("grpc.max_send_message_length", 8 << 20), ("grpc.max_metadata_size", 64 << 10)]
channel = grpc.secure_channel(f'127.0.0.1:{at["port"]}', credentials, options)


def failed(run):
    try:
        run()
    except grpc.RpcError as err:
        return err
    raise AssertionError("the call did not fail")


def unary():
    reply, call = channel.unary_unary(PREFIX + "Unary").with_call(message(b"x" * 5000), timeout=60, metadata=[("tag", "one"), ("tag-bin", b"\x00\x01\xfe")])
    assert reply == message(b"x" * 5000)
    assert dict(call.initial_metadata())["seen-tag"] == "one", call.initial_metadata()
    assert dict(call.initial_metadata())["seen-tag-bin"] == b"\x00\x01\xfe", call.initial_metadata()
    assert dict(call.trailing_metadata()) == {"end": "yes", "end-bin": b"\x00\xff"}, call.trailing_metadata()
    assert call.code() == grpc.StatusCode.OK


def large():
    data = message(b"m" * LARGE)
    assert channel.unary_unary(PREFIX + "Unary")(data, timeout=60) == data


def status():
    err = failed(lambda: channel.unary_unary(PREFIX + "Fail")(b"", timeout=60))
    assert err.code() == grpc.StatusCode.FAILED_PRECONDITION and err.details() == "not now: 100 % sure, naïve\n", err
    assert dict(err.trailing_metadata())["why"] == "because" and len(dict(err.trailing_metadata())["details"]) == 20 << 10
    err = failed(lambda: channel.unary_unary(PREFIX + "NoSuch")(b"", timeout=60))
    assert err.code() == grpc.StatusCode.UNIMPLEMENTED, err


def down():
    assert list(channel.unary_stream(PREFIX + "Down")(number(3000), timeout=60)) == [number(i) for i in range(3000)]
    call = channel.unary_stream(PREFIX + "Down")(number(13), timeout=60)
    assert [next(call) for _ in range(13)] == [number(i) for i in range(13)]
    err = failed(lambda: next(call))
    assert err.code() == grpc.StatusCode.DATA_LOSS and dict(call.trailing_metadata())["sent"] == "13", err


def up():
    pieces = [message(b"x" * (i * 37 % 20000)) for i in range(200)]
    want = sum(i * 37 % 20000 for i in range(200))
    assert channel.stream_unary(PREFIX + "Up")(iter(pieces), timeout=60) == number(want)


def both():
    turn = threading.Semaphore(1)
    sent = [message(bytes([i]) * (i * 53)) for i in range(100)]

    def speak():
        for one in sent:
            turn.acquire()
            yield one

    n = 0
    for reply in channel.stream_stream(PREFIX + "Both")(speak(), timeout=60):
        assert reply == sent[n], n
        n += 1
        turn.release()
    assert n == 100, n


def cancel():
    call = channel.unary_unary(PREFIX + "Wait").future(b"")
    call.cancel()
    assert call.code() == grpc.StatusCode.CANCELLED
    stream = channel.unary_stream(PREFIX + "Down")(number(1 << 20), timeout=60)
    next(stream)
    stream.cancel()
    err = failed(lambda: list(stream))
    assert err.code() == grpc.StatusCode.CANCELLED, err


def deadline():
    err = failed(lambda: channel.unary_unary(PREFIX + "Wait")(b"", timeout=0.5))
    # The server gives up at the same time, which is a 502 if it is seen first.
    assert err.code() in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE), err


cases = {"unary": unary, "large": large, "status": status, "down": down, "up": up, "both": both, "cancel": cancel, "deadline": deadline}
for name in at["cases"]:
    cases[name]()
    print("passed", name, flush=True)
channel.close()
