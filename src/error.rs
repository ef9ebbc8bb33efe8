//! Everything that can be wrong, said with its name, both values and the remedy.

/// A mistake in what the caller gave. Nothing has been changed when one of these is returned.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A view or slice without elements.
    #[error("{what} holds 0 elements; it must hold at least 1")]
    Empty {
        /// The parameter or gradient, as in "parameter `w`".
        what: String,
    },

    /// A parameter and its gradient differ in length.
    #[error(
        "parameter `{name}`: its gradient holds {grad} elements, the parameter {param}; give both views the same length"
    )]
    LengthMismatch {
        /// The parameter.
        name: String,
        /// Elements in the parameter.
        param: u64,
        /// Elements in the gradient.
        grad: u64,
    },

    /// The CPU engine is given slices of another length than its state has.
    #[error("the {what} holds {has} elements, the state {state}; make another `Cpu` for it")]
    StateLength {
        /// `parameter` or `gradient`.
        what: &'static str,
        /// Elements given.
        has: usize,
        /// Elements of the state.
        state: usize,
    },

    /// A buffer lacks a usage it needs.
    #[error(
        "{what}: its buffer was created with usage {usage:?}, which lacks {needs:?}; create it with `usage | {needs:?}`"
    )]
    MissingUsage {
        /// The parameter or gradient.
        what: String,
        /// The usages that the buffer was created with.
        usage: wgpu::BufferUsages,
        /// The usages that the buffer must have as well.
        needs: wgpu::BufferUsages,
    },

    /// A view does not start on an element.
    #[error("{what}: its view starts at byte {offset}, which is not a multiple of {element}; move it to byte {}", offset / element * element)]
    Unaligned {
        /// The parameter or gradient.
        what: String,
        /// Where the view starts, in bytes.
        offset: u64,
        /// Bytes of an element.
        element: u64,
    },

    /// A view ends after its buffer.
    #[error(
        "{what}: its view ends at byte {end}, its buffer at byte {size}; shorten the view or enlarge the buffer"
    )]
    PastEnd {
        /// The parameter or gradient.
        what: String,
        /// Where the view ends, in bytes.
        end: u128,
        /// The size of the buffer, in bytes.
        size: u64,
    },

    /// A view ends within a word that its buffer does not have whole.
    #[error(
        "{what}: its view ends in half a word, and its buffer of {size} bytes with it; GPUs access whole words, so make the buffer {} bytes long", size.next_multiple_of(4)
    )]
    HalfWord {
        /// The parameter or gradient.
        what: String,
        /// The size of the buffer, in bytes.
        size: u64,
    },

    /// Two views share bytes of which one is written.
    #[error(
        "{what}: its bytes {}..{} overlap bytes {}..{} of {other} in the same buffer; a step writes {written}, so give each its own range",
        bytes.0, bytes.1, other_bytes.0, other_bytes.1
    )]
    Overlap {
        /// The parameter or gradient just given.
        what: String,
        /// The view's first byte, and the first after the view.
        bytes: (u64, u64),
        /// The parameter or gradient it collides with.
        other: String,
        /// The other view's first byte, and the first after that view.
        other_bytes: (u64, u64),
        /// The kind of view of the two that a step writes.
        written: &'static str,
    },

    /// Two views of one parameter in one buffer, so near that one binding would reach into the other.
    #[error(
        "parameter `{name}`: its {} and its {} lie in one buffer and share {alignment} bytes that a binding begins with; align them to {alignment} bytes, or put them into two buffers",
        parts[0], parts[1]
    )]
    TooNear {
        /// The parameter.
        name: String,
        /// `parameter`, `gradient` or `copy`.
        parts: [&'static str; 2],
        /// The device's `min_storage_buffer_offset_alignment`, in bytes.
        alignment: u64,
    },

    /// A parameter is given two gradients at once.
    #[error("parameter `{name}`: it is named twice in one call; name each parameter once")]
    NamedTwice {
        /// The parameter.
        name: String,
    },

    /// A learning rate for all groups that is out of its range: the number that was given.
    #[error("the learning rate is {0}; it must be a finite f32 number, 0 or more")]
    Rate(f64),

    /// A number in `minimize` that is NaN or infinite: which, and at which step.
    #[error("{0} is NaN or infinite at step {1}; lower the learning rate, or begin elsewhere")]
    NotFinite(String, u64),

    /// A buffer of the optimizer's own.
    #[error(
        "{what}: its buffer is the state this optimizer keeps; a step writes that, so give it another buffer"
    )]
    OwnState {
        /// The parameter or gradient.
        what: String,
    },

    /// A buffer that the optimizer's device cannot bind: another device's, or one that is destroyed.
    #[error(
        "{what}: the optimizer's device cannot bind its buffer, so it is another device's or destroyed; create it on the device given to `Optimizer::new` ({message})"
    )]
    ForeignBuffer {
        /// The parameter or gradient.
        what: String,
        /// The device's words.
        message: String,
    },

    /// Two parameters of one name.
    #[error(
        "parameter `{name}`: this optimizer already has a parameter of that name, of {elements} elements; names address state, so give each its own"
    )]
    DuplicateName {
        /// The name.
        name: String,
        /// Elements in the parameter that has it.
        elements: u64,
    },

    /// No such parameter.
    #[error("no parameter {name}; this optimizer knows {known}")]
    UnknownParam {
        /// The name that was asked for.
        name: String,
        /// The names that there are.
        known: String,
    },

    /// A parameter whose state has no memory yet.
    #[error(
        "parameter `{name}`: its state has no memory yet; call `Optimizer::prepare` or record a step first"
    )]
    NotPrepared {
        /// The parameter.
        name: String,
    },

    /// No such group.
    #[error(
        "no group {group}; this optimizer has {groups}, and a `GroupId` is of use only to the optimizer that returned it"
    )]
    UnknownGroup {
        /// The group that was asked for.
        group: usize,
        /// How many there are.
        groups: usize,
    },

    /// State in blocks.
    #[error(transparent)]
    Blocks(#[from] crate::block_error::BlockError),
    /// No such slot of state.
    #[error("parameter `{name}`: rule `{rule}` keeps no `{slot}`; it keeps {known}")]
    UnknownSlot {
        /// The parameter.
        name: String,
        /// The parameter's rule.
        rule: &'static str,
        /// The slot that was asked for.
        slot: String,
        /// The names that there are.
        known: String,
    },

    /// A hyper-parameter out of its range.
    #[error("`{rule}`: {option} is {value}; it must be {must}")]
    Hyper {
        /// The rule, as PyTorch writes it in lower case.
        rule: &'static str,
        /// The hyper-parameter.
        option: &'static str,
        /// The number that was given.
        value: f64,
        /// The range that is allowed.
        must: &'static str,
    },

    /// An option of [`Control`](crate::Control) out of its range.
    #[error("`{option}` is {value}; it must be {must}")]
    Control {
        /// The option.
        option: &'static str,
        /// The number that was given.
        value: f64,
        /// The range that is allowed.
        must: &'static str,
    },

    /// A number of a schedule out of its range: the schedule, and the key with its value and the remedy.
    #[error("schedule `{0}`: {1}")]
    Schedule(&'static str, String),

    /// Nothing keeps the division from 0 / 0.
    #[error(
        "`{rule}`: eps is {eps} and eps_root is {eps_root}, so a gradient of 0 would be divided by 0; make one of them at least 1.2e-38, the smallest normal f32"
    )]
    NoEpsilon {
        /// The rule.
        rule: &'static str,
        /// ε outside the root.
        eps: f64,
        /// ε inside the root.
        eps_root: f64,
    },

    /// Options that exclude each other.
    #[error("`{rule}`: {conflict}")]
    Conflict {
        /// The rule.
        rule: &'static str,
        /// The two options and the remedy.
        conflict: &'static str,
    },

    /// A rule from outside this crate keeps more state or needs more scalars than a kernel can have.
    #[error("rule `{rule}` has {has} {what}, a kernel at most {most}; split the rule")]
    RuleTooLarge {
        /// The rule.
        rule: &'static str,
        /// `slots` or `scalars`.
        what: &'static str,
        /// How many it has.
        has: usize,
        /// How many it may have.
        most: usize,
    },

    /// A scalar of a rule from outside this crate depends on more than the rule declares.
    #[error("rule `{rule}`: `{scalar}` depends on {on}, which is not declared; {remedy}")]
    Undeclared {
        /// The rule.
        rule: &'static str,
        /// The scalar, or the factor of `rates`.
        scalar: &'static str,
        /// The step or the learning rate.
        on: &'static str,
        /// A declaration that would be right.
        remedy: &'static str,
    },

    /// A group's new rule keeps other state than the parameters in it have.
    #[error(
        "group {group}: rule `{old}` keeps {old_slots}, rule `{new}` {new_slots}; parameters keep their state, so add a group for the new rule and new parameters to it"
    )]
    OtherState {
        /// The group.
        group: usize,
        /// The rule it has.
        old: &'static str,
        /// The slots that the old rule keeps.
        old_slots: String,
        /// The rule it was to get.
        new: &'static str,
        /// The slots that the new rule keeps.
        new_slots: String,
    },

    /// A group's new options keep state in another format than the parameters in it have.
    #[error(
        "group {group}: its parameters' state is {old}, the new options keep it in {new}; parameters keep their state, so add a group for the new options and new parameters to it"
    )]
    OtherStateFormat {
        /// The group.
        group: usize,
        /// How it is stored.
        old: String,
        /// How it was to be stored.
        new: String,
    },

    /// A copy in a format that is none of a copy's, or of a parameter that has 16 bits itself.
    #[error(
        "the copy of `{name}`, {0} as {1}: copies are 16-bit ones of f32 parameters; give a view in f16 or bf16 of a parameter in f32",
        .formats[0], .formats[1]
    )]
    CopyFormat {
        /// The parameter.
        name: String,
        /// The formats of the parameter and of the copy.
        formats: [&'static str; 2],
    },

    /// A copy that is not as long as its parameter.
    #[error(
        "parameter `{name}` has {param} elements, its copy {copy}; give a copy as long as the parameter"
    )]
    CopyLength {
        /// The parameter.
        name: String,
        /// Elements in the parameter.
        param: u64,
        /// Elements in the copy.
        copy: u64,
    },

    /// A remainder for a parameter that it cannot complete.
    #[error(
        "parameter `{name}`: a remainder makes an f32 of bf16, and this is f16; store it in bf16, or give it a master in f32"
    )]
    NoRemainder {
        /// The parameter.
        name: String,
    },

    /// The device cannot do it.
    #[error(
        "the device's {limit} is {has}, {what} needs {needs}; request the adapter's own limits when creating the device"
    )]
    Limit {
        /// The limit, as in `wgpu::Limits`.
        limit: &'static str,
        /// The device's limit.
        has: u64,
        /// The purpose.
        what: String,
        /// The limit that the purpose takes.
        needs: u64,
    },

    /// More groups, counting each time parameters were added to one, than an optimizer keeps apart: how many it can.
    #[error(
        "an optimizer can tell {0} groups apart (each time parameters are added to a group counts); make a second optimizer"
    )]
    TooManyGroups(u64),

    /// The device refused a kernel, which only a rule from outside this crate can cause.
    #[error("rule `{rule}`: its kernel does not compile: {message}")]
    Kernel {
        /// The rule.
        rule: &'static str,
        /// The device's words.
        message: String,
    },

    /// The device has no room left.
    #[error("the device has no room for {what}: {message}")]
    OutOfMemory {
        /// The thing that was to be allocated.
        what: String,
        /// The device's words.
        message: String,
    },

    /// The device failed or was lost while data was read back.
    #[error("reading {what} back failed: {message}")]
    Readback {
        /// The thing that was read.
        what: String,
        /// The device's words.
        message: String,
    },

    /// No adapter, or not the one asked for.
    #[error("{0}")]
    NoAdapter(String),
}
