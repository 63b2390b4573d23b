/* Turns the exceptions and statuses of SentencePiece into rondo_error. C++ only. */
#pragma once
#include "rondo.h" /* holds a template: not inside extern "C" */
#include <exception>
#include <new>
#include <sentencepiece_processor.h>

extern "C" {
#include "core/status.h"
}

/* The result of work(); `otherwise` and an error when it throws. */
template <class Result, class Work> Result guarded(Result otherwise, rondo_error *error, Work work) noexcept
{
    try {
        return work();
    } catch (const std::bad_alloc &) {
        fail(error, RONDO_MEMORY, "out of memory in the tokenizer");
    } catch (const std::exception &problem) {
        fail(error, RONDO_FILE, "the tokenizer failed: %s", problem.what());
    } catch (...) {
        fail(error, RONDO_FILE, "the tokenizer failed");
    }
    return otherwise;
}

inline bool passed(const sentencepiece::util::Status &status, const char *work, rondo_error *error)
{
    return status.ok() || fail(error, RONDO_FILE, "%s: %s", work, status.ToString().c_str());
}
