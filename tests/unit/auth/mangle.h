/** Makes what is not a token out of one: each function does what its name says, and nothing else.
 */
#pragma once

#include "unit/auth/rig.h"

typedef struct slice mangle(struct rig *rig, struct slice jws);

mangle mangle_no_signature;
mangle mangle_hs256_es_pem;
mangle mangle_hs256_rs_pem;
mangle mangle_hs256_empty;
mangle mangle_hs256_jwks;
mangle mangle_hs384_es_pem;
mangle mangle_hs512_es_pem;
mangle mangle_padded_header;
mangle mangle_padded_payload;
mangle mangle_padded_signature;
mangle mangle_header_bits;
mangle mangle_payload_bits;
mangle mangle_signature_bits;
mangle mangle_standard_alphabet;
mangle mangle_newline_inside;
mangle mangle_nul_inside;
mangle mangle_high_byte_inside;
mangle mangle_header_changed;
mangle mangle_payload_changed;
mangle mangle_signature_changed;
mangle mangle_space_before;
mangle mangle_space_behind;
mangle mangle_newline_behind;
mangle mangle_nul_behind;
mangle mangle_quoted;
mangle mangle_bearer_before;
mangle mangle_percent_encoded;
mangle mangle_two_parts;
mangle mangle_four_parts;
mangle mangle_dot_behind;
mangle mangle_five_parts;
mangle mangle_no_header;
mangle mangle_no_payload;
mangle mangle_nothing;
mangle mangle_dots;
mangle mangle_parts_swapped;
mangle mangle_json_serialization;
mangle mangle_twice;
mangle mangle_signature_cut;
mangle mangle_signature_longer;
mangle mangle_signature_as_der;
mangle mangle_signature_of_zeros;
mangle mangle_signature_of_ones;
mangle mangle_signature_of_order;
mangle mangle_signature_halves_swapped;
mangle mangle_signature_of_another;
