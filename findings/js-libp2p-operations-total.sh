#!/bin/sh
# A "total" of js-libp2p's DHT that never grows, so that a rate over it is always zero.
#
# Versions: npm libp2p 3.3.11, @libp2p/kad-dht 16.4.5, @libp2p/prometheus-metrics 5.0.24, @libp2p/tcp 11.0.28.
# Behaviour: `libp2p_kad_dht_operations_total{operation="..."}` is exported as a gauge of the operations in flight. After
# three puts and three lookups that have ended it says 0 for both. `libp2p_kad_dht_outbound_rpc_requests_total` does
# grow, by one for each copy of a request, so no series has the number of puts or lookups.
# Ends with 0 if all of this is still so, with 1 if something changed. Needs node (20 or later) and npm.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
printf '{"private": true, "type": "module"}\n' >package.json
npm install --no-audit --no-fund --ignore-scripts --loglevel=error libp2p@3.3.11 @libp2p/kad-dht@16.4.5 \
    @libp2p/prometheus-metrics@5.0.24 @libp2p/tcp@11.0.28 @libp2p/identify@4.1.14 @libp2p/ping@3.1.13 \
    @chainsafe/libp2p-noise@17.0.0 @chainsafe/libp2p-yamux@8.0.1 prom-client@15.1.3 >/dev/null
cat >ask.js <<'JAVASCRIPT'
// Node 20 lacks this.
Promise.withResolvers ??= function () {
    let parts
    const promise = new Promise((resolve, reject) => { parts = { resolve, reject } })
    return { promise, ...parts }
}
const { createLibp2p } = await import('libp2p')
const { tcp } = await import('@libp2p/tcp')
const { noise } = await import('@chainsafe/libp2p-noise')
const { yamux } = await import('@chainsafe/libp2p-yamux')
const { identify } = await import('@libp2p/identify')
const { ping } = await import('@libp2p/ping')
const { kadDHT, passthroughMapper } = await import('@libp2p/kad-dht')
const { prometheusMetrics } = await import('@libp2p/prometheus-metrics')
const { register } = await import('prom-client')

const start = (metrics) => createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()], connectionEncrypters: [noise()], streamMuxers: [yamux()], metrics,
    services: { identify: identify(), ping: ping(),
        dht: kadDHT({ clientMode: false, peerInfoMapper: passthroughMapper, allowQueryWithZeroPeers: true }) },
})
const other = await start(undefined)
const node = await start(prometheusMetrics())
await node.dial(other.getMultiaddrs())
while (node.services.dht.routingTable.size === 0) await new Promise((done) => setTimeout(done, 100))
for (let n = 0; n < 3; n++) {
    const key = new TextEncoder().encode(`/v/key-${n}`)
    for await (const _ of node.services.dht.put(key, key)) { }
    for await (const _ of node.services.dht.get(key)) { }
}
const lines = (await register.metrics()).split('\n')
for (const start of ['# TYPE libp2p_kad_dht_operations_total', 'libp2p_kad_dht_operations_total{operation="PUT_VALUE"}',
    'libp2p_kad_dht_operations_total{operation="GET_VALUE"}']) {
    console.log(lines.find((line) => line.startsWith(start)) ?? `${start} is missing`)
}
const requests = lines.find((line) => line.includes('outbound_rpc_requests_total="PUT_VALUE"')) ?? 'none'
console.log('requests of puts grow:', Number(requests.split(' ').at(-1)) >= 3)
process.exit(0)
JAVASCRIPT
npm ls --depth=0 | grep -e "libp2p@" -e kad-dht -e prometheus-metrics
node ask.js >found
cat found
printf '%s\n' '# TYPE libp2p_kad_dht_operations_total gauge' \
    'libp2p_kad_dht_operations_total{operation="PUT_VALUE"} 0' \
    'libp2p_kad_dht_operations_total{operation="GET_VALUE"} 0' \
    'requests of puts grow: true' >expected
cmp -s found expected || { echo "the behaviour has changed"; exit 1; }
