// The two messages of the Kademlia protocol of libp2p that a crawl needs, in protocol buffers:
// Message { type = 1, key = 2, repeated Peer closer = 8 } with Peer { id = 1, repeated multiaddrs = 2 }.

import { multiaddr } from '@multiformats/multiaddr'
import { base58btc } from 'multiformats/bases/base58'

const FIND_NODE = 4
// An answer within these bounds fits into one line of dial.mjs, whatever a node sends.
const PEERS_MAX = 64
const ADDRESSES_MAX = 16
const ADDRESS_CHARACTERS_MAX = 512
const ID_BYTES_MAX = 64

export function findNode (key) {
  if (key.length > 127) throw new RangeError('the key is too long')
  return Uint8Array.from([1 << 3, FIND_NODE, (2 << 3) | 2, key.length, ...key])
}

// [peer, [address...]] of each peer. Throws if these bytes are no answer to FIND_NODE.
export function decodeClosest (bytes) {
  let type
  const peers = []
  for (const [field, value] of fields(bytes)) {
    if (field === 1) type = value
    else if (field === 8 && value instanceof Uint8Array && peers.length < PEERS_MAX) peers.push(decodePeer(value))
  }
  if (type !== FIND_NODE) throw malformed()
  return peers
}

function decodePeer (bytes) {
  let peer
  const addresses = []
  for (const [field, value] of fields(bytes)) {
    if (!(value instanceof Uint8Array)) continue
    if (field === 1 && value.length > 0 && value.length <= ID_BYTES_MAX) peer = base58btc.baseEncode(value)
    else if (field === 2 && addresses.length < ADDRESSES_MAX) {
      try {
        const text = multiaddr(value).toString()
        if (text.length <= ADDRESS_CHARACTERS_MAX) addresses.push(text)
      } catch {} // of a protocol that is not known here
    }
  }
  if (peer === undefined) throw malformed()
  return [peer, addresses]
}

// Fields of a message: numbers, and bytes.
function * fields (bytes) {
  let at = 0
  function varint () {
    let value = 0
    for (let scale = 1; scale < 2 ** 49; scale *= 128) {
      if (at >= bytes.length) throw malformed()
      const byte = bytes[at++]
      value += (byte & 127) * scale
      if (byte < 128) return value
    }
    // Negative numbers take ten bytes; no field here has them.
    throw malformed()
  }
  while (at < bytes.length) {
    const tag = varint()
    const field = Math.floor(tag / 8)
    if (tag % 8 === 0) yield [field, varint()]
    else if (tag % 8 === 2) {
      const length = varint()
      if (length > bytes.length - at) throw malformed()
      yield [field, bytes.subarray(at, at += length)]
    } else throw malformed()
  }
}

function malformed () {
  return Object.assign(new Error('malformed'), { name: 'MalformedAnswer' })
}
