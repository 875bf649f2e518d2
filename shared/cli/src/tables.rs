//! The tables that a verb works on: those of a data directory, or another DynamoDB's.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use jiff::Timestamp;
use roster_events::App;
use roster_git::{Location, Repository};
use roster_http::function::Hosted;
use roster_local::{DataDir, DynamoDb, Hosts, LocalValues, Pump, Template};
use roster_store::Store;
use roster_sync::{Reconciler, Repo};

use crate::output::Failure;

/// Which tables.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub(crate) struct Arguments {
    /// The directory with the embedded DynamoDB's data
    #[arg(long, default_value = ".roster")]
    pub(crate) data: PathBuf,
    /// The URL of another local DynamoDB, instead of the embedded one
    #[arg(long, value_name = "URL")]
    pub(crate) dynamodb: Option<String>,
}

/// Open tables. What is written to them is followed by `record-history`, as it is when deployed.
pub(crate) struct Tables {
    pub(crate) store: Store,
    dynamodb: DynamoDb,
    pump: Option<Pump>,
}

impl Arguments {
    /// The DynamoDB that the arguments name.
    pub(crate) async fn dynamodb(&self) -> Result<DynamoDb, Failure> {
        match &self.dynamodb {
            Some(url) => Ok(DynamoDb::at(url.trim_end_matches('/'))),
            None => Ok(DataDir::create(&self.data)?.open().await?),
        }
    }

    /// Refuses a directory in which nothing ever was: more likely a typing mistake than an empty catalogue.
    pub(crate) fn must_exist(&self) -> Result<(), Failure> {
        match self.dynamodb.is_some() || self.data.join("dynamodb.sqlite").exists() {
            true => Ok(()),
            false => Err(Failure::new(format!(
                "{} holds no tables: name the directory of roster dev or roster sync with --data",
                self.data.display()
            ))),
        }
    }

    /// Where streams' checkpoints are: they belong to the embedded tables, and to no others.
    pub(crate) fn checkpoints(&self) -> Option<PathBuf> {
        self.dynamodb.is_none().then(|| self.data.clone())
    }
}

impl Tables {
    pub(crate) async fn open(arguments: &Arguments) -> Result<Self, Failure> {
        let mut template = Template::load(&LocalValues::default())?;
        // Of what follows streams only the history is kept here: a verb syncs when it is told to, and notices wait for
        // whoever knows where they go.
        template.functions.retain(|function| function.name == "record-history");
        let dynamodb = arguments.dynamodb().await?;
        let store = dynamodb.store(&template).await?;
        // Another process that has the tables open follows their streams already.
        let pump = if dynamodb.is_owner() {
            let events = App::new(&template.env_for("events")?, store.clone())?;
            let hosts = Hosts::Here(vec![Arc::new(Hosted::new(events, roster_events::FUNCTIONS))]);
            let checkpoints = arguments.checkpoints();
            Some(Pump::start(&template, &hosts, &store, dynamodb.endpoint(), checkpoints.as_deref()).await?)
        } else {
            None
        };
        Ok(Self { store, dynamodb, pump })
    }

    /// Opens the tables, and a reconciler of a repository on them.
    pub(crate) async fn open_with(arguments: &Arguments, repo: &str) -> Result<(Self, Reconciler), Failure> {
        // A token in the environment reaches private repositories; it is never an argument, which others could see.
        let mut location = Location::parse(repo)?;
        if let Ok(token) = std::env::var("GIT_TOKEN") {
            location = location.with_token(token);
        }
        let tables = Self::open(arguments).await?;
        let repository = Repository::open(&location, &arguments.data.join("git"))?;
        let repo = Repo::new(repository, &location.to_string());
        let reconciler = Reconciler::new(tables.store.clone(), repo, Timestamp::now);
        Ok((tables, reconciler))
    }

    /// Waits until every change so far has its history.
    pub(crate) async fn settle(&self) -> Result<(), Failure> {
        match &self.pump {
            Some(pump) => Ok(pump.drain().await?),
            None => Ok(()),
        }
    }

    /// Settles and closes.
    pub(crate) async fn close(self) -> Result<(), Failure> {
        let settled = self.settle().await;
        if let Some(pump) = self.pump {
            pump.shutdown().await;
        }
        self.dynamodb.shutdown().await;
        settled
    }
}
