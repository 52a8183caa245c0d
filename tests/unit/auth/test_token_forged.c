/*
 * Forged, stale and misshapen tokens by families, of which none may pass; each family has positive
 * twins, so that the test can fail. All that a row does not name is right.
 */
#include "auth/jws.h"
#include "unit/auth/mangle.h"
#include "unit/cmocka_all.h"

#include <stdlib.h>

#define ISS                "\"iss\":\"swarmgate\""
#define AUD                ",\"aud\":\"tracker\""
#define EXP                ",\"exp\":1800000600"
#define HASH               ",\"infohash\":\"" RIG_HEX_V1 "\""
#define SWARM(more)        "{" ISS AUD EXP HASH more "}"
#define SWARM_HEADER(more) "{\"alg\":\"ES256\",\"typ\":\"swarm+jwt\",\"kid\":\"$0\"" more "}"
#define INFOHASH(value)    "{" ISS AUD EXP ",\"infohash\":" value "}"

#define PLACE          ",\"registry\":\"r\",\"repository\":\"a\""
#define DIGEST(value)  ",\"digest\":\"" value "\""
#define AT(repository) ",\"registry\":\"r\",\"repository\":\"" repository "\"" DIGEST(RIG_DIGEST)
#define WEBSEED(more)  "{" ISS AUD EXP more "}"
#define WEBSEED_HEADER "{\"alg\":\"ES256\",\"typ\":\"webseed+jwt\",\"kid\":\"$0\"}"

#define REGISTRY(more)        "{\"iss\":\"auth.example\",\"aud\":\"registry.example\"" EXP more "}"
#define REGISTRY_HEADER(more) "{\"alg\":\"RS256\"" more "}"
#define ACCESS(entry)         ",\"access\":[" entry "]"
#define PULL                  "{\"type\":\"repository\",\"name\":\"a\",\"actions\":[\"pull\"]}"

/* What a row leaves out is zero. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

enum { ALL_KINDS = TOKEN_SWARM | TOKEN_REGISTRY | TOKEN_WEBSEED };

enum want { FORGED, STALE, RIGHT };

struct row {
  const char *name;
  enum want want;
  const char *header; /* NULL: SWARM_HEADER(""); $0, $1, $2 stand for the ids of the rig's keys */
  const char *claims; /* NULL: SWARM("") */
  int key;            /* of the rig, that signs */
  unsigned kinds;     /* that will do; 0: TOKEN_SWARM */
  mangle *mangle;
};

static const struct row algorithms[] = {
    {"ES256", RIGHT, NULL, NULL},
    {"EdDSA", RIGHT, "{\"alg\":\"EdDSA\",\"typ\":\"swarm+jwt\",\"kid\":\"$2\"}", NULL, RIG_EDDSA},
    {"RS256", RIGHT, REGISTRY_HEADER(""), REGISTRY(""), RIG_RS256, TOKEN_REGISTRY},
#define ALG(value) "{\"alg\":" value ",\"typ\":\"swarm+jwt\",\"kid\":\"$0\"}"
    {"none, without signature", FORGED, ALG("\"none\""), NULL, 0, 0, mangle_no_signature},
    {"none, with one", FORGED, ALG("\"none\"")},
    {"None", FORGED, ALG("\"None\""), NULL, 0, 0, mangle_no_signature},
    {"NONE", FORGED, ALG("\"NONE\"")},
    {"nOnE", FORGED, ALG("\"nOnE\"")},
    {"HS256 by the public PEM", FORGED, ALG("\"HS256\""), NULL, 0, 0, mangle_hs256_es_pem},
    {"HS256 by an empty secret", FORGED, ALG("\"HS256\""), NULL, 0, 0, mangle_hs256_empty},
    {"HS256 by the JWKS", FORGED, ALG("\"HS256\""), NULL, 0, 0, mangle_hs256_jwks},
    {"HS384 by the public PEM", FORGED, ALG("\"HS384\""), NULL, 0, 0, mangle_hs384_es_pem},
    {"HS512 by the public PEM", FORGED, ALG("\"HS512\""), NULL, 0, 0, mangle_hs512_es_pem},
    {"HS256 by the RSA key's PEM", FORGED, "{\"alg\":\"HS256\"}", REGISTRY(""), RIG_RS256,
     TOKEN_REGISTRY, mangle_hs256_rs_pem},
    {"a MAC where RS256 is said", FORGED, REGISTRY_HEADER(""), REGISTRY(""), RIG_RS256,
     TOKEN_REGISTRY, mangle_hs256_rs_pem},
    {"a MAC where ES256 is said", FORGED, NULL, NULL, 0, 0, mangle_hs256_es_pem},
    {"ES384", FORGED, ALG("\"ES384\"")},
    {"ES512", FORGED, ALG("\"ES512\"")},
    {"ES256K", FORGED, ALG("\"ES256K\"")},
    {"PS256", FORGED, "{\"alg\":\"PS256\"}", REGISTRY(""), RIG_RS256, TOKEN_REGISTRY},
    {"RS384", FORGED, "{\"alg\":\"RS384\"}", REGISTRY(""), RIG_RS256, TOKEN_REGISTRY},
    {"RS512", FORGED, "{\"alg\":\"RS512\"}", REGISTRY(""), RIG_RS256, TOKEN_REGISTRY},
    {"RS1", FORGED, "{\"alg\":\"RS1\"}", REGISTRY(""), RIG_RS256, TOKEN_REGISTRY},
    {"rs256", FORGED, "{\"alg\":\"rs256\"}", REGISTRY(""), RIG_RS256, TOKEN_REGISTRY},
    {"es256", FORGED, ALG("\"es256\"")},
    {"ES256 and a blank", FORGED, ALG("\"ES256 \"")},
    {"Ed25519", FORGED, "{\"alg\":\"Ed25519\",\"typ\":\"swarm+jwt\",\"kid\":\"$2\"}", NULL,
     RIG_EDDSA},
    {"eddsa", FORGED, "{\"alg\":\"eddsa\",\"typ\":\"swarm+jwt\",\"kid\":\"$2\"}", NULL, RIG_EDDSA},
    {"absent", FORGED, "{\"typ\":\"swarm+jwt\",\"kid\":\"$0\"}"},
    {"null", FORGED, ALG("null")},
    {"a number", FORGED, ALG("256")},
    {"a list", FORGED, ALG("[\"ES256\"]")},
    {"an object", FORGED, ALG("{\"ES256\":1}")},
    {"empty", FORGED, ALG("\"\"")},
    {"RS256 by an ES256 key", FORGED, ALG("\"RS256\"")},
    {"EdDSA by an ES256 key", FORGED, ALG("\"EdDSA\"")},
    {"ES256 by an EdDSA key", FORGED, "{\"alg\":\"ES256\",\"typ\":\"swarm+jwt\",\"kid\":\"$2\"}",
     NULL, RIG_EDDSA},
    {"one that the row does not pin", FORGED, ALG("\"ES256\""),
     "{\"iss\":\"narrow\"" AUD EXP HASH "}"},
    {"the pinned one, which fits no key of the row", FORGED, ALG("\"RS256\""),
     "{\"iss\":\"narrow\"" AUD EXP HASH "}", RIG_RS256},
};

static const struct row keys[] = {
    {"its kid", RIGHT, NULL, NULL},
    {"any kid where the key is a bare PEM", RIGHT, REGISTRY_HEADER(",\"kid\":\"any\""),
     REGISTRY(""), RIG_RS256, TOKEN_REGISTRY},
    {"jku, jwk, x5u, x5c, x5t and unknown members are ignored", RIGHT,
     SWARM_HEADER(",\"jku\":\"http://127.0.0.1:9/\",\"jwk\":{\"kty\":\"oct\",\"k\":\"AA\"},"
                  "\"x5u\":\"file:///\",\"x5c\":[\"AA\"],\"x5t\":\"\",\"cty\":1,\"new\":[{}]"),
     NULL},
    {"a stranger's key with our kid", FORGED, NULL, NULL, RIG_STRANGER},
    {"a stranger's key with its own kid", FORGED,
     "{\"alg\":\"ES256\",\"typ\":\"swarm+jwt\",\"kid\":\"$3\"}", NULL, RIG_STRANGER},
    {"a stranger's key in jwk", FORGED,
     SWARM_HEADER(",\"jwk\":{\"kty\":\"EC\",\"crv\":\"P-256\","
                  "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
                  "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}"),
     NULL, RIG_STRANGER},
    {"a stranger's key at jku", FORGED, SWARM_HEADER(",\"jku\":\"http://127.0.0.1:9/jwks\""), NULL,
     RIG_STRANGER},
    {"a stranger's certificate in x5c", FORGED, SWARM_HEADER(",\"x5c\":[\"MIIB\"]"), NULL,
     RIG_STRANGER},
#define KID(member) "{\"alg\":\"ES256\",\"typ\":\"swarm+jwt\"" member "}"
    {"no kid", FORGED, KID("")},
    {"an unknown kid", FORGED, KID(",\"kid\":\"unknown\"")},
    {"an empty kid", FORGED, KID(",\"kid\":\"\"")},
    {"the kid of another key of the row", FORGED, KID(",\"kid\":\"$2\"")},
    {"the kid of another row's key", FORGED, KID(",\"kid\":\"$1\"")},
    {"the kid and a blank", FORGED, KID(",\"kid\":\"$0 \"")},
    {"the kid and a NUL", FORGED, KID(",\"kid\":\"$0\\u0000\"")},
    {"kid null", FORGED, KID(",\"kid\":null")},
    {"kid a number", FORGED, KID(",\"kid\":0")},
    {"kid a list", FORGED, KID(",\"kid\":[\"$0\"]")},
    {"kid a path", FORGED, KID(",\"kid\":\"../../../dev/null\"")},
    {"kid a query", FORGED, KID(",\"kid\":\"' or '1'='1\"")},
    {"a registry token by our own key", FORGED, "{\"alg\":\"ES256\",\"kid\":\"$0\"}", REGISTRY(""),
     RIG_ES256, TOKEN_REGISTRY},
    {"a swarm token by the registry's key", FORGED,
     "{\"alg\":\"RS256\",\"typ\":\"swarm+jwt\",\"kid\":\"$1\"}", NULL, RIG_RS256},
};

static const struct row encodings[] = {
    {"as it was signed", RIGHT, NULL, NULL},
    {"padding behind the header", FORGED, NULL, NULL, 0, 0, mangle_padded_header},
    {"padding behind the payload", FORGED, NULL, NULL, 0, 0, mangle_padded_payload},
    {"padding behind the signature", FORGED, NULL, NULL, 0, 0, mangle_padded_signature},
    {"trailing bits of the header", FORGED, SWARM_HEADER(",\"a\":12"), NULL, 0, 0,
     mangle_header_bits},
    {"trailing bits of the payload", FORGED, NULL, SWARM(",\"a\":1"), 0, 0, mangle_payload_bits},
    {"trailing bits of the signature", FORGED, NULL, NULL, 0, 0, mangle_signature_bits},
    {"signs of both alphabets", RIGHT, NULL, SWARM(",\"a\":\">>>>>?????\"")},
    {"the other alphabet", FORGED, NULL, SWARM(",\"a\":\">>>>>?????\""), 0, 0,
     mangle_standard_alphabet},
    {"a newline inside", FORGED, NULL, NULL, 0, 0, mangle_newline_inside},
    {"a NUL inside", FORGED, NULL, NULL, 0, 0, mangle_nul_inside},
    {"a byte above 127 inside", FORGED, NULL, NULL, 0, 0, mangle_high_byte_inside},
    {"a blank before", FORGED, NULL, NULL, 0, 0, mangle_space_before},
    {"a blank behind", FORGED, NULL, NULL, 0, 0, mangle_space_behind},
    {"a newline behind", FORGED, NULL, NULL, 0, 0, mangle_newline_behind},
    {"a NUL behind", FORGED, NULL, NULL, 0, 0, mangle_nul_behind},
    {"in quotes", FORGED, NULL, NULL, 0, 0, mangle_quoted},
    {"with its scheme", FORGED, NULL, NULL, 0, 0, mangle_bearer_before},
    {"percent-encoded", FORGED, NULL, NULL, 0, 0, mangle_percent_encoded},
    {"two parts", FORGED, NULL, NULL, 0, 0, mangle_two_parts},
    {"four parts", FORGED, NULL, NULL, 0, 0, mangle_four_parts},
    {"five parts, as a JWE", FORGED, NULL, NULL, 0, 0, mangle_five_parts},
    {"a dot behind", FORGED, NULL, NULL, 0, 0, mangle_dot_behind},
    {"twice", FORGED, NULL, NULL, 0, 0, mangle_twice},
    {"no header", FORGED, NULL, NULL, 0, 0, mangle_no_header},
    {"no payload", FORGED, NULL, NULL, 0, 0, mangle_no_payload},
    {"no signature", FORGED, NULL, NULL, 0, 0, mangle_no_signature},
    {"nothing", FORGED, NULL, NULL, 0, 0, mangle_nothing},
    {"dots", FORGED, NULL, NULL, 0, 0, mangle_dots},
    {"parts swapped", FORGED, NULL, NULL, 0, 0, mangle_parts_swapped},
    {"the JSON serialization", FORGED, NULL, NULL, 0, 0, mangle_json_serialization},
};

static const struct row signatures[] = {
    {"its own", RIGHT, NULL, NULL},
    {"the header changed", FORGED, NULL, NULL, 0, 0, mangle_header_changed},
    {"the payload changed", FORGED, NULL, NULL, 0, 0, mangle_payload_changed},
    {"the signature changed", FORGED, NULL, NULL, 0, 0, mangle_signature_changed},
    {"of another token", FORGED, NULL, NULL, 0, 0, mangle_signature_of_another},
    {"a byte shorter", FORGED, NULL, NULL, 0, 0, mangle_signature_cut},
    {"a byte longer", FORGED, NULL, NULL, 0, 0, mangle_signature_longer},
    {"as DER", FORGED, NULL, NULL, 0, 0, mangle_signature_as_der},
    {"zeros", FORGED, NULL, NULL, 0, 0, mangle_signature_of_zeros},
    {"ones", FORGED, NULL, NULL, 0, 0, mangle_signature_of_ones},
    {"r and s the group's order", FORGED, NULL, NULL, 0, 0, mangle_signature_of_order},
    {"r and s swapped", FORGED, NULL, NULL, 0, 0, mangle_signature_halves_swapped},
    {"RS256, changed", FORGED, REGISTRY_HEADER(""), REGISTRY(""), RIG_RS256, TOKEN_REGISTRY,
     mangle_signature_changed},
    {"RS256, a byte shorter", FORGED, REGISTRY_HEADER(""), REGISTRY(""), RIG_RS256, TOKEN_REGISTRY,
     mangle_signature_cut},
    {"RS256, a byte longer", FORGED, REGISTRY_HEADER(""), REGISTRY(""), RIG_RS256, TOKEN_REGISTRY,
     mangle_signature_longer},
#define ED_HEADER "{\"alg\":\"EdDSA\",\"typ\":\"swarm+jwt\",\"kid\":\"$2\"}"
    {"EdDSA, changed", FORGED, ED_HEADER, NULL, RIG_EDDSA, 0, mangle_signature_changed},
    {"EdDSA, a byte shorter", FORGED, ED_HEADER, NULL, RIG_EDDSA, 0, mangle_signature_cut},
    {"EdDSA, a byte longer", FORGED, ED_HEADER, NULL, RIG_EDDSA, 0, mangle_signature_longer},
    {"EdDSA, zeros", FORGED, ED_HEADER, NULL, RIG_EDDSA, 0, mangle_signature_of_zeros},
    {"EdDSA, ones", FORGED, ED_HEADER, NULL, RIG_EDDSA, 0, mangle_signature_of_ones},
};

static const struct row headers[] = {
    {"blanks between members, another order", RIGHT,
     " {\t\"kid\" : \"$0\",\r\n\"typ\": \"swarm+jwt\", \"alg\":\"ES256\" }\n", NULL},
    {"escapes in a name", RIGHT,
     "{\"\\u0061lg\":\"ES256\",\"typ\":\"swarm\\u002bjwt\",\"kid\":\"$0\"}", NULL},
    {"crit, empty", FORGED, SWARM_HEADER(",\"crit\":[]")},
    {"crit, exp", FORGED, SWARM_HEADER(",\"crit\":[\"exp\"]")},
    {"crit, unknown", FORGED, SWARM_HEADER(",\"crit\":[\"x\"],\"x\":1")},
    {"crit, null", FORGED, SWARM_HEADER(",\"crit\":null")},
    {"crit, a string", FORGED, SWARM_HEADER(",\"crit\":\"b64\"")},
    {"b64 false", FORGED, SWARM_HEADER(",\"b64\":false")},
    {"b64 true", FORGED, SWARM_HEADER(",\"b64\":true")},
    {"b64 false, critical", FORGED, SWARM_HEADER(",\"b64\":false,\"crit\":[\"b64\"]")},
    {"zip", FORGED, SWARM_HEADER(",\"zip\":\"DEF\"")},
    {"enc", FORGED, SWARM_HEADER(",\"enc\":\"A128GCM\"")},
    {"alg doubled", FORGED, SWARM_HEADER(",\"alg\":\"ES256\"")},
    {"alg doubled, none first", FORGED,
     "{\"alg\":\"none\",\"alg\":\"ES256\",\"typ\":\"swarm+jwt\",\"kid\":\"$0\"}"},
    {"alg doubled by an escape", FORGED, SWARM_HEADER(",\"\\u0061lg\":\"none\"")},
    {"typ doubled", FORGED, SWARM_HEADER(",\"typ\":\"swarm+jwt\"")},
    {"kid doubled", FORGED, SWARM_HEADER(",\"kid\":\"$2\"")},
    {"an ignored member doubled inside", FORGED, SWARM_HEADER(",\"jwk\":{\"a\":1,\"a\":1}")},
    {"a list", FORGED, "[" SWARM_HEADER("") "]"},
    {"a string", FORGED, "\"ES256\""},
    {"a number", FORGED, "1"},
    {"null", FORGED, "null"},
    {"blank", FORGED, " "},
    {"an empty object", FORGED, "{}"},
    {"cut", FORGED, "{\"alg\":\"ES256\",\"typ\":\"swarm+jwt\",\"kid\":\"$0\""},
    {"a bracket too many", FORGED, SWARM_HEADER("") "}"},
    {"two objects", FORGED, SWARM_HEADER("") SWARM_HEADER("")},
    {"a trailing comma", FORGED, SWARM_HEADER(",")},
    {"a comment", FORGED, SWARM_HEADER("") "//"},
    {"apostrophes", FORGED, "{'alg':'ES256','typ':'swarm+jwt','kid':'$0'}"},
    {"a byte order mark", FORGED, "\xef\xbb\xbf" SWARM_HEADER("")},
    {"bytes that are not UTF-8", FORGED, SWARM_HEADER(",\"a\":\"\xff\"")},
    {"an overlong slash", FORGED, SWARM_HEADER(",\"a\":\"\xc0\xaf\"")},
    {"a surrogate in UTF-8", FORGED, SWARM_HEADER(",\"a\":\"\xed\xa0\x80\"")},
    {"a lone surrogate", FORGED, SWARM_HEADER(",\"a\":\"\\ud800\"")},
    {"an escaped NUL", FORGED, SWARM_HEADER(",\"a\":\"\\u0000\"")},
    {"a control character", FORGED, SWARM_HEADER(",\"a\":\"\x01\"")},
    {"NaN", FORGED, SWARM_HEADER(",\"a\":NaN")},
    {"a number beyond doubles", FORGED, SWARM_HEADER(",\"a\":1e999")},
    {"nested too deep", FORGED,
     SWARM_HEADER(",\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[0]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]")},
};

static const struct row kinds[] = {
    {"swarm", RIGHT, NULL, NULL, 0, ALL_KINDS},
    {"webseed", RIGHT, WEBSEED_HEADER, WEBSEED(PLACE DIGEST(RIG_DIGEST)), 0, ALL_KINDS},
    {"registry", RIGHT, REGISTRY_HEADER(",\"typ\":\"JWT\""), REGISTRY(ACCESS(PULL)), RIG_RS256,
     ALL_KINDS},
    {"swarm where webseed is wanted", FORGED, NULL, NULL, 0, TOKEN_WEBSEED},
    {"swarm where registry is wanted", FORGED, NULL, NULL, 0, TOKEN_REGISTRY},
    {"webseed where swarm is wanted", FORGED, WEBSEED_HEADER, WEBSEED(PLACE DIGEST(RIG_DIGEST))},
    {"webseed where swarm or registry is wanted", FORGED, WEBSEED_HEADER,
     WEBSEED(PLACE HASH DIGEST(RIG_DIGEST)), 0, TOKEN_SWARM | TOKEN_REGISTRY},
    {"registry where swarm is wanted", FORGED, REGISTRY_HEADER(""), REGISTRY(ACCESS(PULL)),
     RIG_RS256},
    {"registry where webseed is wanted", FORGED, REGISTRY_HEADER(""), REGISTRY(ACCESS(PULL)),
     RIG_RS256, TOKEN_WEBSEED},
    {"no kind wanted", FORGED, NULL, NULL, 0, 8},
#define TYP(member) "{\"alg\":\"ES256\",\"kid\":\"$0\"" member "}"
    {"swarm without typ", FORGED, TYP(""), NULL, 0, ALL_KINDS},
    {"swarm as JWT", FORGED, TYP(",\"typ\":\"JWT\""), NULL, 0, ALL_KINDS},
    {"swarm in capitals", FORGED, TYP(",\"typ\":\"SWARM+JWT\""), NULL, 0, ALL_KINDS},
    {"swarm as a full media type", FORGED, TYP(",\"typ\":\"application/swarm+jwt\""), NULL, 0,
     ALL_KINDS},
    {"swarm and a blank", FORGED, TYP(",\"typ\":\"swarm+jwt \""), NULL, 0, ALL_KINDS},
    {"typ empty", FORGED, TYP(",\"typ\":\"\""), NULL, 0, ALL_KINDS},
    {"typ null", FORGED, TYP(",\"typ\":null"), NULL, 0, ALL_KINDS},
    {"typ a list", FORGED, TYP(",\"typ\":[\"swarm+jwt\"]"), NULL, 0, ALL_KINDS},
    {"a list of revocations", FORGED, TYP(",\"typ\":\"revocations+jwt\""), NULL, 0, ALL_KINDS},
    {"registry as at+jwt", FORGED, REGISTRY_HEADER(",\"typ\":\"at+jwt\""), REGISTRY(""), RIG_RS256,
     ALL_KINDS},
    {"registry as jwt", FORGED, REGISTRY_HEADER(",\"typ\":\"jwt\""), REGISTRY(""), RIG_RS256,
     ALL_KINDS},
    {"registry with typ null", FORGED, REGISTRY_HEADER(",\"typ\":null"), REGISTRY(""), RIG_RS256,
     ALL_KINDS},
    {"registry claims as swarm", FORGED, REGISTRY_HEADER(",\"typ\":\"swarm+jwt\""),
     REGISTRY(ACCESS(PULL)), RIG_RS256, ALL_KINDS},
    {"a swarm token of an issuer of registry tokens", FORGED,
     REGISTRY_HEADER(",\"typ\":\"swarm+jwt\""), REGISTRY(HASH), RIG_RS256, ALL_KINDS},
    {"a webseed token of an issuer of registry tokens", FORGED,
     REGISTRY_HEADER(",\"typ\":\"webseed+jwt\""), REGISTRY(PLACE DIGEST(RIG_DIGEST)), RIG_RS256,
     ALL_KINDS},
    {"a registry token of an issuer of swarm tokens", FORGED, TYP(""), SWARM(ACCESS(PULL)), 0,
     ALL_KINDS},
};

static const struct row audiences[] = {
    {"a string", RIGHT, NULL, SWARM("")},
    {"a list", RIGHT, NULL, "{" ISS EXP HASH ",\"aud\":[\"x\",\"tracker\"]}"},
    {"iss absent", FORGED, NULL, "{\"aud\":\"tracker\"" EXP HASH "}"},
    {"iss unknown", FORGED, NULL, "{\"iss\":\"evil\"" AUD EXP HASH "}"},
    {"iss empty", FORGED, NULL, "{\"iss\":\"\"" AUD EXP HASH "}"},
    {"iss in capitals", FORGED, NULL, "{\"iss\":\"Swarmgate\"" AUD EXP HASH "}"},
    {"iss and a slash", FORGED, NULL, "{\"iss\":\"swarmgate/\"" AUD EXP HASH "}"},
    {"iss cut", FORGED, NULL, "{\"iss\":\"swarm\"" AUD EXP HASH "}"},
    {"iss null", FORGED, NULL, "{\"iss\":null" AUD EXP HASH "}"},
    {"iss a list", FORGED, NULL, "{\"iss\":[\"swarmgate\"]" AUD EXP HASH "}"},
    {"iss a number", FORGED, NULL, "{\"iss\":1" AUD EXP HASH "}"},
    {"iss doubled", FORGED, NULL, SWARM(",\"iss\":\"swarmgate\"")},
    {"iss of another row", FORGED, NULL, "{\"iss\":\"auth.example\"" AUD EXP HASH "}"},
#define AUDIENCE(value) "{" ISS EXP HASH ",\"aud\":" value "}"
    {"aud absent", FORGED, NULL, "{" ISS EXP HASH "}"},
    {"aud of another", FORGED, NULL, AUDIENCE("\"registry.example\"")},
    {"aud empty", FORGED, NULL, AUDIENCE("\"\"")},
    {"aud cut", FORGED, NULL, AUDIENCE("\"track\"")},
    {"aud and more", FORGED, NULL, AUDIENCE("\"tracker2\"")},
    {"aud in capitals", FORGED, NULL, AUDIENCE("\"TRACKER\"")},
    {"aud null", FORGED, NULL, AUDIENCE("null")},
    {"aud a number", FORGED, NULL, AUDIENCE("1")},
    {"aud an object", FORGED, NULL, AUDIENCE("{\"tracker\":1}")},
    {"aud an empty list", FORGED, NULL, AUDIENCE("[]")},
    {"aud a list of others", FORGED, NULL, AUDIENCE("[\"a\",\"b\"]")},
    {"aud a list with a number", FORGED, NULL, AUDIENCE("[\"tracker\",1]")},
    {"aud a list in a list", FORGED, NULL, AUDIENCE("[[\"tracker\"]]")},
    {"aud doubled", FORGED, NULL, SWARM(",\"aud\":\"x\"")},
};

static const struct row times[] = {
    {"exp, nbf, iat", RIGHT, NULL, SWARM(",\"nbf\":1800000060,\"iat\":1800000060")},
    {"iat absent", RIGHT, NULL, SWARM("")},
    {"exp just within the leeway", RIGHT, NULL, "{" ISS AUD HASH ",\"exp\":1799999941}"},
#define EXPIRES(value) "{" ISS AUD HASH ",\"exp\":" value "}"
    {"exp a minute ago", STALE, NULL, EXPIRES("1799999940")},
    {"exp a minute ago, with a fraction", STALE, NULL, EXPIRES("1799999940.9")},
    {"exp years ago", STALE, NULL, EXPIRES("1000000000")},
    {"exp zero", STALE, NULL, EXPIRES("0")},
    {"exp past and a session to come", STALE, NULL,
     "{" ISS AUD HASH ",\"exp\":1799990000,\"session\":1800003600}"},
    {"exp past, registry", STALE, REGISTRY_HEADER(""),
     "{\"iss\":\"auth.example\",\"aud\":\"registry.example\",\"exp\":1}", RIG_RS256,
     TOKEN_REGISTRY},
    {"exp past, webseed", STALE, WEBSEED_HEADER, "{" ISS AUD PLACE DIGEST(RIG_DIGEST) ",\"exp\":1}",
     0, TOKEN_WEBSEED},
    {"exp past, by a stranger", FORGED, NULL, EXPIRES("1000000000"), RIG_STRANGER},
    {"exp past, of another audience", FORGED, NULL,
     "{" ISS HASH ",\"aud\":\"x\",\"exp\":1000000000}"},
    {"exp past, another kind", FORGED, NULL, EXPIRES("1000000000"), 0, TOKEN_WEBSEED},
    {"exp past, signature changed", FORGED, NULL, EXPIRES("1000000000"), 0, 0,
     mangle_signature_changed},
    {"exp past, nbf to come", FORGED, NULL,
     "{" ISS AUD HASH ",\"exp\":1000000000,\"nbf\":1800000061}"},
    {"exp absent", FORGED, NULL, "{" ISS AUD HASH "}"},
    {"exp null", FORGED, NULL, EXPIRES("null")},
    {"exp a string", FORGED, NULL, EXPIRES("\"1800000600\"")},
    {"exp true", FORGED, NULL, EXPIRES("true")},
    {"exp a list", FORGED, NULL, EXPIRES("[1800000600]")},
    {"exp negative", FORGED, NULL, EXPIRES("-1")},
    {"exp negative, a fraction", FORGED, NULL, EXPIRES("-0.5")},
    {"exp beyond 2^53", FORGED, NULL, EXPIRES("9007199254740993")},
    {"exp beyond 2^53, a real", FORGED, NULL, EXPIRES("1e17")},
    {"exp beyond 2^63", FORGED, NULL, EXPIRES("9223372036854775808")},
    {"exp beyond 2^64", FORGED, NULL, EXPIRES("18446744073709551617")},
    {"exp beyond doubles", FORGED, NULL, EXPIRES("1e400")},
    {"exp Infinity", FORGED, NULL, EXPIRES("Infinity")},
    {"exp octal", FORGED, NULL, EXPIRES("01800000600")},
    {"exp hexadecimal", FORGED, NULL, EXPIRES("0x6b49d200")},
    {"exp with a plus", FORGED, NULL, EXPIRES("+1800000600")},
    {"exp doubled", FORGED, NULL, SWARM(",\"exp\":1800000601")},
    {"nbf to come", FORGED, NULL, SWARM(",\"nbf\":1800000061")},
    {"nbf a string", FORGED, NULL, SWARM(",\"nbf\":\"0\"")},
    {"nbf negative", FORGED, NULL, SWARM(",\"nbf\":-1")},
    {"nbf beyond 2^63", FORGED, NULL, SWARM(",\"nbf\":1e19")},
    {"iat to come", FORGED, NULL, SWARM(",\"iat\":1800000061")},
    {"iat in milliseconds", FORGED, NULL, SWARM(",\"iat\":1800000000000")},
    {"iat a string", FORGED, NULL, SWARM(",\"iat\":\"1\"")},
    {"iat null", FORGED, NULL, SWARM(",\"iat\":null")},
    {"session a string", FORGED, NULL, SWARM(",\"session\":\"1800003600\"")},
    {"session negative", FORGED, NULL, SWARM(",\"session\":-1")},
    {"session beyond 2^53", FORGED, NULL, SWARM(",\"session\":9007199254740994")},
    {"session true", FORGED, NULL, SWARM(",\"session\":true")},
};

static const struct row claims[] = {
    {"a v1 infohash", RIGHT, NULL, INFOHASH("\"" RIG_HEX_V1 "\"")},
    {"a v2 infohash", RIGHT, NULL, INFOHASH("\"" RIG_HEX_V2 "\"")},
    {"in capitals", RIGHT, NULL, INFOHASH("\"ABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFABCD\"")},
    {"a list", RIGHT, NULL, INFOHASH("[\"" RIG_HEX_V1 "\",\"" RIG_HEX_V2 "\"]")},
    {"unknown claims are ignored", RIGHT, NULL,
     SWARM(",\"scope\":{\"a\":[1,2.5,null,\"\\u00e9\"]}")},
    {"brackets within a string are no nesting", RIGHT, NULL,
     SWARM(",\"a\":\"\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\\\"")},
    {"infohash absent", FORGED, NULL, "{" ISS AUD EXP "}"},
    {"infohash null", FORGED, NULL, INFOHASH("null")},
    {"infohash a number", FORGED, NULL, INFOHASH("1")},
    {"infohash true", FORGED, NULL, INFOHASH("true")},
    {"infohash an object", FORGED, NULL, INFOHASH("{\"" RIG_HEX_V1 "\":1}")},
    {"infohash empty", FORGED, NULL, INFOHASH("\"\"")},
    {"infohash an empty list", FORGED, NULL, INFOHASH("[]")},
    {"infohash *", FORGED, NULL, INFOHASH("\"*\"")},
    {"infohash of 39 digits", FORGED, NULL,
     INFOHASH("\"010203040506070809000000000000000000000\"")},
    {"infohash of 41 digits", FORGED, NULL, INFOHASH("\"" RIG_HEX_V1 "0\"")},
    {"infohash of 42 digits", FORGED, NULL, INFOHASH("\"" RIG_HEX_V1 "00\"")},
    {"infohash of 62 digits", FORGED, NULL, INFOHASH("\"" RIG_HEX_V1 "0102030405060708090a0b\"")},
    {"infohash of 66 digits", FORGED, NULL, INFOHASH("\"" RIG_HEX_V2 "00\"")},
    {"infohash not hexadecimal", FORGED, NULL,
     INFOHASH("\"g102030405060708090a0b0c0d0e0f1011121314\"")},
    {"infohash of 20 raw bytes", FORGED, NULL, INFOHASH("\"abcdefghijklmnopqrst\"")},
    {"infohash in base32", FORGED, NULL, INFOHASH("\"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567\"")},
    {"infohash as a URN", FORGED, NULL, INFOHASH("\"urn:btih:" RIG_HEX_V1 "\"")},
    {"infohash with a blank", FORGED, NULL,
     INFOHASH("\" 02030405060708090a0b0c0d0e0f1011121314a\"")},
    {"a number in the list", FORGED, NULL, INFOHASH("[\"" RIG_HEX_V1 "\",1]")},
    {"a short one in the list", FORGED, NULL, INFOHASH("[\"" RIG_HEX_V1 "\",\"01\"]")},
    {"a list in the list", FORGED, NULL, INFOHASH("[[\"" RIG_HEX_V1 "\"]]")},
    {"infohash doubled", FORGED, NULL, SWARM(HASH)},
    {"a member doubled in what is ignored", FORGED, NULL, SWARM(",\"x\":[{\"y\":1,\"y\":2}]")},
    {"sub a number", FORGED, NULL, SWARM(",\"sub\":1")},
    {"sub null", FORGED, NULL, SWARM(",\"sub\":null")},
    {"jti a number", FORGED, NULL, SWARM(",\"jti\":1")},
    {"jti with a NUL", FORGED, NULL, SWARM(",\"jti\":\"a\\u0000b\"")},
    {"registry a list", FORGED, NULL, SWARM(",\"registry\":[]")},
    {"repository a number", FORGED, NULL, SWARM(",\"repository\":1")},
    {"a list of claims", FORGED, NULL, "[" SWARM("") "]"},
    {"a string of claims", FORGED, NULL, "\"claims\""},
    {"a token inside", FORGED, NULL, "eyJhbGciOiJub25lIn0.e30."},
    {"claims that are cut", FORGED, NULL, "{" ISS AUD EXP HASH},
    {"text behind the claims", FORGED, NULL, SWARM("") "x"},
    {"claims that are not UTF-8", FORGED, NULL, SWARM(",\"sub\":\"\xe9\"")},
    {"claims nested too deep", FORGED, NULL,
     SWARM(",\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[0]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]")},
};

static const struct row registry_claims[] = {
    {"access", RIGHT, REGISTRY_HEADER(""), REGISTRY(ACCESS(PULL)), RIG_RS256, TOKEN_REGISTRY},
#define REFUSED(name, more)                                                                        \
  { name, FORGED, REGISTRY_HEADER(""), REGISTRY(more), RIG_RS256, TOKEN_REGISTRY }
    REFUSED("access a string", ",\"access\":\"repository:a:pull\""),
    REFUSED("access an object", ",\"access\":" PULL),
    REFUSED("access true", ",\"access\":true"),
    REFUSED("an entry that is a string", ACCESS("\"repository:a:pull\"")),
    REFUSED("an entry that is null", ACCESS(PULL ",null")),
    REFUSED("an entry that is a list", ACCESS("[" PULL "]")),
    REFUSED("an entry without type", ACCESS("{\"name\":\"a\",\"actions\":[\"pull\"]}")),
    REFUSED("type a number", ACCESS("{\"type\":1,\"name\":\"a\",\"actions\":[\"pull\"]}")),
    REFUSED("an entry without name", ACCESS("{\"type\":\"repository\",\"actions\":[\"pull\"]}")),
    REFUSED("name a list",
            ACCESS("{\"type\":\"repository\",\"name\":[\"a\"],\"actions\":[\"pull\"]}")),
    REFUSED("an entry without actions", ACCESS("{\"type\":\"repository\",\"name\":\"a\"}")),
    REFUSED("actions a string",
            ACCESS("{\"type\":\"repository\",\"name\":\"a\",\"actions\":\"pull\"}")),
    REFUSED("an action that is a number",
            ACCESS("{\"type\":\"repository\",\"name\":\"a\",\"actions\":[\"pull\",1]}")),
    REFUSED("access doubled", ACCESS(PULL) ACCESS(PULL)),
};

static const struct row webseed_claims[] = {
    {"registry, repository, digest", RIGHT, WEBSEED_HEADER, WEBSEED(PLACE DIGEST(RIG_DIGEST)), 0,
     TOKEN_WEBSEED},
#undef REFUSED
#define REFUSED(name, more)                                                                        \
  { name, FORGED, WEBSEED_HEADER, WEBSEED(more), 0, TOKEN_WEBSEED }
    REFUSED("digest absent", PLACE),
    REFUSED("digest empty", PLACE DIGEST("")),
    REFUSED("digest a number", PLACE ",\"digest\":1"),
    REFUSED("digest without its algorithm", PLACE DIGEST(RIG_HEX_V2)),
    REFUSED("digest of another algorithm", PLACE DIGEST("md5:" RIG_HEX_V2)),
    REFUSED("digest short", PLACE DIGEST("sha256:" RIG_HEX_V1)),
    REFUSED("digest long", PLACE DIGEST(RIG_DIGEST "00")),
    REFUSED("digest in capitals", PLACE DIGEST("sha256:A1A2A3A4A5A6A7A8A9AAABACADAEAFB0B1B2B3B4"
                                               "B5B6B7B8B9BABBBCBDBEBFC0")),
    REFUSED("digest a path", PLACE DIGEST("sha256:../../../../../../../../../../../../../../../../"
                                          "../../../../etc/passwd")),
    REFUSED("registry absent", ",\"repository\":\"a\"" DIGEST(RIG_DIGEST)),
    REFUSED("registry empty", ",\"registry\":\"\",\"repository\":\"a\"" DIGEST(RIG_DIGEST)),
    REFUSED("repository absent", ",\"registry\":\"r\"" DIGEST(RIG_DIGEST)),
    REFUSED("repository a path", AT("../../v2/team/app")),
    REFUSED("repository with a query", AT("team/app?x=")),
    REFUSED("repository with a slash behind", AT("team/app/")),
    REFUSED("repository in capitals", AT("Team/app")),
    REFUSED("repository with a line's end", AT("team\\n/app")),
    REFUSED("repository with a NUL", AT("team\\u0000/app")),
    REFUSED("repository null", ",\"registry\":\"r\",\"repository\":null" DIGEST(RIG_DIGEST)),
};

/* The header with the rig's ids in place of `$0` to `$3`. */
static const char *with_ids(struct rig *rig, const char *header) {
  struct buf out = {0};
  for (const char *c = header; *c != '\0'; c++) {
    if (c[0] == '$' && c[1] >= '0' && c[1] < '0' + RIG_KEYS) {
      buf_str(&out, rig->keys[c[1] - '0'].kid);
      c++;
    } else {
      buf_append(&out, c, 1);
    }
  }
  const char *copy = arena_copy(&rig->arena, buf_view(&out));
  buf_free(&out);
  return copy;
}

static const char *const names[] = {
    [TOKEN_VALID] = "valid", [TOKEN_INVALID] = "invalid", [TOKEN_EXPIRED] = "expired"};

/* Exactly as many bytes as the text has, so that a sanitizer sees a read beyond it. */
static enum token_verdict judge(struct rig *rig, struct slice jws, unsigned wanted) {
  char *exact = malloc(jws.len == 0 ? 1 : jws.len);
  assert_non_null(exact);
  if (jws.len > 0) {
    memcpy(exact, jws.ptr, jws.len);
  }
  struct token token;
  struct error why = {0};
  enum token_verdict verdict = token_verify(&rig->trust, slice_of(exact, jws.len), wanted, RIG_NOW,
                                            &rig->arena, &token, &why);
  free(exact);
  assert_int_equal(why.kind, verdict == TOKEN_VALID ? ERROR_NONE : ERROR_DENIED);
  if (verdict == TOKEN_INVALID) {
    assert_null(token.issuer.ptr);
    assert_int_equal(token.infohash_count, 0);
  } else {
    assert_true((token.kind & wanted) != 0);
  }
  return verdict;
}

/* \return how many were refused. */
static size_t run(struct rig *rig, const char *family, const struct row *rows, size_t count) {
  static const enum token_verdict wants[] = {TOKEN_INVALID, TOKEN_EXPIRED, TOKEN_VALID};
  size_t refused = 0;
  size_t passed = 0;
  for (size_t i = 0; i < count; i++) {
    const struct row *row = &rows[i];
    const char *header = with_ids(rig, row->header == NULL ? SWARM_HEADER("") : row->header);
    const char *payload = row->claims == NULL ? SWARM("") : row->claims;
    struct slice jws = rig_jws(rig, row->key, header, slice_str(payload));
    if (row->mangle != NULL) {
      jws = row->mangle(rig, jws);
    }
    enum token_verdict verdict = judge(rig, jws, row->kinds == 0 ? TOKEN_SWARM : row->kinds);
    if (verdict != wants[row->want]) {
      fail_msg("%s, %s: %s instead of %s", family, row->name, names[verdict],
               names[wants[row->want]]);
    }
    refused += verdict != TOKEN_VALID;
    passed += verdict == TOKEN_VALID;
  }
  assert_true(passed > 0);
  return refused;
}

static void none_of_the_forged_passes(void **state) {
  struct rig *rig = *state;
  size_t refused = 0;
#define RUN(family) refused += run(rig, #family, (family), sizeof(family) / sizeof *(family))
  RUN(algorithms);
  RUN(keys);
  RUN(encodings);
  RUN(signatures);
  RUN(headers);
  RUN(kinds);
  RUN(audiences);
  RUN(times);
  RUN(claims);
  RUN(registry_claims);
  RUN(webseed_claims);
  assert_true(refused >= 250);
}

/* A bit changed anywhere is a token no more. */
static void every_character_counts(void **state) {
  struct rig *rig = *state;
  struct token t = rig_swarm_claims();
  struct slice right = rig_sign(rig, RIG_EDDSA, &t);
  assert_int_equal(judge(rig, right, TOKEN_SWARM), TOKEN_VALID);
  char *copy = arena_copy(&rig->arena, right);
  for (size_t i = 0; i < right.len; i++) {
    copy[i] ^= 1;
    assert_int_equal(judge(rig, slice_of(copy, right.len), TOKEN_SWARM), TOKEN_INVALID);
    copy[i] ^= 1;
    assert_int_equal(judge(rig, slice_of(copy, i), TOKEN_SWARM), TOKEN_INVALID);
  }
}

/* A right token of that kind but for a `sub` of `len` letters. */
static struct slice of_length(struct rig *rig, enum token_kind kind, size_t len) {
  char *sub = arena_alloc(&rig->arena, len + 1);
  memset(sub, 'a', len);
  switch (kind) {
  case TOKEN_SWARM:
    return rig_jws(rig, RIG_ES256, with_ids(rig, SWARM_HEADER("")),
                   arena_printf(&rig->arena, SWARM(",\"sub\":\"%s\""), sub));
  case TOKEN_WEBSEED:
    return rig_jws(
        rig, RIG_ES256, with_ids(rig, WEBSEED_HEADER),
        arena_printf(&rig->arena, WEBSEED(PLACE DIGEST(RIG_DIGEST) ",\"sub\":\"%s\""), sub));
  case TOKEN_REGISTRY:
    return rig_jws(rig, RIG_RS256, REGISTRY_HEADER(""),
                   arena_printf(&rig->arena, REGISTRY(",\"sub\":\"%s\""), sub));
  }
  return slice_of(NULL, 0);
}

static void sizes_have_their_limits(void **state) {
  struct rig *rig = *state;
  static const enum token_kind all[] = {TOKEN_SWARM, TOKEN_WEBSEED, TOKEN_REGISTRY};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    size_t most = all[i] == TOKEN_REGISTRY ? TOKEN_REGISTRY_MAX : TOKEN_MAX;
    /* Three bytes of claims make four characters: the limit lies within two lengths of this. */
    size_t len = (most - of_length(rig, all[i], 0).len) / 4 * 3 - 3;
    struct slice jws = of_length(rig, all[i], len);
    assert_true(jws.len <= most);
    for (struct slice next = jws; next.len <= most; next = of_length(rig, all[i], ++len)) {
      jws = next;
    }
    assert_true(most - jws.len < 2);
    /* Also where longer ones of another kind would do. */
    assert_int_equal(judge(rig, jws, ALL_KINDS), TOKEN_VALID);
    struct slice longer = of_length(rig, all[i], len);
    assert_true(longer.len > most && longer.len <= most + 2);
    assert_int_equal(judge(rig, longer, ALL_KINDS), TOKEN_INVALID);
    assert_int_equal(judge(rig, longer, all[i]), TOKEN_INVALID);
    assert_int_equal(judge(rig, of_length(rig, all[i], 1 << 20), ALL_KINDS), TOKEN_INVALID);
  }
  char *header = arena_alloc(&rig->arena, 4 << 20);
  memset(header, 'e', (4 << 20) - 1);
  assert_int_equal(judge(rig, slice_str(header), ALL_KINDS), TOKEN_INVALID);
}

/* As many as may be in a list, and one more. */
static void lists_have_their_limits(void **state) {
  struct rig *rig = *state;
  const char *header = with_ids(rig, SWARM_HEADER(""));
  for (size_t more = 0; more < 2; more++) {
    struct buf list = {0};
    for (size_t i = 0; i < TOKEN_INFOHASHES_MAX + more; i++) {
      buf_printf(&list, "%s\"" RIG_HEX_V1 "\"", i == 0 ? "" : ",");
    }
    struct slice swarm = arena_printf(&rig->arena, INFOHASH("[%.*s]"), (int)list.len, list.ptr);
    buf_free(&list);
    for (size_t i = 0; i < TOKEN_ACCESS_MAX + more; i++) {
      buf_printf(&list, "%s{\"type\":\"other\"}", i == 0 ? "" : ",");
    }
    struct slice registry =
        arena_printf(&rig->arena, REGISTRY(ACCESS("%.*s")), (int)list.len, list.ptr);
    buf_free(&list);
    enum token_verdict want = more == 0 ? TOKEN_VALID : TOKEN_INVALID;
    assert_int_equal(judge(rig, rig_jws(rig, RIG_ES256, header, swarm), TOKEN_SWARM), want);
    assert_int_equal(
        judge(rig, rig_jws(rig, RIG_RS256, REGISTRY_HEADER(""), registry), TOKEN_REGISTRY), want);
  }
}

/* What a C string cannot hold: a NUL in and behind the claims. */
static void a_nul_ends_nothing(void **state) {
  struct rig *rig = *state;
  const char *header = with_ids(rig, SWARM_HEADER(""));
  static const char behind[] = SWARM("");
  static const char inside[] = SWARM(",\"sub\":\"a\0b\"");
  static const char before[] = "\0" SWARM("");
  static const char number[] = SWARM(",\"nbf\":7\0"); /* which jansson passes over */
  const struct slice texts[] = {
      slice_of(behind, sizeof behind), slice_of(inside, sizeof inside - 1),
      slice_of(before, sizeof before - 1), slice_of(number, sizeof number - 1)};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    assert_int_equal(judge(rig, rig_jws(rig, RIG_ES256, header, texts[i]), TOKEN_SWARM),
                     TOKEN_INVALID);
  }
}

static void nobody_is_trusted_without_rows(void **state) {
  struct rig *rig = *state;
  struct trust empty = {.leeway = 60};
  struct token t = rig_swarm_claims();
  struct token got;
  assert_int_equal(token_verify(&empty, rig_sign(rig, RIG_ES256, &t), ALL_KINDS, RIG_NOW,
                                &rig->arena, &got, NULL),
                   TOKEN_INVALID);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(none_of_the_forged_passes), cmocka_unit_test(every_character_counts),
      cmocka_unit_test(sizes_have_their_limits),   cmocka_unit_test(lists_have_their_limits),
      cmocka_unit_test(a_nul_ends_nothing),        cmocka_unit_test(nobody_is_trusted_without_rows),
  };
  return cmocka_run_group_tests(tests, rig_set_up, rig_tear_down);
}
