#include "base/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

void address_print(const struct sockaddr *address, char out[ADDRESS_TEXT_MAX]) {
  char host[INET6_ADDRSTRLEN] = "";
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
  switch (address->sa_family) {
  case AF_INET:
    memcpy(&v4, address, sizeof v4);
    inet_ntop(AF_INET, &v4.sin_addr, host, sizeof host);
    snprintf(out, ADDRESS_TEXT_MAX, "%s:%u", host, (unsigned)ntohs(v4.sin_port));
    break;
  case AF_INET6:
    memcpy(&v6, address, sizeof v6);
    inet_ntop(AF_INET6, &v6.sin6_addr, host, sizeof host);
    snprintf(out, ADDRESS_TEXT_MAX, "[%s]:%u", host, (unsigned)ntohs(v6.sin6_port));
    break;
  default:
    snprintf(out, ADDRESS_TEXT_MAX, "?");
  }
}
