#!/bin/sh
# Rules of RFC 5545 in python-dateutil on the days on which the clocks change.
#
# Versions: python-dateutil 4.0.0 with tzdata 2026.6.
# Guess before the run: a local time that does not exist is left out, as RFC 5545 says in 3.3.10, and an hourly rule has
# one time in each hour.
# Behaviour, with valid rules in Europe/Berlin:
# 1. A daily 02:30 has a time on 2026-03-29, when the clocks skip 02:00 to 03:00. It counts for COUNT. Its offset is
#    that of the day before, so it is the instant 03:30 by the clocks of that day.
# 2. An hourly rule over the night of 2026-10-25 has no time between 00:00 and 02:00 UTC: it follows the hands of the
#    clock, so the second hour that is called 02:00 is missing.
# 3. str() of a rule has its DTSTART without the zone. Read again, the rule has no zone.
# Ends with 0 if all of this is still so, with 1 if something changed. Needs python3 with venv.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check python-dateutil==4.0.0 tzdata==2026.6
"$place/venv/bin/python" - <<'PYTHON'
import sys
from datetime import timezone

import dateutil
from dateutil import tz
from dateutil.rrule import rrulestr


def times(text):
    return [at.astimezone(timezone.utc).strftime("%d %H:%M") for at in rrulestr(text)]


spring = "DTSTART;TZID=Europe/Berlin:20260328T023000\nRRULE:FREQ=DAILY;COUNT=3"
autumn = "DTSTART;TZID=Europe/Berlin:20261025T000000\nRRULE:FREQ=HOURLY;COUNT=5"
seen = {
    "version": dateutil.__version__,
    "daily, UTC": times(spring),
    "exists": [tz.datetime_exists(at) for at in rrulestr(spring)],
    "hourly, UTC": times(autumn),
    "as text": str(rrulestr(spring)),
    "zone after reading the text": str(next(iter(rrulestr(str(rrulestr(spring))))).tzinfo),
}
for name, value in seen.items():
    print(f"{name}: {value!r}")
wanted = {
    "version": "4.0.0",
    "daily, UTC": ["28 01:30", "29 01:30", "30 00:30"],
    "exists": [True, False, True],
    "hourly, UTC": ["24 22:00", "24 23:00", "25 00:00", "25 02:00", "25 03:00"],
    "as text": "DTSTART:20260328T023000\nRRULE:FREQ=DAILY;COUNT=3",
    "zone after reading the text": "None",
}
sys.exit(0 if seen == wanted else 1)
PYTHON
