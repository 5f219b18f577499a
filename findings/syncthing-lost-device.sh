#!/bin/sh
# Syncthing's list of connections: the own device, a lost device, and one that hangs.
#
# Version: Debian syncthing 1.19.2~ds1-1+b4.
# Guess before the run: `/rest/system/connections` lists the other devices; the entry of a lost device says when it was
# last connected; a device that hangs is missed within a minute.
# Behaviour, with four devices in the settings, one of them never started:
# 1. The own device is listed, as disconnected. Whoever counts disconnected entries counts one too many.
# 2. After kill -9, the entry of a device equals that of the device that was never there: time 0001-01-01, bytes 0.
# 3. A device that hangs (SIGSTOP) is still "connected" 100 s later, and `at` of its entry is the present time.
# Ends with 0 if all of this is still so, with 1 if something changed. Needs apt-get, dpkg-deb and python3; takes 2 min.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
apt-get download -q syncthing=1.19.2~ds1-1+b4 >/dev/null
dpkg-deb -x ./*.deb root
HOME=$place python3 - <<'PYTHON'
import json, os, signal, subprocess, sys, time, urllib.request
import xml.etree.ElementTree as xml

HANG_S = 100
PORT = 19480
program = "root/usr/bin/syncthing"
ids, keys = [], []
for n in range(4):
    subprocess.run([program, "generate", f"--home=h{n}", "--no-default-folder"], check=True, capture_output=True)
    config = xml.parse(f"h{n}/config.xml").getroot()
    ids.append(config.find("device").get("id"))
    keys.append(config.findtext("gui/apikey"))


def configure(n):
    tree = xml.parse(f"h{n}/config.xml")
    config = tree.getroot()
    config.remove(config.find("device"))
    for other, name in enumerate(ids):
        device = xml.SubElement(config, "device", id=name, name=str(other))
        xml.SubElement(device, "address").text = f"tcp://127.0.0.1:{PORT + 10 + other}"
    config.find("gui/address").text = f"127.0.0.1:{PORT + n}"
    options = config.find("options")
    wanted = {"listenAddress": f"tcp://127.0.0.1:{PORT + 10 + n}", "reconnectionIntervalS": "5", "urAccepted": "-1"}
    for name in ("globalAnnounceEnabled", "localAnnounceEnabled", "relaysEnabled", "natEnabled", "crashReportingEnabled"):
        wanted[name] = "false"
    for name, value in wanted.items():
        for old in options.findall(name):
            options.remove(old)
        xml.SubElement(options, name).text = value
    tree.write(f"h{n}/config.xml")


def ask(path):
    request = urllib.request.Request(f"http://127.0.0.1:{PORT}{path}", headers={"X-API-Key": keys[0]})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)


def connections():
    return {ids.index(name): entry for name, entry in ask("/rest/system/connections")["connections"].items()}


def until(truth):
    for _ in range(240):
        try:
            if truth():
                return
        except OSError:
            pass
        time.sleep(0.25)
    sys.exit("changed: what used to happen did not happen within a minute")


running = []
try:
    for n in range(3):  # the last one never starts
        configure(n)
        # STMONITORED: one process a device, not a second one that would live on
        surroundings = {**os.environ, "STMONITORED": "yes"}
        command = [program, f"-home=h{n}", "-no-browser"]
        running.append(subprocess.Popen(command, env=surroundings, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT))
    until(lambda: connections()[1]["connected"] and connections()[2]["connected"])
    print("syncthing", ask("/rest/system/version")["version"])
    own = connections()[0]["connected"]
    running[2].kill()
    until(lambda: not connections()[2]["connected"])
    lost, never = connections()[2], connections()[3]
    running[1].send_signal(signal.SIGSTOP)
    time.sleep(HANG_S)
    hanging = connections()[1]
    print("own device connected:", own)
    print("lost: ", json.dumps(lost))
    print("never:", json.dumps(never))
    print(f"hanging for {HANG_S} s:", json.dumps(hanging))
    is_fresh = hanging["at"][:16] in {time.strftime("%Y-%m-%dT%H:%M", time.gmtime(time.time() - s)) for s in (0, 5)}
    as_before = own is False and lost == never and hanging["connected"] and is_fresh
finally:
    for process in running:
        process.kill()
        process.wait()
print("as before" if as_before else "changed")
sys.exit(not as_before)
PYTHON
