// A block has 256 bytes of scalars. Members fill it up, because GLSL cannot express `@size`, and naga drops it there.
struct Block {
    scalars: Scalars,
    padding: array<vec4<f32>, (48u - HYPER_LENGTH) / 4u>,
}
