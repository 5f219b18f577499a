"""The settings file that `peerscope init` writes: every default, commented out, with its meaning."""

TEMPLATE = """\
# Settings of one peerscope agent. Everything here is optional; commented lines show the defaults.
# Environment variables override it: PEERSCOPE_WEB__LISTEN=off, PEERSCOPE_NETWORK__SECRET=...
# Check it with: peerscope check-config FILE.
# A running agent reads it again on SIGHUP. [alerts], [log] and web.token take effect at once, the rest after a restart.

[peer]
# listen = "127.0.0.1:0"        # for other peers; "0.0.0.0:4600" to be reached from other machines; a name works too
# join = []                     # peers to start from, two or three: tickets, or "ID@seed.example.org:4600" by name;
                                # without a port by its SRV records, which needs the extra `dns`
# region = "eu-west"            # where this peer is; free text
# geo = true                    # without a region: the country of our own public addresses, if the extra `geo` is there
# geo_database = ""             # an .mmdb file to look it up in, instead of the table inside `iptocc`; extra `geo`

[network]
# name = "peerscope"            # peers of another name are refused
# public = false                # strangers are members; observers behind one address prefix then have one vote.
# As soon as `listen` is not 127.0.0.1, one of the next four must say who may join (docs/howto/admission.md):
# open = false                  # anybody
# secret = ""                   # peers that know it; the same on all peers, from `openssl rand -hex 16`
# allow = []                    # these peers, by id
# operators = []                # peers with a certificate of one of these keys (`peerscope admit keygen`)
# certificate_file = ""         # our own, from `peerscope admit issue`
# revocation_file = ""          # from `peerscope admit revoke`; one peer with it informs all others
# prefix_members_max = 256      # in a public network: peers behind one /24 or /48 that are remembered

[transport]
# relay = "disabled"            # "default" for iroh's public relays, or the URL of yours; see docs/howto/relays.md
# ping_port = 0                 # UDP port for pings without QUIC: 0 for any, "off" for none; see docs/howto/install.md

[web]
# listen = "127.0.0.1:8080"     # dashboard and API; "off" for none
# token = ""                    # must be set when `listen` is not a loopback address
# allowed_hosts = []            # further names under which the dashboard may be opened
# update_interval_s = 5.0       # of the live feed; verdicts come at once
# tls_cert = ""                 # path of the certificate chain (PEM); with it and its key the dashboard is https only
# tls_key = ""                  # path of the private key (PEM)
# proxies = []                  # addresses of reverse proxies whose X-Forwarded-For is believed

[node]                          # the P2P program beside this peer
# sources = []                  # how to measure it, such as "yggdrasil:/run/yggdrasil.sock"; see docs/howto/sources.md
# detect = true                 # without sources: find a node on this machine, attach it; see docs/howto/detect.md
# name = ""                     # its name, the same on all peers; empty for the name from its source
# timeout_s = 5.0               # how long a source may take to answer
# silence_s = 60.0              # a node that sent telemetry counts as gone after this silence; 0: never
# dial_back = true              # other peers try the addresses that the node announces, if its source knows any
# dial_others = true            # this agent tries the nodes of other peers, where the mesh reaches them

[report]
# interval_s = 5.0              # between measurements of this peer; a change is reported soon
# calm_intervals = 3            # without a change it reports once in so many; more rarely in large networks

[gossip]
# budget_bytes_s = 10000        # limit of this peer's traffic

[health]                        # ratios above which a check is degraded or unhealthy
# cpu = {degraded = 0.75, unhealthy = 0.90}
# memory = {degraded = 0.75, unhealthy = 0.90}
# storage = {degraded = 0.85, unhealthy = 0.95}
# network = {degraded = 0.01, unhealthy = 0.05}
# p2p_degraded_below = 0.8      # share of expected neighbours that are reachable
# p2p_unhealthy_below = 0.5

[regions]                       # when a region is degraded or critical
# ratio_degraded_below = 0.8    # share of its peers that are healthy
# ratio_critical_below = 0.5
# connectivity_degraded_below = 0.9   # share of the links expected inside it that are up
# connectivity_critical_below = 0.7   # critical only while the ratio is degraded as well
# reach_degraded_below = 0.5    # share of the other regions it is linked to; none of them is critical
# links_min = 3                 # with fewer links expected inside, connectivity does not count against it
# hold_s = 5.0                  # how long a change must last before it is reported
# cluster = {radius_s = 0.015, error_max = 0.5, most = 64}   # by latency, for peers without a region

[log]                           # on standard error
# level = "info"                # the lowest level to log: debug, info, warning, error
# format = "text"               # or "json": one object a line

[history]                       # measurements over time, in the state directory
# enabled = true
# max_bytes = 536870912         # file and journal; beyond it, the oldest values of the finest step are dropped first
# interval_s = 5                # step of raw values; a divisor of 60
# raw_s = 3600                  # how long they are kept
# minute_s = 86400              # how long means by the minute are kept
# quarter_s = 2592000           # how long means by the quarter of an hour are kept

[notify]                        # messages about alerts to people, each from one of the peers with channels
# min_severity = "medium"       # low, medium, high or critical
# group_wait_s = 3.0            # how long an alert waits for others of the same cause
# escalate_after_s = 300.0      # between repetitions of a critical alert until somebody acknowledges it
# send_resolved = true          # send a message when it is over
# url = ""                      # URL of a dashboard; messages link to it
# trusted = []                  # ids of peers whose silences and notices count; empty for every member's
#   [notify.channels.ops]       # any name; try it with: peerscope notify-test
#   kind = "webhook"            # webhook, slack, smtp, alertmanager, or apprise, which needs the extra `apprise`
#   url = "https://example.org/hook"
#   secret_file = "hook.key"    # mode 0600; or PEERSCOPE_NOTIFY__CHANNELS__OPS__SECRET; never in this file
#   escalation = false          # repeat critical alerts here until somebody acknowledges them

[notify.heartbeat]              # to a service outside that alarms when none comes; see docs/howto/notifications.md
# url_file = ""                 # mode 0600, holds the URL; or PEERSCOPE_NOTIFY__HEARTBEAT__URL; never in this file
# method = "POST"               # with the state of the network as JSON; or "GET"
# interval_s = 60.0             # between two heartbeats of the whole network
# timeout_s = 10.0              # of one attempt
# start = false                 # a peer that takes over first sends to the URL with /start
# fail = false                  # send to the URL with /fail while less than half of the peers live; else nothing

[alerts]                        # conditions to report; docs/reference/alert-rules.md has every rule
# rules_file = ""               # a TOML file with more rules
# [alerts.rules.cpu-high]       # one table for each rule to change:
#   threshold = 0.90            # further: clear, for_s, clear_for_s, severity, title, runbook, enabled, notify

[incidents]                     # alerts with one probable cause; see docs/explanation/incidents.md
# window_s = 300.0              # longest gap between two beginnings of one incident
# keep_s = 86400.0              # how long to show one after its last alert ended
# [incidents.priors]            # odds of each kind of cause against chance, before any alert is seen
#   host = 0.3                  # further: region_outage, region, version, partition, cascade, pattern, peer_cluster

[export]                        # to other tools; see docs/howto/export.md
# address = ""                  # where Prometheus reaches this peer, "host" or "host:port"; empty: as web.listen says
# per_peer = false              # series of every peer in /metrics and remote write: about thirty for each

[export.remote_write]           # Prometheus remote write; needs the extra `remote-write`
# url = ""                      # URL of a receiver, such as "http://127.0.0.1:8428/api/v1/write"
# mode = "elected"              # one peer writes for all; or "every": each its own series, one the network's as well
# interval_s = 15.0             # between two samples of a series
# headers = {}                  # such as {"X-Scope-OrgID" = "tenant"}; no credentials
# bearer_token_file = ""        # files that nobody else can read
# username = ""
# password_file = ""
# queue_bytes_max = 67108864    # of the queue on disk while the receiver is away; beyond it, the oldest is dropped
# batch_samples_max = 2000      # in one request
# timeout_s = 30.0              # of one request

[export.otlp]                   # paths of messages as OpenTelemetry traces; needs the extra `otel`
# endpoint = ""                 # URL of an OTLP/HTTP receiver, such as "http://127.0.0.1:4318"
# sample_ratio = 0.1            # share of the messages to export

[threats]                       # detection of threats, see docs/reference/threats.md
# enabled = true
# signatures_file = ""          # TOML laid over the shipped signatures; read again on SIGHUP
# blocked = []                  # no peer should be linked with these: ids of peers, addresses, prefixes
# share = false                 # publish `blocked`, for peers that trust this one
# trust = []                    # full ids of peers whose published lists count here too
# interval_s = 5.0              # between reviews

[detector]
# ping_interval_s = 1.0         # between pings of a lost link; so much silence counts before the first vain ping
# ping_period_s = 4.0           # between pings of a quiet link, at most; shorter where few neighbours watch a peer
# silence_floor_s = 1.5         # shortest silence that loses a link; more than ping_interval_s
# down_after_s = 4.0            # silence after which a suspected peer is down

[zones]                         # the same for all peers of a network
# zone_max = 2000               # members with full records of each other; beyond it, zones exchange summaries
# summary_interval_s = 30.0     # between two summaries of an aggregator

[crawl]                         # answers to `peerscope crawl` of others
# answers_per_s = 5.0           # in all; an answer has about three kilobytes
# answers_per_peer_s = 1.0      # to one asking peer

[limits]                        # what one neighbour may send; honest ones stay far below (docs/reference/limits.md)
# messages_per_s = 100.0
# messages_burst = 4000.0
# bytes_per_s = 200000.0
# bytes_burst = 32000000.0
# requests_per_s = 20.0
# requests_burst = 2000.0
# pings_per_s = 20.0
# pings_burst = 400.0
# records_per_s = 5.0           # new ones of one origin, from any neighbour
# records_burst = 200.0

[coordinates]                   # from which the round-trip time of any two peers is estimated
# dimensions = 3                # the same for all peers of a network
# visit_interval_s = 10.0       # between short contacts with random peers, at first; 0 for none
# visit_interval_s_max = 60.0   # later on
"""
