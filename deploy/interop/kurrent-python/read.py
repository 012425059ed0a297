"""Reads and follows the log of a vault in which the demo is played, with the Python client of
KurrentDB as it is: its calls have their default filters, which look ahead. Once in clear on
loopback, once over TLS with a password."""

import os
import re
import subprocess
import tempfile
import threading
import time

from kurrentdbclient import CaughtUp, KurrentDBClient, NewEvent, StreamState
from kurrentdbclient.exceptions import KurrentDBClientError

PROGRAM = os.environ["COFFRE"]
PATIENCE = 60  # seconds
passed = 0


def must(what, so):
    global passed
    if not so:
        raise AssertionError(what)
    passed += 1


def refused(what, ask):
    try:
        ask()
    except KurrentDBClientError:
        must(what, True)
    else:
        raise AssertionError(f"{what}: it is not refused")


class Vault:
    """A vault on free ports in a new directory, with the demo played in it."""

    def __init__(self, *more):
        self.data = tempfile.mkdtemp(prefix="coffre-interop-")
        self.server = subprocess.Popen(
            [PROGRAM, "serve", "--dev", "--listen", "127.0.0.1:0", "--kurrent-listen", "127.0.0.1:0", "--data", self.data, *more],
            stderr=subprocess.PIPE, text=True,
        )
        self.where, found = "", threading.Event()

        def listen():
            for line in self.server.stderr:
                if at := re.search(r"esdb://(\S+?)\?", line):
                    self.where = at[1]
                    found.set()

        self.log = threading.Thread(target=listen, daemon=True)
        self.log.start()
        if not found.wait(PATIENCE):
            raise AssertionError("the log is not offered")
        self.demo()

    def demo(self):
        subprocess.run([PROGRAM, "demo", "--data", self.data], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.terminate()
        must("it leaves in order", self.server.wait(PATIENCE) == 0)


def settled(client):
    """The log, once nothing more comes of what was played."""
    before = []
    for _ in range(PATIENCE):
        now = list(client.read_all())
        if now and len(now) == len(before):
            return now
        before = now
        time.sleep(1)
    raise AssertionError("the log does not come to rest")


def ids(events):
    """What is there without the records of reading, of which each call here may leave one."""
    return [e.id for e in events if e.type != "audit.log-read/2"]


def play(client, vault):
    everything = settled(client)
    must("read_all reads", len(everything) > 50)
    must("in order", all(a.commit_position < b.commit_position for a, b in zip(everything, everything[1:])))
    must("read_all without a filter is the same", ids(client.read_all(filter_exclude=())) == ids(everything))
    must("backwards", ids(client.read_all(backwards=True)) == ids(everything)[::-1])
    must("backwards, some", len(list(client.read_all(backwards=True, limit=20))) == 20)
    must("get_commit_position", client.get_commit_position() >= everything[-1].commit_position)
    for name, keywords, passes in [
        ("types left out", {"filter_exclude": [r"document\..*", r"consent\..*"]}, lambda e: not e.type.startswith(("document.", "consent."))),
        ("streams left out", {"filter_exclude": ["document-.*"], "filter_by_stream_name": True}, lambda e: not e.stream_name.startswith("document-")),
        ("types wanted", {"filter_include": [r"document\.issued/\d"]}, lambda e: e.type.startswith("document.issued/")),
        ("prefixes wanted", {"filter_include": ["access."], "filter_by_prefix": True}, lambda e: e.type.startswith("access.")),
    ]:
        wanted = ids(filter(passes, everything))
        must(f"{name}: something", 0 < len(wanted) < len(everything))
        must(name, ids(client.read_all(**keywords)) == wanted)

    stream = next(e.stream_name for e in everything if e.stream_name.startswith("document-"))
    must("get_stream", [e.id for e in client.get_stream(stream)] == [e.id for e in everything if e.stream_name == stream])

    with client.subscribe_to_all(include_caught_up=True, timeout=PATIENCE) as live:
        followed = []
        for e in live:
            if isinstance(e, CaughtUp):
                break
            followed.append(e)
        must("subscribe_to_all catches up", ids(followed) == ids(everything))
        vault.demo()
        settled(client)
        now = ids(client.read_all(commit_position=followed[-1].commit_position))
        now = [i for i in now if i != followed[-1].id]
        must("the demo made more", len(now) > 50)
        more = []
        for e in live:
            more += [] if isinstance(e, CaughtUp) else ids([e])
            if len(more) == len(now):
                break
        must("subscribe_to_all goes on live", more == now)

    refused("an append", lambda: client.append_to_stream(stream, current_version=StreamState.ANY, events=[NewEvent(type="x", data=b"{}")]))
    refused("a deletion", lambda: client.delete_stream(stream, current_version=StreamState.ANY))
    refused("a tombstone", lambda: client.tombstone_stream(stream, current_version=StreamState.ANY))


with Vault() as vault:
    client = KurrentDBClient(uri=f"kurrentdb://{vault.where}?Tls=false")
    play(client, vault)
    client.close()

with open("users", "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as users:
    users.write("auditor:interop-password\n")
with open("ca.pem", "rb") as ca:
    authority = ca.read()
with Vault("--kurrent-cert", "leaf.pem", "--kurrent-key", "leaf.key", "--kurrent-users", "users") as vault:
    client = KurrentDBClient(uri=f"kurrentdb://auditor:interop-password@{vault.where}", root_certificates=authority)
    play(client, vault)
    client.close()
    stranger = KurrentDBClient(uri=f"kurrentdb://auditor:wrong@{vault.where}", root_certificates=authority)
    refused("a wrong password", lambda: list(stranger.read_all()))
    stranger.close()

print(f"kurrentdbclient: {passed} passed, 0 failed")
