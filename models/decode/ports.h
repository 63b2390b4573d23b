/* The ports of a session's step graph, and its symbols, which give them their sizes. */
#pragma once
#include "models/decode/decoder.h"

const rondo_graph *session_graph(const rondo_session *s); /* the step graph */
int session_batch_symbol(const rondo_session *s);
void session_set_symbol(rondo_session *s, const char *name, int64_t number);

size_t port_bytes(const rondo_session *s, int p); /* of its content, with the symbols as bound now */
bool ports_reset(rondo_session *s, rondo_error *error); /* sizes every port for the symbols as bound now, and starts the ones that carry state anew */
void ports_swap(rondo_session *s); /* after a run: what was not updated in place has its news in the second buffer */
bool ports_grow(rondo_session *s, int64_t needed, rondo_error *error); /* doubles the caches until `needed` rows fit */
