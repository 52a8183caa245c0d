#include "node/route.h"

#include "unit/cmocka_all.h"

#define HEX    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIGEST "sha256:" HEX

static const struct route_host hosts[] = {{"registry.example", "http://gate.example"},
                                          {"localhost:5000", "http://other.example"}};

static const struct {
  const char *path, *query;
  size_t hosts; /* how many there are */
  enum route_kind kind;
  const char *host; /* NULL: of none of them */
  const char *repository, *reference;
} cases[] = {
    {"/v2/", "", 2, ROUTE_BASE, NULL, NULL, NULL},
    {"/v2/", "ns=registry.example", 2, ROUTE_BASE, NULL, NULL, NULL},
    /* containerd */
    {"/v2/team/app/manifests/1", "ns=registry.example", 2, ROUTE_MANIFEST, "registry.example",
     "team/app", "1"},
    {"/v2/team/app/manifests/" DIGEST, "ns=localhost:5000", 2, ROUTE_MANIFEST, "localhost:5000",
     "team/app", DIGEST},
    {"/v2/team/app/blobs/" DIGEST, "ns=localhost%3A5000", 2, ROUTE_BLOB, "localhost:5000",
     "team/app", DIGEST},
    {"/v2/app/blobs/sha256%3A" HEX, "x=1&ns=registry.example", 2, ROUTE_BLOB, "registry.example",
     "app", DIGEST},
    /* The name is then the repository's, whatever it begins with. */
    {"/v2/registry.example/app/manifests/1", "ns=localhost:5000", 2, ROUTE_MANIFEST,
     "localhost:5000", "registry.example/app", "1"},
    /* podman */
    {"/v2/registry.example/team/app/manifests/1", "", 2, ROUTE_MANIFEST, "registry.example",
     "team/app", "1"},
    {"/v2/localhost_5000/app/blobs/" DIGEST, "", 2, ROUTE_BLOB, "localhost:5000", "app", DIGEST},
    /* docker */
    {"/v2/library/alpine/manifests/latest", "", 1, ROUTE_MANIFEST, "registry.example",
     "library/alpine", "latest"},
    /* Of no registry that is mirrored, or nobody knows which. */
    {"/v2/team/app/manifests/1", "", 2, ROUTE_MANIFEST, NULL, "team/app", "1"},
    {"/v2/team/app/manifests/1", "ns=else.example", 1, ROUTE_MANIFEST, NULL, "team/app", "1"},
    {"/v2/app/manifests/1", "ns=Registry.example", 2, ROUTE_MANIFEST, NULL, "app", "1"},
    /* Nothing that is served. */
    {"/v2", "", 1, ROUTE_NONE, NULL, NULL, NULL},
    {"/v1/app/manifests/1", "", 1, ROUTE_NONE, NULL, NULL, NULL},
    {"/v2/manifests/1", "", 1, ROUTE_NONE, NULL, NULL, NULL},
    {"/v2//manifests/1", "", 1, ROUTE_NONE, NULL, NULL, NULL},
    {"/v2/app/manifests/", "", 1, ROUTE_NONE, NULL, NULL, NULL},
    {"/v2/app/manifests/1/", "", 1, ROUTE_NONE, NULL, NULL, NULL},
    {"/v2/app/manifests/sha256:01", "", 1, ROUTE_NONE, NULL, NULL, NULL},
    {"/v2/app/blobs/1", "", 1, ROUTE_NONE, NULL, NULL, NULL},
    {"/v2/app/tags/list", "", 1, ROUTE_NONE, NULL, NULL, NULL},
    {"/v2/App/manifests/1", "", 1, ROUTE_NONE, NULL, NULL, NULL},
    {"/v2/a/../app/manifests/1", "", 1, ROUTE_NONE, NULL, NULL, NULL},
    {"/v2/registry.example/manifests/1", "", 1, ROUTE_MANIFEST, "registry.example",
     "registry.example", "1"},
    {"/v2/app%00/manifests/1", "", 1, ROUTE_NONE, NULL, NULL, NULL},
    {"/v2/app%2/manifests/1", "", 1, ROUTE_NONE, NULL, NULL, NULL},
    {"/v2/app/manifests/1", "ns=a&ns=registry.example", 1, ROUTE_NONE, NULL, NULL, NULL},
    {"/v2/app/manifests/1", "ns", 1, ROUTE_NONE, NULL, NULL, NULL},
    {"/v2/app/manifests/1", "ns=%zz", 1, ROUTE_NONE, NULL, NULL, NULL},
};

static void check_text(const char *is, const char *should_be) {
  if (should_be == NULL) {
    assert_null(is);
  } else {
    assert_non_null(is);
    assert_string_equal(is, should_be);
  }
}

static void reads_what_runtimes_ask(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct arena arena = {0};
    struct route r = route_read(slice_str(cases[i].path), slice_str(cases[i].query), hosts,
                                cases[i].hosts, &arena);
    assert_int_equal(r.kind, cases[i].kind);
    check_text(r.host == NULL ? NULL : r.host->name, cases[i].host);
    check_text(r.repository, cases[i].repository);
    check_text(r.reference, cases[i].reference);
    arena_free(&arena);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(reads_what_runtimes_ask)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
