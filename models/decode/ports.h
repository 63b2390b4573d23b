/* The ports of a session: their memory and the loops over all of them. */
#pragma once
#include "models/decode/decoder.h"

/* The step graph. */
static inline const rondo_graph *session_graph(const rondo_session *s) { return s->step.program->graph; }
static inline const roles *session_roles(const rondo_session *s) { return &s->program->roles; }

size_t port_bytes(const rondo_session *s, int p); /* of its content, for the current values of the symbols */
/* Gives every port the memory that the symbols ask for; those that the session fills get their initial
 * values. */
bool ports_reset(rondo_session *s, rondo_error *error);
/* After a run: swaps the buffers of ports that were not updated in place, whose second buffer holds the
 * new content. */
void ports_swap(rondo_session *s);
/* doubles caches until `needed` rows fit */
bool ports_grow(rondo_session *s, int64_t needed, rondo_error *error);
/* Makes room for this batch in count and length, which keep their content. */
bool session_rows(rondo_session *s, int64_t batch, rondo_error *error);
/* Before and after a run in builds with guards: set them behind each buffer, and check them. */
void ports_guard(const rondo_session *s);
bool ports_check_guards(const rondo_session *s, rondo_error *error);
