// Dials libp2p nodes for `peerscope crawl`, which decides which ones to ask, and how often.
//
//     node dial.mjs /ipfs/kad/1.0.0
//
// Reads one JSON object per line: {id, op: "dial", peer, addresses}, {id, op: "find", peer, key}, {op: "hangup", peer}.
// Answers each `id` once, in any order: {id, remote, agent}, {id, closer: [[peer, [address...]]...]} or {id, error}.
// Each node is asked as a client, under a key made for this run. Ends with its input.

import { createInterface } from 'node:readline'
import { identify } from '@libp2p/identify'
import { tcp } from '@libp2p/tcp'
import { lpStream } from '@libp2p/utils'
import { multiaddr } from '@multiformats/multiaddr'
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { createLibp2p } from 'libp2p'
import { decodeClosest, findNode } from './kad.mjs'

const DIAL_MS = 8000
const ANSWER_MS = 8000
const ANSWER_BYTES_MAX = 1 << 20
const AGENT_CHARACTERS_MAX = 256

// Node.js 20 has no Promise.withResolvers, which the packages use.
Promise.withResolvers ??= function () {
  let resolve, reject
  const promise = new this((yes, no) => { resolve = yes; reject = no })
  return { promise, resolve, reject }
}

// Whatever one node does, the crawl goes on with the others.
process.on('unhandledRejection', () => {})
process.on('uncaughtException', () => {})

const protocol = process.argv[2]
const node = await createLibp2p({
  addresses: { listen: [] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  connectionManager: { maxConnections: 2000, maxParallelDials: 512, dialTimeout: DIAL_MS, reconnectRetries: 0 },
  connectionMonitor: { enabled: false },
  services: { identify: identify({ runOnConnectionOpen: false, runOnSelfUpdate: false }) }
})
const connections = new Map()

async function dial ({ peer, addresses }) {
  const connection = await node.dial(addresses.map(address => multiaddr(address)), {
    signal: AbortSignal.timeout(DIAL_MS)
  })
  if (connection.remotePeer.toString() !== peer) {
    await connection.close()
    throw Object.assign(new Error(), { name: 'UnexpectedPeerError' })
  }
  connections.set(peer, connection)
  let agent = null
  try {
    agent = (await node.services.identify.identify(connection, { signal: AbortSignal.timeout(ANSWER_MS) })).agentVersion
  } catch {} // the version is of less weight than the neighbours
  return { remote: connection.remoteAddr.toString(), agent: agent?.slice(0, AGENT_CHARACTERS_MAX) ?? null }
}

async function find ({ peer, key }) {
  const connection = connections.get(peer)
  if (connection === undefined) throw Object.assign(new Error(), { name: 'ConnectionClosedError' })
  const signal = AbortSignal.timeout(ANSWER_MS)
  const stream = await connection.newStream(protocol, { signal })
  try {
    const messages = lpStream(stream, { maxDataLength: ANSWER_BYTES_MAX })
    await messages.write(findNode(Buffer.from(key, 'base64')), { signal })
    return { closer: decodeClosest((await messages.read({ signal })).subarray()) }
  } finally {
    stream.close().catch(() => {})
  }
}

async function hangup ({ peer }) {
  const connection = connections.get(peer)
  connections.delete(peer)
  await connection?.close()
}

// js-libp2p 3.3 makes one error of all failed handshakes, and only its message says more.
const HANDSHAKES = [
  [/due to timeout/, 'TimeoutError'],
  [/does not match expected remote/, 'UnexpectedPeerError'],
  [/could not negotiate/, 'EncryptionFailedError']
]

// The name of the error that says most: of several addresses, that of the last one.
function word (error) {
  const last = error?.errors?.length > 0 ? error.errors.at(-1) : error
  if (last?.name === 'EncryptionFailedError') {
    return HANDSHAKES.find(([pattern]) => pattern.test(last.message))?.[1] ?? 'HandshakeFailedError'
  }
  const cause = last?.code ?? last?.cause?.code ?? last?.name ?? 'Error'
  return String(cause)
}

const OPERATIONS = { dial, find, hangup }

function answer (message) {
  process.stdout.write(JSON.stringify(message) + '\n')
}

answer({ ready: true })
for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line)
  OPERATIONS[order.op](order).then(
    result => order.id === undefined || answer({ id: order.id, ...result }),
    error => order.id === undefined || answer({ id: order.id, error: word(error) })
  )
}
process.exit(0) // connections would keep the process
