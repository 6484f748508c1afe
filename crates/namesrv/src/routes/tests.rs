//! What brokers may do to the tables, step by step.

use std::net::{IpAddr, Ipv4Addr};

use protocol::body::TopicRoute;

use super::*;
use crate::lookup::{keep_zone, show_acting_masters};

const SOMEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A broker `name` at address `at` with the topics `T1:4`: name and queues.
fn broker(name: &str, id: i64, at: &str, version: i64, topics: &[&str]) -> Registration {
    let topic = |text: &&str| {
        let (topic, queues) = text.split_once(':').expect("written topic:queues");
        TopicConfig::new(topic, queues.parse().expect("a number of queues"))
    };
    Registration {
        cluster: "C".into(),
        broker_name: name.into(),
        broker_id: id,
        at: Advertise::fixed(at),
        ha: Some(Advertise::fixed(format!("ha-{at}"))),
        topics: Topics::Changed(topics.iter().map(topic).collect()),
        version: DataVersion { counter: version, ..DataVersion::default() },
        timeout: Some(Duration::from_secs(120)),
        enable_acting_master: None,
        zone: None,
    }
}

fn acting(registration: Registration) -> Registration {
    Registration { enable_acting_master: Some(true), ..registration }
}

struct World {
    routes: Routes,
    clock: Clock,
}

impl World {
    fn new() -> World {
        let clock = Clock::manual();
        World { routes: Routes::new(clock.clone()), clock }
    }

    fn with(registrations: impl IntoIterator<Item = Registration>) -> World {
        let world = World::new();
        registrations.into_iter().for_each(|registration| drop(world.register(registration)));
        world
    }

    #[track_caller]
    fn register(&self, registration: Registration) -> Registered {
        self.routes.register(registration, Session::default()).expect("is taken")
    }

    fn route(&self, topic: &str) -> Option<TopicRoute> {
        self.routes.route(topic, SOMEWHERE)
    }

    /// The route in short: `a[0=x:1,1=y:1] 4rw`, one for each broker name, or `-`.
    fn brief(&self, topic: &str) -> String {
        self.route(topic).map_or("-".into(), |route| brief(&route))
    }

    #[track_caller]
    fn check(&self, expected: &[(&str, &str)]) {
        for (topic, route) in expected {
            assert_eq!(self.brief(topic), *route, "route of {topic}");
        }
    }
}

fn brief(route: &TopicRoute) -> String {
    let pairs = route.broker_datas.iter().zip(&route.queue_datas);
    let mut parts: Vec<String> = pairs
        .map(|(broker, queues)| {
            let members: Vec<_> = broker.broker_addrs.iter().map(|(id, at)| format!("{id}={at}")).collect();
            let perm = perm::text(queues.perm).to_lowercase().replace('-', "");
            format!("{}[{}] {}{perm}", broker.broker_name, members.join(","), queues.write_queue_nums)
        })
        .collect();
    parts.sort();
    parts.join(" ")
}

#[test]
fn a_first_registration_makes_routes() {
    let world = World::with([broker("a", 0, "a:1", 1, &["T:4"]), broker("b", 0, "b:1", 1, &["T:8", "U:2"])]);
    world.check(&[("T", "a[0=a:1] 4rw b[0=b:1] 8rw"), ("U", "b[0=b:1] 2rw"), ("V", "-")]);
    assert_eq!(world.routes.topics(), ["T", "U"]);
    let info = world.routes.cluster_info(SOMEWHERE);
    assert_eq!(info.cluster_addr_table["C"], ["a", "b"]);
    assert_eq!(world.routes.system_topics(SOMEWHERE).topic_list, ["C", "a", "b"]);
    assert_eq!(world.routes.system_topics(SOMEWHERE).broker_addr.as_deref(), Some("a:1"));
}

#[test]
fn only_a_new_version_changes_known_topics() {
    let world = World::with([broker("a", 0, "a:1", 1, &["T:4"])]);
    world.register(broker("a", 0, "a:1", 1, &["T:8", "U:1"]));
    world.check(&[("T", "a[0=a:1] 4rw"), ("U", "a[0=a:1] 1rw")]);
    world.register(broker("a", 0, "a:1", 2, &["T:8"]));
    world.check(&[("T", "a[0=a:1] 8rw"), ("U", "a[0=a:1] 1rw")]);
}

#[test]
fn absent_topics_stay_unless_all_were_told() {
    let world = World::with([broker("a", 0, "a:1", 1, &["T:4", "U:4"]), broker("b", 0, "b:1", 1, &["T:4"])]);
    let mut all = broker("a", 0, "a:1", 2, &["V:1"]);
    let Topics::Changed(topics) = all.topics else { unreachable!("made above") };
    all.topics = Topics::All(topics);
    world.register(all);
    world.check(&[("T", "b[0=b:1] 4rw"), ("U", "-"), ("V", "a[0=a:1] 1rw")]);
}

#[test]
fn replicas_bring_addresses_and_learn_their_master() {
    let world = World::with([broker("a", 1, "a:2", 1, &["T:9"])]);
    world.check(&[("T", "-")]);
    world.register(broker("a", 0, "a:1", 1, &["T:4"]));
    let told = world.register(broker("a", 1, "a:2", 1, &["T:9"]));
    assert_eq!(told, Registered { master: Some(Advertise::fixed("a:1")), ha: Some(Advertise::fixed("ha-a:1")) });
    assert_eq!(world.register(broker("a", 0, "a:1", 1, &[])), Registered::default());
    world.check(&[("T", "a[0=a:1,1=a:2] 4rw")]);
}

#[test]
fn silent_brokers_are_forgotten() {
    let brief = Registration { timeout: Some(Duration::from_secs(10)), ..broker("b", 0, "b:1", 1, &["T:4"]) };
    let forever = Registration { timeout: None, ..broker("c", 0, "c:1", 1, &["T:4"]) };
    let world = World::with([broker("a", 0, "a:1", 1, &["T:4"]), brief, forever]);
    let step = |seconds, expected: &[&str], route: &str| {
        world.clock.advance(Duration::from_secs(seconds));
        assert_eq!(world.routes.expire().iter().map(|name| &**name).collect::<Vec<_>>(), expected);
        world.check(&[("T", route)]);
    };
    step(10, &[], "a[0=a:1] 4rw b[0=b:1] 4rw c[0=c:1] 4rw");
    step(1, &["b"], "a[0=a:1] 4rw c[0=c:1] 4rw");
    world.routes.heard("C", &Advertise::fixed("a:1"));
    world.routes.heard("C", &Advertise::fixed("b:1"));
    step(120, &[], "a[0=a:1] 4rw c[0=c:1] 4rw");
    step(1, &["a"], "c[0=c:1] 4rw");
    step(1_000_000, &[], "c[0=c:1] 4rw");
    world.register(broker("a", 0, "a:1", 1, &["T:4"]));
    world.check(&[("T", "a[0=a:1] 4rw c[0=c:1] 4rw")]);
}

#[test]
fn an_address_has_one_id() {
    let world = World::with([broker("a", 0, "a:1", 1, &["T:4"]), broker("a", 1, "a:2", 1, &[])]);
    world.register(broker("a", 0, "a:2", 2, &["T:4"]));
    world.check(&[("T", "a[0=a:2] 4rw")]);
    world.register(broker("a", 1, "a:1", 2, &[]));
    world.check(&[("T", "a[0=a:2,1=a:1] 4rw")]);
}

#[test]
fn a_renamed_broker_leaves_its_old_name() {
    let world = World::with([broker("a", 0, "x:1", 1, &["T:4", "U:4"])]);
    world.register(broker("b", 0, "x:1", 1, &["T:4"]));
    world.check(&[("T", "b[0=x:1] 4rw"), ("U", "-")]);
}

#[test]
fn a_broker_that_moved_to_another_cluster_outlives_its_old_registration() {
    let world = World::with([broker("a", 0, "x:1", 1, &["T:4"])]);
    world.clock.advance(Duration::from_secs(100));
    world.register(Registration { cluster: "D".into(), ..broker("a", 0, "x:1", 1, &["T:4"]) });
    world.clock.advance(Duration::from_secs(100));
    world.routes.expire();
    world.check(&[("T", "a[0=x:1] 4rw")]);
    assert_eq!(world.routes.topics_of_cluster("D"), ["T"]);
}

#[test]
fn a_master_of_the_past_is_ignored() {
    let term = |mut registration: Registration, term| {
        registration.version.state_version = term;
        registration
    };
    let world = World::with([term(broker("a", 0, "new:1", 1, &["T:4"]), 2)]);
    assert_eq!(world.register(term(broker("a", 0, "old:1", 9, &["T:1"]), 1)), Registered::default());
    world.check(&[("T", "a[0=new:1] 4rw")]);
    assert_eq!(world.routes.version("C", &Advertise::fixed("old:1")), None);
    world.register(term(broker("a", 0, "newer:1", 1, &["T:4"]), 2));
    world.check(&[("T", "a[0=newer:1] 4rw")]);
}

#[test]
fn who_unregisters_takes_its_topics_along() {
    let brokers = || [broker("a", 0, "a:1", 1, &["T:4", "U:1"]), broker("a", 1, "a:2", 1, &[])];
    let world = World::with(brokers().into_iter().chain([broker("b", 0, "b:1", 1, &["T:8"])]));
    world.routes.unregister("C", "a", &Advertise::fixed("a:1"));
    world.check(&[("T", "a[1=a:2] 4rw b[0=b:1] 8rw")]);
    world.routes.unregister("C", "a", &Advertise::fixed("a:2"));
    world.check(&[("T", "b[0=b:1] 8rw"), ("U", "-")]);
    world.routes.unregister("C", "a", &Advertise::fixed("a:2"));
    assert_eq!(world.routes.topics(), ["T"]);
    world.routes.unregister("C", "b", &Advertise::fixed("b:1"));
    assert_eq!(world.routes.cluster_info(SOMEWHERE), Default::default());
}

#[test]
fn write_permission_is_taken_and_given() {
    let world = World::with([broker("a", 0, "a:1", 1, &["T:4", "U:4"]), broker("b", 0, "b:1", 1, &["T:4"])]);
    assert_eq!(world.routes.change_perm("a", |perm| perm & !perm::WRITE), 2);
    world.check(&[("T", "a[0=a:1] 4r b[0=b:1] 4rw"), ("U", "a[0=a:1] 4r")]);
    world.register(broker("a", 0, "a:1", 1, &["T:4", "U:4"]));
    world.check(&[("U", "a[0=a:1] 4r")]);
    world.register(broker("a", 0, "a:1", 2, &["U:4"]));
    world.check(&[("T", "a[0=a:1] 4r b[0=b:1] 4rw"), ("U", "a[0=a:1] 4rw")]);
    assert_eq!(world.routes.change_perm("a", |_| perm::READ | perm::WRITE), 2);
    world.check(&[("T", "a[0=a:1] 4rw b[0=b:1] 4rw")]);
    assert_eq!(world.routes.change_perm("nobody", |_| 0), 0);
}

#[test]
fn topics_are_deleted_as_widely_as_asked() {
    let other = Registration { cluster: "D".into(), ..broker("d", 0, "d:1", 1, &["T:4"]) };
    let world = World::with([broker("a", 0, "a:1", 1, &["T:4"]), broker("b", 0, "b:1", 1, &["T:4"]), other]);
    assert_eq!(world.routes.topics_of_cluster("D"), ["T"]);
    world.routes.delete_topic("T", Of::Cluster("nowhere"));
    world.routes.delete_topic("T", Of::Broker("a"));
    world.check(&[("T", "b[0=b:1] 4rw d[0=d:1] 4rw")]);
    world.routes.delete_topic("T", Of::Cluster("C"));
    world.check(&[("T", "d[0=d:1] 4rw")]);
    world.routes.delete_topic("T", Of::Everyone);
    assert_eq!(world.routes.topics(), [""; 0]);
    world.register(broker("a", 0, "a:1", 1, &["T:4"]));
    world.check(&[("T", "a[0=a:1] 4rw")]);
}

#[test]
fn topics_by_hand_need_a_known_broker() {
    let world = World::with([broker("a", 0, "a:1", 1, &[])]);
    let queues =
        |broker: &str| QueueData { broker_name: broker.into(), perm: 6, write_queue_nums: 2, ..QueueData::default() };
    world.routes.add_topic("T", &[queues("a"), queues("nobody")]).unwrap();
    world.routes.add_topic("U", &[queues("nobody")]).unwrap();
    world.check(&[("T", "a[0=a:1] 2rw"), ("U", "-")]);
}

#[test]
fn a_replica_acts_for_a_lost_master() {
    let world = World::with([
        acting(broker("a", 0, "a:1", 1, &["T:4"])),
        acting(broker("a", 1, "a:2", 1, &["T:4"])),
        acting(broker("a", 2, "a:3", 1, &["T:4"])),
    ]);
    world.routes.unregister("C", "a", &Advertise::fixed("a:1"));
    world.check(&[("T", "a[1=a:2,2=a:3] 4r")]);
    let mut route = world.route("T").unwrap();
    show_acting_masters("T", &mut route);
    assert_eq!(brief(&route), "a[0=a:2,2=a:3] 4r");
    world.register(acting(broker("a", 0, "a:1", 1, &["T:4"])));
    world.check(&[("T", "a[0=a:1,1=a:2,2=a:3] 4rw")]);
}

#[test]
fn a_first_replica_that_may_act_brings_topics_to_read() {
    World::with([acting(broker("a", 1, "a:2", 1, &["T:4"]))]).check(&[("T", "a[1=a:2] 4r")]);
}

#[test]
fn a_zone_sees_its_own_brokers_and_those_without_a_master() {
    let zoned = |registration, zone: &str| Registration { zone: Some(zone.into()), ..registration };
    let world = World::with([
        zoned(broker("a", 0, "a:1", 1, &["T:4"]), "east"),
        zoned(broker("b", 0, "b:1", 1, &["T:4"]), "west"),
        broker("c", 0, "c:1", 1, &["T:4"]),
        broker("c", 1, "c:2", 1, &[]),
    ]);
    world.routes.unregister("C", "c", &Advertise::fixed("c:1"));
    let mut route = world.route("T").unwrap();
    keep_zone("EAST", &mut route);
    assert_eq!(brief(&route), "a[0=a:1] 4rw c[1=c:2] 4rw");
}

#[test]
fn units_are_listed_by_flag() {
    let mut registration = broker("a", 0, "a:1", 1, &["none:1", "unit:1", "sub:1", "both:1"]);
    let Topics::Changed(topics) = &mut registration.topics else { unreachable!("made above") };
    topics.iter_mut().zip([0, 1, 2, 3]).for_each(|(topic, flag)| topic.topic_sys_flag = flag);
    let world = World::with([registration]);
    assert_eq!(world.routes.unit_topics(), ["both", "unit"]);
    assert_eq!(world.routes.unit_sub_topics(false), ["both", "sub"]);
    assert_eq!(world.routes.unit_sub_topics(true), ["sub"]);
}

#[test]
fn nonsense_is_refused_and_changes_nothing() {
    let world = World::new();
    let long = format!("{}:1", "x".repeat(TOPIC_BYTES_MAX + 1));
    let refused = world.routes.register(broker("a", 0, "a:1", 1, &["T:1", &long]), Session::default());
    assert!(matches!(refused, Err(Refused::Invalid(_))), "{refused:?}");
    assert!(world.routes.topics().is_empty() && world.routes.brokers.load().is_empty());
}
