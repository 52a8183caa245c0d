#include "auth/revocation_load.h"

#include "db/revocation_store.h"

struct loading {
  struct revocation_list *list;
  struct error *e;
  int result;
};

static bool add(void *arg, const struct revocation_record *record) {
  struct loading *l = arg;
  const struct revocation like = {.kind = (enum revocation_kind)record->kind,
                                  .at = record->at,
                                  .until = record->until,
                                  .expires = record->expires};
  l->result = revocation_list_add(l->list, &like, record->value, l->e);
  return l->result == 0;
}

int revocation_load(struct db_txn *txn, void *list, struct error *e) {
  struct loading loading = {.list = list, .e = e};
  return revocation_store_each(txn, add, &loading, e) == 0 ? loading.result : -1;
}
