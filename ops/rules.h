/* Declares every rule and kernel that ops.def names, so that a family needs no header of its own. */
#pragma once
#include "ops/op.h"

typedef bool infer_rule(rondo_graph *g, node *n, value *outputs);
infer_rule infer_leaf, infer_unary, infer_cast, infer_binary, infer_select, infer_fused, infer_reduce, infer_sum_to, infer_same,
    infer_matmul, infer_reshape, infer_transpose, infer_broadcast, infer_slice, infer_pad, infer_concat, infer_causal_mask,
    infer_length_mask, infer_norm, infer_layer_norm_grad, infer_rms_norm_grad, infer_embed, infer_embed_grad, infer_positions,
    infer_sinusoid, infer_dropout, infer_cross_entropy, infer_cross_entropy_grad, infer_linear_cross_entropy, infer_attention,
    infer_attention_grad, infer_scan, infer_scan_grad, infer_delta, infer_delta_grad, infer_convolve, infer_convolve_grad, infer_append, infer_last_row, infer_gather, infer_adam;
vjp_rule vjp_neg, vjp_exp, vjp_log, vjp_tanh, vjp_sigmoid, vjp_relu, vjp_gelu, vjp_silu, vjp_elu, vjp_sqrt, vjp_rsqrt, vjp_abs,
    vjp_softplus, vjp_erf, vjp_sin, vjp_cos, vjp_cast, vjp_add, vjp_sub, vjp_mul, vjp_div, vjp_power, vjp_minimum, vjp_maximum, vjp_select, vjp_sum,
    vjp_mean, vjp_max, vjp_logsumexp, vjp_sum_to, vjp_cumsum, vjp_matmul, vjp_reshape, vjp_transpose, vjp_broadcast, vjp_slice,
    vjp_pad, vjp_concat, vjp_causal_mask, vjp_key_mask, vjp_row_mask, vjp_softmax, vjp_layer_norm, vjp_rms_norm, vjp_embed,
    vjp_dropout, vjp_cross_entropy, vjp_linear_cross_entropy, vjp_attention, vjp_scan,
    vjp_delta, vjp_convolve;
form_rule form_constant, form_cast, form_mean, form_scale, form_add, form_mul, form_div, form_sum, form_matmul, form_reshape, form_transpose,
    form_broadcast, form_causal_mask, form_key_mask, form_row_mask, form_softmax, form_dropout, form_exp, form_power;
step_rule step_constant, step_reduce, step_cumsum, step_matmul, step_reshape, step_transpose, step_broadcast, step_slice,
    step_causal_mask, step_key_mask, step_row_mask, step_last_axis, step_embed, step_positions, step_attention, step_scan,
    step_delta, step_convolve;
extern const kernel kernel_constant, kernel_elementwise, kernel_elementwise_onednn, kernel_cast, kernel_reduce, kernel_reduce_onednn, kernel_sum_to, kernel_cumsum, kernel_matmul, kernel_matmul_onednn,
    kernel_copy, kernel_copy_onednn, kernel_pad, kernel_concat, kernel_mask, kernel_softmax, kernel_softmax_onednn, kernel_softmax_grad,
    kernel_layer_norm, kernel_layer_norm_onednn, kernel_layer_norm_narrow, kernel_layer_norm_grad, kernel_rms_norm, kernel_rms_norm_grad, kernel_embed,
    kernel_embed_grad, kernel_positions, kernel_sinusoid, kernel_dropout, kernel_cross_entropy, kernel_cross_entropy_grad,
    kernel_linear_cross_entropy, kernel_attention, kernel_attention_grad, kernel_scan_channel, kernel_scan, kernel_scan_gate, kernel_scan_plain, kernel_scan_grad_channel, kernel_scan_grad, kernel_scan_grad_gate, kernel_scan_grad_plain, kernel_delta, kernel_delta_grad,
    kernel_convolve, kernel_convolve_grad, kernel_append,
    kernel_last_row, kernel_gather, kernel_adam;

/* reference_NAME and samples_NAME, one pair a row. */
#define DECLARE(name) reference_rule reference_##name; sample_rule samples_##name;
#define F(...)
#define OP(name, ...) DECLARE(name)
#include "ops/ops.def"
#undef OP
#undef F
#undef DECLARE
