#include "tracker/siphash.h"
#include "unit/cmocka_all.h"

/* The paper's vectors: key 00 01 … 0f, message 00 01 … of len - 1. */
static void gives_the_published_values(void **state) {
  (void)state;
  unsigned char bytes[64];
  for (unsigned i = 0; i < sizeof bytes; i++) {
    bytes[i] = (unsigned char)i;
  }
  assert_true(siphash(bytes, bytes, 0) == 0x726fdb47dd0e0e31);
  assert_true(siphash(bytes, bytes, 1) == 0x74f839c593dc67fd);
  assert_true(siphash(bytes, bytes, 8) == 0x93f5f5799a932462);
  assert_true(siphash(bytes, bytes, 15) == 0xa129ca6149be45e5);
  assert_true(siphash(bytes, bytes, 63) == 0x958a324ceb064572);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(gives_the_published_values)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
