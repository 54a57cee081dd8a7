// A js-libp2p member of Spegel's DHT that does what it is told on standard input, one line each, answered with one line:
//
//   connect ADDRESS    connected
//   advertise KEY ...  advertised MILLISECONDS
//   lookup KEY         found MILLISECONDS ID ...
//   peers              peers N: in the routing table
//   cpu                cpu MILLISECONDS of this process so far
//
// What goes wrong is answered with `error ...`. The first line says where it listens. It ends when its input does.

import { createInterface } from 'node:readline'

import { identify } from '@libp2p/identify'
import { kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { CID } from 'multiformats/cid'
import { sha256 } from 'multiformats/hashes/sha2'

// Node.js 20 has it not yet, and js-libp2p 3 uses it.
Promise.withResolvers ??= function () {
  let resolve, reject
  const promise = new this((one, other) => { resolve = one; reject = other })
  return { promise, resolve, reject }
}

const PATIENCE = 30_000
const signal = () => AbortSignal.timeout(PATIENCE)

const node = await createLibp2p({
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: {
    identify: identify(),
    ping: ping(),
    dht: kadDHT({ protocol: '/spegel/kad/1.0.0', clientMode: false, peerInfoMapper: passthroughMapper })
  }
})

// Spegel's key of a text: a CID of which the DHT takes the multihash.
async function key (name) {
  return CID.createV1(0x55, await sha256.digest(new TextEncoder().encode(name)))
}

const commands = {
  async connect (address) {
    await node.dial(multiaddr(address), { signal: signal() })
    return 'connected'
  },
  async advertise (...names) {
    const began = performance.now()
    for (const name of names) await node.contentRouting.provide(await key(name), { signal: signal() })
    return `advertised ${performance.now() - began}`
  },
  async lookup (name) {
    const found = new Set()
    const began = performance.now()
    for await (const peer of node.contentRouting.findProviders(await key(name), { signal: signal() })) {
      if (peer.multiaddrs.length > 0) found.add(peer.id.toString())
      // As many as a puller needs; js-libp2p goes on to ask everybody.
      if (found.size > 0) break
    }
    return ['found', performance.now() - began, ...found].join(' ')
  },
  async peers () {
    return `peers ${node.services.dht.routingTable.size}`
  },
  async cpu () {
    const { user, system } = process.cpuUsage()
    return `cpu ${(user + system) / 1000}`
  }
}

console.log(`listening ${node.getMultiaddrs()[0]}`)
for await (const line of createInterface({ input: process.stdin })) {
  const [name, ...rest] = line.split(' ')
  try {
    console.log(await commands[name](...rest))
  } catch (error) {
    console.log(`error ${String(error.message).replaceAll('\n', ' ')}`)
  }
}
await node.stop()
