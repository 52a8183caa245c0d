/** Socket addresses as people read them. */
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

enum { ADDRESS_TEXT_MAX = INET6_ADDRSTRLEN + sizeof "[]:65535" };

/** Writes `192.0.2.1:6881` or `[2001:db8::1]:6881`; `?` for an address of another family. */
void address_print(const struct sockaddr *address, char out[ADDRESS_TEXT_MAX]);
