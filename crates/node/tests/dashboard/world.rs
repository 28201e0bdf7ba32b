//! A node whose blocks the test makes, and a socket on which its pages are asked.

use std::net::Ipv4Addr;

use coalmine_json::read_commands;
use coalmine_node::testing::{Manual, genesis, key, manual, signed};
use coalmine_node::{Node, Options, Submitted, TxState, http};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

/// A node with its API and dashboard on a socket.
pub(crate) struct World {
    pub(crate) node: Node,
    pub(crate) base: String,
    blocks: Manual,
    sequence: u64,
    agent: ureq::Agent,
    _runtime: Runtime,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: ureq::http::HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl World {
    /// A ledger at block 1 on which nothing has happened.
    pub(crate) fn new() -> Self {
        let (node, blocks) = manual(&genesis(), Options::default());
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let served = node.clone();
        runtime.spawn(http::serve(listener, served, http::Options::default()));
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut world = Self { node, base, blocks, sequence: 0, agent, _runtime: runtime };
        world.pass(1);
        world
    }

    /// Makes a block of commands of the admin, each in a transaction of its own, all of which succeed.
    pub(crate) fn send(&mut self, commands: &str) {
        let mut ids = Vec::new();
        for command in read_commands(commands).unwrap() {
            self.sequence += 1;
            let envelope = signed(&self.node, &key(1), self.sequence, vec![command]);
            let Submitted::Pending(id) = self.node.submit(&envelope).unwrap() else { panic!("it is new") };
            ids.push(id);
        }
        self.pass(1);
        for id in ids {
            let TxState::Committed(record) = self.node.transaction(&id).unwrap() else { panic!("it is committed") };
            assert_eq!(record.receipt.code(), 0, "{:?} in {commands}", record.receipt);
        }
    }

    /// Makes empty blocks.
    pub(crate) fn pass(&mut self, blocks: u32) {
        for _ in 0..blocks {
            self.blocks.block().unwrap();
        }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        let response = self.agent.get(format!("{}{path}", self.base)).call().unwrap();
        let (parts, mut body) = response.into_parts();
        let body = body.read_to_vec().unwrap();
        let body = String::from_utf8_lossy(&body).into_owned();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    /// The status of an answer to a request that would change something.
    pub(crate) fn post(&self, path: &str) -> u16 {
        self.agent.post(format!("{}{path}", self.base)).send("feature=new_checkout").unwrap().status().as_u16()
    }

    /// Something of everything: a feature that was rolled back, one that rolls out, one of each other status, a plugin
    /// that is being deployed, one whose deployment was rolled back, an entry of the schedule, and texts that are no tags.
    pub(crate) fn lived() -> Self {
        let mut world = Self::new();
        world.send(
            r#"
            {"op":"create_feature","name":"new_checkout","description":"<script>alert(1)</script> & \"quotes\"","increment_percent":20,"increment_blocks":5}
            {"op":"create_feature","name":"dark_theme","description":"colours for the night"}
            {"op":"create_feature","name":"search_v3","description":""}
            {"op":"create_feature","name":"fast_feed","description":"","increment_percent":10,"increment_blocks":8}
            {"op":"create_feature","name":"beta.profile:2","description":""}
            {"op":"register_version","plugin":"ranking","version":"1.0.0","code_hash":"006523d52bc3c123377e96df40ad78bade5df4ac87dea8f1ecb39cfff056f0aa"}
            {"op":"register_version","plugin":"ranking","version":"1.1.0","code_hash":"1917e543b4d3347d8bb9078c67834e677cff91e8d211a02f001d5a5798389a3b"}
            {"op":"register_version","plugin":"mailer","version":"2.0.0","code_hash":"206523d52bc3c123377e96df40ad78bade5df4ac87dea8f1ecb39cfff056f0aa"}
            {"op":"register_version","plugin":"mailer","version":"2.1.0","code_hash":"3917e543b4d3347d8bb9078c67834e677cff91e8d211a02f001d5a5798389a3b"}
            {"op":"register_version","plugin":"cache","version":"0.3.0","code_hash":"406523d52bc3c123377e96df40ad78bade5df4ac87dea8f1ecb39cfff056f0aa"}"#,
        );
        world.send(
            r#"
            {"op":"start_canary","name":"new_checkout","percent":5}
            {"op":"set_override","name":"new_checkout","user":"0x000000000000000000000000000000000000000c","enabled":true}
            {"op":"start_canary","name":"fast_feed","percent":10}
            {"op":"start_canary","name":"beta.profile:2","percent":1}
            {"op":"enable","name":"dark_theme"}
            {"op":"deploy","plugin":"ranking","version":"1.1.0","strategy":"canary","initial_bps":500,"increment_bps":1500,"increment_blocks":10,"max_bps":5000,"observation_blocks":8}
            {"op":"deploy","plugin":"mailer","version":"2.1.0","strategy":"custom","stages":[{"share_bps":1000,"blocks":1000,"min_requests":0}],"error_threshold_bps":500,"min_requests":100}"#,
        );
        world.send(
            r#"
            {"op":"record_success","name":"new_checkout","count":200}
            {"op":"record_error","name":"new_checkout"}
            {"op":"record_success","name":"fast_feed","count":150}
            {"op":"start_rollout","name":"new_checkout","target_percent":100}
            {"op":"start_rollout","name":"fast_feed","target_percent":100}
            {"op":"report_version","plugin":"ranking","version":"1.0.0","requests":400,"errors":3,"latency_total":9200}
            {"op":"report_version","plugin":"ranking","version":"1.1.0","requests":130,"errors":1,"latency_total":2470}
            {"op":"report_version","plugin":"mailer","version":"2.1.0","requests":100,"errors":4}"#,
        );
        world.pass(11);
        world.send(
            r#"
            {"op":"report_version","plugin":"ranking","version":"1.1.0","requests":170,"errors":1,"latency_total":3400}
            {"op":"report_version","plugin":"mailer","version":"2.1.0","requests":60,"errors":9}
            {"op":"record_success","name":"new_checkout","count":300}
            {"op":"record_success","name":"fast_feed","count":260}
            {"op":"schedule","at":60,"commands":[{"op":"enable","name":"search_v3"},{"op":"disable","name":"dark_theme"}]}"#,
        );
        world.send(r#"{"op":"record_error","name":"new_checkout"} {"op":"record_error","name":"fast_feed"}"#);
        for _ in 0..5 {
            if world.node.read(|state| state.feature(&"new_checkout".parse().unwrap()).unwrap().status.is_on()) {
                world.send(r#"{"op":"record_error","name":"new_checkout"}"#);
            }
        }
        world.pass(3);
        world
    }
}
