/* The ports of a session's step graph, and its symbols, which give them their sizes. */
#pragma once
#include "models/decode/decoder.h"

static inline const rondo_graph *session_graph(const rondo_session *s) { return s->step.program->graph; } /* the step graph */
static inline const roles *session_roles(const rondo_session *s) { return &s->program->roles; }

size_t port_bytes(const rondo_session *s, int p); /* of its content, with the symbols as bound now */
/* Sizes every port for the symbols as bound now; those that the session fills get their initial values. */
bool ports_reset(rondo_session *s, rondo_error *error);
/* After a run: of a port that was not updated in place, the second buffer holds what is valid now. */
void ports_swap(rondo_session *s);
bool ports_grow(rondo_session *s, int64_t needed, rondo_error *error); /* doubles the caches until `needed` rows fit */
bool session_rows(rondo_session *s, int64_t batch, rondo_error *error); /* room in count and length; both keep what they hold */
/* Around a run, in builds with guards: sets them behind each buffer, and checks them. */
void ports_guard(const rondo_session *s);
bool ports_check_guards(const rondo_session *s, rondo_error *error);
