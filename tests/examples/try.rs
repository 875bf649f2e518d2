use roster_git::*;
use roster_store::tables::*;
use roster_store::*;
use roster_sync::*;
fn k(n: &str, kind: KeyKind) -> KeyAttribute {
    KeyAttribute { name: n.into(), kind }
}
#[tokio::main]
async fn main() {
    let data = std::env::args().nth(1).unwrap();
    let repo = std::env::args().nth(2).unwrap();
    let every = std::env::args().nth(3).is_some();
    let (tx, rx) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        rt.block_on(async move {
            let l = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            tx.send(l.local_addr().unwrap()).unwrap();
            let db = if data == "mem" {
                dynoxide::Database::memory().unwrap()
            } else {
                dynoxide::Database::new(&data).unwrap()
            };
            dynoxide::server::serve_with_shutdown(l, db, std::future::pending()).await.unwrap();
        });
    });
    let addr = rx.recv().unwrap();
    let names = TableNames {
        models: "models".into(),
        published: "published".into(),
        history: "history".into(),
        runtime: "runtime".into(),
    };
    let store = Store::local(&format!("http://{addr}"), names);
    let s = KeyKind::String;
    let t = |n: &str, sort: Option<KeyAttribute>, stream| TableSpec {
        name: n.into(),
        key: KeySpec { partition: k("pk", s), sort },
        indexes: vec![],
        stream,
        ttl: None,
    };
    create_missing(
        &store,
        &[
            t("models", Some(k("sk", s)), true),
            t("published", None, false),
            t("history", Some(k("sk", KeyKind::Number)), false),
            t("runtime", Some(k("sk", s)), false),
        ],
    )
    .await
    .unwrap();
    let r = Repository::open(&Location::parse(&repo).unwrap(), std::path::Path::new("/tmp/x")).unwrap();
    let rec = Reconciler::new(store.clone(), Repo::new(r, &repo), jiff::Timestamp::now);
    let o = Options { every_commit: every, guard: false, ..Options::follow("main") };
    let rep = rec
        .run(&o, |a, b, c| {
            if a % 100 == 0 || b < 20 {
                println!(
                    "{a}/{b} {} ops {} units {} {:.4}s {}",
                    c.state.name(),
                    c.operations,
                    c.consumed,
                    c.seconds,
                    c.subject
                );
            }
            for p in c.problems.iter().take(3) {
                println!("{p}");
            }
        })
        .await
        .unwrap();
    println!("{}", serde_json::to_string(&rep).unwrap());
    let rep = rec.run(&o, |_, _, _| {}).await.unwrap();
    println!("again {}", serde_json::to_string(&rep).unwrap());
    let t = std::time::Instant::now();
    let reader = reader::Reader::new(store.metered(), std::time::Duration::from_millis(1000));
    let s = reader.current(jiff::Timestamp::now()).await.unwrap();
    println!("reader {} {:?}", s.snapshot.visible_count(), t.elapsed());
    let recs = store.all_records().await.unwrap();
    println!(
        "{} {}",
        recs.len(),
        roster_core::catalogue::digest(recs.iter().filter(|r| !r.tombstone).map(|r| &r.spec)).unwrap()
    );
}
