/* The other half of outside.c, with librondo-run alone: loads the compiled model and prints the tokens that
 * it generates. */
#include <rondo.h>
#include <stdio.h>

enum { MORE = 8 };

int main(int argc, char **argv)
{
    const int32_t prompt[3] = {4, 5, 6};
    int32_t tokens[MORE];
    int64_t length = 0;
    double score;
    rondo_error error = {RONDO_OK, "one argument: a compiled model"};
    rondo *r = rondo_new(2);
    rondo_program *program = argc > 1 ? rondo_program_load(r, argv[1], &error) : NULL;
    rondo_session *session = rondo_session_new(program, NULL, 1, &error);
    bool good = rondo_session_source(session, NULL, 0, &error) &&
                rondo_session_advance(session, prompt, 3, NULL, &error) &&
                rondo_generate(session, tokens, &length, &score, &error, MORE, .go_on = true);
    for (int64_t i = 0; good && i < length; i++)
        printf("%d ", tokens[i]);
    if (good)
        printf("%.9g\n", score);
    else
        fprintf(stderr, "%s\n", error.message);
    rondo_session_free(session);
    rondo_program_free(program);
    rondo_free(r);
    return good ? 0 : 1;
}
