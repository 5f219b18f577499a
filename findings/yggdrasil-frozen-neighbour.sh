#!/bin/sh
# A frozen neighbour of a Yggdrasil node: 0.4 drops it within seconds, 0.5 lists it as up for minutes.
#
# Versions: Debian yggdrasil 0.4.7-1+b5, and github.com/yggdrasil-network/yggdrasil-go v0.5.14 from Go's module proxy. A
# module that acts on OpenBSD only (suah.dev/protect) is replaced by one that does nothing.
# Behaviour: two nodes on loopback, linked by TLS. The second is stopped (SIGSTOP), so that its connection stays open.
# 1. The first node of 0.4 lists no neighbour (`getpeers`) ten seconds later.
# 2. The first node of 0.5 lists it a minute later, `up` and with its last latency, though no byte came since. An idle
#    link is tested only when the node sends something over it.
# 3. One packet to the neighbour (`debug_remoteGetPeers`) ends that: ten seconds after it, the neighbour is gone.
# Ends with 0 if all of this is still so, with 1 if something changed. Needs apt-get, dpkg-deb, go 1.25 and python3.
set -eu
place=$(mktemp -d)
trap 'chmod -R u+w "$place"; rm -rf "$place"' EXIT
cd "$place"
apt-get download -q yggdrasil=0.4.7-1+b5 >/dev/null
dpkg-deb -x yggdrasil_*.deb root
mkdir -p build/protect
cd build
export GOMODCACHE="$place/modules" GOCACHE="$place/cache" GOFLAGS=-mod=mod
printf 'module suah.dev/protect\n' >protect/go.mod
printf 'package protect\n\nfunc Pledge(string) error { return nil }\n' >protect/protect.go
go mod init frozen >/dev/null 2>&1
go mod edit -replace suah.dev/protect=./protect
go get github.com/yggdrasil-network/yggdrasil-go/cmd/yggdrasil@v0.5.14 >/dev/null 2>&1
go build -o ../yggdrasil05 github.com/yggdrasil-network/yggdrasil-go/cmd/yggdrasil
cd ..

cat >freeze.py <<'PYTHON'
import json, os, signal, socket, subprocess, sys, time

def ask(place, request, **arguments):
    data = b""
    with socket.socket(socket.AF_UNIX) as admin:
        admin.settimeout(30)
        admin.connect(place)
        admin.sendall(json.dumps({"request": request, "arguments": arguments}).encode())
        while True:
            try:
                return json.loads(data)
            except ValueError:
                data += admin.recv(65536)

def neighbours(place):
    try:
        listed = ask(place, "getpeers")["response"]["peers"]
    except OSError:
        return []
    return [one for one in listed if one["key"] and one.get("up", True)]

def seen(program, port, name):
    nodes, places = [], []
    try:
        for number in range(2):
            made = subprocess.run([program, "-genconf", "-json"], capture_output=True, check=True).stdout
            places.append(os.path.abspath(f"{name}-{number}.sock"))
            link = f"tls://127.0.0.1:{port}"
            config = json.loads(made) | {"IfName": "none", "MulticastInterfaces": [], "Listen": [], "Peers": [],
                                         "AdminListen": f"unix://{places[number]}", "Peers" if number else "Listen": [link]}
            with open(f"{name}-{number}.json", "w") as file:
                json.dump(config, file)
            nodes.append(subprocess.Popen([program, "-useconffile", file.name], stdout=subprocess.DEVNULL,
                                          stderr=subprocess.DEVNULL))
            time.sleep(2)  # a node of 0.4 whose first dial fails waits a minute
        for _ in range(60):
            if neighbours(places[0]):
                break
            time.sleep(1)
        time.sleep(15)  # until the tree is settled
        key = neighbours(places[0])[0]["key"]
        nodes[1].send_signal(signal.SIGSTOP)
        found = {}
        time.sleep(10)
        found["listed after 10 s"] = len(before := neighbours(places[0]))
        time.sleep(50)
        found["listed after 60 s"] = len(after := neighbours(places[0]))
        if after:
            found["latency known"] = after[0]["latency"] > 0
            found["bytes came"] = after[0]["bytes_recvd"] - before[0]["bytes_recvd"]
            found["asked"] = ask(places[0], "debug_remotegetpeers", key=key).get("error")
            time.sleep(4)
            found["listed after a packet to it"] = len(neighbours(places[0]))
        return found
    finally:
        for node in nodes:
            node.kill()
            node.wait()

expected = {
    "0.4.7": {"listed after 10 s": 0, "listed after 60 s": 0},
    "0.5.14": {"listed after 10 s": 1, "listed after 60 s": 1, "latency known": True, "bytes came": 0,
               "asked": "timeout", "listed after a packet to it": 0},
}
found = {"0.4.7": seen("root/usr/sbin/yggdrasil", 19700, "old"), "0.5.14": seen("./yggdrasil05", 19701, "new")}
for version, values in found.items():
    print(f"yggdrasil {version}, a neighbour that is frozen: {values}")
sys.exit(found != expected)
PYTHON
python3 freeze.py
