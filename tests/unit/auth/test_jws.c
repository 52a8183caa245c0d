/* The signature layer against the examples of the RFCs, which none of our code made. */
#include "auth/jws.h"
#include "auth/strict_json.h"
#include "unit/auth/rig.h"
#include "unit/cmocka_all.h"

#include <openssl/err.h>

static const struct {
  const char *name;
  enum key_algorithm algorithm;
  const char *jwks;
  const char *jws;
} examples[] = {
    {"RFC 7515, A.2", KEY_RS256,
     "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"a\",\"e\":\"AQAB\",\"n\":"
     "\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0"
     "Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z"
     "5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGh"
     "yxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ\"}]}",
     "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLm"
     "NvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAu"
     "HIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vR"
     "K5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7n"
     "oOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"},
    {"RFC 7515, A.3", KEY_ES256,
     "{\"keys\":[{\"kty\":\"EC\",\"kid\":\"a\",\"crv\":\"P-256\","
     "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
     "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}",
     "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLm"
     "NvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmW"
     "QxfKTUJqPP3-Kg6NU1Q"},
    {"RFC 8037, A.4", KEY_EDDSA,
     "{\"keys\":[{\"kty\":\"OKP\",\"kid\":\"a\",\"crv\":\"Ed25519\","
     "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}",
     "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcv"
     "Mg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"},
};
enum { EXAMPLES = sizeof examples / sizeof *examples };

static void examples_of_the_rfcs_verify(void **state) {
  (void)state;
  for (size_t i = 0; i < EXAMPLES; i++) {
    struct keyset set;
    struct jws jws;
    struct arena arena = {0};
    struct error e = {0};
    assert_int_equal(keyset_parse(slice_str(examples[i].jwks), examples[i].name, &set, &e), 0);
    assert_int_equal(set.count, 1);
    assert_int_equal(set.keys[0].algorithm, examples[i].algorithm);
    assert_int_equal(jws_read(slice_str(examples[i].jws), &arena, &jws, &e), 0);
    assert_true(jws_verify(&set.keys[0], &jws));
    jws.input.len--;
    assert_false(jws_verify(&set.keys[0], &jws));
    jws.input.len++;
    jws.signature.len--;
    assert_false(jws_verify(&set.keys[0], &jws));
    arena_free(&arena);
    keyset_free(&set);
  }
}

/* Ed25519 signs the same the same: the private key of RFC 8037, A.1 makes the example again. */
static void the_example_of_eddsa_is_made_again(void **state) {
  (void)state;
  struct key key;
  struct buf out = {0};
  struct error e = {0};
  assert_int_equal(
      key_parse_private(SLICE("-----BEGIN PRIVATE KEY-----\n"
                              "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7"
                              "rAMcrn9g\n-----END PRIVATE KEY-----\n"),
                        "RFC 8037, A.1", &key, &e),
      0);
  assert_int_equal(
      jws_write(&key, SLICE("{\"alg\":\"EdDSA\"}"), SLICE("Example of Ed25519 signing"), &out, &e),
      0);
  assert_true(slice_equal(buf_view(&out), slice_str(examples[2].jws)));
  buf_free(&out);
  key_free(&key);
}

static void parts_are_cut(void **state) {
  (void)state;
  struct arena arena = {0};
  struct error e = {0};
  struct jws jws;
  assert_int_equal(jws_read(SLICE("YWI.Yw.ZGVm"), &arena, &jws, &e), 0);
  assert_true(slice_equal(jws.header, SLICE("ab")));
  assert_true(slice_equal(jws.payload, SLICE("c")));
  assert_true(slice_equal(jws.signature, SLICE("def")));
  assert_true(slice_equal(jws.input, SLICE("YWI.Yw")));
  arena_free(&arena);
}

static void each_key_verifies_its_own_alone(void **state) {
  struct rig *rig = *state;
  for (int signer = 0; signer < RIG_KEYS; signer++) {
    struct jws jws;
    assert_int_equal(jws_read(rig_jws(rig, signer, "{}", SLICE("x")), &rig->arena, &jws, NULL), 0);
    for (int key = 0; key < RIG_KEYS; key++) {
      assert_int_equal(jws_verify(&rig->keys[key], &jws), key == signer);
    }
  }
}

/* What OpenSSL has to say about a bad signature must not wait in the queue for the TLS code. */
static void no_error_is_left_behind(void **state) {
  struct rig *rig = *state;
  static const unsigned char zeros[512];
  ERR_clear_error();
  for (int key = 0; key < RIG_KEYS; key++) {
    struct jws jws;
    assert_int_equal(jws_read(rig_jws(rig, key, "{}", SLICE("x")), &rig->arena, &jws, NULL), 0);
    for (size_t len = 0; len <= sizeof zeros; len += 32) {
      jws.signature = slice_of(zeros, len);
      assert_false(jws_verify(&rig->keys[key], &jws));
    }
    assert_int_equal(ERR_peek_error(), 0);
  }
}

static void a_full_buffer_is_told(void **state) {
  struct rig *rig = *state;
  struct buf out = {.limit = 64};
  struct error e = {0};
  assert_int_equal(jws_write(&rig->keys[RIG_ES256], SLICE("{}"), SLICE("{}"), &out, &e), -1);
  assert_int_equal(e.kind, ERROR_FAILED);
  buf_free(&out);
}

static void nothing_is_no_json(void **state) {
  (void)state;
  struct error e = {0};
  assert_null(strict_json_object(slice_of(NULL, 0), &e));
  assert_int_equal(e.kind, ERROR_DENIED);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(nothing_is_no_json),
      cmocka_unit_test(examples_of_the_rfcs_verify),
      cmocka_unit_test(the_example_of_eddsa_is_made_again),
      cmocka_unit_test(parts_are_cut),
      cmocka_unit_test(each_key_verifies_its_own_alone),
      cmocka_unit_test(no_error_is_left_behind),
      cmocka_unit_test(a_full_buffer_is_told),
  };
  return cmocka_run_group_tests(tests, rig_set_up, rig_tear_down);
}
