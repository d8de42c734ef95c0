//! Stub.
/// A socket.
pub struct UdpSocket;
