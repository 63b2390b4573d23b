/* The optimiser in one sweep. */
#include "ops/vector/vector.h"

/* Decoupled AdamW. g is scaled first; m and v move toward g and g²; the bias corrections are in step and
 * root_scale. Outputs may be the inputs. */
void ISA(adam)(float *p_out, float *m_out, float *v_out, const float *p, const float *g, const float *m,
               const float *v, int64_t count, const adam_numbers *numbers)
{
    const adam_numbers a = *numbers;
    for (int64_t i = 0; i < count; i += LANES) {
        int64_t lanes = count - i < LANES ? count - i : LANES;
        vf gradient = v_load_part(g + i, lanes, 0) * a.gradient_scale;
        vf first = a.beta1 * v_load_part(m + i, lanes, 0) + a.less_beta1 * gradient;
        vf second = a.beta2 * v_load_part(v + i, lanes, 0) + a.less_beta2 * (gradient * gradient);
        vf moved = v_load_part(p + i, lanes, 0) * a.keep -
                   a.step * first / (v_sqrt(second) * a.root_scale + a.epsilon);
        v_store_part(m_out + i, lanes, first);
        v_store_part(v_out + i, lanes, second);
        v_store_part(p_out + i, lanes, moved);
    }
}
