// Reads a CAR file with @ipld/car, and what `store export --json` said of it.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { CarReader } from '@ipld/car'
import * as cbor from '@ipld/dag-cbor'
import { CID } from 'multiformats/cid'
import { sha256 } from 'multiformats/hashes/sha2'

const [file, answer] = process.argv.slice(2)
const said = JSON.parse(readFileSync(answer, 'utf8').split('\n').find((line) => line.startsWith('{')))
const reader = await CarReader.fromBytes(readFileSync(file))

/** Every CID within a value. */
const links = (value) => {
  const found = CID.asCID(value)
  if (found) return [found]
  if (value instanceof Uint8Array || value === null || typeof value !== 'object') return []
  return Object.values(value).flatMap(links)
}

const roots = await reader.getRoots()
assert.equal(roots.length, 1, 'one root')
const blocks = new Map()
for await (const { cid, bytes } of reader.blocks()) {
  assert.equal(cid.code, cbor.code)
  const made = CID.createV1(cbor.code, await sha256.digest(bytes))
  assert.ok(made.equals(cid), `${cid}: its block hashes to ${made}`)
  assert.ok(!blocks.has(`${cid}`), `${cid} stands in it twice`)
  const value = cbor.decode(bytes)
  const to = links(value).map(String)
  for (const link of to) {
    assert.ok(blocks.has(link) || said.outside.includes(link), `${cid} links to ${link}, which is neither before it nor named`)
  }
  blocks.set(`${cid}`, { value, to })
}
assert.equal(blocks.size, said.blocks, 'as many blocks as were said')
assert.ok(blocks.has(`${roots[0]}`), 'the root is in it')
for (const outside of said.outside) assert.ok(!blocks.has(outside), `${outside} is said to be outside`)

// From the heads everything is reached that is a vertex's, or the genesis block.
const reached = new Set([`${roots[0]}`])
const open = said.logs.map((log) => log.head)
assert.ok(open.length > 0, 'it has logs')
for (const head of open) assert.ok(blocks.has(head), `head ${head} is in it`)
while (open.length > 0) {
  const id = open.pop()
  if (reached.has(id) || !blocks.has(id)) continue
  reached.add(id)
  open.push(...blocks.get(id).to)
}
assert.equal(reached.size, blocks.size, 'every block is reached from the heads')
const headers = [...blocks.values()].filter(({ value }) => value.h !== undefined)
const vertices = said.logs.reduce((sum, log) => sum + log.vertices, 0)
assert.equal(headers.length, vertices, 'as many vertices as were said')
console.log(`${file}: ${blocks.size} blocks by @ipld/car, every CID made again, ${vertices} vertices of ${said.logs.length} logs, ` +
  `${said.outside.length} links lead outside and are named`)
