"""A DNS server for tests: answers from a table that the test may change, over UDP."""

import socket
import threading
from collections import Counter

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

TTL_S = 1


class DnsServer:
    """Serves until closed. Names without a record do not exist."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Made in the thread whose network it belongs to."""
        self.records: dict[tuple[str, str], list[str]] = {}
        """By name and type, as in ("seed.test", "A"): ["127.0.0.1"]."""
        self.is_mute = False
        """It hears questions and answers none."""
        self.asked: Counter[tuple[str, str]] = Counter()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, port))
        self._socket.settimeout(0.1)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while not self._ended.is_set():
            try:
                data, sender = self._socket.recvfrom(2048)
            except TimeoutError:
                continue
            query = dns.message.from_wire(data)
            question = query.question[0]
            name = question.name.to_text(omit_final_dot=True).lower()
            kind = dns.rdatatype.to_text(question.rdtype)
            self.asked[name, kind] += 1
            if self.is_mute:
                continue
            answer = dns.message.make_response(query)
            answer.flags |= dns.flags.RA | dns.flags.AA
            if found := self.records.get((name, kind)):
                answer.answer.append(dns.rrset.from_text(question.name, TTL_S, "IN", kind, *found))
            elif not any(known == name for known, _ in self.records):
                answer.set_rcode(dns.rcode.NXDOMAIN)
            self._socket.sendto(answer.to_wire(), sender)
