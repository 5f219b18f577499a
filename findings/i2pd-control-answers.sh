#!/bin/sh
# Answers of i2pd's I2PControl interface that differ from its documents (https://geti2p.net/en/docs/api/i2pcontrol).
#
# Version: Debian i2pd 2.45.1-1, asked by Python's standard library. The router has no network.
# Guess before the run: the example request of the documents, whose id is a text, gets an answer in JSON. A wrong
# password gets the error -32001. A network status of 3 means "hidden", as the documents have it.
# Behaviour, with valid requests:
# 1. The id of the request is repeated without its quotes: {"id":id,"result":...}. That is no JSON. An id that is a
#    number in quotes comes back as a number.
# 2. A wrong password gets 200, an empty result and no error.
# 3. i2p.router.net.status is 3 while the web console of the same process shows "Unknown".
# 4. i2p.router.netdb.knownpeers is 1 at a router that never met another one: it counts itself.
# Ends with 0 if all of this is still so, with 1 if something changed. Needs apt-get, dpkg-deb and python3.
set -eu
place=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; wait; rm -rf "$place"' EXIT
cd "$place"
apt-get download -q i2pd=2.45.1-1 >/dev/null
dpkg-deb -x ./*.deb root
cat >i2pd.conf <<'END'
log = stdout
netid = 99
host = 127.0.0.1
address4 = 127.0.0.1
port = 19490
ipv6 = false
nat = false
[reseed]
threshold = 0
[i2pcontrol]
enabled = true
port = 19491
password = secret
[http]
enabled = true
address = 127.0.0.1
port = 19492
[httpproxy]
enabled = false
[socksproxy]
enabled = false
[sam]
enabled = false
END
mkdir data
root/usr/sbin/i2pd --conf="$place/i2pd.conf" --datadir="$place/data" >/dev/null 2>&1 &
pid=$!

python3 - <<'PYTHON'
import json, re, ssl, sys, time, urllib.request

ANYTHING = ssl.create_default_context()
ANYTHING.check_hostname, ANYTHING.verify_mode = False, ssl.CERT_NONE


def ask(method, number=1, **params):
    question = json.dumps({"id": number, "method": method, "params": params, "jsonrpc": "2.0"}).encode()
    request = urllib.request.Request("https://127.0.0.1:19491/", question)
    with urllib.request.urlopen(request, timeout=10, context=ANYTHING) as answer:
        return answer.read().decode()


def is_json(text):
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


for _ in range(300):
    try:
        token = json.loads(ask("Authenticate", API=1, Password="secret"))["result"]["Token"]
        break
    except OSError:
        time.sleep(0.2)
keys = {name: f"i2p.router.{name}" for name in ("version", "net.status", "netdb.knownpeers")}
router = json.loads(ask("RouterInfo", Token=token, **dict.fromkeys(keys.values(), "")))["result"]
with urllib.request.urlopen("http://127.0.0.1:19492/", timeout=10) as answer:
    console = re.search(r"<b>Network status:</b>\s*([^<]*)", answer.read().decode())
text_id = ask("Authenticate", "id", API=1, Password="secret")
seen = {
    "version": router[keys["version"]],
    "an id that is a text": (text_id.partition(",")[0], is_json(text_id)),
    "an id that is a number in quotes": json.loads(ask("Authenticate", "7", API=1, Password="secret"))["id"],
    "a wrong password": json.loads(ask("Authenticate", API=1, Password="wrong")),
    "status": (router[keys["net.status"]], console and console[1].strip()),
    "known routers": router[keys["netdb.knownpeers"]],
}
for name, value in seen.items():
    print(f"{name}: {value!r}")
wanted = {
    "version": "2.45.1",
    "an id that is a text": ('{"id":id', False),
    "an id that is a number in quotes": 7,
    "a wrong password": {"id": 1, "result": {}, "jsonrpc": "2.0"},
    "status": (3, "Unknown"),
    "known routers": 1,
}
sys.exit(0 if seen == wanted else 1)
PYTHON
