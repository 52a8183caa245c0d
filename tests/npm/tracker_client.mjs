// Clients of the package bittorrent-tracker, driven by lines of JSON: commands on standard input, what the
// clients emit on standard output. tests/integration/test_npm_client.py holds the cases.
//
//   {"client": 1, "new": {…}}                        makes a client of these options
//   {"client": 1, "calls": [["start", {…}], …]}      calls its methods, all within one tick
//   {"client": 1, "scrape": {…}}                     Client.scrape()
//
// Out come {"client": 1, "event": …, "data": …}; Client.scrape() and a failed constructor too are events. The first
// is "ready", of client 0.
import readline from 'node:readline'
import Client from 'bittorrent-tracker'

const clients = new Map()

// Byte strings of an answer as latin-1 text: JSON has no bytes.
function plain (name, value) {
  return ArrayBuffer.isView(value) ? Buffer.from(value).toString('latin1') : value
}

function tell (client, event, data) {
  data = data instanceof Error ? data.message : data
  process.stdout.write(JSON.stringify({ client, event, data }, plain) + '\n')
}

// Options that JSON cannot say: functions, and numbers that a double cannot hold.
function options (from, number) {
  const opts = { ...from }
  if (typeof opts.peerId === 'string') opts.peerId = Buffer.from(opts.peerId, 'latin1')
  if (opts.getAnnounceOpts) opts.getAnnounceOpts = () => from.getAnnounceOpts
  if (opts.agent) {
    // What fetch() uses by itself, with a word said at each request.
    const dispatch = (request, handler) => {
      tell(number, 'agent', request.path)
      return globalThis[Symbol.for('undici.globalDispatcher.1')].dispatch(request, handler)
    }
    opts.proxyOpts = { httpAgent: { dispatch } }
  }
  return opts
}

function argument (value) {
  if (value && typeof value.left === 'string') return { ...value, left: BigInt(value.left) }
  return value
}

function make (number, opts) {
  const client = new Client(options(opts, number))
  for (const event of ['update', 'peer', 'scrape', 'warning', 'error']) {
    client.on(event, data => tell(number, event, data))
  }
  clients.set(number, client)
}

function call (number, [method, value]) {
  if (method === 'destroy') {
    clients.get(number).destroy(() => tell(number, 'destroyed'))
  } else {
    clients.get(number)[method](argument(value))
  }
}

tell(0, 'ready')
for await (const line of readline.createInterface({ input: process.stdin })) {
  const command = JSON.parse(line)
  const number = command.client
  try {
    if (command.new) make(number, command.new)
    for (const one of command.calls ?? []) call(number, one)
    if (command.scrape) {
      Client.scrape(command.scrape, (err, data) => tell(number, 'scraped', err ? { error: err.message } : data))
    }
  } catch (err) {
    tell(number, 'thrown', err)
  }
}
process.exit(0)
