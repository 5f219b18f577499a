#!/bin/sh
# Answers of monerod's RPC that a client cannot take as they are.
#
# Version: Debian monero 0.18.0.0+~0+20200826-1+deb12u1 (monerod 0.18.0.0), asked by Python's standard library.
# Guess before the run: a login by HTTP Digest works with any client of RFC 7616, one request a connection. A restricted
# interface leaves out values that it hides.
# Behaviour, with valid requests:
# 1. With --rpc-login, the nonce of a challenge holds only on the connection that brought it. On another connection the
#    right answer gets 401 with stale=true. Python's HTTPDigestAuthHandler opens a connection for each request, so it
#    ends with "digest auth failed". The same answer on the same connection gets 200.
# 2. The restricted interface of the same process answers get_info with the same keys. The version is empty, the start
#    time is 0, and free_space is 2**64 - 1. Only "restricted": true shows that these are no values.
# 3. get_connections without connections has no key "connections" at all, where an empty list would be expected.
# Ends with 0 if all of this is still so, with 1 if something changed. Needs apt-get, dpkg-deb and python3.
set -eu
place=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; wait; rm -rf "$place"' EXIT
cd "$place"
apt-get download -q "monero=0.18.0.0+~0+20200826-1+deb12u1" >/dev/null
dpkg-deb -x ./*.deb root
root/usr/bin/monerod --regtest --offline --fixed-difficulty 1 --non-interactive --no-zmq --data-dir data \
    --log-file log --p2p-bind-ip 127.0.0.1 --p2p-bind-port 19480 --rpc-bind-port 19481 \
    --rpc-restricted-bind-port 19482 --rpc-login monitor:secret >/dev/null 2>&1 &
pid=$!

python3 - <<'PYTHON'
import http.client, json, sys, time, urllib.error, urllib.request

URL = "http://127.0.0.1:19481/json_rpc"
passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
for port in (19481, 19482):
    passwords.add_password(None, f"http://127.0.0.1:{port}/json_rpc", "monitor", "secret")


def question(method):
    return json.dumps({"jsonrpc": "2.0", "id": "0", "method": method}).encode()


def by_handler():
    """As the standard library does it."""
    opener = urllib.request.build_opener(urllib.request.HTTPDigestAuthHandler(passwords))
    try:
        return opener.open(URL, question("get_info"), timeout=10).status
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.msg}"


def challenged(port, method, same):
    """Status, challenge and result of the second request, on the same connection or on another one."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", "/json_rpc", question(method))
    answer = connection.getresponse()
    offer = answer.getheader("WWW-authenticate").partition(", Digest")[0].removeprefix("Digest ")
    answer.read()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/json_rpc", question(method))
    challenge = urllib.request.parse_keqv_list(urllib.request.parse_http_list(offer))
    proof = urllib.request.HTTPDigestAuthHandler(passwords).get_authorization(request, challenge)
    if not same:
        connection.close()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", "/json_rpc", question(method), {"Authorization": f"Digest {proof}"})
    answer = connection.getresponse()
    data = answer.read()
    stale = "stale=true" in (answer.getheader("WWW-authenticate") or "")
    return answer.status, stale, json.loads(data)["result"] if answer.status == 200 else None


for _ in range(300):
    try:
        http.client.HTTPConnection("127.0.0.1", 19482, timeout=10).request("GET", "/")
        break
    except OSError:
        time.sleep(0.2)
time.sleep(1)
full = challenged(19481, "get_info", True)[2]
part = challenged(19482, "get_info", True)[2]
seen = {
    "version": full["version"].partition("-")[0],
    "the standard library's handler": by_handler(),
    "same connection": challenged(19481, "get_info", True)[:2],
    "another connection": challenged(19481, "get_info", False)[:2],
    "restricted": (part["restricted"], part["version"], part["start_time"], part["free_space"] == 2**64 - 1),
    "not restricted": (full["restricted"], full["start_time"] > 0, full["free_space"] < 2**63),
    "connections without any": "connections" in challenged(19481, "get_connections", True)[2],
}
for name, value in seen.items():
    print(f"{name}: {value!r}")
wanted = {
    "version": "0.18.0.0",
    "the standard library's handler": "401 digest auth failed",
    "same connection": (200, False),
    "another connection": (401, True),
    "restricted": (True, "", 0, True),
    "not restricted": (False, True, True),
    "connections without any": False,
}
sys.exit(0 if seen == wanted else 1)
PYTHON
