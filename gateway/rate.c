#include "gateway/rate.h"

static const uint64_t nanoseconds_a_ms = 1000000, nanoseconds_a_second = 1000000000;

uint64_t rate_slice(uint64_t bytes_a_second) {
  const uint64_t part = bytes_a_second / 16;
  return bytes_a_second == 0     ? UINT64_MAX
         : part < RATE_SLICE_MIN ? RATE_SLICE_MIN
         : part > RATE_SLICE_MAX ? RATE_SLICE_MAX
                                 : part;
}

/* Rounded up: the rate is never exceeded. A slice at most, so that it does not overflow. */
static uint64_t time_of(const struct rate *rate, uint64_t bytes) {
  return (bytes * nanoseconds_a_second + rate->bytes_a_second - 1) / rate->bytes_a_second;
}

uint64_t rate_take(struct rate *rate, uint64_t bytes, uint64_t now) {
  if (rate->bytes_a_second == 0) {
    return 0;
  }
  const uint64_t slice = time_of(rate, rate_slice(rate->bytes_a_second));
  const uint64_t burst = RATE_BURST_MS * nanoseconds_a_ms;
  const uint64_t ahead = now * nanoseconds_a_ms + (burst > slice ? burst : slice);
  const uint64_t from = rate_is_full(rate, now) ? now * nanoseconds_a_ms : rate->paid;
  const uint64_t paid = from + time_of(rate, bytes);
  if (paid > ahead) {
    return (paid - ahead + nanoseconds_a_ms - 1) / nanoseconds_a_ms;
  }
  rate->paid = paid;
  return 0;
}

bool rate_is_full(const struct rate *rate, uint64_t now) {
  return rate->paid <= now * nanoseconds_a_ms;
}
