#!/bin/sh
# A frozen member of an etcd cluster: metrics of 3.4 show it, metrics of 3.6 do not.
#
# Versions: Debian etcd-server 3.4.23-4+b4, and go.etcd.io/etcd/server/v3 v3.6.16 from Go's module proxy.
# Behaviour: three members on loopback; one follower is stopped (SIGSTOP), so that its connections stay open.
# 1. Neither version counts a failed send to it (etcd_network_peer_sent_failures_total), although no send arrives.
# 2. In 3.4 its leader counts the connection as gone after ConnReadTimeout, five seconds: etcd_network_active_peers is 0,
#    etcd_network_disconnected_peers_total grows.
# 3. In 3.6 etcd_network_active_peers is still 1 after a minute, and nothing is counted as disconnected. Only
#    etcd_network_peer_received_bytes_total of that member stands still, while the bytes sent to it grow.
# Ends with 0 if all of this is still so, with 1 if something changed. Needs apt-get, dpkg-deb, go 1.24 and python3.
set -eu
place=$(mktemp -d)
trap 'chmod -R u+w "$place"; rm -rf "$place"' EXIT
cd "$place"
apt-get download -q etcd-server=3.4.23-4+b4 >/dev/null
dpkg-deb -x etcd-server_*.deb root
mkdir build
cd build
export GOMODCACHE="$place/modules" GOCACHE="$place/cache" GOFLAGS=-mod=mod
go mod init frozen >/dev/null 2>&1
go get go.etcd.io/etcd/server/v3@v3.6.16 >/dev/null 2>&1
go build -o ../etcd36 go.etcd.io/etcd/server/v3
cd ..

cat >freeze.py <<'PYTHON'
import json, os, signal, subprocess, sys, time, urllib.error, urllib.request

FROZEN_S = 60

def ask(port, path):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", b"{}", {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)

def metric(port, name, member):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().split("\n")
    return next((float(one.split()[-1]) for one in lines if one.startswith(f"{name}{{") and member in one), None)

def seen(program, base):
    peers = ",".join(f"n{number}=http://127.0.0.1:{base + 10 + number}" for number in range(3))
    members = []
    try:
        for number in range(3):
            client, peer = f"http://127.0.0.1:{base + number}", f"http://127.0.0.1:{base + 10 + number}"
            command = [program, "--name", f"n{number}", "--data-dir", f"data-{base}-{number}", "--initial-cluster", peers]
            command += ["--listen-client-urls", client, "--advertise-client-urls", client]
            command += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]
            members.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        leader = "0"
        for _ in range(60):
            try:
                status, listed = ask(base, "/v3/maintenance/status"), ask(base, "/v3/cluster/member/list")["members"]
                leader = status.get("leader", "0")
                if leader != "0":
                    break
            except (OSError, urllib.error.URLError):
                pass
            time.sleep(1)
        time.sleep(5)
        numbers = {one["ID"]: int(one["name"][1:]) for one in listed}
        frozen = next(one for one in numbers if one != leader)
        port, member = base + numbers[leader], f'"{int(frozen):x}"'
        names = ["active_peers", "disconnected_peers_total", "peer_sent_failures_total", "peer_received_bytes_total",
                 "peer_sent_bytes_total"]
        os.kill(members[numbers[frozen]].pid, signal.SIGSTOP)
        time.sleep(1)
        before = {name: metric(port, f"etcd_network_{name}", member) for name in names}
        time.sleep(FROZEN_S)
        after = {name: metric(port, f"etcd_network_{name}", member) for name in names}
        return {
            "active": after["active_peers"],
            "disconnected": after["disconnected_peers_total"],
            "failed sends": after["peer_sent_failures_total"],
            "bytes came": after["peer_received_bytes_total"] != before["peer_received_bytes_total"],
            "bytes went": after["peer_sent_bytes_total"] > before["peer_sent_bytes_total"],
        }
    finally:
        for one in members:
            one.kill()
            one.wait()

expected = {
    "3.4.23": {"active": 0, "disconnected": 1, "failed sends": None, "bytes came": False, "bytes went": True},
    "3.6.16": {"active": 1, "disconnected": None, "failed sends": None, "bytes came": False, "bytes went": True},
}
found = {"3.4.23": seen("root/usr/bin/etcd", 19500), "3.6.16": seen("./etcd36", 19600)}
for version, values in found.items():
    print(f"etcd {version}, a follower frozen for {FROZEN_S} s, as its leader sees it: {values}")
sys.exit(found != expected)
PYTHON
python3 freeze.py
