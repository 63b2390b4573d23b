/* Compares the loss of each update with the losses before it. */
#include "tools/run/divergence.h"
#include <math.h>

static const double weight = 0.1; /* of the latest update in the moving average */
static const double margin =
    1; /* in nats: more than the noise between batches, less than what a model learns */
static const double factor = 2; /* times the uniform distribution, or times the first update */

void divergence_begin(divergence *d, double uniform, double lowest)
{
    *d = (divergence){NAN, lowest, factor * uniform};
}

bool divergence_add(divergence *d, double nll)
{
    bool good = nll <= d->lowest + margin;
    if (isnan(d->usual)) {
        d->usual = nll;
        d->most = fmax(d->most, factor * nll);
    }
    d->usual += weight * (nll - d->usual);
    d->lowest = fmin(d->lowest, d->usual);
    return good;
}

bool divergence_check(const divergence *d, rondo_error *error)
{
    return d->usual <= d->most || fail(error, RONDO_DIVERGED,
                                       "the loss has exploded: recent updates have %.3g nats a token, after "
                                       "%.3g at the lowest; try a "
                                       "lower rate",
                                       d->usual, d->lowest);
}
