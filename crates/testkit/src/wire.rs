//! A bare socket.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use protocol::Frame;
use protocol::request::{Request, SendMessageV2, SendMessageV2Header};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::DEADLINE;

/// A socket that sends any bytes and reads frames.
pub struct Wire {
    stream: TcpStream,
    input: BytesMut,
    opaque: i32,
    asked: Vec<Frame>,
}

impl Wire {
    /// Connects.
    ///
    /// # Panics
    /// When nobody listens.
    pub async fn connect(address: SocketAddr) -> Wire {
        Wire::try_connect(address).await.expect("somebody listens")
    }

    /// Connects, if somebody listens.
    pub async fn try_connect(address: SocketAddr) -> Option<Wire> {
        let stream = TcpStream::connect(address).await.ok()?;
        stream.set_nodelay(true).expect("a TCP socket");
        Some(Wire { stream, input: BytesMut::new(), opaque: 0, asked: Vec::new() })
    }

    /// Sends bytes. What the other end thinks of them shows in what it answers, so errors do not matter here.
    pub async fn write(&mut self, bytes: &[u8]) -> bool {
        timeout(DEADLINE, self.stream.write_all(bytes)).await.is_ok_and(|written| written.is_ok())
    }

    /// Sends a frame under a number.
    pub async fn send(&mut self, frame: &Frame, opaque: i32) -> bool {
        let mut bytes = BytesMut::new();
        frame.encode(opaque, &mut bytes);
        self.write(&bytes).await
    }

    /// The next frame; `None` when the other end closed.
    ///
    /// # Panics
    /// When neither happens before [`DEADLINE`], or the other end sends nonsense.
    #[track_caller]
    pub fn read(&mut self) -> impl Future<Output = Option<Frame>> + '_ {
        let caller = std::panic::Location::caller();
        async move {
            let answer = self.read_within(DEADLINE).await;
            answer.unwrap_or_else(|| panic!("{caller}: neither an answer nor an end within {DEADLINE:?}"))
        }
    }

    /// Asks several things at once, and waits for all answers; `None` when the other end closed before.
    pub async fn ask_all(&mut self, frames: &[Frame]) -> Option<Vec<Frame>> {
        let first = self.opaque + 1;
        let mut bytes = BytesMut::new();
        for frame in frames {
            self.opaque += 1;
            frame.encode(self.opaque, &mut bytes);
        }
        self.write(&bytes).await;
        let mut answers: Vec<Option<Frame>> = vec![None; frames.len()];
        let mut left = frames.len();
        while left > 0 {
            let frame = self.read().await?;
            if frame.is_response() {
                let place = answers.get_mut((frame.opaque - first) as usize).expect("an answer to one of these");
                left -= usize::from(place.replace(frame).is_none());
            } else {
                self.asked.push(frame);
            }
        }
        Some(answers.into_iter().flatten().collect())
    }

    /// Asks one thing.
    pub async fn ask(&mut self, frame: &Frame) -> Option<Frame> {
        self.ask_all(std::slice::from_ref(frame)).await?.pop()
    }

    /// What the other end asked while answers were waited for.
    pub fn take_asked(&mut self) -> Vec<Frame> {
        std::mem::take(&mut self.asked)
    }

    /// The next frame within a while: the outer `None` when nothing came.
    pub async fn read_within(&mut self, limit: Duration) -> Option<Option<Frame>> {
        let reading = async {
            loop {
                if let Some(frame) = Frame::decode(&mut self.input).expect("servers send frames") {
                    return Some(frame);
                }
                match self.stream.read_buf(&mut self.input).await {
                    Ok(0) | Err(_) => return None,
                    Ok(_) => {}
                }
            }
        };
        timeout(limit, reading).await.ok()
    }

    /// Tells the other end that nothing more will come, and goes on reading.
    pub async fn finish(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// The two directions, for a sender and a receiver that run beside each other.
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }
}

/// A frame that sends a message.
pub fn send_frame(topic: &str, queue_id: i32, properties: &str, body: impl Into<Bytes>) -> Frame {
    let header = SendMessageV2Header {
        producer_group: Some("P"),
        topic,
        default_topic: Some("TBW102"),
        default_topic_queue_nums: Some(4),
        queue_id,
        sys_flag: Some(0),
        born_timestamp: Some(1),
        flag: Some(0),
        properties: Some(properties),
        reconsume_times: Some(0),
        ..SendMessageV2Header::default()
    };
    Frame::request(SendMessageV2::CODE, &header).with_body(body)
}
