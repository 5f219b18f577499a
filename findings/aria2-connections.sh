#!/bin/sh
# aria2 counts connections to peers that never answered, and none of them is a peer.
#
# Version: Debian aria2 and libaria2-0 1.36.0-1.
# Guess before the run: `connections` of a torrent is the length of the list that `aria2.getPeers` gives, as both count
# "connected" peers in aria2's manual.
# Behaviour, with a tracker that names three peers:
# 1. Peers that accept the TCP connection and stay silent count as connections, while `aria2.getPeers` lists none.
# 2. `numSeeders` is "0" all the time, and all numbers are JSON strings.
# So "connections" above zero does not mean that aria2 has reached anybody.
# Ends with 0 if all of this is still so, with 1 if something changed. Needs apt-get, dpkg-deb and python3.
set -eu
place=$(mktemp -d)
pids=
trap 'for pid in $pids; do kill "$pid" 2>/dev/null || true; done; wait; rm -rf "$place"' EXIT
cd "$place"
apt-get download -q aria2=1.36.0-1 libaria2-0=1.36.0-1 >/dev/null
for deb in ./*.deb; do dpkg-deb -x "$deb" root; done
library=$(dirname "$(find root -name 'libaria2.so.0' | head -n 1)")

cat >swarm.py <<'PYTHON'
"""A tracker, and three silent peers whose addresses it gives; writes the torrent."""
import os, socket, struct, threading
from http.server import BaseHTTPRequestHandler, HTTPServer

silent = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
kept = []


def accept(server):
    while True:
        kept.append(server.accept())


class Tracker(BaseHTTPRequestHandler):
    def do_GET(self):
        peers = b"".join(socket.inet_aton("127.0.0.1") + struct.pack("!H", one.getsockname()[1]) for one in silent)
        body = b"d8:intervali60e5:peers%d:%se" % (len(peers), peers)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


for server in silent:
    threading.Thread(target=accept, args=(server,), daemon=True).start()
tracker = HTTPServer(("127.0.0.1", 0), Tracker)
url = b"http://127.0.0.1:%d/announce" % tracker.server_port
info = b"d6:lengthi32768e4:name4:data12:piece lengthi32768e6:pieces20:" + bytes(20) + b"e"
with open("torrent.part", "wb") as file:
    file.write(b"d8:announce%d:%s4:info%se" % (len(url), url, info))
os.rename("torrent.part", "torrent")
tracker.serve_forever()
PYTHON
python3 swarm.py &
pids="$pids $!"
for _ in 1 2 3 4 5 6 7 8 9 10; do
    if [ -e torrent ]; then break; fi
    sleep 0.5
done
LD_LIBRARY_PATH="$library" root/usr/bin/aria2c --no-conf --enable-rpc --rpc-listen-port=19475 --listen-port=19476 \
    --enable-dht=false --enable-dht6=false --bt-enable-lpd=false --enable-peer-exchange=false --dir=data torrent \
    >aria2.log 2>&1 &
pids="$pids $!"

cat >ask.py <<'PYTHON'
import json, sys, time, urllib.request


def ask(method, *parameters):
    question = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}).encode()
    with urllib.request.urlopen("http://127.0.0.1:19475/jsonrpc", question, timeout=5) as answer:
        return json.load(answer)["result"]


for attempt in range(40):
    try:
        version = ask("aria2.getVersion")["version"]
        break
    except OSError:
        time.sleep(0.25)
seen = []
for _ in range(20):
    (torrent,) = ask("aria2.tellActive")
    seen.append((torrent["connections"], torrent["numSeeders"], len(ask("aria2.getPeers", torrent["gid"]))))
    time.sleep(0.25)
print("aria2", version, "connections, numSeeders, peers:", sorted(set(seen)))
as_before = version == "1.36.0" and ("3", "0", 0) in seen and all(one[1:] == ("0", 0) for one in seen)
print("as before" if as_before else "changed")
sys.exit(not as_before)
PYTHON
python3 ask.py
