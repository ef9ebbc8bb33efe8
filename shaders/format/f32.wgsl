// `role` stands for param, grad or state: the host replaces that one word.
alias role_word = real;

fn decode_role(word: role_word) -> real {
    return word;
}

fn encode_role(x: real) -> role_word {
    return x;
}
