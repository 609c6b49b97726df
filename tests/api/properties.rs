//! Property tests: invariants that are checked with random inputs.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use eventsource_stream::Eventsource;
use futures_util::StreamExt;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::support::examples::{Example, examples};
use crate::support::internals::{
    Claim, Queue, Redaction, RunState, conflict, openapi_document, read_laxly,
};
use crate::support::stub::StubServer;

/// The OpenAPI document and its examples.
static OPERATIONS: LazyLock<(Value, Vec<Example>)> =
    LazyLock::new(|| (openapi_document(), examples()));

const LIST: &str = "/v0/admin/proxmox/vms/list";

fn cases(count: u32) -> ProptestConfig {
    // Failed cases become separate tests, so they are not stored in files.
    ProptestConfig { cases: count, failure_persistence: None, ..ProptestConfig::default() }
}

/// Any JSON value of limited depth.
fn json_value() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        scalar(),
        "[ -~]{0,12}".prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec(("[a-z_]{1,8}", inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
    .boxed()
}

/// Numbers and booleans in the notations that clients use.
fn scalar() -> BoxedStrategy<Value> {
    prop_oneof![
        (-2_i64..2000).prop_map(Value::from),
        (-2_i64..2000).prop_map(|number| Value::from(number as f64)),
        (-2_i64..2000).prop_map(|number| Value::from(number.to_string())),
        (-2_i64..2000).prop_map(|number| Value::from(format!(" {number}.0"))),
        select(vec!["yes", "off", "1", "00", "+1", "1e3", "inf", "nan", "-0", "1_0", "True", "\0"])
            .prop_map(Value::from),
    ]
    .boxed()
}

/// A secret that other text cannot contain by chance, with characters that JSON or terminals escape.
fn secret() -> impl Strategy<Value = String> {
    "[A-Z0-9]{3}[A-Zäß€\"\\\\/ \t\u{1f600}'&-]{0,6}[0-9]{3}"
}

/// JSON that contains the secret: in text, in member names, and in text that is JSON itself.
fn holding(secret: String) -> impl Strategy<Value = Value> {
    let inside = secret.clone();
    let text = ("\\PC{0,6}", "\\PC{0,6}")
        .prop_map(move |(before, after)| Value::from(format!("{before}{secret}{after}")));
    prop_oneof![text, json_value()].prop_recursive(3, 16, 4, move |inner| {
        let secret = inside.clone();
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec(("[b-df-hj-np-tv-z]{1,8}", inner.clone()), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
            inner.clone().prop_map(move |value| json!({ &secret: value })),
            inner.prop_map(|value| Value::from(value.to_string())),
        ]
    })
}

/// The number of values in a value.
fn size(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Object(members) => 1 + members.values().map(size).sum::<usize>(),
        _ => 1,
    }
}

/// Every text of a value, including member names.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, value)| [vec![name.as_str()], texts(value)].concat())
            .collect(),
        _ => Vec::new(),
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn redaction_leaves_no_secret_and_loses_no_value(
        (secret, value) in secret().prop_flat_map(|secret| (Just(secret.clone()), holding(secret)))
    ) {
        let mut hidden = value.clone();
        Redaction::of([secret.as_str()]).value(&mut hidden);
        prop_assert_eq!(size(&hidden), size(&value));
        for text in texts(&hidden) {
            prop_assert!(!text.contains(&secret), "{}", hidden);
        }
        let text = Redaction::of([secret.as_str()]).text(&value.to_string());
        let escaped = Value::from(secret.as_str()).to_string();
        prop_assert!(!text.contains(&escaped[1..escaped.len() - 1]), "{}", text);
    }

    #[test]
    fn claims_conflict_both_ways(one in claims(), other in claims()) {
        prop_assert_eq!(conflict(&one, &other), conflict(&other, &one));
        if !one.is_empty() {
            prop_assert!(conflict(&one, &one));
        }
    }

    #[test]
    fn the_queue_keeps_its_limits_and_forgets_nobody(
        steps in vec((any::<bool>(), 0_usize..8, select(vec![None, Some("a"), Some("b")]), claims()), 0..60),
        slots in 1_usize..5,
        capacity in 0_usize..8,
    ) {
        walk(&steps, slots, capacity)?;
    }

    #[test]
    fn a_walk_through_the_states_goes_forward_and_ends(steps in vec(select(&RunState::ALL[..]), 0..50)) {
        let (mut state, mut walked) = (RunState::Queued, vec![RunState::Queued]);
        for next in steps {
            prop_assert!(!(state.is_final() && state.may_become(next)));
            if state.may_become(next) {
                prop_assert!(!walked.contains(&next), "{:?} comes again", next);
                walked.push(next);
                state = next;
            }
            prop_assert_eq!(RunState::of_name(state.name()), Some(state));
        }
        prop_assert!(walked.len() <= 4, "{:?}", walked);
    }

    #[test]
    fn a_body_that_was_read_reads_the_same_again(
        which in 0_usize..1000,
        changes in vec((0_usize..1000, prop_oneof![json_value(), scalar()]), 0..3),
    ) {
        let (document, all) = &*OPERATIONS;
        let example = &all[which % all.len()];
        let mut body = example.body.clone();
        for (index, value) in changes {
            let names: Vec<String> = body.as_object().unwrap().keys().cloned().collect();
            let name = &names[index % names.len()];
            body[name] = value;
        }
        if let Ok(read) = read_laxly(document, &example.schema, &body) {
            prop_assert_eq!(read_laxly(document, &example.schema, &read), Ok(read.clone()));
        }
    }
}

fn claims() -> impl Strategy<Value = Vec<Claim>> {
    let name = || select(vec!["x", "y"]).prop_map(str::to_owned);
    let maybe = move || proptest::option::of(name());
    let claim = prop_oneof![
        (name(), select(vec!["1", "2", "3"]), maybe())
            .prop_map(|(node, id, group)| { Claim::Guest { node, id: id.to_owned(), group } }),
        (name(), name()).prop_map(|(node, name)| Claim::Group { node, name }),
        (maybe(), maybe()).prop_map(|(playbook, name)| Claim::Host { playbook, name }),
        name().prop_map(Claim::Other),
    ];
    vec(claim, 0..4)
}

type Step = (bool, usize, Option<&'static str>, Vec<Claim>);

/// Runs are queued and end. Active runs never conflict, and every accepted run is started.
fn walk(steps: &[Step], slots: usize, capacity: usize) -> Result<(), TestCaseError> {
    let mut queue = Queue::new(slots, capacity);
    let mut at_work: Vec<(Uuid, &[Claim])> = Vec::new();
    let mut waiting: Vec<(Uuid, &[Claim])> = Vec::new();
    let mut number = 0;
    for (comes, index, consumer, claims) in steps {
        if *comes || at_work.len() + waiting.len() == 0 {
            number += 1;
            let id = Uuid::from_u128(number);
            match queue.enter(id, consumer.map(str::to_owned), claims.clone()) {
                Ok(true) => at_work.push((id, claims)),
                Ok(false) => waiting.push((id, claims)),
                Err(_) => prop_assert!(waiting.len() * 2 >= capacity, "it is refused too early"),
            }
        } else {
            let all: Vec<Uuid> = at_work.iter().chain(&waiting).map(|(id, _)| *id).collect();
            leave(&mut queue, all[index % all.len()], &mut at_work, &mut waiting);
        }
        check(&queue, &at_work, &waiting, slots, capacity)?;
    }
    while let Some((id, _)) = at_work.first().copied() {
        leave(&mut queue, id, &mut at_work, &mut waiting);
        check(&queue, &at_work, &waiting, slots, capacity)?;
    }
    prop_assert!(waiting.is_empty(), "they wait for nobody: {:?}", waiting);
    Ok(())
}

type Runs<'a> = Vec<(Uuid, &'a [Claim])>;

fn leave<'a>(queue: &mut Queue, id: Uuid, at_work: &mut Runs<'a>, waiting: &mut Runs<'a>) {
    at_work.retain(|run| run.0 != id);
    waiting.retain(|run| run.0 != id);
    for admitted in queue.leave(id) {
        let index = waiting.iter().position(|run| run.0 == admitted).expect("it waited");
        at_work.push(waiting.remove(index));
    }
}

fn check(
    queue: &Queue,
    at_work: &Runs<'_>,
    waiting: &Runs<'_>,
    slots: usize,
    capacity: usize,
) -> Result<(), TestCaseError> {
    prop_assert!(at_work.len() <= slots && waiting.len() <= capacity);
    for (index, one) in at_work.iter().enumerate() {
        for other in &at_work[..index] {
            prop_assert!(!conflict(one.1, other.1), "{:?} beside {:?}", one, other);
        }
    }
    let places: BTreeSet<Uuid> = queue.positions().into_iter().map(|(id, _)| id).collect();
    prop_assert_eq!(places, waiting.iter().map(|run| run.0).collect::<BTreeSet<_>>());
    Ok(())
}

/// Runs `test` with random values in a tokio runtime.
fn try_all<S: Strategy>(
    count: u32,
    strategy: S,
    test: impl AsyncFn(S::Value) -> Result<(), TestCaseError>,
) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut runner = proptest::test_runner::TestRunner::new(cases(count));
    let result = runner.run(&strategy, |value| runtime.block_on(test(value)));
    result.unwrap_or_else(|error| panic!("{error}"));
}

/// Job events are stored and returned completely, except for the secret. The names of a result's
/// own members do not contain it here: they are defined by the module and are not redacted.
#[test]
fn every_job_event_arrives_without_the_secret() {
    let event = |secret: String| {
        ("\\PC{0,20}", holding(secret.clone())).prop_map(move |(printed, data)| {
            let printed = format!("{printed}\r\n{secret}\n\u{2028}: {printed}\n\n");
            json!({ "event": "verbose", "stdout": printed, "event_data": { "res": { "value": data } } })
        })
    };
    let strategy =
        secret().prop_flat_map(move |secret| (Just(secret.clone()), vec(event(secret), 0..6)));
    try_all(24, strategy, async |(secret, events)| {
        let server = StubServer::start(|_, env| {
            env.insert("VAULT_PASSWORD".to_owned(), secret.clone());
        });
        server.behave(&json!({ "events": events, "rc": 0 }));
        let answer = server.client.json("POST", LIST, &json!({ "proxmox_node": "px" })).await;
        prop_assert_eq!(answer.status.as_u16(), 200, "{}", answer.text);
        let run = format!("/v0/admin/runs/{}", answer.headers["x-run-id"].to_str().unwrap());
        let kept = server.client.get(&format!("{run}/job_events")).await.json();
        let kept = kept["job_events"].as_array().unwrap();
        // The stub adds a final event.
        prop_assert_eq!(kept.len(), events.len() + 1);
        for (number, (kept, sent)) in kept.iter().zip(&events).enumerate() {
            prop_assert_eq!(&kept["counter"], &json!(number + 1));
            prop_assert_eq!(size(&kept["event_data"]), size(&sent["event_data"]));
            for text in texts(kept) {
                prop_assert!(!text.contains(&secret), "{}", kept);
            }
        }

        let stream = server.client.get(&format!("{run}/events")).await.text;
        let stream = futures_util::stream::iter([Ok::<_, std::io::Error>(stream)]).eventsource();
        let stream: Vec<_> = stream.map(Result::unwrap).collect().await;
        let streamed = stream.iter().filter(|event| event.event == "job_event");
        let streamed: Vec<(String, Value)> = streamed
            .map(|event| (event.id.clone(), serde_json::from_str(&event.data).unwrap()))
            .collect();
        let kept = kept.iter().enumerate().map(|(n, event)| ((n + 1).to_string(), event.clone()));
        prop_assert_eq!(streamed, kept.collect::<Vec<_>>());
        Ok(())
    });
}

/// Any body is either rejected or starts a run.
#[test]
fn no_body_is_a_fault_of_the_server() {
    let object = vec(("\\PC{0,8}", json_value()), 0..4);
    let object = (object, json_value()).prop_map(|(members, node)| {
        let mut body: Map<String, Value> = members.into_iter().collect();
        body.insert("proxmox_node".to_owned(), node);
        Value::Object(body).to_string().into_bytes()
    });
    let broken = (object.clone(), any::<proptest::sample::Index>(), any::<u8>());
    let broken = broken.prop_map(|(mut bytes, index, byte)| {
        let index = index.index(bytes.len());
        bytes[index] = byte;
        bytes
    });
    let bytes = prop_oneof![vec(any::<u8>(), 0..40), object, broken];
    try_all(200, bytes, async |bytes| {
        let server = StubServer::start(|_, _| {});
        let request = axum::http::Request::post(LIST).body(bytes.clone().into()).unwrap();
        let answer = server.client.send(request).await;
        prop_assert!([200, 422].contains(&answer.status.as_u16()), "{}", answer.text);
        prop_assert_eq!(answer.status == 200, !server.calls().is_empty());
        Ok(())
    });
}
