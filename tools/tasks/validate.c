/* The loss on a validation text. */
#include "tools/signals.h"
#include "tools/tasks/task.h"

bool task_validate_nll(dataset *valid, task_inputs *inputs, rondo_trainer *trainer, double *nll,
                       measures *others, rondo_error *error)
{
    double sum = 0;
    int64_t targets = 0;
    rondo_tensor tensors[TASK_INPUTS];
    *others = (measures){0};
    batches_plan(&valid->batches, 0);
    for (int64_t i = 0; i < valid->batches.count && !signals_caught(); i++) {
        batch b;
        rondo_step step;
        batches_get(&valid->batches, i, &b);
        int count = inputs(&b, tensors);
        if (!rondo_trainer_evaluate(trainer, tensors, count, &step, error))
            return false;
        sum += step.nll * (double)step.targets;
        targets += step.targets;
        measures_add(others, &step);
    }
    *nll = targets ? sum / (double)targets : 0;
    return true;
}
