// Where a kernel's buffers are bound in group 0.
const param_binding = 2u;
const upper_binding = 2u;
const grad_binding = 3u;
const slot_0_binding = 4u;
const slot_1_binding = 5u;
const slot_2_binding = 6u;
const sum_binding = 4u;
const lower_binding = 7u;
const ema_binding = 8u;
const copy_binding = 9u;
const slot_3_binding = 10u;
