// js-libp2p calls a node over TCP with TLS 1.3 and yamux. Arguments: `id FILE` makes a key and prints its peer id;
// `friend FILE ADDRESS` must be identified and answered; `stranger FILE ADDRESS` must get nothing but the end of its connection.
import './check-peer-shim.mjs'
import { readFile, writeFile } from 'node:fs/promises'
import { yamux } from '@chainsafe/libp2p-yamux'
import { generateKeyPair, privateKeyFromProtobuf, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'

const PATIENCE_MS = 10_000
const [what, file, address] = process.argv.slice(2)

const fail = (said) => {
  console.error(`check-peer: ${said}`)
  process.exit(1)
}

const until = async (said, holds) => {
  const begun = Date.now()
  while (!(await holds())) {
    if (Date.now() - begun > PATIENCE_MS) fail(`not within ${PATIENCE_MS} ms: ${said}`)
    await new Promise((done) => setTimeout(done, 50))
  }
}

if (what === 'id') {
  const key = await generateKeyPair('Ed25519')
  await writeFile(file, privateKeyToProtobuf(key))
  console.log(peerIdFromPrivateKey(key).toString())
  process.exit(0)
}

const node = await createLibp2p({
  privateKey: privateKeyFromProtobuf(await readFile(file)),
  transports: [tcp()],
  connectionEncrypters: [tls()],
  streamMuxers: [yamux()],
  services: { identify: identify({ runOnConnectionOpen: what === 'friend' }), ping: ping() },
  connectionMonitor: { enabled: false }
})
const target = multiaddr(address)
const known = new Promise((done) => node.addEventListener('peer:identify', (event) => done(event.detail)))

if (what === 'friend') {
  const connection = await node.dial(target)
  const said = await Promise.race([known, new Promise((_, late) => setTimeout(() => late(new Error('no identify')), PATIENCE_MS))])
  for (const protocol of ['/ipfs/id/1.0.0', '/ipfs/ping/1.0.0', '/city-node/sync/1', '/city-node/live/1']) {
    if (!said.protocols.includes(protocol)) fail(`identify does not name ${protocol}: ${said.protocols}`)
  }
  if (said.protocols.some((name) => name.includes('enrol'))) fail('a listed peer is offered enrolment')
  const ms = await node.services.ping.ping(target)
  console.log(`listed: ${said.agentVersion}, ${connection.encryption}, ${connection.multiplexer}; ping ${ms} ms`)
} else {
  // TLS says who calls, so the connection may seem to be there for a moment.
  let served = false
  try {
    const connection = await node.dial(target)
    served = await node.services.ping.ping(target).then(() => true, () => false)
    // Where it ends while it is still being set up, js-libp2p forgets it without marking it.
    await until('the end of the connection', () => connection.status === 'closed' || node.getConnections().length === 0)
  } catch (error) {
    if (served) fail(`served: ${error}`)
  }
  if (served) fail('a stranger was served a ping')
  await until('no connection', () => node.getConnections().length === 0)
  console.log('not listed: nothing but the end of its connection')
}
await node.stop()
process.exit(0)
