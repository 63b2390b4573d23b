/* Loading and using a SentencePiece model. No exception leaves these functions: exceptions and statuses
 * become rondo_error. */
#include "models/tokenizer/tokenizer.h"
#include "models/tokenizer/tokenizer_status.h"
#include "models/tokenizer/verify.h"
#include <cstring>
#include <memory>
#include <new>
#include <sentencepiece_processor.h>
#include <string>
#include <vector>

struct tokenizer {
    std::string model;
    sentencepiece::SentencePieceProcessor processor;
};

static bool ids_are_ours(const sentencepiece::SentencePieceProcessor &p, rondo_error *error)
{
    if (p.pad_id() == TOKEN_PADDING && p.bos_id() == TOKEN_BEGIN && p.eos_id() == TOKEN_END &&
        p.unk_id() == TOKEN_UNKNOWN)
        return true;
    return fail(error, RONDO_FILE,
                "the tokenizer has padding, begin, end and unknown at %d, %d, %d, %d instead of 0, 1, 2, 3; "
                "make it with "
                "spm_train --pad_id=0 --bos_id=1 --eos_id=2 --unk_id=3",
                p.pad_id(), p.bos_id(), p.eos_id(), p.unk_id());
}

/* The library does not survive a failed allocation while it reads a model: the destructors of incomplete
 * objects crash. So it is called only if the memory that it needs could just be allocated. Measured: 70 KB
 * and at most 22 bytes per byte of the model. */
static bool memory_is_there(size_t bytes, rondo_error *error)
{
    const size_t wanted = 32 * bytes + (1u << 20);
    void *probe = ::operator new(wanted, std::nothrow);
    if (!probe)
        return fail_memory(error, wanted, "a tokenizer");
    *static_cast<volatile char *>(probe) = 0; /* so that no compiler omits the allocation */
    ::operator delete(probe);
    return true;
}

extern "C" tokenizer *tokenizer_load(const void *model, size_t bytes, rondo_error *error)
{
    return guarded<tokenizer *>(nullptr, error, [&]() -> tokenizer * {
        if (!tokenizer_verify(model, bytes, error) || !memory_is_there(bytes, error))
            return nullptr;
        auto t = std::make_unique<tokenizer>();
        t->model.assign(static_cast<const char *>(model), bytes);
        if (!t->processor.LoadFromSerializedProto(t->model).ok()) {
            fail(error, RONDO_FILE, "the tokenizer of %zu bytes is not a SentencePiece model, or is damaged",
                 bytes);
            return nullptr;
        }
        return ids_are_ours(t->processor, error) ? t.release() : nullptr;
    });
}

extern "C" void tokenizer_free(tokenizer *t)
{
    delete t;
}

extern "C" int64_t tokenizer_size(const tokenizer *t)
{
    return t->processor.GetPieceSize();
}

extern "C" const void *tokenizer_model(const tokenizer *t, size_t *bytes)
{
    *bytes = t->model.size();
    return t->model.data();
}

extern "C" bool tokenizer_encode(const tokenizer *t, const char *text, size_t length, int32_t *ids,
                                 int64_t capacity, int64_t *count, rondo_error *error)
{
    return guarded(false, error, [&] {
        std::vector<int> found;
        if (!passed(t->processor.Encode({text, length}, &found), "splitting a line into subwords", error))
            return false;
        *count = static_cast<int64_t>(found.size());
        for (int64_t i = 0; i < *count && i < capacity; i++)
            ids[i] = found[static_cast<size_t>(i)];
        return true;
    });
}

extern "C" bool tokenizer_decode(const tokenizer *t, const int32_t *ids, int64_t count, char *text,
                                 size_t capacity, size_t *length, rondo_error *error)
{
    return guarded(false, error, [&] {
        std::vector<int> kept;
        for (int64_t i = 0; i < count; i++) {
            if (ids[i] < 0 || ids[i] >= t->processor.GetPieceSize())
                return fail(error, RONDO_ARGUMENT, "id %d is not in the tokenizer, which has %d",
                            static_cast<int>(ids[i]), t->processor.GetPieceSize());
            if (ids[i] > TOKEN_END)
                kept.push_back(ids[i]);
        }
        std::string words;
        if (!kept.empty() && !passed(t->processor.Decode(kept, &words), "joining subwords", error))
            return false;
        *length = words.size();
        if (capacity > 0) {
            size_t copied = words.size() < capacity ? words.size() : capacity - 1;
            memcpy(text, words.data(), copied);
            text[copied] = 0;
        }
        return true;
    });
}
