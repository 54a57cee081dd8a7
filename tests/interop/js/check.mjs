// js-libp2p and unring in one DHT: `node check.mjs DHT_MEMBER ENVELOPE`, the two programs of the examples of that name.
//
// Ends with 0 when each found what the other advertised, and each opened what the other signed.

import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'

import { generateKeyPair } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import { kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { noise } from '@libp2p/noise'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { PeerRecord, RecordEnvelope } from '@libp2p/peer-record'
import { ping } from '@libp2p/ping'
import { preSharedKey } from '@libp2p/pnet'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
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

const PROTOCOL = '/spegel/kad/1.0.0'

// For what needs a moment, on a machine that does other things too.
const PATIENCE = 30_000

// The domain and the type of the records of nodes, from proto/unring/peeraddr/v1/record.proto.
const RECORD_DOMAIN = 'unring-node-record'
const RECORD_TYPE = '/unring/node-record/1'

const text = new TextEncoder()
const hex = bytes => Buffer.from(bytes).toString('hex')
const unhex = digits => new Uint8Array(Buffer.from(digits, 'hex'))

// Asks until the answer is right; the last answer if it never is.
async function eventually (ask, isRight) {
  const ends = Date.now() + PATIENCE
  for (;;) {
    const answer = await ask()
    if (isRight(answer) || Date.now() > ends) return answer
    await sleep(100)
  }
}

// Spegel's key of a text: a CID of which the DHT takes the multihash.
async function key (name) {
  return CID.createV1(0x55, await sha256.digest(text.encode(name)))
}

// A node of js-libp2p as Spegel's would be: TCP, yamux, a DHT in server mode that keeps private addresses.
async function jsNode (encrypters, psk) {
  const file = psk && text.encode(`/key/swarm/psk/1.0.0/\n/base16/\n${psk}`)
  return await createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: encrypters,
    streamMuxers: [yamux()],
    ...(file && { connectionProtector: preSharedKey({ psk: file }) }),
    services: {
      identify: identify(),
      ping: ping(),
      dht: kadDHT({ protocol: PROTOCOL, clientMode: false, peerInfoMapper: passthroughMapper })
    }
  })
}

async function provide (node, name) {
  const options = { signal: AbortSignal.timeout(PATIENCE) }
  await node.contentRouting.provide(await key(name), options)
}

// Who provides it, with addresses, as js-libp2p finds it.
async function findBy (node, name) {
  const found = new Map()
  const options = { signal: AbortSignal.timeout(PATIENCE) }
  for await (const peer of node.contentRouting.findProviders(await key(name), options)) {
    const before = found.get(peer.id.toString()) ?? []
    found.set(peer.id.toString(), [...before, ...peer.multiaddrs.map(String)])
  }
  return found
}

// js-libp2p names the peer in some addresses and not in others.
function has (addresses, address) {
  return addresses?.some(found => found.split('/p2p/')[0] === address) ?? false
}

// unring, that does what it is told.
class Member {
  constructor (program, psk) {
    this.child = spawn(program, psk ? [psk] : [], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]()
  }

  async line () {
    const { value, done } = await this.lines.next()
    assert(!done, 'the member ended')
    return value
  }

  async listening () {
    this.address = (await this.line()).replace(/^listening /, '')
    this.id = this.address.split('/p2p/')[1]
    return this
  }

  async tell (command) {
    this.child.stdin.write(command + '\n')
    return await this.line()
  }

  // Who provides it: a map of peer ids to lists of IP addresses.
  async find (name) {
    const answer = await this.tell(`lookup ${name}`)
    const entries = answer.split(' ').slice(1).map(entry => entry.split('='))
    return answer.startsWith('found')
      ? new Map(entries.map(([id, ips]) => [id, ips.split(',')]))
      : new Map()
  }

  async end () {
    const ended = new Promise(resolve => this.child.once('exit', resolve))
    this.child.stdin.end()
    assert.equal(await ended, 0, 'the member did not end well')
  }
}

// Both ways, in a network of unring and two of js-libp2p that know each other only through unring.
async function dht (program, psk) {
  const member = await new Member(program, psk).listening()
  const byTls = await jsNode([tls()], psk)
  const byNoise = await jsNode([noise(), tls()], psk)
  try {
    const encryptions = []
    for (const node of [byTls, byNoise]) {
      const connection = await node.dial(multiaddr(member.address))
      encryptions.push(connection.encryption)
    }
    assert.deepEqual(encryptions, ['/tls/1.0.0', '/noise'])
    const known = await eventually(() => member.tell('peers'), peers => peers === 'peers 2')
    assert.equal(known, 'peers 2', 'unring has not both in its routing table')
    for (const node of [byTls, byNoise]) {
      const size = await eventually(() => node.services.dht.routingTable.size, size => size >= 1)
      assert(size >= 1, 'js-libp2p has not unring in its routing table')
    }

    const [js, ours] = [`sha256:${psk ?? ''}js`, `sha256:${psk ?? ''}ours`]
    await provide(byTls, js)
    const id = byTls.peerId.toString()
    const byOurs = await eventually(() => member.find(js), found => found.has(id))
    assert.deepEqual([...byOurs], [[id, ['127.0.0.1']]], 'unring finds what js-libp2p advertises')
    const byJs = await eventually(() => findBy(byNoise, js), found => found.has(id))
    assert(has(byJs.get(id), byTls.getMultiaddrs()[0].toString().split('/p2p/')[0]),
      `js-libp2p finds what js-libp2p advertises through unring: ${JSON.stringify([...byJs])}`)

    assert.equal(await member.tell(`advertise ${ours}`), 'advertised')
    for (const node of [byTls, byNoise]) {
      const found = await eventually(() => findBy(node, ours), found => found.has(member.id))
      assert(has(found.get(member.id), member.address.split('/p2p/')[0]),
        `js-libp2p finds what unring advertises: ${JSON.stringify([...found])}`)
    }
    assert.equal((await member.find('sha256:nobody')).size, 0)
    await strangers(member, psk)
  } finally {
    await Promise.all([byTls.stop(), byNoise.stop()])
  }
  await member.end()
}

// Who has another key, or none, does not get as far as a handshake; nor does one with a key where there is none.
async function strangers (member, psk) {
  for (const other of [undefined, 'cd'.repeat(32)]) {
    if (other === psk) continue
    const stranger = await jsNode([noise()], other)
    try {
      const options = { signal: AbortSignal.timeout(PATIENCE) }
      await assert.rejects(stranger.dial(multiaddr(member.address), options), 'a stranger was let in')
    } finally {
      await stranger.stop()
    }
  }
}

// libp2p's own record of a peer: the signed envelope of RFC 0002 with the payload of RFC 0003.
async function peerRecords (program) {
  const member = await new Member(program).listening()
  const [word, theirs] = (await member.tell('record')).split(' ')
  assert.equal(word, 'record')
  const envelope = await RecordEnvelope.openAndCertify(unhex(theirs), PeerRecord.DOMAIN)
  const record = PeerRecord.createFromProtobuf(envelope.payload)
  assert.equal(record.peerId.toString(), member.id)
  assert.deepEqual(record.multiaddrs.map(String), [member.address.split('/p2p/')[0]])

  const privateKey = await generateKeyPair('Ed25519')
  const peerId = peerIdFromPrivateKey(privateKey)
  const ours = new PeerRecord({ peerId, multiaddrs: [multiaddr('/ip4/10.0.0.1/tcp/5001')] })
  const sealed = (await RecordEnvelope.seal(ours, privateKey)).marshal()
  assert.equal(await member.tell(`open ${hex(sealed)}`), `opened ${peerId} /ip4/10.0.0.1/tcp/5001`)
  sealed[sealed.length - 1] ^= 1
  assert.match(await member.tell(`open ${hex(sealed)}`), /^error /)
  await member.end()
}

// Our own record of a node: the same envelope under another domain.
async function nodeRecords (program) {
  const run = promisify(execFile)
  const [id, theirs] = (await run(program)).stdout.trim().split(' ')
  const envelope = await RecordEnvelope.openAndCertify(unhex(theirs), RECORD_DOMAIN)
  assert.equal(peerIdOf(envelope.publicKey), id)
  assert.equal(new TextDecoder().decode(envelope.payloadType), RECORD_TYPE)
  assert(hex(envelope.payload).includes(hex(text.encode(id))), 'the record does not name its node')
  await assert.rejects(RecordEnvelope.openAndCertify(unhex(theirs), PeerRecord.DOMAIN))

  const privateKey = await generateKeyPair('Ed25519')
  const peerId = peerIdFromPrivateKey(privateKey).toString()
  const record = {
    domain: RECORD_DOMAIN,
    codec: text.encode(RECORD_TYPE),
    marshal: () => nodeRecord(peerId)
  }
  const sealed = (await RecordEnvelope.seal(record, privateKey)).marshal()
  const { stdout } = await run(program, [hex(sealed)])
  assert.equal(stdout.trim(), `${peerId} 7 from js`)
  await assert.rejects(run(program, [hex((await RecordEnvelope.seal({ ...record, domain: 'other' }, privateKey)).marshal())]))
}

const peerIdOf = publicKey => publicKey.toString()

// A NodeRecord message: peer_id, seq, issued_at_unix_ms, ttl_ms, name.
function nodeRecord (peerId) {
  const varint = n => n > 127 ? [(n % 128) | 128, ...varint(Math.floor(n / 128))] : [n]
  const bytes = (field, value) => [...varint(field << 3 | 2), ...varint(value.length), ...value]
  const number = (field, value) => [...varint(field << 3), ...varint(value)]
  return Uint8Array.from([
    ...bytes(1, text.encode(peerId)),
    ...number(2, 7),
    ...number(3, 1_790_000_000_000),
    ...number(4, 60_000),
    ...bytes(5, text.encode('from js'))
  ])
}

const [member, envelope] = process.argv.slice(2)
assert(member && envelope, 'node check.mjs DHT_MEMBER ENVELOPE')
await dht(member)
await dht(member, 'ab'.repeat(32))
await peerRecords(member)
await nodeRecords(envelope)
console.log('both ways by TLS and Noise, with and without a network key; signed records of both formats')
