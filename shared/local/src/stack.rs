//! The whole local stack.

use std::io;
use std::path::PathBuf;

use roster_store::{Store, StoreError};

use crate::data_dir::DynamoDb;
use crate::gateway::Gateway;
use crate::hosts::{HostError, Hosts};
use crate::pump::{DrainError, Pump};
use crate::scheduler::Scheduler;
use crate::template::Template;

/// What a stack is made of.
pub struct StackOptions {
    /// Where the tables are. The stack closes it.
    pub dynamodb: DynamoDb,
    /// The template.
    pub template: Template,
    /// The functions.
    pub hosts: Hosts,
    /// A store on the tables, which exist.
    pub store: Store,
    /// The gateway's port; 0 takes a free one.
    pub port: u16,
    /// The stage that the gateway's paths begin with, if any.
    pub stage: Option<String>,
    /// Where streams' checkpoints and dead letters are kept; without it they end with the process.
    pub directory: Option<PathBuf>,
}

/// A running stack: gateway, and where this process owns the tables, stream pump and scheduler.
pub struct Stack {
    /// Where the gateway answers.
    pub url: String,
    dynamodb: DynamoDb,
    gateway: Gateway,
    follow: Option<(Pump, Scheduler)>,
    hosts: Hosts,
}

/// Why a stack does not run.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// The template and the functions do not belong together.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The template's routes contradict each other.
    #[error("template.yaml: {0}")]
    Routes(String),
    /// The gateway's port cannot be had.
    #[error("port {port} cannot be listened on: {source}")]
    Port {
        /// The port.
        port: u16,
        /// What the system says.
        source: io::Error,
    },
    /// A stream cannot be followed.
    #[error(transparent)]
    Store(StoreError),
    /// How far a stream was read is not known.
    #[error("{}: the checkpoint cannot be read: {message}; remove it to read the stream from its start", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
}

impl Stack {
    /// Starts everything, or nothing.
    ///
    /// # Errors
    /// [`StackError`].
    pub async fn start(options: StackOptions) -> Result<Self, StackError> {
        let StackOptions { dynamodb, template, hosts, store, port, stage, directory } = options;
        hosts.check(&template)?;
        let gateway = Gateway::start(&template, &hosts, port, stage.as_deref()).await?;
        // Another process that has the tables open follows their streams already.
        let follow = if dynamodb.is_owner() {
            let pump = Pump::start(&template, &hosts, &store, dynamodb.endpoint(), directory.as_deref()).await?;
            Some((pump, Scheduler::start(&template, &hosts)?))
        } else {
            None
        };
        Ok(Self { url: gateway.url(), dynamodb, gateway, follow, hosts })
    }

    /// Waits until what was written so far is handled by the functions that follow the streams,
    /// where this process runs them.
    ///
    /// # Errors
    /// [`DrainError`].
    pub async fn drain(&self) -> Result<(), DrainError> {
        match &self.follow {
            Some((pump, _)) => pump.drain().await,
            None => Ok(()),
        }
    }

    /// The stream pump, where it is this process's.
    #[must_use]
    pub fn pump(&self) -> Option<&Pump> {
        self.follow.as_ref().map(|(pump, _)| pump)
    }

    /// Stops everything: first what calls functions, then those, then the tables under them.
    pub async fn shutdown(self) {
        self.gateway.shutdown().await;
        if let Some((pump, scheduler)) = self.follow {
            scheduler.shutdown().await;
            pump.shutdown().await;
        }
        if let Hosts::Lambda(lambda) = &self.hosts {
            lambda.shutdown().await;
        }
        self.dynamodb.shutdown().await;
    }
}
