// WebTorrent as a program: webtorrent_node.mjs FOLDER TORRENT... downloads into FOLDER, or seeds what is there
// already, until SIGTERM. It tells what happens, a line each: `complete NAME`, `tracker error: …`, `error: …`.
// Lines on its standard input are obeyed: `add TORRENT`, `remove NAME`, `announce`, `scrape`.
import readline from 'node:readline'
import WebTorrent from 'webtorrent'

const [folder, ...torrents] = process.argv.slice(2)
const client = new WebTorrent({ dht: false, lsd: false, utPex: false, natUpnp: false, natPmp: false, utp: false })

function say (...words) {
  process.stdout.write(words.join(' ') + '\n')
}

function add (path) {
  const torrent = client.add(path, { path: folder })
  torrent.on('done', () => say('complete', torrent.name))
  torrent.on('warning', error => say('tracker error:', error.message, error.cause ?? ''))
  torrent.on('error', error => say('error:', error.message))
}

function find (name) {
  return client.torrents.find(torrent => torrent.name === name)
}

const commands = {
  add,
  remove: name => client.remove(find(name), () => say('removed', name)),
  announce: () => client.torrents.forEach(torrent => torrent.discovery?.tracker.update()),
  scrape: () => client.torrents.forEach(torrent => torrent.discovery?.tracker.scrape())
}

client.on('error', error => say('error:', error.message))
torrents.forEach(add)
readline.createInterface({ input: process.stdin }).on('line', line => {
  const [command, ...argument] = line.split(' ')
  commands[command](argument.join(' '))
})
process.on('SIGTERM', () => client.destroy(() => process.exit()))
