// Real js-libp2p nodes with kad-dht on loopback, in one process. Run by libp2p_network.py, from a folder with the packages.
//
//     node libp2p_nodes.mjs NODES PROTOCOL
//
// Prints one line of JSON with the multiaddrs of all nodes. Then answers each line: "join LINKS", "tables", "stop N".

import { createInterface } from 'node:readline'
import { identify } from '@libp2p/identify'
import { kadDHT } from '@libp2p/kad-dht'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { createLibp2p } from 'libp2p'

Promise.withResolvers ??= function () {
  let resolve, reject
  const promise = new this((yes, no) => { resolve = yes; reject = no })
  return { promise, resolve, reject }
}

const [count, protocol] = [Number(process.argv[2]), process.argv[3]]
const nodes = []
for (let number = 0; number < count; number++) {
  nodes.push(await createLibp2p({
    addresses: { listen: [`/ip4/127.0.0.${number + 1}/tcp/0`] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionManager: { inboundConnectionThreshold: 10000, maxIncomingPendingConnections: 1000 },
    nodeInfo: { userAgent: `peerscope-test/1.${number % 2}` },
    services: {
      identify: identify(),
      ping: ping(),
      dht: kadDHT({ protocol, clientMode: false, allowQueryWithZeroPeers: true, peerInfoMapper: info => info })
    }
  }))
}

// Each node dials up to three others, which makes one connected network, and some more of the others.
async function join (links) {
  for (let number = 1; number < count; number++) {
    const more = Array.from({ length: links }, (_, turn) => (number * 7 + turn * 11) % number)
    for (const other of new Set([number - 1, number >> 1, Math.floor(number / 3), ...more])) {
      const address = nodes[other].getMultiaddrs()[0]
      await nodes[number].dial(address).catch(() => nodes[number].dial(address)) // a busy machine may need longer
    }
  }
}

function tables () {
  return Object.fromEntries(nodes.filter(node => node.status === 'started').map(node => [
    node.peerId.toString(),
    [...node.services.dht.routingTable.kb.toIterable()].map(peer => peer.peerId.toString())
  ]))
}

const OPERATIONS = {
  join: async links => { await join(Number(links)); return {} },
  tables: async () => tables(),
  stop: async number => { await nodes[Number(number)].stop(); return {} }
}

console.log(JSON.stringify(nodes.map(node => node.getMultiaddrs()[0].toString())))
for await (const line of createInterface({ input: process.stdin })) {
  const [word, ...rest] = line.split(' ')
  console.log(JSON.stringify(await OPERATIONS[word](...rest)))
}
process.exit(0)
