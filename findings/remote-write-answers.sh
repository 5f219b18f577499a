#!/bin/sh
# Answers to remote write of two packaged stores that a sender cannot tell from others.
#
# Versions: Debian prometheus 2.42.0+ds-5+deb12u1 and victoria-metrics 1.79.5+ds1-2+b5.
# Behaviour, with valid requests:
# 1. Remote write 2.0 (content type with proto=io.prometheus.write.v2.Request): both answer 204 and store nothing. The
#    specification wants 415 of a receiver that does not know the content type.
# 2. Prometheus with an out-of-order window answers 500 to a sample that is older than the window. 500 asks a sender to
#    try again, so a sender that follows the specification sends the same request for ever. Without a window the same
#    server answers 400 to the same sample.
# 3. VictoriaMetrics answers 204 to a sample three days ahead and does not store it.
# Ends with 0 if all of this is still so, with 1 if something changed. Needs apt-get, dpkg-deb and python3.
set -eu
place=$(mktemp -d)
pids=
trap 'for pid in $pids; do kill "$pid" 2>/dev/null || true; done; wait; rm -rf "$place"' EXIT
cd "$place"
apt-get download -q prometheus=2.42.0+ds-5+deb12u1 victoria-metrics=1.79.5+ds1-2+b5 >/dev/null
for deb in ./*.deb; do dpkg-deb -x "$deb" root; done

printf 'global: {scrape_interval: 1m}\n' >plain.yml
printf 'storage: {tsdb: {out_of_order_time_window: 30m}}\n' >window.yml
for kind in plain window; do
    port=$([ $kind = plain ] && echo 19471 || echo 19472)
    root/usr/bin/prometheus --config.file=$kind.yml --storage.tsdb.path=$kind --web.listen-address=127.0.0.1:$port \
        --web.enable-remote-write-receiver >$kind.log 2>&1 &
    pids="$pids $!"
done
root/usr/bin/victoria-metrics -storageDataPath=victoria -httpListenAddr=127.0.0.1:19473 -memory.allowedBytes=100MB \
    >victoria.log 2>&1 &
pids="$pids $!"

cat >ask.py <<'PYTHON'
import json, struct, sys, time, urllib.error, urllib.parse, urllib.request

def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes((n & 127 | 128,)), n >> 7
    return out + bytes((n,))

def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data

def snappy(data):  # one block of literals
    assert 60 <= len(data) < 256 or len(data) < 60
    head = bytes((len(data) - 1 << 2,)) if len(data) <= 60 else bytes((60 << 2, len(data) - 1))
    return varint(len(data)) + head + data

def sample(at_ms):
    return b"\x09" + struct.pack("<d", 1.0) + b"\x10" + varint(at_ms)

def version_one(name, at_ms):
    label = field(1, b"__name__") + field(2, name.encode())
    return snappy(field(1, field(1, label) + field(2, sample(at_ms))))

def version_two(name, at_ms):
    symbols = b"".join(field(4, one) for one in (b"", b"__name__", name.encode()))
    return snappy(symbols + field(5, field(1, b"\x01\x02") + field(2, sample(at_ms))))

def write(port, body, two=False):
    headers = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf",
               "X-Prometheus-Remote-Write-Version": "0.1.0"}
    if two:
        headers["Content-Type"] += ";proto=io.prometheus.write.v2.Request"
        headers["X-Prometheus-Remote-Write-Version"] = "2.0.0"
    request = urllib.request.Request(f"http://127.0.0.1:{port}/api/v1/write", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return str(answer.status)
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read(100).decode().strip()}"

def get(port, path, **query):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}?{urllib.parse.urlencode(query)}", timeout=20) as answer:
        return answer.read().decode()

def ready(port, path):
    for _ in range(600):
        try:
            return get(port, path)
        except OSError:
            time.sleep(0.1)
    sys.exit("a store did not start")

PLAIN, WINDOW, VICTORIA = 19471, 19472, 19473
for port, path in ((PLAIN, "/-/ready"), (WINDOW, "/-/ready"), (VICTORIA, "/health")):
    ready(port, path)
now, hour = int(time.time() * 1000) - 2000, 3_600_000

def is_there(port, name):
    if port != VICTORIA:
        return json.loads(get(port, "/api/v1/query", query=f"{name}[1h]"))["data"]["result"] != []
    get(port, "/internal/force_flush")
    span = {"start": now / 1000 - 10 * 86400, "end": now / 1000 + 10 * 86400}
    return get(port, "/api/v1/export", **{"match[]": name}, **span) != ""

found = {}
for name, port in (("prometheus", PLAIN), ("prometheus with a window", WINDOW), ("victoria-metrics", VICTORIA)):
    found[f"{name}: version 1.0"] = write(port, version_one("one", now)), is_there(port, "one")
    found[f"{name}: version 2.0"] = write(port, version_two("two", now), two=True), is_there(port, "two")
    found[f"{name}: two hours old"] = write(port, version_one("one_old", now - 2 * hour)), is_there(port, "one_old")
found["victoria-metrics: three days ahead"] = (
    write(VICTORIA, version_one("ahead", now + 72 * hour)), is_there(VICTORIA, "ahead"))
found["victoria-metrics: one day ahead"] = (
    write(VICTORIA, version_one("ahead_day", now + 24 * hour)), is_there(VICTORIA, "ahead_day"))

expected = {
    "prometheus: version 1.0": ("204", True),
    "prometheus: version 2.0": ("204", False),
    "prometheus: two hours old": ("400 out of bounds", False),
    "prometheus with a window: version 1.0": ("204", True),
    "prometheus with a window: version 2.0": ("204", False),
    "prometheus with a window: two hours old": ("500 too old sample", False),
    "victoria-metrics: version 1.0": ("204", True),
    "victoria-metrics: version 2.0": ("204", False),
    "victoria-metrics: three days ahead": ("204", False),
    "victoria-metrics: one day ahead": ("204", True),
}
for case, (answer, stored) in found.items():
    print(f"{case}: {answer}, {'stored' if stored else 'nothing stored'}")
sys.exit(any(found[case] != seen for case, seen in expected.items()))
PYTHON
python3 ask.py
