"""How each BitTorrent client is started, given a torrent, and asked for the truth."""

import base64
import hashlib
import json
import os
from typing import Any

from bittorrent_network import DATA, Clients
from yggdrasil_network import free_port

PASSWORD = "correct horse"
DEAD_HOST = "127.0.0.1:1"


class TransmissionClient:
    """It shares the data. It dials no loopback address, so the others must dial it."""

    def __init__(self, clients: Clients, number: int, program: str) -> None:
        self._clients, self._number, self._session = clients, number, ""
        place, port = clients.place(number), free_port()
        (place / "data").write_bytes(DATA)
        settings = {
            "rpc-port": port,
            "rpc-bind-address": "127.0.0.1",
            "bind-address-ipv4": "127.0.0.1",
            "peer-port": free_port(),
            "dht-enabled": True,
            "lpd-enabled": False,
            "port-forwarding-enabled": False,
            "download-dir": str(place),
        }
        (place / "settings.json").write_text(json.dumps(settings))
        clients.start([program, "--foreground", "--config-dir", str(place)], port)

    def ask(self, method: str, **arguments: object) -> dict[str, Any]:
        """One answer of its RPC."""
        question = json.dumps({"method": method, "arguments": arguments}).encode()
        for _ in range(2):
            session = {"X_Transmission_Session_Id": self._session}
            body, headers = self._clients.ask(self._number, "/transmission/rpc", question, **session)
            if (given := headers["X-Transmission-Session-Id"]) is None:
                break
            self._session = given
        found: dict[str, Any] = json.loads(body)["arguments"]
        return found

    def add(self, torrent: bytes) -> None:
        """Share a torrent."""
        self.ask("torrent-add", metainfo=base64.b64encode(torrent).decode())

    def truth(self) -> dict[str, object]:
        """Its values, by its own interface."""
        fields = ["peers", "trackerStats"]
        torrents = self.ask("torrent-get", fields=fields)["torrents"]
        totals = self.ask("session-stats")["current-stats"]
        tried = [one for torrent in torrents for one in torrent["trackerStats"] if one["hasAnnounced"]]
        return {
            "version": self.ask("session-get")["version"],
            "p2p_peers": sum(len(one["peers"]) for one in torrents),
            "received_bytes": totals["downloadedBytes"],
            "sent_bytes": totals["uploadedBytes"],
            "torrents": len(torrents),
            "trackers": len(tried),
            "trackers_failing": sum(not one["lastAnnounceSucceeded"] for one in tried),
        }


class Aria2Client:
    """It fetches the data, and shares it on."""

    def __init__(self, clients: Clients, number: int, program: str) -> None:
        self._clients, self._number = clients, number
        place, port = clients.place(number), free_port()
        settings = place / "aria2.conf"
        settings.write_text(f"rpc-secret={PASSWORD}\n")
        (clients.folder / "aria2.secret").write_text(PASSWORD)
        command = [program, f"--conf-path={settings}", "--enable-rpc", f"--rpc-listen-port={port}"]
        command += [f"--listen-port={free_port()}", f"--dht-listen-port={free_port()}", f"--dir={place}"]
        command += ["--interface=127.0.0.1", f"--dht-file-path={place / 'dht.dat'}", "--seed-ratio=0.0"]
        clients.start(command, port)

    def ask(self, method: str, *parameters: object) -> Any:
        """One answer of its JSON-RPC."""
        question = {"jsonrpc": "2.0", "id": 1, "method": method, "params": [f"token:{PASSWORD}", *parameters]}
        body, _ = self._clients.ask(self._number, "/jsonrpc", json.dumps(question).encode())
        return json.loads(body)["result"]

    def add(self, torrent: bytes) -> None:
        """Share a torrent."""
        self.ask("aria2.addTorrent", base64.b64encode(torrent).decode())

    def truth(self) -> dict[str, object]:
        """Its values, by its own interface."""
        active = self.ask("aria2.tellActive")
        return {
            "version": self.ask("aria2.getVersion")["version"],
            "active_connections": sum(int(one["connections"]) for one in active),
            "p2p_peers": sum(len(self.ask("aria2.getPeers", one["gid"])) for one in active),
            "torrents": len(active),
        }


class QbittorrentClient:
    """It fetches the data, and shares it on."""

    def __init__(self, clients: Clients, number: int, program: str) -> None:
        self._clients, self._number = clients, number
        place, port = clients.place(number), free_port()
        salt = b"0123456789abcdef"
        digest = hashlib.pbkdf2_hmac("sha512", PASSWORD.encode(), salt, 100_000, 64)
        stored = f"{base64.b64encode(salt).decode()}:{base64.b64encode(digest).decode()}"
        folder = place / "qBittorrent/config"
        folder.mkdir(parents=True)
        lines = ["[LegalNotice]", "Accepted=true", "[BitTorrent]", rf"Session\Port={free_port()}"]
        lines += [r"Session\InterfaceAddress=127.0.0.1", rf"Session\DefaultSavePath={place}"]
        lines += [r"Session\LSDEnabled=false", r"Session\AnnounceToAllTiers=true", "[Preferences]"]
        lines += [r"WebUI\Address=127.0.0.1", r"WebUI\Username=admin"]
        lines += [rf'WebUI\Password_PBKDF2="@ByteArray({stored})"', r"WebUI\LocalHostAuth=true", ""]
        (folder / "qBittorrent.conf").write_text("\n".join(lines))
        (clients.folder / "qbittorrent.password").write_text(PASSWORD)
        command = [program, f"--profile={place}", f"--webui-port={port}"]
        clients.start(command, port, {**os.environ, "HOME": str(place), "QT_LOGGING_RULES": "*=false"})
        self._cookie = ""

    def ask(self, path: str, data: bytes | None = None, **headers: str) -> bytes:
        """One answer of its web interface."""
        if not self._cookie:
            form = f"username=admin&password={PASSWORD.replace(' ', '+')}".encode()
            _, given = self._clients.ask(self._number, "/api/v2/auth/login", form)
            self._cookie = given["Set-Cookie"].partition(";")[0]
        return self._clients.ask(self._number, f"/api/v2/{path}", data, Cookie=self._cookie, **headers)[0]

    def add(self, torrent: bytes) -> None:
        """Share a torrent."""
        head = 'Content-Disposition: form-data; name="torrents"; filename="t"\r\nContent-Type: application/x-bittorrent'
        body = f"--edge\r\n{head}\r\n\r\n".encode() + torrent + b"\r\n--edge--\r\n"
        self.ask("torrents/add", body, Content_Type="multipart/form-data; boundary=edge")

    def truth(self) -> dict[str, object]:
        """Its values, by its own interface."""
        transfer = json.loads(self.ask("transfer/info"))
        torrents = json.loads(self.ask("torrents/info"))
        states = [
            tracker["status"]
            for one in torrents
            for tracker in json.loads(self.ask(f"torrents/trackers?hash={one['hash']}"))
            if tracker["url"].startswith("http")
        ]
        peers = [json.loads(self.ask(f"sync/torrentPeers?hash={one['hash']}"))["peers"] for one in torrents]
        return {
            "version": self.ask("app/version").decode(),
            "p2p_peers": sum(map(len, peers)),
            "received_bytes": transfer["dl_info_data"],
            "sent_bytes": transfer["up_info_data"],
            "dht_nodes": transfer["dht_nodes"],
            "torrents": len(torrents),
            "trackers": sum(state in (2, 4) for state in states),
            "trackers_failing": states.count(4),
        }


def libtorrent_session() -> Any:
    """A session on loopback, as quiet as the others."""
    import libtorrent

    return libtorrent.session(
        {
            "listen_interfaces": f"127.0.0.1:{free_port()}",
            "enable_dht": True,
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            "dht_bootstrap_nodes": "",
            "dht_restrict_routing_ips": False,
            "dht_restrict_search_ips": False,
            "announce_to_all_tiers": True,
            "announce_to_all_trackers": True,
            "allow_multiple_connections_per_ip": True,
        }
    )
