use std::sync::Arc;
use std::time::Duration;

use roster_http::{Function, Handler, Hosted};
use roster_local::hosts::HostError;
use roster_local::{DynamoDb, Hosts, Stack, StackOptions, Template};

use crate::support::{Client, Toy, hosts, template, until};

async fn start(template: Template, hosts: Hosts) -> Result<Stack, roster_local::StackError> {
    let dynamodb = DynamoDb::memory().unwrap();
    let store = dynamodb.store(&template).await.unwrap();
    Stack::start(StackOptions { dynamodb, template, hosts, store, port: 0, stage: None, directory: None }).await
}

#[tokio::test]
async fn streams_and_schedules_call_functions_until_the_shutdown() {
    let toy = Arc::new(Toy::default());
    let mut template = template();
    for schedule in template.functions.iter_mut().flat_map(|function| &mut function.schedules) {
        schedule.every = Duration::from_millis(1);
    }
    let dynamodb = DynamoDb::memory().unwrap();
    let store = dynamodb.store(&template).await.unwrap();
    let client = Client::new(dynamodb.endpoint());
    let options = StackOptions { dynamodb, template, hosts: hosts(&toy), store, port: 0, stage: None, directory: None };
    let stack = Stack::start(options).await.unwrap();
    client.put("a").await;
    stack.drain().await.unwrap();
    assert_eq!(*toy.handled.lock().unwrap(), ["a"]);
    until("the schedule calls again", || toy.ticks.lock().unwrap().len() > 1).await;
    let tick = toy.ticks.lock().unwrap()[0].clone();
    assert_eq!((&tick["source"], &tick["detail-type"]), (&"aws.events".into(), &"Scheduled Event".into()));
    stack.shutdown().await;
    let ticks = toy.ticks.lock().unwrap().len();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(toy.ticks.lock().unwrap().len(), ticks);
}

#[tokio::test]
async fn functions_and_template_must_be_the_same() {
    static STRAY: &[Function<Toy>] =
        &[Function { name: "stray", handler: Handler::Event(|_, _| Box::pin(async { Ok(().into()) })) }];
    let toys = || hosts(&Arc::default());
    let (mut fewer, mut more) = (template(), template());
    fewer.functions.retain(|function| function.name != "sync");
    more.functions[0].name = "unheard-of".to_owned();
    let stray = Hosts::Here(vec![Arc::new(Hosted::new(Arc::new(Toy::default()), STRAY))]);
    assert_eq!(toys().check(&template()), Ok(()));
    assert_eq!(toys().check(&fewer), Err(HostError::Undeclared("sync".to_owned())));
    assert!(matches!(toys().check(&more), Err(HostError::Undeclared(_))));
    assert_eq!(stray.check(&template()), Err(HostError::Undeclared("stray".to_owned())));
    let nobody = Hosts::Here(Vec::new());
    assert!(matches!(start(template(), nobody).await, Err(roster_local::StackError::Host(HostError::Unhosted(_)))));
}
