/* Training a vocabulary with SentencePiece: silent, in one thread, and smaller than requested if the text is
 * too small. */
#include "models/tokenizer/tokenizer.h"
#include "models/tokenizer/tokenizer_status.h"
#include <cstdio>
#include <cstring>
#include <sentencepiece_trainer.h>
#include <string>
#include <unordered_map>

namespace
{

/* Iterates over the lines of all texts, one text after the other. */
class lines_iterator : public sentencepiece::SentenceIterator
{
  public:
    lines_iterator(const tokenizer_lines *texts, int count) : texts_(texts), count_(count) { settle(); }
    bool done() const override { return text_ == count_; }
    void Next() override
    {
        line_++;
        settle();
    }
    const std::string &value() const override { return value_; }
    sentencepiece::util::Status status() const override { return {}; }

  private:
    void settle()
    {
        while (text_ < count_ && line_ == texts_[text_].count) {
            text_++;
            line_ = 0;
        }
        if (done())
            return;
        const tokenizer_lines &now = texts_[text_];
        const char *begin = now.text + now.start[line_];
        value_.assign(begin,
                      strnlen(begin, static_cast<size_t>(now.start[line_ + 1] - now.start[line_] - 1)));
    }
    const tokenizer_lines *texts_;
    int count_, text_ = 0;
    int64_t line_ = 0;
    std::string value_;
};

sentencepiece::util::Status learn(const tokenizer_lines *texts, int count, int64_t vocabulary,
                                  tokenizer_kind kind, std::string *model)
{
    lines_iterator lines(texts, count);
    const std::unordered_map<std::string, std::string> settings = {
        {"model_type", kind == TOKENIZER_BPE ? "bpe" : "unigram"},
        {"vocab_size", std::to_string(vocabulary)},
        {"pad_id", "0"},
        {"bos_id", "1"},
        {"eos_id", "2"},
        {"unk_id", "3"},
        {"character_coverage", "1"},
        {"byte_fallback", "false"},
        {"num_threads", "1"},
        {"minloglevel", "4"}, /* above all levels: silent */
    };
    return sentencepiece::SentencePieceTrainer::Train(settings, &lines, model);
}

bool has_text(const tokenizer_lines *texts, int count)
{
    for (lines_iterator lines(texts, count); !lines.done(); lines.Next())
        if (lines.value().find_first_not_of(" \t\r") != std::string::npos)
            return true;
    return false;
}

/* The number that follows `words` in an error message of SentencePiece; 0: the words are not in it. */
int64_t number_behind(const std::string &answer, const char *words)
{
    size_t at = answer.find(words);
    return at == std::string::npos ? 0 : strtoll(answer.c_str() + at + strlen(words), nullptr, 10);
}

} // namespace

extern "C" tokenizer *tokenizer_train(const tokenizer_lines *texts, int count, int64_t vocabulary,
                                      tokenizer_kind kind, rondo_error *error)
{
    return guarded<tokenizer *>(nullptr, error, [&]() -> tokenizer * {
        if (!has_text(texts, count)) {
            fail(error, RONDO_FILE, "there is no text to learn subwords from");
            return nullptr;
        }
        std::string model;
        for (int attempt = 0;; attempt++) {
            const sentencepiece::util::Status status = learn(texts, count, vocabulary, kind, &model);
            if (status.ok())
                return tokenizer_load(model.data(), model.size(), error);
            const std::string answer = status.ToString();
            const int64_t most = number_behind(answer, "to a value <= "),
                          least = number_behind(answer, " vs ");
            if (attempt == 0 && most > TOKEN_UNKNOWN && most < vocabulary) {
                vocabulary = most; /* the largest vocabulary of this text */
                continue;
            }
            if (least > 0)
                fail(error, RONDO_ARGUMENT,
                     "a vocabulary of %lld has no room for the %lld different characters of the text; ask "
                     "for more",
                     static_cast<long long>(vocabulary), static_cast<long long>(least));
            else
                fail(error, RONDO_FILE, "learning %lld subwords failed: %s",
                     static_cast<long long>(vocabulary), answer.c_str());
            return nullptr;
        }
    });
}
