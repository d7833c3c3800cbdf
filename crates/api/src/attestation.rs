//! What a node signs to show that it has a key: agents make it, and servers make it again.

use avouch_core::id::Digest;

use crate::grpc::node::Intention;

/// The namespace of signatures in the form of SSH (PROTOCOL.sshsig).
pub const SSH_NAMESPACE: &str = "node-attestation@avouch";

/// What every statement begins with, so that it is nothing that the key signs for another purpose.
const CONTEXT: &[u8] = b"avouch node attestation 1\0";

/// The statement of a node: that it means to join in this way, now, with the key of this signing
/// request. `server` is the trust domain of the server, as the node knows it.
pub fn statement(
    server: &str,
    intention: &Intention,
    challenge: &[u8],
    signing_request: &[u8],
) -> Vec<u8> {
    let parts = [
        server.as_bytes(),
        intention.tenant.as_bytes(),
        intention.attestor.as_bytes(),
        intention.method.as_bytes(),
        challenge,
        signing_request,
    ];
    [CONTEXT, Digest::of_list(parts).as_bytes().as_slice()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_differs_makes_another_statement() {
        let intention = |tenant: &str, attestor: &str, method: &str| Intention {
            tenant: tenant.to_owned(),
            attestor: attestor.to_owned(),
            method: method.to_owned(),
        };
        let one = intention("a", "b", "c");
        let same = statement("s", &one, b"1", b"2");
        assert_eq!(same, statement("s", &one, b"1", b"2"));
        for other in [
            statement("t", &one, b"1", b"2"),
            statement("s", &intention("ab", "", "c"), b"1", b"2"),
            statement("s", &intention("a", "bc", ""), b"1", b"2"),
            statement("s", &one, b"12", b""),
            statement("s", &one, b"1", b"3"),
        ] {
            assert_ne!(other, same);
        }
    }
}
