//! Keys of the Java servers that no struct of ours declares, and what to say about them.
//!
//! A key that a struct declares never gets here, so a line may stay until its feature is there and is then deleted.
//! Source: `BrokerConfig`, `MessageStoreConfig`, `NamesrvConfig`, `NettyServerConfig`, `AuthConfig` of 5.5.0.

use crate::Severity;

const THREADS: &str = "this server has no such thread pool";
const QUEUE: &str = "this server has no such queue of waiting requests; its limits are built in";
const MAPPED: &str = "this server does not map files into memory";
const FLUSH: &str = "this server flushes in groups as soon as somebody waits, and needs no tuning for it";
const LAYOUT: &str = "consume queues and index are laid out in another way here";
const NETTY: &str = "this server does not use Netty";
const FAST_FAILURE: &str = "requests do not wait in queues here";
const JAVA_HOME: &str = "this server has one binary and no home directory";
const REGISTERS: &str = "how registrations are sent is not a setting here";
const RUN_TIME: &str = "what is changed at run time lasts until the next start";

/// Keys that are accepted and have no effect, because what they tune does not exist here: the reason, then the
/// keys with a space between them.
const MEANINGLESS: &[(&str, &str)] = &[
    (
        THREADS,
        "sendMessageThreadPoolNums putMessageFutureThreadPoolNums pullMessageThreadPoolNums \
         litePullMessageThreadPoolNums ackMessageThreadPoolNums processReplyMessageThreadPoolNums \
         queryMessageThreadPoolNums adminBrokerThreadPoolNums clientManageThreadPoolNums \
         consumerManageThreadPoolNums loadBalanceProcessorThreadPoolNums heartbeatThreadPoolNums \
         recoverThreadPoolNums endTransactionThreadPoolNums getMessageThreadPoolNums clientRequestThreadPoolNums \
         defaultThreadPoolNums serverWorkerThreads serverCallbackExecutorThreads serverSelectorThreads \
         clientWorkerThreads clientCallbackExecutorThreads defaultBrokerExecutorThreads \
         batchDispatchRequestThreadPoolNums",
    ),
    (
        QUEUE,
        "sendThreadPoolQueueCapacity putThreadPoolQueueCapacity pullThreadPoolQueueCapacity \
         litePullThreadPoolQueueCapacity ackThreadPoolQueueCapacity replyThreadPoolQueueCapacity \
         queryThreadPoolQueueCapacity clientManagerThreadPoolQueueCapacity consumerManagerThreadPoolQueueCapacity \
         heartbeatThreadPoolQueueCapacity endTransactionPoolQueueCapacity adminBrokerThreadPoolQueueCapacity \
         loadBalanceThreadPoolQueueCapacity clientRequestThreadPoolQueueCapacity defaultThreadPoolQueueCapacity \
         unRegisterBrokerQueueCapacity",
    ),
    (
        MAPPED,
        "warmMapedFileEnable transientStorePoolEnable transientStorePoolSize fastFailIfNoBufferInStorePool \
         flushLeastPagesWhenWarmMapedFile writeWithoutMmap redeleteHangedFileInterval \
         destroyMapedFileIntervalForcibly osPageCacheBusyTimeOutMills dataReadAheadEnable \
         accessMessageInMemoryMaxRatio transferMsgByHeap",
    ),
    (
        FLUSH,
        "flushIntervalCommitLog flushCommitLogLeastPages flushCommitLogThoroughInterval flushCommitLogTimed \
         commitIntervalCommitLog commitCommitLogLeastPages commitCommitLogThoroughInterval \
         flushIntervalConsumeQueue flushConsumeQueueLeastPages flushConsumeQueueThoroughInterval \
         useReentrantLockWhenPutMessage topicQueueLockNum enableBuildConsumeQueueConcurrently",
    ),
    (
        LAYOUT,
        "mappedFileSizeConsumeQueue mappedFileSizeConsumeQueueExt mapperFileSizeBatchConsumeQueue \
         enableConsumeQueueExt bitMapLengthConsumeQueueExt maxHashSlotNum maxIndexNum rocksdbCQDoubleWriteEnable \
         combineCQPreferCQType storeType mappedFileSizeTimerLog",
    ),
    (
        NETTY,
        "useEpollNativeSelector serverPooledByteBufAllocatorEnable serverSocketSndBufSize serverSocketRcvBufSize \
         writeBufferHighWaterMark writeBufferLowWaterMark serverSocketBacklog serverOnewaySemaphoreValue \
         serverAsyncSemaphoreValue serverNettyWorkerGroupEnable enableShutdownGracefully shutdownWaitTimeSeconds \
         serverChannelMaxIdleTimeSeconds",
    ),
    (
        FAST_FAILURE,
        "brokerFastFailureEnable waitTimeMillsInSendQueue waitTimeMillsInPullQueue waitTimeMillsInLitePullQueue \
         waitTimeMillsInHeartbeatQueue waitTimeMillsInTransactionQueue waitTimeMillsInAckQueue \
         waitTimeMillsInAdminBrokerQueue",
    ),
    (JAVA_HOME, "rocketmqHome productEnvName clusterTest"),
    (RUN_TIME, "configStorePath configBlackList"),
    (REGISTERS, "forceRegister compressedRegister enableSplitRegistration splitRegistrationSize"),
];

/// Keys of features that are not there: key, the values that do not ask for it, the feature, how bad it is to start
/// without. It is an error where starting would silently give less safety than was asked for.
const MISSING: &[(&str, &[&str], &str, Severity)] = &[
    ("enableDLegerCommitLog", &["false"], "the DLedger commit log", Severity::Error),
    ("aclEnable", &["false"], "access control by plain_acl.yml", Severity::Error),
    ("authenticationEnabled", &["false"], "authentication", Severity::Error),
    ("authorizationEnabled", &["false"], "authorization", Severity::Error),
    ("enableControllerMode", &["false"], "election by a controller", Severity::Error),
    ("enableControllerInNamesrv", &["false"], "a controller inside the name server", Severity::Warning),
    ("enableSlaveActingMaster", &["false"], "slaves that act for a lost master", Severity::Warning),
    ("needWaitForService", &["false"], "waiting before routes are told", Severity::Warning),
    ("waitSecondsForService", &["45"], "waiting before routes are told", Severity::Note),
    ("notifyMinBrokerIdChanged", &["false"], "telling replicas that their smallest id changed", Severity::Warning),
    ("fetchNamesrvAddrByAddressServer", &["false"], "name server addresses from an address server", Severity::Error),
    ("fetchNameSrvAddrByDnsLookup", &["false"], "name server addresses from DNS", Severity::Error),
    ("coldDataFlowControlEnable", &["false"], "flow control of cold reads", Severity::Warning),
];

/// What to tell about a key and its value; `None` for a key that Java has not either.
pub(crate) fn judge(key: &str, value: &str) -> Option<(Severity, String)> {
    if let Some((reason, _)) = MEANINGLESS.iter().find(|(_, keys)| keys.split(' ').any(|known| known == key)) {
        return Some((Severity::Note, format!("{key} is accepted and ignored: {reason}")));
    }
    let (_, harmless, feature, severity) = MISSING.iter().find(|(known, ..)| *known == key)?;
    if harmless.contains(&value.trim().to_lowercase().as_str()) {
        return Some((Severity::Note, format!("{key} is accepted and ignored: {feature} is off here anyway")));
    }
    Some((*severity, format!("{key}={value} asks for {feature}, which this server does not have yet")))
}

/// All keys known here.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    let meaningless = MEANINGLESS.iter().flat_map(|(_, keys)| keys.split(' '));
    meaningless.chain(MISSING.iter().map(|(key, ..)| *key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_listed_once() {
        let mut all: Vec<_> = names().collect();
        all.sort_unstable();
        let listed = all.len();
        all.dedup();
        assert_eq!(all.len(), listed);
    }
}
