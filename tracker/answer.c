#include "tracker/answer.h"

#include <arpa/inet.h>

static void write_number(struct bencode_writer *w, struct slice key, uint32_t value) {
  bencode_write_string(w, key);
  bencode_write_integer(w, value);
}

/* BEP 23 and BEP 7: address and port, in network order, one after another. */
static void write_compact(struct bencode_writer *w, const struct swarm_peer *peers, unsigned count,
                          size_t address_len) {
  unsigned char bytes[SWARM_WANT_MAX * (sizeof peers->at.address + sizeof(uint16_t))];
  unsigned char *at = bytes;
  for (unsigned i = 0; i < count; i++) {
    uint16_t port = htons(peers[i].at.port);
    peer_copy_address(at, peers[i].at.address, address_len);
    memcpy(at + address_len, &port, sizeof port);
    at += address_len + sizeof port;
  }
  bencode_write_string(w, slice_of(bytes, (size_t)(at - bytes)));
}

static void write_dicts(struct bencode_writer *w, const struct swarm_peer *peers, unsigned count,
                        bool no_peer_id) {
  for (unsigned i = 0; i < count; i++) {
    char text[INET6_ADDRSTRLEN];
    inet_ntop(peers[i].at.address_len == 4 ? AF_INET : AF_INET6, peers[i].at.address, text,
              sizeof text);
    bencode_write_dict(w);
    bencode_write_string(w, SLICE("ip"));
    bencode_write_string(w, slice_str(text));
    if (!no_peer_id) {
      bencode_write_string(w, SLICE("peer id"));
      bencode_write_string(w, slice_of(peers[i].id, PEER_ID));
    }
    write_number(w, SLICE("port"), peers[i].at.port);
    bencode_write_end(w);
  }
}

void answer_announce(struct bencode_writer *w, const struct answer_announce *a) {
  const struct swarm_answer *s = a->swarm;
  bencode_write_dict(w);
  write_number(w, SLICE("complete"), s->counts.complete);
  write_number(w, SLICE("downloaded"), s->counts.downloaded);
  bencode_write_string(w, SLICE("external ip"));
  bencode_write_string(w, slice_of(a->from->address, a->from->address_len));
  write_number(w, SLICE("incomplete"), s->counts.incomplete);
  write_number(w, SLICE("interval"), a->interval);
  write_number(w, SLICE("min interval"), a->min_interval);
  bencode_write_string(w, SLICE("peers"));
  if (a->compact) {
    write_compact(w, s->peers[0], s->count[0], 4);
    if (s->count[1] > 0) {
      bencode_write_string(w, SLICE("peers6"));
      write_compact(w, s->peers[1], s->count[1], 16);
    }
  } else {
    bencode_write_list(w);
    write_dicts(w, s->peers[0], s->count[0], a->no_peer_id);
    write_dicts(w, s->peers[1], s->count[1], a->no_peer_id);
    bencode_write_end(w);
  }
  if (a->tracker_id.len > 0) {
    bencode_write_string(w, SLICE("tracker id"));
    bencode_write_string(w, a->tracker_id);
  }
  bencode_write_end(w);
}

void answer_scrape(struct bencode_writer *w, const struct scrape *asked, const bool *covered,
                   const struct swarm_counts *counts) {
  bencode_write_dict(w);
  bencode_write_string(w, SLICE("files"));
  bencode_write_dict(w);
  for (size_t i = 0; i < asked->count; i++) {
    if (covered[i]) {
      bencode_write_string(w, slice_of(asked->info_hash[i], INFOHASH));
      bencode_write_dict(w);
      write_number(w, SLICE("complete"), counts[i].complete);
      write_number(w, SLICE("downloaded"), counts[i].downloaded);
      write_number(w, SLICE("downloaders"), counts[i].downloaders);
      write_number(w, SLICE("incomplete"), counts[i].incomplete);
      bencode_write_end(w);
    }
  }
  bencode_write_end(w);
  bencode_write_end(w);
}

static void begin_failure(struct bencode_writer *w, struct slice prefix, const char *reason) {
  struct slice text = slice_str(reason);
  bencode_write_dict(w);
  bencode_write_string(w, SLICE("failure reason"));
  bencode_write_string_head(w, prefix.len + text.len);
  bencode_write_raw(w, prefix);
  bencode_write_raw(w, text);
}

void answer_failure(struct bencode_writer *w, const char *reason) {
  begin_failure(w, SLICE(""), reason);
  bencode_write_end(w);
}

void answer_fault(struct bencode_writer *w, struct parameter_fault fault) {
  begin_failure(w, fault.missing ? SLICE("missing parameter: ") : SLICE("invalid parameter: "),
                fault.name);
  bencode_write_end(w);
}

void answer_full(struct bencode_writer *w, uint32_t minutes) {
  begin_failure(w, SLICE(""), "tracker is full");
  write_number(w, SLICE("retry in"), minutes);
  bencode_write_end(w);
}
