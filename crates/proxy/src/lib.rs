//! RocketMQ's gRPC protocol.

#[allow(missing_docs, unreachable_pub, clippy::all)]
#[path = "grpc/apache.rocketmq.v2.rs"]
pub mod v2;
