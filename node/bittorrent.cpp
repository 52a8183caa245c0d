// libtorrent, and nothing of it elsewhere. No exception leaves this file.
extern "C" {
#include "node/bittorrent.h"
#include "torrent/pieces.h"
}

#include <libtorrent/add_torrent_params.hpp>
#include <libtorrent/alert_types.hpp>
#include <libtorrent/announce_entry.hpp>
#include <libtorrent/aux_/socket_type.hpp>
#include <libtorrent/bdecode.hpp>
#include <libtorrent/entry.hpp>
#include <libtorrent/extensions.hpp>
#include <libtorrent/extensions/smart_ban.hpp>
#include <libtorrent/peer_connection.hpp>
#include <libtorrent/peer_connection_handle.hpp>
#include <libtorrent/peer_info.hpp>
#include <libtorrent/posix_disk_io.hpp>
#include <libtorrent/session.hpp>
#include <libtorrent/torrent_info.hpp>
#include <libtorrent/torrent_peer.hpp>
#include <libtorrent/torrent_status.hpp>

#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace lt = libtorrent;

namespace {

// By which nodes know each other: BEP 20, `-SG` and a version.
constexpr char fingerprint[] = "-SG0100-";
constexpr int stop_seconds = 2;
constexpr int connect_seconds = 5;
constexpr int reconnect_seconds = 5;
constexpr int failures_max = 20; // in a row, until a peer is given up
constexpr int banned_max = 4;    // of one address in a torrent, until no other is let in
constexpr int alerts_max = 100000;
constexpr int announce_seconds_min = 5;
constexpr int announce_seconds = 10; // until a tracker is taken to be away
constexpr int announces_max = 1000;  // at once
// A node takes less from the tracker than it could keep connections of a few torrents: else those
// who came first know each other, have no room left, and are an island to those who come later.
constexpr int peers_wanted = 50;
constexpr int connections_max = 600;

// The whole of the peer id is chosen here, for libtorrent never tells what it would have chosen.
std::string make_peer_id() {
  static constexpr char digits[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  std::random_device random;
  std::uniform_int_distribution<std::size_t> any(0, sizeof digits - 2);
  std::string id = fingerprint;
  while (id.size() < PEER_ID) {
    id += digits[any(random)];
  }
  return id;
}

int rate(std::uint64_t bytes) {
  return static_cast<int>(std::min<std::uint64_t>(bytes, INT32_MAX));
}

lt::settings_pack make_settings(const bittorrent_options &o, const std::string &peer_id) {
  using sp = lt::settings_pack;
  sp s;
  s.set_str(sp::peer_fingerprint, peer_id);
  s.set_str(sp::user_agent, "swarmgate/" SWARMGATE_VERSION);
  s.set_str(sp::listen_interfaces, ""); // see listen_for()
  s.set_int(sp::max_retry_port_bind, o.upper_port - o.lower_port);
  s.set_bool(sp::listen_system_port_fallback,
             false); // a port that was asked for may be the open one
  for (int off : {sp::enable_dht, sp::enable_lsd, sp::enable_upnp, sp::enable_natpmp,
                  sp::enable_incoming_utp, sp::enable_outgoing_utp}) {
    s.set_bool(off, false);
  }
  // Nodes behind one address are different nodes: the peer id tells them apart.
  s.set_bool(sp::allow_multiple_connections_per_ip, true);
  s.set_int(sp::min_reconnect_time, reconnect_seconds);
  s.set_int(sp::peer_connect_timeout, connect_seconds);
  s.set_int(sp::max_failcount, failures_max);
  s.set_int(sp::num_want, peers_wanted);
  s.set_int(sp::connections_limit, connections_max);
  // The tracker decides how often.
  s.set_int(sp::min_announce_interval, announce_seconds_min);
  s.set_int(sp::in_enc_policy, sp::pe_forced);
  s.set_int(sp::out_enc_policy, sp::pe_forced);
  // Encrypted throughout: pe_both would have two nodes go on in the clear after the handshake.
  s.set_int(sp::allowed_enc_level, sp::pe_rc4);
  s.set_int(sp::unchoke_slots_limit, o.upload_slots == 0 ? -1 : rate(o.upload_slots));
  s.set_int(sp::upload_rate_limit, rate(o.upload_rate));
  s.set_int(sp::download_rate_limit, rate(o.download_rate));
  s.set_int(sp::stop_tracker_timeout, stop_seconds);
  // Pieces in order would be the same ones at all nodes.
  s.set_bool(sp::auto_sequential, false);
  // An image of a hundred blobs announces all at once, and a tracker that is away holds up no
  // other.
  s.set_int(sp::max_concurrent_http_announces, announces_max);
  s.set_int(sp::tracker_completion_timeout, announce_seconds);
  s.set_int(sp::tracker_receive_timeout, announce_seconds);
  // All that happens is told of by alerts: none may be dropped.
  s.set_int(sp::alert_queue_size, alerts_max);
  s.set_int(sp::alert_mask, static_cast<int>(static_cast<std::uint32_t>(
                                lt::alert_category::status | lt::alert_category::error |
                                lt::alert_category::tracker | lt::alert_category::piece_progress |
                                lt::alert_category::storage)));
  return s;
}

// To libtorrent the peers of private networks are a class of their own, which the session's rates
// are not for; and that is where most nodes are.
void limit_private(lt::session &session, const bittorrent_options &o) {
  const auto id = lt::session::local_peer_class_id;
  lt::peer_class_info peers = session.get_peer_class(id);
  peers.upload_limit = rate(o.upload_rate);
  peers.download_limit = rate(o.download_rate);
  session.set_peer_class(id, peers);
}

// Reads and writes, where the default maps files: a full disk is an error then and no SIGBUS, and a
// blob of any size takes no memory. It writes at once, and hashes what it reads back: a piece that
// is finished is in the file, for others to read.
lt::session_params make_params(const bittorrent_options &o, const std::string &peer_id) {
  lt::session_params params(make_settings(o, peer_id), {});
  params.disk_io_constructor = lt::posix_disk_io_constructor;
  return params;
}

// Whether the certificate that a peer has shown holds no longer. libtorrent looks at it when the
// peer comes, and has no public way to it after that.
bool has_run_out(lt::peer_connection &peer) {
  auto *socket = boost::get<lt::ssl_stream<lt::tcp::socket>>(&peer.get_socket());
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(
      socket == nullptr ? nullptr : SSL_get1_peer_certificate(socket->handle()), X509_free);
  return certificate != nullptr && X509_cmp_current_time(X509_get0_notAfter(certificate.get())) < 0;
}

// How many peers of an address were banned from a torrent. libtorrent bans an address and port, and
// a peer comes back from another as often as it likes.
using bans = std::map<lt::address, int>;

// What libtorrent does not see to by itself; from its thread.
class peer_watch : public lt::peer_plugin {
public:
  peer_watch(const lt::peer_connection_handle &peer, std::shared_ptr<bans> banned)
      : peer_(peer), banned_(std::move(banned)) {
  }

  bool on_handshake(lt::span<const char>) override {
    const auto its = banned_->find(peer_.remote().address());
    if (its != banned_->end() && its->second >= banned_max) {
      peer_.disconnect(lt::errors::peer_banned, lt::operation_t::bittorrent);
    }
    return true;
  }

  void on_disconnect(const lt::error_code &why) override {
    if (why == lt::errors::too_many_corrupt_pieces) {
      (*banned_)[peer_.remote().address()]++;
    }
  }

  // Two nodes dial each other at the same moment, as all do who hear of each other from the
  // tracker. Of the two connections the peer ids decide which one stays; but who is told the port
  // of a peer that it has dialled too takes the other one, so that both go, and both dial anew:
  // each time with two Diffie-Hellman exchanges. Hence nobody is told, and it is from the tracker
  // alone.
  void add_handshake(lt::entry &handshake) override {
    handshake.dict().erase("p");
  }

  // Notes a seed as one (BEP 21). Seeds hang up on each other upon this very message, before
  // libtorrent 2.0.8 has done so itself, and would dial each other for ever, every second.
  bool on_extension_handshake(const lt::bdecode_node &said) override {
    const auto peer = peer_.native_handle();
    if (peer != nullptr && peer->peer_info_struct() != nullptr &&
        said.dict_find_int_value("upload_only") != 0) {
      peer->peer_info_struct()->seed = true;
    }
    return true;
  }

  // Every second. Drops the connection of a peer when its certificate has run out; one that has
  // another comes back.
  void tick() override {
    const auto peer = peer_.native_handle();
    if (peer != nullptr && !peer_.is_disconnecting() && has_run_out(*peer)) {
      peer_.disconnect(lt::errors::timed_out, lt::operation_t::ssl_handshake);
    }
  }

private:
  lt::peer_connection_handle peer_;
  std::shared_ptr<bans> banned_;
};

class torrent_watch : public lt::torrent_plugin {
public:
  std::shared_ptr<lt::peer_plugin> new_connection(const lt::peer_connection_handle &peer) override {
    return std::make_shared<peer_watch>(peer, banned_);
  }

private:
  std::shared_ptr<bans> banned_ = std::make_shared<bans>();
};

std::shared_ptr<lt::torrent_plugin> watch_torrent(const lt::torrent_handle &, lt::client_data_t) {
  return std::make_shared<torrent_watch>();
}

int fail(error *e, const char *what, const std::exception &why) {
  return error_set(e, ERROR_FAILED, "%s: %.300s", what, why.what());
}

} // namespace

struct bittorrent_torrent {
  ~bittorrent_torrent() {
    pieces_free(&hashes);
  }

  lt::torrent_handle handle;
  void *tag;
  const bittorrent *session;
  std::uint32_t piece_count;
  ::pieces hashes;
  // What the view points into.
  plan_view view;
  std::vector<unsigned char> pieces;
  std::vector<lt::peer_info> peers;
  std::vector<plan_peer> seen;
};

struct bittorrent {
  std::string peer_id;
  std::vector<std::string> addresses;
  std::uint16_t lower_port, upper_port;
  bool plain, tls; // which ports are open
  std::unique_ptr<lt::session> session;
  std::vector<std::unique_ptr<bittorrent_torrent>> torrents;
};

int bittorrent_start(const bittorrent_options *o, bittorrent **out, error *e) {
  try {
    auto b = std::make_unique<bittorrent>();
    b->peer_id = make_peer_id();
    b->addresses = {"0.0.0.0", "::"};
    if (o->address_count > 0) {
      b->addresses.assign(o->addresses, o->addresses + o->address_count);
    }
    b->lower_port = o->lower_port;
    b->upper_port = o->upper_port;
    b->session = std::make_unique<lt::session>(make_params(*o, b->peer_id));
    limit_private(*b->session, *o);
    const auto wake = o->wake;
    const auto arg = o->arg;
    b->session->set_alert_notify([wake, arg] { wake(arg); });
    *out = b.release();
    return 0;
  } catch (const std::exception &why) {
    return fail(e, "cannot start BitTorrent", why);
  }
}

void bittorrent_stop(bittorrent *b) {
  if (b == nullptr) {
    return;
  }
  try {
    b->session->set_alert_notify([] {});
    const lt::session_proxy ending = b->session->abort();
    b->session.reset();
    // The proxy's end waits for the trackers.
  } catch (const std::exception &) {
    // There is nobody to be told that it ended otherwise.
  }
  delete b;
}

namespace {

std::string listen_on(const bittorrent &b) {
  std::string list;
  for (const std::string &address : b.addresses) {
    const bool v6 = address.find(':') != std::string::npos;
    const std::string at =
        (v6 ? "[" + address + "]" : address) + ":" + std::to_string(b.lower_port);
    list += (b.plain ? at + "," : "") + (b.tls ? at + "s," : "");
  }
  return list.substr(0, list.empty() ? 0 : list.size() - 1);
}

// What keeps anybody here from listening on an address, whatever the port.
lt::error_code probe(const std::string &address) {
  lt::error_code bad;
  const lt::tcp::endpoint any_port(lt::make_address(address, bad), 0);
  lt::io_context loop;
  lt::tcp::acceptor acceptor(loop);
  if (!bad) {
    acceptor.open(any_port.protocol(), bad);
  }
  if (!bad) {
    acceptor.bind(any_port, bad);
  }
  return bad;
}

std::string ports_of(const bittorrent &b) {
  const std::string lower = std::to_string(b.lower_port);
  return b.lower_port == 0              ? "any port"
         : b.lower_port == b.upper_port ? "port " + lower
                                        : "ports " + lower + " to " + std::to_string(b.upper_port);
}

int refuse_to_listen(const bittorrent &b, error *e) {
  const lt::error_code why = probe(b.addresses.front());
  for (const std::string &address : b.addresses) {
    if (address != "::" && probe(address) == boost::system::errc::address_not_available) {
      return error_set(e, ERROR_FAILED, "cannot listen for peers: %s is no address of this machine",
                       address.c_str());
    }
  }
  return error_set(e, ERROR_FAILED, "cannot listen for peers on %s: %s%s", ports_of(b).c_str(),
                   why ? why.message().c_str() : "somebody else does",
                   b.plain || b.tls ? ", or we ourselves: torrents under a CA want another port "
                                      "than those under none"
                                    : "");
}

// Torrents under a CA have a port that speaks TLS alone, the others one without. Each is opened
// when the first of them comes.
int listen_for(bittorrent &b, bool tls, error *e) {
  using sp = lt::settings_pack;
  bool &is_open = tls ? b.tls : b.plain;
  if (is_open) {
    return 0;
  }
  is_open = true;
  sp s;
  s.set_str(sp::listen_interfaces, listen_on(b));
  b.session->apply_settings(s);
  if ((tls ? b.session->ssl_listen_port() : b.session->listen_port()) != 0) {
    return 0;
  }
  is_open = false;
  s.set_str(sp::listen_interfaces, listen_on(b));
  b.session->apply_settings(s);
  return refuse_to_listen(b, e);
}

} // namespace

int bittorrent_add(bittorrent *b, slice torrent, const metainfo *m, const char *folder, bool whole,
                   void *tag, bittorrent_torrent **out, error *e) {
  try {
    lt::error_code bad;
    const lt::span<const char> bytes(torrent.ptr, static_cast<std::ptrdiff_t>(torrent.len));
    lt::add_torrent_params p;
    p.ti = std::make_shared<lt::torrent_info>(bytes, bad, lt::from_span);
    if (bad) {
      return error_set(e, ERROR_FAILED, "libtorrent does not take the torrent: %.200s",
                       bad.message().c_str());
    }
    // Two who read one file may read different things in it, such as a key that is there twice.
    if (p.ti->num_files() != 1 || p.ti->total_size() != static_cast<std::int64_t>(m->size) ||
        p.ti->piece_length() != static_cast<int>(m->piece_length)) {
      return error_set(e, ERROR_FAILED, "libtorrent sees something else in the torrent");
    }
    // The name above all, which `name.utf-8` replaces: it would be another blob's file.
    p.ti->rename_file(lt::file_index_t(0), std::string(m->name.ptr, m->name.len));
    const bool tls = !p.ti->ssl_cert().empty();
    if (listen_for(*b, tls, e) != 0) {
      return -1;
    }
    auto t = std::make_unique<bittorrent_torrent>();
    t->tag = tag;
    t->session = b;
    t->piece_count = static_cast<std::uint32_t>(p.ti->num_pieces());
    if (pieces_of(m, &t->hashes, e) != 0) {
      return -1;
    }
    p.save_path = folder;
    p.flags &= ~(lt::torrent_flags::auto_managed | lt::torrent_flags::paused);
    p.flags |= lt::torrent_flags::override_web_seeds | lt::torrent_flags::disable_pex;
    if (whole) {
      p.flags |= lt::torrent_flags::upload_mode;
    }
    p.extensions.emplace_back(watch_torrent);
    // Of a piece that has blocks of several peers it finds out who sent the wrong ones.
    p.extensions.emplace_back(&lt::create_smart_ban_plugin);
    t->handle = b->session->add_torrent(std::move(p));
    *out = t.get();
    b->torrents.push_back(std::move(t));
    return 0;
  } catch (const std::exception &why) {
    return fail(e, "cannot add the torrent", why);
  }
}

void bittorrent_certify(bittorrent_torrent *t, const bittorrent_certificate *c) {
  try {
    t->handle.set_ssl_certificate_buffer(c->certificate, c->key, c->parameters);
  } catch (const std::exception &) {
    // A torrent that is gone has told BITTORRENT_FAILED.
  }
}

void bittorrent_remove(bittorrent *b, bittorrent_torrent *t) {
  const auto same = [t](const auto &one) { return one.get() == t; };
  try {
    b->session->remove_torrent(t->handle);
  } catch (const std::exception &) {
    // It is gone already.
  }
  b->torrents.erase(std::remove_if(b->torrents.begin(), b->torrents.end(), same),
                    b->torrents.end());
}

/* --- what has happened --- */

namespace {

struct telling {
  const bittorrent &session;
  bittorrent_told *told;
  void *arg;

  // Of a torrent that was removed alerts may still come, and are nobody's.
  void operator()(const lt::torrent_alert &a, bittorrent_event event, std::uint32_t piece,
                  slice text) const {
    for (const auto &t : session.torrents) {
      if (t->handle == a.handle) {
        told(arg, t->tag, event, piece, text);
        return;
      }
    }
  }

  void operator()(const lt::torrent_alert &a, bittorrent_event event, std::uint32_t piece,
                  const std::string &message) const {
    (*this)(a, event, piece, slice{message.c_str(), message.size()});
  }
};

void tell(const telling &say, const lt::alert &any) {
  if (const auto *piece = lt::alert_cast<lt::piece_finished_alert>(&any)) {
    say(*piece, BITTORRENT_PIECE, static_cast<std::uint32_t>(static_cast<int>(piece->piece_index)),
        "");
  } else if (const auto *complete = lt::alert_cast<lt::torrent_finished_alert>(&any)) {
    say(*complete, BITTORRENT_COMPLETE, 0, "");
  } else if (const auto *bad = lt::alert_cast<lt::hash_failed_alert>(&any)) {
    say(*bad, BITTORRENT_BAD_PIECE, static_cast<std::uint32_t>(static_cast<int>(bad->piece_index)),
        "");
  } else if (const auto *checked = lt::alert_cast<lt::torrent_checked_alert>(&any)) {
    say(*checked, BITTORRENT_CHECKED, 0, "");
  } else if (const auto *flushed = lt::alert_cast<lt::cache_flushed_alert>(&any)) {
    say(*flushed, BITTORRENT_FLUSHED, 0, "");
  } else if (const auto *reply = lt::alert_cast<lt::tracker_reply_alert>(&any)) {
    say(*reply, BITTORRENT_TRACKER, static_cast<std::uint32_t>(std::max(reply->num_peers, 0)), "");
  } else if (const auto *refused = lt::alert_cast<lt::tracker_error_alert>(&any)) {
    // Never the alert's own message, which has the URL in it, and the token in that.
    const char *reason = refused->failure_reason();
    say(*refused, BITTORRENT_TRACKER_FAILED, 0,
        reason[0] != '\0' ? reason : refused->error.message());
  } else if (const auto *failed = lt::alert_cast<lt::torrent_error_alert>(&any)) {
    say(*failed, BITTORRENT_FAILED, 0, failed->error.message());
  } else if (const auto *disk = lt::alert_cast<lt::file_error_alert>(&any)) {
    say(*disk, BITTORRENT_FAILED, 0, disk->error.message());
  }
}

} // namespace

void bittorrent_poll(bittorrent *b, bittorrent_told *told, void *arg) {
  try {
    std::vector<lt::alert *> alerts;
    b->session->pop_alerts(&alerts);
    const telling say{*b, told, arg};
    for (const lt::alert *a : alerts) {
      tell(say, *a);
    }
  } catch (const std::exception &) {
    // Out of memory: the view tells all that counts, later.
  }
}

/* --- how it stands --- */

namespace {

// The bits of BEP 3, of whatever length.
const unsigned char *bits_of(const lt::typed_bitfield<lt::piece_index_t> &pieces,
                             std::uint32_t count) {
  return static_cast<std::uint32_t>(pieces.size()) < count
             ? nullptr
             : reinterpret_cast<const unsigned char *>(pieces.data());
}

bool is_introduced(const lt::peer_info &peer) {
  return !(peer.flags & (lt::peer_info::handshake | lt::peer_info::connecting)) &&
         peer.connection_type == lt::peer_info::standard_bittorrent;
}

plan_peer describe(const lt::peer_info &peer, std::uint32_t piece_count) {
  plan_peer p = {};
  std::memcpy(p.id, peer.pid.data(), PEER_ID);
  p.node = std::memcmp(p.id, fingerprint, 3) == 0;
  p.wanted = static_cast<bool>(peer.flags & lt::peer_info::interesting);
  p.received = static_cast<std::uint64_t>(peer.total_download);
  p.have = static_cast<std::uint32_t>(std::max(peer.num_pieces, 0));
  p.pieces = bits_of(peer.pieces, piece_count);
  return p;
}

} // namespace

const plan_view *bittorrent_view(bittorrent_torrent *t) {
  try {
    const std::uint32_t count = t->piece_count;
    const auto status = t->handle.status(lt::torrent_handle::query_pieces);
    t->handle.get_peer_info(t->peers);
    t->seen.clear();
    for (const lt::peer_info &peer : t->peers) {
      if (is_introduced(peer)) {
        t->seen.push_back(describe(peer, count));
      }
    }
    // Of a seed, and of one that has nothing, libtorrent gives fewer bits.
    t->pieces.assign(bitfield_size(count), status.is_seeding ? 0xff : 0);
    if (const unsigned char *bits = bits_of(status.pieces, count)) {
      std::memcpy(t->pieces.data(), bits, t->pieces.size());
    }
    std::memcpy(t->view.self, t->session->peer_id.data(), PEER_ID);
    t->view.piece_count = count;
    t->view.pieces = t->pieces.data();
    t->view.peers = t->seen.data();
    t->view.peer_count = t->seen.size();
    t->view.swarm = static_cast<std::uint32_t>(std::max(status.num_incomplete, 0));
    return &t->view;
  } catch (const std::exception &) {
    return nullptr;
  }
}

void bittorrent_scrape(bittorrent_torrent *t) {
  try {
    t->handle.scrape_tracker();
  } catch (const std::exception &) {
    // A torrent that is gone has told BITTORRENT_FAILED.
  }
}

namespace {

// libtorrent looks again, but its piece may have blocks of peers in it: it cannot say who was
// wrong.
int check_piece(const bittorrent_torrent &t, std::uint32_t piece, slice bytes, error *e) {
  const std::unique_ptr<piece_check, decltype(&piece_check_free)> check(
      piece_check_new(t.hashes.v2), piece_check_free);
  if (check == nullptr) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  piece_check_add(check.get(), bytes);
  return piece_check_end(check.get(), &t.hashes, piece)
             ? 0
             : error_set(e, ERROR_MISMATCH, "bytes that the torrent does not say");
}

} // namespace

int bittorrent_give(bittorrent_torrent *t, std::uint32_t piece, slice bytes, error *e) {
  if (check_piece(*t, piece, bytes, e) != 0) {
    return -1;
  }
  try {
    t->handle.add_piece(lt::piece_index_t(static_cast<int>(piece)),
                        std::vector<char>(bytes.ptr, bytes.ptr + bytes.len));
    return 0;
  } catch (const std::exception &why) {
    return fail(e, "cannot take a piece", why);
  }
}

bool bittorrent_want(bittorrent_torrent *t, std::uint32_t piece) {
  try {
    const lt::piece_index_t index(static_cast<int>(piece));
    t->handle.set_piece_deadline(index, 0);
    return t->handle.have_piece(index);
  } catch (const std::exception &) {
    // A torrent that is gone has told BITTORRENT_FAILED.
    return false;
  }
}

void bittorrent_progress_of(bittorrent_torrent *t, bittorrent_progress *out) {
  *out = {};
  try {
    const auto s = t->handle.status({});
    out->done = static_cast<std::uint64_t>(s.total_wanted_done);
    out->received = static_cast<std::uint64_t>(s.total_payload_download);
    out->uploaded = static_cast<std::uint64_t>(s.total_payload_upload);
    out->peers = static_cast<std::uint32_t>(std::max(s.num_peers, 0));
    out->complete = s.is_seeding;
  } catch (const std::exception &) {
    // A torrent that is gone has done nothing.
  }
}

void bittorrent_flush(bittorrent_torrent *t) {
  try {
    t->handle.flush_cache();
  } catch (const std::exception &) {
    // A torrent that is gone has told BITTORRENT_FAILED.
  }
}

void bittorrent_renew(bittorrent_torrent *t, const slice *announce, std::size_t count) {
  try {
    std::vector<lt::announce_entry> trackers;
    for (std::size_t i = 0; i < count; i++) {
      trackers.emplace_back(std::string(announce[i].ptr, announce[i].len));
    }
    t->handle.replace_trackers(trackers);
    t->handle.force_reannounce();
  } catch (const std::exception &) {
    // The old ones will be refused again, and that is told.
  }
}
