// What one invocation works on: four neighbouring elements.
alias real = vec4<f32>;
alias real_bits = vec4<u32>;
