//! The laboratory: a namespace for each node, one for the switches, and the cables. Everything goes when it is dropped,
//! and what a killed run left goes at the next start.

use std::fs::File;
use std::future::Future;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::daemon::city::{City, Node, Site, run};

/// What every namespace of ours begins with; the process that made it follows.
const PREFIX: &str = "cn-";
/// What `ip netns exec` lays over `/etc`, by namespace.
const RESOLVERS: &str = "/etc/netns";
/// Where every node listens for peers.
pub(super) const PORT: u16 = 4001;
/// Five municipalities of 石川県; the first three have outlines.
const TOWNS: [(&str, &str); 5] = [
    ("Asia/JP/17/17201", "金沢市"),
    ("Asia/JP/17/17203", "小松市"),
    ("Asia/JP/17/17210", "白山市"),
    ("Asia/JP/17/17202", "七尾市"),
    ("Asia/JP/17/17204", "輪島市"),
];

/// Namespaces, cables and switches. Node `i` has `10.77.0.(i+1)` and `fd77::(i+1)` on its cable `wire`, and for the test
/// `10.78.0.(i+1)` on a cable that nothing disturbs.
pub(super) struct Lab {
    name: String,
    nodes: usize,
}

impl Lab {
    /// Builds it; `None` where this machine or this user cannot.
    pub(super) fn build(nodes: usize) -> Option<Self> {
        let able = |tool: &str| {
            let asked = Command::new(tool).arg("-V").stdout(Stdio::null()).status();
            asked.is_ok_and(|status| status.success())
        };
        let root = rustix::process::geteuid().is_root();
        if !root || !able("ip") || !able("iptables") || !able("tc") {
            println!("skipped: network namespaces need root, ip, tc and iptables");
            return None;
        }
        sweep();
        static BUILT: AtomicU32 = AtomicU32::new(0);
        let number = BUILT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}", std::process::id());
        let lab = Self { name, nodes };
        if !ip(&["netns", "add", &lab.hub()]) {
            println!("skipped: no network namespace can be made here");
            return None;
        }
        lab.wire();
        Some(lab)
    }

    fn wire(&self) {
        assert!(self.nodes <= TOWNS.len(), "more nodes than towns");
        self.in_hub("ip link set lo up");
        for bridge in ["left", "right", "test"] {
            self.in_hub(&format!("ip link add {bridge} type bridge"));
            self.in_hub(&format!("ip link set {bridge} up"));
        }
        self.in_hub("ip addr add 10.77.0.254/24 dev left");
        self.in_hub("ip addr add 10.78.0.254/24 dev test");
        for node in 0..self.nodes {
            let space = self.space(node);
            assert!(ip(&["netns", "add", &space]));
            let host = node + 1;
            for (cable, bridge) in [("wire", "left"), ("test", "test")] {
                self.in_hub(&format!(
                    "ip link add {cable}{node} type veth peer name {cable} netns {space}"
                ));
                self.in_hub(&format!("ip link set {cable}{node} master {bridge} up"));
            }
            for command in [
                "ip link set lo up".to_owned(),
                format!("ip addr add 10.77.0.{host}/24 dev wire"),
                format!("ip addr add fd77::{host}/64 dev wire nodad"),
                format!("ip addr add 10.78.0.{host}/24 dev test"),
                "ip link set wire up".to_owned(),
                "ip link set test up".to_owned(),
            ] {
                self.at(node, &command);
            }
        }
    }

    fn hub(&self) -> String {
        format!("{}-hub", self.name)
    }

    fn space(&self, node: usize) -> String {
        format!("{}-{node}", self.name)
    }

    /// Runs a command where the switches are.
    pub(super) fn in_hub(&self, command: &str) {
        within(&self.hub(), command);
    }

    /// Runs a command where a node is.
    pub(super) fn at(&self, node: usize, command: &str) {
        within(&self.space(node), command);
    }

    /// Puts these nodes on a switch of their own.
    pub(super) fn cut_off(&self, nodes: &[usize]) {
        for node in nodes {
            self.in_hub(&format!("ip link set wire{node} master right"));
        }
    }

    /// Puts all on one switch again.
    pub(super) fn heal(&self, nodes: &[usize]) {
        for node in nodes {
            self.in_hub(&format!("ip link set wire{node} master left"));
        }
    }

    /// Lets a node's cable carry so much, both ways.
    pub(super) fn narrow(&self, node: usize, rate: &str) {
        let shape = format!("root tbf rate {rate} burst 16kb latency 400ms");
        self.at(node, &format!("tc qdisc add dev wire {shape}"));
        self.in_hub(&format!("tc qdisc add dev wire{node} {shape}"));
    }

    /// Loses this share of what comes to a node, and of what comes from it to the switch's own address.
    pub(super) fn lose(&self, node: usize, share: f32) {
        let lose = |from: &str| {
            format!(
                "iptables -A INPUT {from} -m statistic --mode random --probability {share} -j DROP"
            )
        };
        self.at(node, &lose("-i wire"));
        self.in_hub(&lose(&format!("-s 10.77.0.{}", node + 1)));
    }

    /// Has a node ask the name server that the switches' own address has; the others know no names.
    pub(super) fn name_server(&self, node: usize) {
        let directory = Path::new(RESOLVERS).join(self.space(node));
        std::fs::create_dir_all(&directory).unwrap();
        let file = directory.join("resolv.conf");
        let server = "nameserver 10.77.0.254\noptions timeout:2 attempts:1\n";
        std::fs::write(file, server).unwrap();
    }

    /// Where the nodes of the towns stand.
    pub(super) fn sites(&self) -> Vec<Site> {
        let towns = TOWNS.iter().take(self.nodes).enumerate();
        towns
            .map(|(node, (region, name))| Site {
                region,
                name,
                api: format!("10.78.0.{}:7443", node + 1).parse().unwrap(),
                listen: format!("/ip4/0.0.0.0/tcp/{PORT}").parse().unwrap(),
            })
            .collect()
    }

    /// Starts a city's node where it belongs, with more in its environment.
    pub(super) fn start(&self, city: &City, node: usize, more: &[(&str, &str)]) -> Node {
        let daemon = run(&city.data, &[]);
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.space(node)]);
        command.arg(daemon.get_program()).args(daemon.get_args());
        for (name, value) in daemon.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.envs(more.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        city.start_as(command)
    }

    /// The same, once it answers.
    pub(super) async fn ready(&self, city: &City, node: usize) -> Node {
        let mut started = self.start(city, node, &[]);
        started.comes_up().await.unwrap();
        started
    }

    /// Tells a story from where the switches are: its calls, its sockets and the processes that it starts.
    pub(super) fn tell<F: Future<Output = ()>>(&self, story: impl FnOnce() -> F + Send) {
        let space = File::open(Path::new("/run/netns").join(self.hub())).unwrap();
        std::thread::scope(|scope| {
            let told = scope.spawn(move || {
                move_into_link_name_space(
                    std::os::fd::AsFd::as_fd(&space),
                    Some(LinkNameSpaceType::Network),
                )
                .unwrap();
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(story());
            });
            if let Err(panic) = told.join() {
                std::panic::resume_unwind(panic);
            }
        });
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for node in 0..self.nodes {
            ip(&["netns", "del", &self.space(node)]);
            let _none = std::fs::remove_dir_all(Path::new(RESOLVERS).join(self.space(node)));
        }
        ip(&["netns", "del", &self.hub()]);
    }
}

/// Removes what a run left that was killed.
fn sweep() {
    let Ok(spaces) = std::fs::read_dir("/run/netns") else {
        return;
    };
    for space in spaces.flatten() {
        let name = space.file_name().to_string_lossy().into_owned();
        let maker = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next());
        if let Some(maker) = maker
            && !Path::new("/proc").join(maker).exists()
        {
            ip(&["netns", "del", &name]);
            let _none = std::fs::remove_dir_all(Path::new(RESOLVERS).join(&name));
        }
    }
}

fn ip(arguments: &[&str]) -> bool {
    let mut command = Command::new("ip");
    command.args(arguments).stderr(Stdio::null());
    command.status().unwrap().success()
}

fn within(space: &str, command: &str) {
    let words = command.split_whitespace();
    let done = Command::new("ip")
        .args(["netns", "exec", space])
        .args(words)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{command}: {said}");
}

/// Waits until all have the same heads; gives how long that took. What a node booked was only there at first, so then
/// everything has come. What was asked of a peer behind a dead line may still be on its way: until that is noticed.
pub(super) async fn same_heads(what: &str, nodes: &[&Node], patience: Duration) -> Duration {
    let begun = Instant::now();
    loop {
        let mut seen = Vec::new();
        for node in nodes {
            seen.push(node.status().await);
        }
        let first = &seen[0].frontier_hash;
        let same = |status: &&_| {
            let status: &city_node::admin::pages::Status = status;
            status.frontier_hash == *first
        };
        if seen.iter().all(|status| same(&status)) {
            println!("{what}: the same heads after {:?}", begun.elapsed());
            return begun.elapsed();
        }
        if begun.elapsed() > patience {
            let heads = seen.iter().map(|status| {
                let heads = status.frontier.iter().map(|head| head.seq);
                (
                    status.peers.len(),
                    status.in_flight,
                    heads.collect::<Vec<_>>(),
                )
            });
            let heads: Vec<_> = heads.collect();
            let logs: Vec<_> = nodes.iter().map(|node| node.log()).collect();
            panic!(
                "{what}: not within {patience:?}: {heads:?}\n{}",
                logs.join("\n--\n")
            );
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
