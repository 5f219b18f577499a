"""A process that writes a history as fast as it can, until it is killed: `writer.py FILE BEGIN`.

Time is pretended: five seconds a sample, a flush every two of them, as an agent does. Prints each time that is on disk.
"""

import sys
from pathlib import Path

from peerscope.history.retention import HistoryConfig
from peerscope.history.samples import sample
from peerscope.history.series import NO_ROW
from peerscope.history.store import Store
from peerscope.records.identity import PeerId

PEERS = [PeerId(number.to_bytes(32, "big")) for number in range(150)]

if __name__ == "__main__":
    at = int(sys.argv[2])
    with Store(Path(sys.argv[1]), HistoryConfig()) as store:
        while True:
            rows = [(float(at % 1000 + number),) * len(NO_ROW) for number in range(len(PEERS))]
            store.write([sample(time, PEERS, ["healthy"] * len(PEERS), rows, (1.0,) * 9) for time in (at, at + 5)])
            print(at + 5, flush=True)
            at += 10
